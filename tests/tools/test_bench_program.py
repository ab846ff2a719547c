"""The bench: what counts as an alerted beat, what is measured of commits, small runs of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import wfdb

from monitor.journal.writer import Journal, Progress
from monitor.wire.codec import all_encoded
from monitor.wire.messages import Alert
from tests.messages import alarm, alert, technical
from tools.bench_program import Commits, Line, compare_alerts, main

FS_HZ = 100
START_S = 10.0


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an hour with a beat a second; premature ones at 5, 20, 30 and 40 s."""
    folder = tmp_path_factory.mktemp("record")
    symbols = ["V" if second in (5, 20, 30, 40) else "N" for second in range(1, 3600)]
    samples = np.arange(1, 3600) * FS_HZ
    wfdb.wrann("r", "atr", samples, symbols, fs=FS_HZ, write_dir=str(folder))
    signal = np.zeros((3600 * FS_HZ, 1))
    wfdb.wrsamp("r", FS_HZ, ["mV"], ["I"], signal, fmt=["16"], write_dir=str(folder))
    return folder / "r"


def onset(sample: int) -> Alert:
    return alert(sample=sample)


@pytest.mark.parametrize(
    ("alerts", "found", "false"),
    [
        pytest.param([], 0, 0, id="none"),
        pytest.param([onset(2000), onset(3000), onset(4000)], 3, 0, id="all of them"),
        pytest.param([onset(2015), onset(2985)], 2, 0, id="150 ms to either side"),
        pytest.param([onset(2016)], 0, 1, id="later than 150 ms"),
        pytest.param([onset(2000), onset(2010)], 1, 1, id="one beat is alerted once"),
        pytest.param([onset(2000), onset(2000)], 1, 0, id="one beat reported twice"),
        pytest.param([onset(500), onset(800)], 0, 0, id="while learning nothing counts"),
        pytest.param([onset(1900), onset(2100)], 0, 2, id="the beats to either side"),
        pytest.param([alert(sample=2000, state="ongoing")], 1, 0, id="ongoing is of a beat"),
        pytest.param([alert(sample=2000, state="cleared")], 0, 0, id="cleared is of none"),
    ],
)
def test_alerts_are_matched_with_premature_beats(
    record: Path, alerts: list[Alert], found: int, false: int
) -> None:
    """Each alert with one beat, within 150 ms, from the start on; the others are false."""
    lines: list[Line] = [technical(sample=2000), alarm(sample=2000), *alerts]
    compared = compare_alerts(lines, record, START_S)
    assert compared.n_premature == 3
    assert compared.recall == pytest.approx(found / 3)
    assert compared.false_per_hour == pytest.approx(false * 3600 / (3600 - START_S))


def test_a_record_without_premature_beats_has_no_recall(record: Path) -> None:
    """All alerts are false."""
    compared = compare_alerts([onset(360 * FS_HZ)], record, start_s=300.0)
    assert np.isnan(compared.recall)
    assert compared.false_per_hour == pytest.approx(3600 / 3300)


def test_missing_records_are_said_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without real records the exit code is 0, and what stands on the pages stays."""
    out = tmp_path / "out"
    parts = ["--only", "ecg5000", "--only", "record-119"]
    assert main([*parts, "--records", str(tmp_path), "--out", str(out)]) == 0
    assert capsys.readouterr().err.count("not measured:") == 2
    assert not list(out.iterdir())


class PatientState(msgspec.Struct):
    """What a consumer would continue from."""


def test_commits_that_hold_progress_are_measured(tmp_path: Path) -> None:
    """Idle ones before and after are no part of the run; what is committed is unchanged."""
    commits = Commits()
    with Journal(tmp_path / "j") as journal, commits.measured():
        journal.commit([], [], [])
        for seq in (1, 2):
            progress = [Progress("p", seq, b"", PatientState())]
            journal.commit(all_encoded([alert(seq=seq, id=str(seq))]), progress, [])
        assert journal.newest_seq == 2
    assert (commits.n, commits.alerts) == (2, 2)
    assert 0 < commits.wall_s <= commits.end_to_end_s


@pytest.mark.slow
def test_a_short_program_is_measured(tmp_path: Path) -> None:
    """Real processes on 36 s of signal: each part writes its section, none a headline."""
    parts = ("replay", "latency", "journal")
    only = [word for part in parts for word in ("--only", part)]
    short = ["--hours", "0.01", "--patients", "2", "--seconds", "4", "--times", "1"]
    assert main([*only, *short, "--out", str(tmp_path)]) == 0
    page = (tmp_path / "program.md").read_text()
    for row in (
        "messages malformed, gaps, dropped, restarts | 0 |",
        "99th percentile, ms",
        "share of the wall time, %",
    ):
        assert f"| {row}" in page
    assert (tmp_path / "figures.json").read_text() == "{}\n"
