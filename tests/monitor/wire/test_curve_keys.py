"""Keys say who may connect and who may command; without them nobody listens to the world."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq
from typer.testing import CliRunner

from monitor.cli.app import app
from monitor.delivery.control_client import carry_out
from monitor.delivery.publisher import Publisher
from monitor.delivery.subscriber import AlertSubscriber
from monitor.errors import InvalidEndpoint, InvalidKeys, InvalidOption, MonitorSilent
from monitor.journal.writer import Journal
from monitor.wire.codec import all_encoded
from monitor.wire.curve_keys import Keys, init_keys, load_keys
from monitor.wire.messages import AckRequest, MarkRequest, SeekRequest, Status
from monitor.wire.sockets import Sockets
from tests.messages import status
from tests.monitor.ports import free_port


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a monitor's keys."""
    init_keys(tmp_path / "keys")
    return tmp_path / "keys"


def client_of(folder: Path, name: str, *lists: str) -> Keys:
    """Return another client's keys, which are put in the lists of the monitor named."""
    own = folder.with_name(name)
    init_keys(own)
    for listed in lists:
        shutil.copy(own / "client.public", folder / listed / f"{name}.public")
    (own / "server.secret").unlink()
    shutil.copy(folder / "server.public", own / "server.public")
    return load_keys(own)


class Monitor(threading.Thread):
    """A publisher with keys that sends a heartbeat; it owns its sockets in its thread."""

    def __init__(self, keys: Path, journal: Path, endpoint: str | None = None) -> None:
        super().__init__(daemon=True)
        self.endpoint = endpoint or f"tcp://127.0.0.1:{free_port()}"
        self.refused = 0
        self._keys = load_keys(keys)
        self._journal = journal
        self._leaving = threading.Event()

    def run(self) -> None:
        with Sockets(self._keys) as sockets, Journal(self._journal) as journal:
            publisher = Publisher(
                sockets, self.endpoint, journal, lambda _: "done", self._keys.control
            )
            while not self._leaving.is_set():
                publisher.publish(all_encoded([status()]))
                publisher.requests.poll(20)
                publisher.answer_waiting()
                self.refused = sockets.refused()

    def __enter__(self) -> Monitor:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._leaving.set()
        self.join()


def hears(endpoint: str, keys: Keys | None, within_s: float) -> bool:
    with AlertSubscriber(endpoint, ["status"], keys=keys) as subscriber:
        return isinstance(subscriber.receive(within_s), Status)


def test_only_who_is_authorised_is_let_in(folder: Path, tmp_path: Path) -> None:
    """Others hear nothing, and are counted: without keys, and with keys that nobody knows.

    Those who may listen stay to the end: one that leaves amid its handshake is counted too.
    """
    listener = client_of(folder, "listener", "authorised")
    stranger = client_of(folder, "stranger")
    with Monitor(folder, tmp_path / "j") as monitor, ExitStack() as there:
        for authorised in (load_keys(folder), listener):
            subscriber = AlertSubscriber(monitor.endpoint, ["status"], keys=authorised)
            assert isinstance(there.enter_context(subscriber).receive(10), Status)
        assert monitor.refused == 0
        for keys in (None, stranger):
            before, deadline_s = monitor.refused, time.monotonic() + 10
            assert not hears(monitor.endpoint, keys, 0.5)
            while monitor.refused == before and time.monotonic() < deadline_s:
                time.sleep(0.02)
            assert monitor.refused > before


def test_a_subscriber_that_was_refused_is_heard_once_it_is_authorised(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says why nothing comes, tries again by itself, and then gets alerts and answers."""
    monkeypatch.setattr("monitor.wire.sockets.TRY_AGAIN_S", 0.2)
    stranger = client_of(folder, "stranger")
    with Monitor(folder, tmp_path / "j") as monitor:
        subscriber = AlertSubscriber(monitor.endpoint, ["status"], keys=stranger)
        with pytest.raises(MonitorSilent, match="may not listen there"):
            carry_out(monitor.endpoint, AckRequest(), stranger)
        for _ in range(2):  # the second time it was tried again meanwhile
            assert subscriber.receive(0.5) is None
            assert "client.public of --keys into authorised/" in subscriber.refusal
    for authorised in ("authorised", "control"):
        shutil.copy(tmp_path / "stranger" / "client.public", folder / authorised / "b.public")
    with Monitor(folder, tmp_path / "j", monitor.endpoint), subscriber:
        assert isinstance(subscriber.receive(10), Status)
        subscriber.ask(SeekRequest("no time"))  # what is no request is refused
        deadline_s = time.monotonic() + 10
        while not subscriber.refused and time.monotonic() < deadline_s:
            subscriber.receive(0.1)
            subscriber.ask(SeekRequest("no time"))
        assert "not a request" in subscriber.refused[-1]
        assert subscriber.refusal == ""


@pytest.mark.parametrize("kind", ["push", "subscribe"])
def test_every_socket_that_was_refused_is_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A stage's and a view's as well: what they send or hear goes on once they are let in."""
    monkeypatch.setattr("monitor.wire.sockets.TRY_AGAIN_S", 0.1)
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    stranger, before = client_of(folder, "stranger"), load_keys(folder)
    role = "send" if kind == "push" else "authorised"
    shutil.copy(folder.with_name("stranger") / "client.public", folder / role / "b.public")
    after = load_keys(folder)
    with Sockets(stranger) as client:
        made = client.push(endpoint) if kind == "push" else client.subscribe(endpoint, ["x"])
        for keys in (before, after):
            with Sockets(keys) as server:
                bound = server.pull(endpoint) if kind == "push" else server.publish(endpoint)
                sender, receiver = (made, bound) if kind == "push" else (bound, made)
                deadline_s = time.monotonic() + (0.5 if keys is before else 10)
                while not receiver.poll(20) and time.monotonic() < deadline_s:
                    client.look_after()
                    with contextlib.suppress(zmq.Again):
                        sender.send(b"x", zmq.DONTWAIT)
                assert bool(receiver.poll(0)) is (keys is after)
                client.look_after()
                assert bool(client.refusal) is (keys is before)


def test_a_flood_of_strangers_stops_nobody(folder: Path) -> None:
    """Thousands of connections that come and go fill no queue, where refusals are asked for."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    keys = load_keys(folder)
    with Sockets(keys) as sockets, Sockets(keys) as clients:
        receiver = sockets.pull(endpoint)
        host, port = endpoint.removeprefix("tcp://").split(":")
        for n in range(2200):  # the queues of events hold 2,000
            socket.create_connection((host, int(port)), 5).close()
            if n % 100 == 0:
                sockets.refused()
        sockets.refused()
        sender = clients.push(endpoint)
        sender.send(b"heard")
        assert receiver.poll(10_000)


def test_only_who_may_command_is_obeyed(folder: Path, tmp_path: Path) -> None:
    """Who may only listen is told so; who is not let in gets no answer."""
    listener = client_of(folder, "listener", "authorised")
    with Monitor(folder, tmp_path / "j") as monitor:
        assert carry_out(monitor.endpoint, AckRequest(), load_keys(folder)) == "done"
        with pytest.raises(InvalidOption, match="may listen, not command"):
            carry_out(monitor.endpoint, AckRequest(), listener)
        with pytest.raises(InvalidOption, match="may listen, not command"):
            carry_out(monitor.endpoint, MarkRequest("119", 1, "normal"), listener)
        with pytest.raises(MonitorSilent, match="no answer"):
            carry_out(monitor.endpoint, AckRequest(), None, within_s=0.5)


def test_without_keys_nobody_listens_to_the_world(folder: Path) -> None:
    """Beyond this machine a socket is bound with keys only."""
    endpoint = f"tcp://0.0.0.0:{free_port()}"
    with Sockets() as sockets, pytest.raises(InvalidEndpoint, match="without keys"):
        sockets.publish(endpoint)
    with Sockets(load_keys(folder)) as sockets:
        sockets.publish(endpoint)


def test_secrets_are_for_their_owner(folder: Path) -> None:
    """Files and folders are made so; a secret that others may read is refused."""
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for role in ("server", "client"):
        assert stat.S_IMODE((folder / f"{role}.secret").stat().st_mode) == 0o600
    (folder / "client.secret").chmod(0o640)
    with pytest.raises(InvalidKeys, match="can be read by others"):
        load_keys(folder)


def test_secrets_reach_no_log(folder: Path) -> None:
    """What is printed of keys has no secret in it."""
    keys = load_keys(folder)
    assert keys.server is not None
    assert keys.server.secret not in repr(keys)


def test_keys_are_never_replaced(folder: Path) -> None:
    """A second init changes nothing and says so."""
    before = (folder / "server.secret").read_text()
    result = CliRunner().invoke(app, ["keys", "init", str(folder)])
    assert result.exit_code == 2
    assert "never replaced" in result.stderr
    assert (folder / "server.secret").read_text() == before


@pytest.mark.parametrize(
    "content", [b"", b"short", b"x" * 5000, b"\xff" * 40, b"'" * 40, b"#" * 40, b"a b c"]
)
def test_malformed_keys_are_refused(folder: Path, content: bytes) -> None:
    """The file is named; nothing of it is used."""
    (folder / "authorised" / "own.public").write_bytes(content)
    with pytest.raises(InvalidKeys, match=r"own\.public"):
        load_keys(folder)


def test_a_key_with_a_byte_order_mark_is_the_key(folder: Path) -> None:
    """A public key that went through a Windows editor still lets its client in."""
    before = load_keys(folder)
    for name in ("server.public", "authorised/own.public"):
        (folder / name).write_text((folder / name).read_text(), encoding="utf-8-sig")
    assert load_keys(folder) == before


def test_each_role_needs_its_keys(folder: Path, tmp_path: Path) -> None:
    """A client cannot listen; who knows no monitor cannot connect; an empty folder is nothing."""
    listener = client_of(folder, "listener", "authorised")
    with Sockets(listener) as sockets, pytest.raises(InvalidKeys, match=r"server\.secret"):
        sockets.publish(f"tcp://127.0.0.1:{free_port()}")
    (folder / "server.public").unlink()
    with Sockets(load_keys(folder)) as sockets, pytest.raises(InvalidKeys, match=r"server\.public"):
        sockets.ask(f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(InvalidKeys, match="keys init"):
        load_keys(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidKeys, match="neither"):
        load_keys(tmp_path / "empty")


def received(folder: Path, sender: Keys, within_s: float) -> tuple[list[bytes], str]:
    """Return what a stage with these keys receives from a sender, and why that was refused."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with Sockets(load_keys(folder)) as stage, Sockets(sender) as other:
        receiver, pushed = stage.pull(endpoint), other.push(endpoint)
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s and not other.refusal:
            other.look_after()
            with contextlib.suppress(zmq.Again):
                pushed.send(b"samples", zmq.DONTWAIT)
            if receiver.poll(20):
                return receiver.recv_multipart(), ""
        return [], other.refusal


def test_who_may_listen_may_not_send(folder: Path) -> None:
    """A listener's samples could silence a patient: they are not received, and it hears why."""
    listener = client_of(folder, "listener", "authorised", "control")
    frames, refusal = received(folder, listener, 10)
    assert frames == []
    assert "may not send samples there; copy client.public of --keys into send/" in refusal


def test_who_may_send_need_not_listen(folder: Path, tmp_path: Path) -> None:
    """A gateway sends; alerts are not for it."""
    gateway = client_of(folder, "gateway", "send")
    assert received(folder, gateway, 10) == ([b"samples"], "")
    with Monitor(folder, tmp_path / "j") as monitor:
        assert not hears(monitor.endpoint, gateway, 0.5)


def test_the_monitor_s_own_stages_may_send(folder: Path) -> None:
    """They have the folder's own client key."""
    assert received(folder, load_keys(folder), 10) == ([b"samples"], "")


def test_without_a_list_of_senders_those_who_may_command_may_send(folder: Path) -> None:
    """A folder of version 0.1 has no such list, and goes on working."""
    shutil.rmtree(folder / "send")
    commander = client_of(folder, "commander", "authorised", "control")
    assert received(folder, commander, 10)[0] == [b"samples"]
    listener = client_of(folder, "listener", "authorised")
    assert received(folder, listener, 10)[0] == []


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("", 0o770),
        ("", 0o702),
        ("authorised", 0o777),
        ("send", 0o775),
        ("control/own.public", 0o666),
        ("server.public", 0o664),
    ],
)
def test_a_folder_that_others_may_write_is_refused(folder: Path, name: str, mode: int) -> None:
    """They could let themselves in; the message says what to do."""
    folder.chmod(0o755)
    (folder / name).chmod(mode)
    with pytest.raises(InvalidKeys, match=r"can be written by others.*chmod go-w"):
        load_keys(folder)


@pytest.mark.parametrize("name", ["", "authorised", "send"])
def test_a_folder_of_another_user_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whoever owns it decides who is let in: that must be who starts the monitor, or root."""
    load_keys(folder)
    if os.geteuid() == 0:
        os.chown(folder / name, 12_345, -1)
    else:
        monkeypatch.setattr("os.geteuid", lambda: 12_345)
    with pytest.raises(InvalidKeys, match="belongs to another user"):
        load_keys(folder)


def test_in_a_folder_that_others_cannot_enter_modes_do_not_matter(folder: Path) -> None:
    """Copies made under a lax umask are out of reach."""
    (folder / "authorised" / "own.public").chmod(0o664)
    assert load_keys(folder).authorised


def test_a_folder_that_anybody_may_replace_is_refused(tmp_path: Path) -> None:
    """A parent that all may write, without the sticky bit of /tmp."""
    parent = tmp_path / "open"
    parent.mkdir()
    init_keys(parent / "keys")
    parent.chmod(0o777)
    with pytest.raises(InvalidKeys, match="may put another folder in its place"):
        load_keys(parent / "keys")
    parent.chmod(0o1777)
    assert load_keys(parent / "keys").send
