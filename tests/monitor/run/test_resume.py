"""A run goes on in its journal, killed or stopped; another run does not."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.delivery.subscriber import AlertSubscriber
from monitor.errors import JournalFailed
from monitor.journal.lock import lock_path, locked
from monitor.journal.writer import Journal
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.wire.messages import Alert, Technical

# Blocks of 30 s, as at full speed: in one block technical alerts come before those of its beats.
SLOWER = "150"


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a simulated hour with anomalies and a lead that comes off."""
    path = tmp_path_factory.mktemp("records") / "sim"
    settings = SimulationSettings(
        hours=1.0, seed=5, anomaly_rate=0.06, first_anomaly_s=10.0, lead_off_per_hour=6.0
    )
    write_record(path, settings)
    return path


@pytest.fixture(scope="module")
def undisturbed(record: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return what the journal of a run holds to which nothing happens."""
    journal = tmp_path_factory.mktemp("journals") / "undisturbed.sqlite"
    assert replay(record, journal).returncode == 0
    return told(journal)


def command(record: Path, journal: Path, *more: str) -> list[str]:
    alerts = f"ipc://{journal.with_name('a')}"
    options = ["--journal", str(journal), "--alerts", alerts, "--json", *more]
    return [sys.executable, "-m", "monitor", "replay", str(record), *options]


def replay(record: Path, journal: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Replay at full speed, unless told otherwise, to the end."""
    given = more if "--speed" in more else ("--speed", "max", *more)
    return subprocess.run(
        command(record, journal, *given), capture_output=True, text=True, check=False
    )


def interrupt(record: Path, journal: Path, sent: signal.Signals, after_alerts: int) -> None:
    """Begin a slower run, or go on with it, and end it when so many more alerts have come."""
    before = len(told(journal)) if journal.exists() else 0
    line = command(record, journal, "--speed", SLOWER)
    endpoint = line[line.index("--alerts") + 1]
    with (
        subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process,
        AlertSubscriber(endpoint, after=before) as subscriber,
    ):
        for _ in range(after_alerts):
            assert subscriber.receive(timeout_s=60) is not None
        process.send_signal(sent)


def told(path: Path) -> list[str]:
    """Return what a journal holds, in order; each message must be numbered without holes."""
    with Journal(path) as journal:
        kept = journal.alerts_after(0, 10_000)
    assert [one.seq for one in kept] == list(range(1, len(kept) + 1))
    return [_said(one) for one in kept]


def _said(message: Alert | Technical) -> str:
    beats = message.episode_beats if isinstance(message, Alert) else message.event
    return f"{message.id} {message.state} {message.sample} {beats}"


def test_a_run_that_was_stopped_goes_on(
    record: Path, undisturbed: list[str], tmp_path: Path
) -> None:
    """Stopped by Ctrl-C, then to the end: the alerts are the same. (The chaos tool kills it.)

    Another run is refused the journal, and leaves it as it was.
    """
    journal = tmp_path / "night.sqlite"
    interrupt(record, journal, signal.SIGINT, 3)
    assert told(journal) == undisturbed[: len(told(journal))]
    ended = replay(record, journal)
    assert ended.returncode == 0, ended.stderr
    assert "goes on behind its" in ended.stderr
    assert told(journal) == undisturbed
    assert len(undisturbed) > 30
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert lines[-1]["signal_s"] == 3600.0
    assert 0 < len(lines) - 1 < len(undisturbed)  # those of before are not printed again
    refused = replay(record, journal, "--threshold", "20")
    assert refused.returncode == 2
    assert "holds another run: --threshold was not given and is now 20.0" in refused.stderr
    assert told(journal) == undisturbed


def test_other_leads_of_the_record_are_another_run(record: Path, tmp_path: Path) -> None:
    """Refused as one, in words about the run: the segmenter's state of the others fits neither."""
    journal = tmp_path / "night.sqlite"
    interrupt(record, journal, signal.SIGINT, 3)
    before = told(journal)
    refused = replay(record, journal, "--lead", "1")
    assert refused.returncode == 2
    assert "holds another run: its records are sim ECG1, ECG2 (" in refused.stderr
    assert "those given are sim ECG2 (" in refused.stderr
    assert told(journal) == before


def test_a_journal_has_one_writer(tmp_path: Path) -> None:
    """While one run writes a journal another is refused; when it has gone it is not."""
    path = tmp_path / "night.sqlite"
    with (
        locked(path, wait_s=0),
        pytest.raises(JournalFailed, match="in use by another"),
        locked(path, wait_s=0),
    ):
        pass
    with locked(path, wait_s=0):
        pass


def test_an_orphan_keeps_the_lock(tmp_path: Path) -> None:
    """A stage that outlives its parent still holds the journal."""
    path = tmp_path / "night.sqlite"
    with locked(path, wait_s=0) as lock:
        orphan = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,)
        )
    with orphan:
        with pytest.raises(JournalFailed, match="in use"), locked(path, wait_s=0):
            pass
        os.kill(orphan.pid, signal.SIGKILL)
        orphan.wait()
    with locked(path, wait_s=0):
        pass


def test_a_refused_run_leaves_the_lock_to_who_waits_for_it(tmp_path: Path) -> None:
    """Its file stays in place: two runs with a lock on two files of one name would both write."""
    path = tmp_path / "night.sqlite"
    waiting = os.open(lock_path(path), os.O_RDWR | os.O_CREAT)
    try:
        refused = replay(tmp_path / "no-record", path)
        assert refused.returncode == 2
        assert not path.exists()
        fcntl.flock(waiting, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(JournalFailed, match="in use"), locked(path, wait_s=0):
            pass
    finally:
        os.close(waiting)
