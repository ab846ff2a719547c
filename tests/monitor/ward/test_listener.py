"""A ward's listener over what happens to server and ward; that of one machine's: conformance."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from monitor.errors import MonitorSilent, WardUnreachable
from monitor.ward.link import WardAccess, WardLink
from monitor.ward.listener import WardListener
from monitor.ward.names import WATCH, WardIdentity, status_subject, wave_subject
from monitor.ward.setup import WardSize
from monitor.ward.ward_up import init
from monitor.ward.watched import decode_watched
from monitor.wire.codec import encode_json
from monitor.wire.messages import AckRequest, Alert, Status, Technical, Wave
from tests.messages import alert, patient_status, status
from tests.monitor.conformance.stores import WardWriter
from tests.monitor.ports import free_port
from tests.monitor.ward.servers import WardServer, ward_server
from tests.monitor.ward.test_link import nats_server, secret

WITHIN_S = 30.0


@pytest.fixture
def ward() -> Iterator[WardServer]:
    with ward_server(partitions=1) as server:
        yield server


def said(server: WardServer, *ids: str) -> None:
    """Commit alerts, numbered on."""
    with contextlib.closing(WardWriter(server)) as writer:
        first = writer.newest_seq + 1
        alerts = [
            alert(seq=first + n, id=one, journal=writer.identity) for n, one in enumerate(ids)
        ]
        writer.commit(alerts, [])


def heard(listener: WardListener, n: int) -> list[str]:
    """Return the identities of the next alerts, and see that no further one comes at once."""
    found: list[str] = []
    deadline_s = time.monotonic() + WITHIN_S
    while len(found) < n and time.monotonic() < deadline_s:
        message = listener.receive(0.2)
        if isinstance(message, Alert | Technical):
            found.append(message.id)
    extra = listener.receive(0.5)
    assert not isinstance(extra, Alert | Technical), extra
    return found


def until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_server_that_was_gone_is_gone_on_with(ward: WardServer) -> None:
    """While it is gone that is known, and requests are refused at once; then each alert once."""
    said(ward, "a", "b")
    with WardListener(ward.access) as listener:
        assert heard(listener, 2) == ["a", "b"]
        assert listener.trouble == ""
        ward.kill()
        until(lambda: "no connection to" in listener.trouble)
        began_s = time.monotonic()
        with pytest.raises(MonitorSilent, match="not asked: no connection to"):
            listener.carry_out(AckRequest("119"))
        assert time.monotonic() - began_s < 5
        ward.start()
        said(ward, "c")
        assert heard(listener, 1) == ["c"]
        until(lambda: listener.trouble == "")


def test_a_ward_that_is_not_there_yet_is_waited_for(ward: WardServer) -> None:
    """Who waits is told why nothing comes; who does not, learns it at once."""
    said(ward, "a")
    ward.kill()
    with pytest.raises(WardUnreachable, match="no NATS server answers"):
        WardListener(ward.access)
    with WardListener(ward.access, waits=True) as listener:
        assert "no NATS server answers" in listener.trouble
        with pytest.raises(MonitorSilent, match="not asked: no NATS server answers"):
            listener.carry_out(AckRequest("119"))
        ward.start()
        assert heard(listener, 1) == ["a"]
        until(lambda: listener.trouble == "")


def test_another_ward_is_read_from_its_beginning(ward: WardServer) -> None:
    """The server lost its files, and was set up anew with other partitions."""
    said(ward, "a")
    with WardListener(ward.access) as listener:
        assert heard(listener, 1) == ["a"]
        ward.kill()
        shutil.rmtree(ward.folder / "jetstream")
        ward.resize(3)
        ward.start()
        said(ward, "x", "y")
        assert heard(listener, 2) == ["x", "y"]
        assert "another ward now" in " ".join(listener.take_notices())
        with pytest.raises(MonitorSilent, match="nobody serves"):
            listener.carry_out(AckRequest("119"))


def test_an_older_copy_is_gone_on_with(ward: WardServer, tmp_path: Path) -> None:
    """What the copy lacks was had; what comes behind it is heard, whatever its number."""
    said(ward, "a")
    ward.kill()
    shutil.copytree(ward.folder / "jetstream", tmp_path / "copy")
    ward.start()
    with WardListener(ward.access) as listener:
        said(ward, "b", "c", "d")
        assert heard(listener, 4) == ["a", "b", "c", "d"]
        ward.kill()
        shutil.rmtree(ward.folder / "jetstream")
        shutil.copytree(tmp_path / "copy", ward.folder / "jetstream")
        ward.start()
        said(ward, "e")
        assert heard(listener, 1) == ["e"]
        assert "went back" in " ".join(listener.take_notices())


def test_who_is_shut_out_tries_again(tmp_path: Path) -> None:
    """The server was told another password while we listened: it says so, and goes on later."""
    port, keys = free_port(), tmp_path / "keys"
    allowed = 'authorization {{ users: [{{ user: "w", password: "{}" }}] }}'
    secret(keys / "ward.user", "w:right")
    access = WardAccess(f"nats://127.0.0.1:{port}", keys)
    with nats_server(tmp_path, port, allowed.format("right")) as server:
        init(access, WardSize(1))
        config = tmp_path / "server.conf"
        as_it_was = config.read_text()
        with WardListener(access) as listener:
            config.write_text(as_it_was.replace("right", "other"))
            server.send_signal(signal.SIGHUP)
            until(lambda: "uthorization" in listener.trouble)
            config.write_text(as_it_was)
            server.send_signal(signal.SIGHUP)
            until(lambda: listener.trouble == "")
            assert listener.take_notices()
            (keys / "ward.user").write_text("no password")
            config.write_text(as_it_was.replace("right", "other"))
            server.send_signal(signal.SIGHUP)
            until(lambda: "USER:PASSWORD" in listener.trouble)
            with pytest.raises(MonitorSilent, match="not asked"):
                listener.carry_out(AckRequest("119"))


def test_workers_are_told_whom_a_view_shows(ward: WardServer) -> None:
    """One, or all who are known; of whom is new among them the last seconds are asked for."""

    async def work(link: WardLink, identity: WardIdentity) -> None:
        asked = await link.client.subscribe(WATCH)
        await link.client.flush()

        async def next_word(wanted: set[str]) -> list[str]:
            """Return whose last seconds were asked for until these are shown."""
            begun: list[str] = []
            while True:
                word = decode_watched((await asked.next_msg(timeout=WITHIN_S)).data)
                begun += word.begun
                if set(word.shown) == wanted:
                    return begun

        with WardListener(ward.access, ("alert", "beat.")) as listener:
            names = ["one", "two"]
            told = status(patients=[patient_status(patient=one) for one in names])
            listener.show(("wave.two",))
            assert await next_word({"two"}) == ["two"]
            await link.publish(status_subject(0), encode_json(told))
            await link.client.flush()
            until(lambda: listener.ever_heard)
            listener.show(("wave.",))
            assert await next_word({"one", "two"}) == ["one"]
            listener.show(("wave.", "wave.one"))
            assert await next_word({"one", "two"}) == ["one"]  # its page was opened
            listener.show(("wave.one",))
            await next_word({"one"})
            for name in ("two", "one"):  # another view shows two
                wave = Wave(1, name, 0, 125.0, [0.5], [], 250.0, "MLII")
                await link.publish(wave_subject(0, name), encode_json(wave))
            await link.client.flush()
            found: list[str] = []

            def has_come() -> bool:
                found.extend(one.patient for one in listener.waves())
                return bool(found)

            until(has_come)
            assert found == ["one"]

    ward.run(work)


def test_what_names_no_patients_is_no_word_of_a_view() -> None:
    """A worker ignores it."""
    from monitor.errors import InvalidMessage

    for content in (b"", b"[]", b'{"shown":3}', b'{"shown":["a"],"begun":[1]}', b"\xff"):
        with pytest.raises(InvalidMessage):
            decode_watched(content)
    assert decode_watched(msgspec.json.encode({"shown": ["a"]})).begun == []


def test_a_heartbeat_comes_as_one(ward: WardServer) -> None:
    """Under the ward's name, with what all partitions say."""

    async def work(link: WardLink, identity: WardIdentity) -> None:
        with WardListener(ward.access, ("status",)) as listener:
            told = status(patients=[patient_status(patient="one")], newest_seq=0)
            deadline_s = time.monotonic() + WITHIN_S
            message = None
            while not isinstance(message, Status) and time.monotonic() < deadline_s:
                await link.publish(status_subject(0), encode_json(told))
                await link.client.flush()
                message = listener.receive(0.5)
            assert isinstance(message, Status)
            assert message.journal == identity.identity
            assert [one.patient for one in message.patients] == ["one"]

    ward.run(work)
