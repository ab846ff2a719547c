"""A ward of real processes: server, producer, workers, subscriber; some are killed."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli.app import app
from monitor.errors import Fenced, MonitorSilent
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.ward import asking
from monitor.ward.link import WardLink
from monitor.ward.names import WardIdentity
from monitor.ward.past import past_alerts
from monitor.ward.ward_journal import WardJournal
from monitor.wire.messages import MONITOR, AckRequest, Alert, Technical, ThresholdRequest
from tests.monitor.ports import free_port
from tests.monitor.ward.servers import PROGRAM, WardServer, require_nats

SILENCE = ("signal_lost", "no_verdict")  # a producer was away
pytestmark = pytest.mark.slow


def records(folder: Path, n: int, hours: float = 0.25) -> list[str]:
    paths = [folder / f"bed{number}" for number in range(n)]
    for seed, path in enumerate(paths):
        write_record(path, SimulationSettings(
            hours=hours, seed=seed, anomaly_rate=0.1, first_anomaly_s=10.0
        ))  # fmt: skip
    return [str(path) for path in paths]


@contextlib.contextmanager
def started(*command: str, out: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with contextlib.ExitStack() as stack:
        output = subprocess.DEVNULL if out is None else stack.enter_context(out.open("wb"))
        run = subprocess.Popen([*PROGRAM, *command], stdout=output, stderr=subprocess.PIPE)
        process = stack.enter_context(run)
        stack.callback(process.kill)
        yield process


def told(process: subprocess.Popen[bytes]) -> bytes:
    """Return what an ended process wrote to standard error."""
    assert process.stderr is not None
    return process.stderr.read()


def ids(messages: list[Alert | Technical]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for one in messages:
        if one.patient != MONITOR and getattr(one, "event", "") not in SILENCE:
            found[one.patient].append((one.id, one.state))
    return dict(found)


def on_one_machine(paths: list[str], folder: Path) -> dict[str, list[tuple[str, str]]]:
    from monitor.journal.reader import JournalReader

    journal = folder / "one.sqlite"
    alerts = ("--alerts", f"ipc://{folder / 'u'}", "--journal", str(journal))
    command = [*PROGRAM, "replay", *paths, "--speed", "max", "--json", *alerts]
    subprocess.run(command, check=True, capture_output=True)
    with JournalReader(journal) as reader:
        return ids(list(reader.alerts()))


def until_all_came(server: WardServer, wanted: dict[str, list[tuple[str, str]]]) -> None:
    deadline_s = time.monotonic() + 60.0
    while ids(past_alerts(server.access)) != wanted and time.monotonic() < deadline_s:
        time.sleep(0.5)
    assert ids(past_alerts(server.access)) == wanted


def test_alerts_are_those_of_one_machine_though_workers_and_producer_die(
    ward: WardServer, tmp_path: Path
) -> None:
    """Each once, in order; numbers of each partition without holes; a subscriber hears all."""
    paths = records(tmp_path, 4)
    wanted = on_one_machine(paths, tmp_path)
    to = ("--ward", ward.access.servers)
    heard = tmp_path / "heard"
    sending = ("producer", *paths, "--speed", "60", *to, "--name", "t")
    with (
        started("subscribe", *to, "--json", out=heard),
        started("worker", *to, "--name", "a") as first,
        started("worker", *to, "--name", "b"),
    ):
        with started(*sending):
            deadline_s = time.monotonic() + 30.0
            while not past_alerts(ward.access) and time.monotonic() < deadline_s:
                time.sleep(0.2)
            first.send_signal(signal.SIGKILL)
            time.sleep(2.0)
        subprocess.run([*PROGRAM, *sending], check=True, capture_output=True)
        until_all_came(ward, wanted)
        kept = past_alerts(ward.access)
        deadline_s = time.monotonic() + 10.0
        while len(heard.read_bytes().splitlines()) < len(kept) and time.monotonic() < deadline_s:
            time.sleep(0.2)
    lines = [json.loads(line) for line in heard.read_bytes().splitlines()]
    assert [one["id"] for one in lines] == [one.id for one in kept]
    last: dict[str, int] = {}
    for one in kept:
        assert one.seq == last.get(one.journal, 0) + 1
        last[one.journal] = one.seq


def test_a_partition_that_had_no_worker_is_reported(ward: WardServer, tmp_path: Path) -> None:
    """By who goes on, with how long; and listeners are told while it lasts."""
    paths = records(tmp_path, 1)
    to = ("--ward", ward.access.servers)
    with started("producer", *paths, *to):
        with started("worker", *to) as first:
            deadline_s = time.monotonic() + 40.0
            while not past_alerts(ward.access) and time.monotonic() < deadline_s:
                time.sleep(0.2)
            first.kill()
        with started("subscribe", *to, "--json") as listening:
            assert listening.stderr is not None  # lines until it is killed, at the latest
            assert any(b"nobody serves partitions" in line for line in listening.stderr)
        with started("worker", *to):
            deadline_s = time.monotonic() + 30.0
            while time.monotonic() < deadline_s:
                texts = [one.text for one in past_alerts(ward.access) if one.patient == MONITOR]
                if texts:
                    break
                time.sleep(0.3)
    assert "had no worker for" in texts[0]


def test_requests_reach_who_serves_the_patient(
    ward: WardServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is answered is committed; what cannot be done, or nobody does, is said."""
    paths = records(tmp_path, 1)
    to = ("--ward", ward.access.servers)
    with started("producer", *paths, "--speed", "10", *to), started("worker", *to):
        deadline_s = time.monotonic() + 40.0
        while not past_alerts(ward.access) and time.monotonic() < deadline_s:
            time.sleep(0.2)
        answer = asking.carry_out(ward.access, ThresholdRequest("bed0", value=77.0))
        assert "77.0" in answer
        with pytest.raises(Exception, match="no patient 'who'"):
            asking.carry_out(ward.access, AckRequest("who"))
    unknown = ("history", "--ward", ward.access.servers, "--patient", "bed9")
    run = subprocess.run([*PROGRAM, *unknown], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert "this ward knows no such patient; did you mean bed0?" in run.stderr
    monkeypatch.setattr("monitor.ward.asking.ANSWER_S", 0.5)
    with pytest.raises(MonitorSilent, match="nobody serves"):
        asking.carry_out(ward.access, AckRequest("bed0"))


def test_of_two_workers_of_a_partition_one_commits(ward: WardServer) -> None:
    """Who was there before is refused, and nothing of it is kept."""

    async def work(link: WardLink, identity: WardIdentity) -> None:
        before, after = (WardJournal(link, identity, 1, one) for one in ("before", "after"))
        await before.open()
        await before.commit([], [], 5, lambda _rows: 6)
        await after.open()
        assert after.head.taken == 5
        await after.commit([], [], 7, lambda _rows: 8)
        with pytest.raises(Fenced):
            await before.commit([], [], 9, lambda _rows: 10)
        third = WardJournal(link, identity, 1, "third")
        await third.open()
        assert (third.head.taken, third.head.needed) == (7, 8)

    ward.run(work)


def test_a_second_producer_of_a_name_is_refused(ward: WardServer, tmp_path: Path) -> None:
    """It would send the same samples twice; one of the two is told that it is not the only one."""
    paths = records(tmp_path, 1)
    to = ("--ward", ward.access.servers)
    sending = ("producer", *paths, "--speed", "5", *to, "--name", "same")
    with started(*sending) as first, started(*sending) as second:
        deadline_s = time.monotonic() + 40.0
        while time.monotonic() < deadline_s:
            ended = [one for one in (first, second) if one.poll() is not None]
            if ended:
                break
            time.sleep(0.2)
        assert [one.returncode for one in ended] == [2]
        assert b"another producer sends as same" in told(ended[0])


def test_a_worker_that_is_told_otherwise_is_refused(ward: WardServer) -> None:
    """All must judge alike, whoever serves a patient."""
    to = ("--ward", ward.access.servers)
    with started("worker", *to) as first:
        assert first.stderr is not None
        assert any(b"works for the ward" in line for line in iter(first.stderr.readline, b""))
        first.terminate()
        first.wait(20)
    other = subprocess.run(
        [*PROGRAM, "worker", *to, "--threshold", "9"], capture_output=True, text=True, timeout=30
    )
    assert other.returncode == 2
    assert "another run: --threshold was not given and is now 9.0" in other.stderr


def test_without_a_ward_commands_say_what_to_do(tmp_path: Path) -> None:
    """On one line, with exit code 2."""
    for command in (["worker"], ["subscribe"], ["history"], ["ack"]):
        run = subprocess.run(
            [*PROGRAM, *command, "--ward", "nats://ward.example:4222"],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert run.returncode == 2
        assert "give --keys FOLDER" in run.stderr
        assert len(run.stderr.splitlines()) == 1


def test_prometheus_reads_what_a_worker_counts(ward: WardServer, tmp_path: Path) -> None:
    """All of its partitions together, as of a monitor on one machine."""
    pytest.importorskip("prometheus_client", reason="the extra metrics is not installed")
    paths, port = records(tmp_path, 3), free_port()
    to = ("--ward", ward.access.servers)

    def scraped() -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return {name: float(value) for name, value in pairs}

    with (
        started("worker", *to, "--metrics", str(port)),
        started("producer", *paths, "--speed", "60", *to),
    ):
        deadline_s = time.monotonic() + 60.0
        found: dict[str, float] = {}
        monitored = 'ecg_monitor_patients{state="monitoring"}'
        while found.get("ecg_monitor_beats_total", 0) < 500 or found.get(monitored) != 3:
            assert time.monotonic() < deadline_s, found
            with contextlib.suppress(OSError):
                found = scraped()
            time.sleep(0.2)
        assert found["ecg_monitor_partitions"] == ward.ward.partitions
        assert found['ecg_monitor_verdicts_total{verdict="normal"}'] > 100
        kept = past_alerts(ward.access)
        assert 0 < found["ecg_monitor_journal_newest"] <= len(kept)
        assert found["ecg_monitor_heartbeat_age_seconds"] < 5


def test_a_second_ward_up_touches_no_ward_that_is_up(tmp_path: Path) -> None:
    """Neither its files, which two servers would spoil, nor its port, where it would find it."""
    require_nats()
    store, port = tmp_path / "ward", free_port()
    with started("ward", "up", "--store", str(store), "--port", str(port)) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"ward ")
        for other_store, other_port, said in (
            (store, free_port(), "is up already"),
            (tmp_path / "other", port, f"port {port} of this machine is taken"),
        ):
            second = ["ward", "up", "--store", str(other_store), "--port", str(other_port)]
            done = CliRunner().invoke(app, second)
            assert done.exit_code == 2
            assert said in done.stderr


def test_a_server_does_not_outlive_ward_up(tmp_path: Path) -> None:
    """Killed, `ward up` leaves port and files to the next one, which goes on with the ward."""
    require_nats()
    port = free_port()
    up = ("ward", "up", "--store", str(tmp_path / "ward"), "--port", str(port))
    identities = []
    for _ in range(2):
        with started(*up) as process:
            assert process.stderr is not None
            identities.append(process.stderr.readline().split()[1])
            process.kill()
            process.wait()
            deadline_s = time.monotonic() + 10.0
            with contextlib.suppress(ConnectionRefusedError):
                while time.monotonic() < deadline_s:
                    socket.create_connection(("127.0.0.1", port)).close()
                    time.sleep(0.05)
                pytest.fail("nats-server is still there")
    assert identities[0] == identities[1]
