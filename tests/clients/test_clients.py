"""The clients of docs/clients, as they stand: no alert is missed or doubled, whoever is killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.delivery.publisher import Publisher
from monitor.journal.reader import JournalReader
from monitor.journal.writer import Journal
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.wire.codec import Encoded
from monitor.wire.curve_keys import init_keys
from monitor.wire.messages import Message
from tests.messages import alert, technical
from tests.monitor.delivery.test_restored_journal import back_up, before, restore, said
from tests.monitor.delivery.test_subscriber import Server, beat_heart, publish, served
from tests.monitor.ports import free_port

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "clients"
STRICT = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"]
COME_S = 40.0


def javascript(_folder: Path) -> list[str]:
    """Return how the JavaScript client is started."""
    if shutil.which("node") is None:
        pytest.skip("no Node.js")
    if not (FOLDER / "node_modules" / "zeromq").is_dir():
        pytest.skip("no zeromq for Node.js: npm install --prefix docs/clients")
    return ["node", str(FOLDER / "alerts.mjs")]


def c(folder: Path) -> list[str]:
    """Return how the C client is started, once it is compiled as its first lines say."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    program = folder / "alerts"
    libraries = ["-lzmq", "-ljansson"]
    for header in ("zmq.h", "jansson.h"):
        looked = subprocess.run(
            ["cc", "-E", "-include", header, "-xc", os.devnull], capture_output=True, check=False
        )
        if looked.returncode:
            pytest.skip(f"no {header}: apt-get install libzmq3-dev libjansson-dev")
    line = ["cc", *STRICT, "-o", str(program), str(FOLDER / "alerts.c"), *libraries]
    subprocess.run(line, check=True)
    return [str(program)]


@pytest.fixture(scope="module", params=[javascript, c], ids=["javascript", "c"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the command of a client."""
    command: list[str] = request.param(tmp_path_factory.mktemp("client"))
    return command


@pytest.fixture
def endpoint() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:  # a short path: that of an ipc socket is bounded
        yield f"ipc://{folder}/a"


class Running:
    """A client and its file."""

    def __init__(self, command: list[str], file: Path, *more: str) -> None:
        self.file = file
        self._line = [*command, str(file), *more]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def kill(self) -> tuple[str, str]:
        """Kill it, and return what it printed."""
        self.process.kill()
        return self.process.communicate()

    def again(self) -> None:
        self.kill()
        self.start()

    def lines(self) -> list[dict[str, object]]:
        """Return the whole lines of its file."""
        if not self.file.exists():
            return []
        return [json.loads(line) for line in self.file.read_text().split("\n")[:-1]]

    def kept(self) -> list[str]:
        """Return the identities of the alerts it has kept, in order."""
        kept = [line["message"] for line in self.lines() if "message" in line]
        return [one["id"] for one in kept if isinstance(one, dict)]

    def until(
        self, holds: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        """Wait until something holds of what it has written."""
        deadline_s = time.monotonic() + COME_S
        while not holds():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline_s, (self.kept(), self.kill())
            meanwhile()
            time.sleep(0.05)


@contextmanager
def running(command: list[str], file: Path, *more: str) -> Iterator[Running]:
    client = Running(command, file, *more)
    try:
        yield client
    finally:
        client.kill()


def hears(client: Running, server: Server, newest: int, kept: list[str]) -> None:
    """Let the monitor's heart beat until the client has kept just these alerts."""
    client.until(lambda: client.kept() == kept, lambda: server.do(beat_heart(newest)))
    time.sleep(0.2)
    assert client.kept() == kept


def test_what_was_published_before_and_what_was_dropped_is_asked_for(
    client: list[str], endpoint: str, tmp_path: Path
) -> None:
    """The past, what comes, holes in the middle and at the end, technical alerts; printed, too."""
    with served(endpoint, tmp_path / "j") as server:
        server.do(publish(*before(1, 3), sent=False))
        with running(client, tmp_path / "kept", endpoint) as one:
            hears(one, server, 3, ["a1", "a2", "a3"])
            server.do(publish(*said(4, "a4")))
            server.do(publish(technical(seq=5, id="t5"), sent=False))
            server.do(publish(*said(6, "a6")))
            server.do(publish(*said(7, "a7"), sent=False))
            hears(one, server, 7, ["a1", "a2", "a3", "a4", "t5", "a6", "a7"])
            printed, _ = one.kill()
    assert [int(line.split()[0]) for line in printed.splitlines()] == [1, 2, 3, 4, 5, 6, 7]


def test_many_pages(client: list[str], endpoint: str, tmp_path: Path) -> None:
    """A past that takes several pages comes whole."""
    with served(endpoint, tmp_path / "j") as server:
        server.do(publish(*before(1, 1300), sent=False))
        with running(client, tmp_path / "kept", endpoint) as one:
            hears(one, server, 1300, [f"a{seq}" for seq in range(1, 1301)])


def test_a_line_that_was_being_written_is_taken_off(
    client: list[str], endpoint: str, tmp_path: Path
) -> None:
    """Killed in the middle of a line, it goes on behind the last whole one."""
    with served(endpoint, tmp_path / "j") as server:
        server.do(publish(*before(1, 4), sent=False))
        with running(client, tmp_path / "kept", endpoint) as one:
            hears(one, server, 4, ["a1", "a2", "a3", "a4"])
            one.kill()
            content = one.file.read_bytes()
            one.file.write_bytes(content[: len(content) - 40])
            one.start()
            hears(one, server, 4, ["a1", "a2", "a3", "a4"])


def test_messages_that_are_none_are_passed_over(
    client: list[str], endpoint: str, tmp_path: Path
) -> None:
    """Bytes that are no JSON, JSON that is no message, an unknown type: the next alert comes."""
    with served(endpoint, tmp_path / "j") as server:
        server.do(publish(*before(1, 1), sent=False))
        with running(client, tmp_path / "kept", endpoint) as one:
            hears(one, server, 1, ["a1"])
            for content in (
                b"\xff\xfe{",
                b"[1, 2]",
                b"null",
                b"7",
                b'{"type":"other"}',
                b"{}",
                b"",
                b'{"type":"toString"}',
            ):
                damaged: Encoded[Message] = Encoded(alert(), content)

                def send(publisher: Publisher, _: Journal, one: Encoded[Message] = damaged) -> None:
                    publisher.publish([one])

                server.do(send)
            server.do(publish(*said(2, "a2")))
            hears(one, server, 2, ["a1", "a2"])


def test_an_alert_that_the_journal_cannot_keep_is_kept(
    client: list[str], endpoint: str, tmp_path: Path
) -> None:
    """It has no number, and counts in none."""
    with served(endpoint, tmp_path / "j") as server:
        server.do(publish(*before(1, 1), sent=False))
        with running(client, tmp_path / "kept", endpoint) as one:
            hears(one, server, 1, ["a1"])
            server.do(publish(technical(seq=0, id="failing"), journaled=False))
            hears(one, server, 1, ["a1", "failing"])
            server.do(publish(*said(2, "a2")))
            hears(one, server, 2, ["a1", "failing", "a2"])
            one.again()
            server.do(publish(*said(3, "a3")))
            hears(one, server, 3, ["a1", "failing", "a2", "a3"])


def test_another_journal_and_the_first_again(
    client: list[str], endpoint: str, tmp_path: Path
) -> None:
    """Numbers count anew in another journal; in the first it goes on where it was."""
    with running(client, tmp_path / "kept", endpoint) as one:
        with served(endpoint, tmp_path / "first") as server:
            server.do(publish(*before(1, 3), sent=False))
            hears(one, server, 3, ["a1", "a2", "a3"])
        with served(endpoint, tmp_path / "second") as server:
            server.do(publish(*said(1, "b1", "b2"), sent=False))
            hears(one, server, 2, ["a1", "a2", "a3", "b1", "b2"])
        one.again()
        with served(endpoint, tmp_path / "first") as server:
            server.do(publish(*said(4, "a4"), sent=False))
            hears(one, server, 4, ["a1", "a2", "a3", "b1", "b2", "a4"])


@pytest.mark.parametrize("with_mark", [False, True], ids=["the file", "all that lies beside it"])
def test_an_older_copy_of_the_journal(
    client: list[str], endpoint: str, tmp_path: Path, with_mark: bool
) -> None:
    """What was had does not come again, what is judged again neither; all else does, over kills."""
    path, copy = tmp_path / "j", tmp_path / "copy"
    with running(client, tmp_path / "kept", endpoint) as one:
        had = [f"a{seq}" for seq in range(1, 11)]
        with served(endpoint, path) as server:
            server.do(publish(*before(1, 6), sent=False))
            back_up(path, copy)
            server.do(publish(*before(7, 10), sent=False))
            hears(one, server, 10, had)
        restore(copy, path, with_mark=with_mark)
        with served(endpoint, path) as server:
            server.do(publish(*said(7, "a8", "b1", "b2"), sent=False))
            hears(one, server, 9, [*had, "b1", "b2"])
            one.again()
            server.do(publish(*said(10, "c", "a9"), sent=False))
            hears(one, server, 11, [*had, "b1", "b2", "c"])
            one.until(lambda: one.lines()[-1].get("seq") == 11)
            one.again()
            server.do(publish(*said(12, "d", "a9"), sent=False))  # now it is another one
            hears(one, server, 13, [*had, "b1", "b2", "c", "d", "a9"])


def test_after_a_silence_the_position_is_in_doubt(
    client: list[str], endpoint: str, tmp_path: Path
) -> None:
    """A copy went on to the same number meanwhile: the next alert is not taken for the next one."""
    path, copy = tmp_path / "j", tmp_path / "copy"
    with running(client, tmp_path / "kept", endpoint) as one:
        with served(endpoint, path) as server:
            server.do(publish(*before(1, 2), sent=False))
            back_up(path, copy)
            server.do(publish(*before(3, 4), sent=False))
            hears(one, server, 4, ["a1", "a2", "a3", "a4"])
        restore(copy, path, with_mark=True)
        time.sleep(2.2)
        with served(endpoint, path) as server:
            server.do(publish(*said(3, "b3", "b4", "b5"), sent=False))
            live = publish(*said(5, "b5"), journaled=False)  # and no heartbeat
            kept = ["a1", "a2", "a3", "a4", "b3", "b4", "b5"]
            one.until(lambda: one.kept() == kept, lambda: server.do(live))


def test_it_says_when_no_heartbeat_comes(client: list[str], endpoint: str, tmp_path: Path) -> None:
    """Silence is not normal."""
    with running(client, tmp_path / "kept", endpoint) as one:
        assert one.process.stderr is not None
        assert "no heartbeat for 3 s" in one.process.stderr.readline()


@pytest.mark.timeout(240)
def test_beside_a_real_monitor_that_is_killed(client: list[str], tmp_path: Path) -> None:
    """Client and monitor are killed by turns; its file holds what the journal holds, in order."""
    record, journal = tmp_path / "sim", tmp_path / "j.sqlite"
    settings = SimulationSettings(
        hours=0.25, seed=5, anomaly_rate=0.12, first_anomaly_s=10.0, lead_off_per_hour=6.0
    )
    write_record(record, settings)
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    options = ["--journal", str(journal), "--alerts", endpoint, "--speed", "150", "--json"]
    line = [sys.executable, "-m", "monitor", "replay", str(record), *options]
    draw = random.Random(3)

    with running(client, tmp_path / "kept", endpoint) as one:
        for _ in range(3):
            n = len(one.kept())
            with monitor(line) as process:
                for _ in range(2):
                    n += draw.randrange(1, 12)
                    one.until(lambda: len(one.kept()) >= n)  # noqa: B023
                    one.again()
                process.kill()
        with monitor(line) as process:
            one.until(lambda: process.poll() is not None)
            assert process.returncode == 0
        with JournalReader(journal) as reader:
            told = [message.id for message in reader.alerts("", None)]
        assert len(told) > 40
        with served(endpoint, journal) as server:  # it may have been away when the run ended
            hears(one, server, len(told), told)


def test_a_monitor_with_keys(client: list[str], tmp_path: Path) -> None:
    """The client shows its own, and knows the monitor by its public one."""
    record, keys = tmp_path / "sim", tmp_path / "keys"
    settings = SimulationSettings(hours=0.1, seed=5, anomaly_rate=0.2, first_anomaly_s=5.0)
    write_record(record, settings)
    init_keys(keys)
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    options = ["--keys", str(keys), "--alerts", endpoint, "--speed", "20", "--loop", "--json"]
    line = [sys.executable, "-m", "monitor", "replay", str(record), *options]
    with (
        monitor(line) as process,
        running(client, tmp_path / "kept", endpoint, str(keys)) as one,
    ):
        one.until(lambda: len(one.kept()) >= 5)
        process.terminate()


def monitor(line: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
