"""`ecg-monitor record`: a live source kept as a WFDB record with its beats and alerts."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import wfdb

from monitor.errors import InvalidOption
from monitor.offline.annotation_files import GrowingAnnotations, annotation_bytes
from monitor.offline.recording import RecordingScreen, require_recordable
from monitor.sources.kinds import open_record
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.view.screens import PlainScreen
from tests.messages import alarm, alert, patient_status, status
from tests.monitor.ports import free_port

SECONDS = 60


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A simulated minute as lines of numbers."""
    path = tmp_path_factory.mktemp("sim") / "sim"
    write_record(path, SimulationSettings(hours=SECONDS / 3600, seed=5))
    with open_record(path) as record:
        assert record.fs_hz == 250
        rows = record.read(0, record.n_samples).T.tolist()
    return b"I II\n" + "".join(f"{one:.5f} {two:.5f}\n" for one, two in rows).encode()


def sent(lines: bytes) -> np.ndarray:
    return np.loadtxt(lines.decode().splitlines()[1:]).T


def recording(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "monitor", "record", "-", "night", "--fs", "250", "--alerts"]
    return subprocess.Popen(
        [*command, f"tcp://127.0.0.1:{free_port()}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])},
    )


def test_a_run_leaves_a_record_with_its_beats_and_alerts(tmp_path: Path, lines: bytes) -> None:
    """Every sample to 10 nV; a beat a heartbeat; each in the forms that WFDB reads."""
    with recording(tmp_path) as run:
        _, errors = run.communicate(lines, timeout=60)
    assert run.returncode == 0, errors
    record = wfdb.rdrecord(str(tmp_path / "night"))
    assert record.sig_name == ["I", "II"]
    np.testing.assert_allclose(record.p_signal.T, sent(lines), rtol=0, atol=1e-5)
    beats = wfdb.rdann(str(tmp_path / "night"), "qrs")
    assert beats.fs == 250
    assert 50 <= len(beats.sample) <= 120
    assert set(beats.symbol) <= {"N", "Q"}
    assert (np.diff(beats.sample) > 50).all()


def test_a_run_that_is_killed_leaves_them_whole(tmp_path: Path, lines: bytes) -> None:
    """Up to the last second of what was judged."""
    with recording(tmp_path) as run:
        assert run.stdin is not None
        run.stdin.write(lines)
        run.stdin.flush()
        deadline_s = time.monotonic() + 60
        found = np.empty(0, np.int64)
        while time.monotonic() < deadline_s and not (
            len(found) and found[-1] > 250 * (SECONDS - 4)
        ):
            time.sleep(0.1)
            if (tmp_path / "night.qrs").exists():
                found = wfdb.rdann(str(tmp_path / "night"), "qrs").sample
        run.send_signal(signal.SIGKILL)
        run.communicate()
    assert found[-1] > 250 * (SECONDS - 4)
    record = wfdb.rdrecord(str(tmp_path / "night"))
    assert record.p_signal.shape[0] == 250 * SECONDS
    np.testing.assert_allclose(record.p_signal.T, sent(lines), rtol=0, atol=1e-5)
    with open_record(tmp_path / "night") as ours:
        assert ours.n_samples == 250 * SECONDS


def test_annotations_that_grow_are_those_written_at_once(tmp_path: Path) -> None:
    """To the byte, with any cut, and when another process goes on."""
    samples = np.cumsum(np.random.default_rng(1).integers(1, 3000, 60)).astype(np.int64)
    symbols = ["N" if one % 2 else "Q" for one in samples.tolist()]
    notes = [f"loss={one % 97}.25" if one % 3 else "" for one in samples.tolist()]
    for fs_hz in (250.0, 360.0, 130.5):
        path = tmp_path / f"a{round(fs_hz)}.qrs"
        file = GrowingAnnotations(path, fs_hz)
        for start, stop in ((0, 1), (1, 4), (4, 4), (4, 30)):
            file.add(samples[start:stop], symbols[start:stop], notes[start:stop])
        again = GrowingAnnotations(path, fs_hz)
        assert again.last_sample == samples[29]
        again.add(samples[30:], symbols[30:], notes[30:])
        assert path.read_bytes() == annotation_bytes(samples, symbols, notes, fs_hz)


def test_named_alarms_are_comments_among_the_beats_of_alerts(tmp_path: Path) -> None:
    """Where each began and ended; one that lies before what is written stands behind it."""
    with RecordingScreen(
        PlainScreen(io.StringIO(), io.StringIO()), tmp_path / "night", "119"
    ) as screen:
        screen.take(status(patients=[patient_status(fs_hz=360.0)]))
        screen.take(alert(sample=3000, time_s=3000 / 360))
        screen.refresh(None)  # type: ignore[arg-type]  # it has no keys
        screen.take(alarm(sample=4000, time_s=4000 / 360, episode_start_sample=2740))
        screen.take(alarm(sample=5000, episode_start_sample=2740, state="cleared"))
    found = wfdb.rdann(str(tmp_path / "night"), "alm")
    assert found.sample.tolist() == [3000, 3000, 5000]
    assert found.symbol == ["Q", '"', '"']
    assert found.aux_note == [
        "loss=52.00 threshold=26.00",
        "asystole priority=high raised_s=11.111",
        "asystole over",
    ]


def test_an_annotation_file_without_any_is_one(tmp_path: Path) -> None:
    """A run may end before its first beat."""
    GrowingAnnotations(tmp_path / "a.qrs", 250.0)
    assert len(wfdb.rdann(str(tmp_path / "a"), "qrs").sample) == 0


@pytest.mark.parametrize(
    ("source", "out", "error"),
    [
        ("mitdb/119", "night", "ecg-monitor convert mitdb/119 night"),
        ("brianflow:cyton", "night", "there are brainflow"),
        ("-", "a night", "cannot name a WFDB record"),
        ("-", "there", "record there is there already"),
    ],
)
def test_what_cannot_be_recorded_is_refused(
    source: str, out: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is started, with what to do."""
    monkeypatch.chdir(tmp_path)
    Path("there.hea").touch()
    with pytest.raises(InvalidOption, match=error):
        require_recordable(source, Path(out), None)
