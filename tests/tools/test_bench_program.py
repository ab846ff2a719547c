"""The bench: what counts as an alerted beat, how figures are shown, what failure looks like."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import wfdb

from monitor.journal.writer import Journal, Progress
from monitor.wire.codec import all_encoded, encode_json
from monitor.wire.messages import Alert
from tools.bench_program import (
    PARTS,
    Bench,
    Commits,
    Line,
    compare_alerts,
    compare_alerts_with_record,
    main,
)
from tools.messages import alert, technical

FS_HZ = 100.0
START_S = 10.0
N_SAMPLES = 100 * 3600  # an hour
# A beat a second from 0 s on; premature ones at 5, 20, 30 and 40 s.
SAMPLES = np.arange(0, N_SAMPLES, 100)
SYMBOLS = ["V" if second in (5, 20, 30, 40) else "N" for second in range(3600)]


def onset(sample: int) -> Alert:
    return alert(sample=sample)


@pytest.mark.parametrize(
    ("alerts", "found", "false", "apart"),
    [
        pytest.param([], 0, 0, 0, id="nothing said"),
        pytest.param([onset(2000), onset(3000), onset(4000)], 3, 0, 0, id="all of them"),
        pytest.param([onset(2015), onset(2985)], 2, 0, 0, id="150 ms to either side"),
        pytest.param([onset(2016)], 0, 1, 0, id="later than 150 ms"),
        pytest.param([onset(2000), onset(2010)], 1, 1, 0, id="one beat is alerted once"),
        pytest.param([onset(2000), onset(2000)], 1, 0, 0, id="one beat told twice"),
        pytest.param([onset(500), onset(800)], 0, 0, 0, id="while learning nothing counts"),
        pytest.param([onset(1900), onset(2100)], 0, 2, 0, id="the beats to either side"),
        pytest.param([onset(2200), onset(100_000)], 0, 2, 2, id="far from all of them"),
        pytest.param([alert(sample=2000, state="ongoing")], 1, 0, 0, id="ongoing is of a beat"),
        pytest.param([alert(sample=2000, state="cleared")], 0, 0, 0, id="cleared is of none"),
    ],
)
def test_alerts_are_matched_with_premature_beats(
    alerts: list[Alert], found: int, false: int, apart: int
) -> None:
    """Each alert with one beat, within 150 ms, from the start on; the others are false."""
    said: list[Line] = [technical(sample=2000), *alerts]
    compared = compare_alerts(said, SAMPLES, SYMBOLS, FS_HZ, N_SAMPLES, START_S)
    assert (compared.n_premature, compared.n_alerted) == (3, found)
    assert (compared.n_false, compared.n_false_apart) == (false, apart)
    assert compared.recall == pytest.approx(found / 3)
    assert compared.hours == pytest.approx((3600 - START_S) / 3600)


def test_a_record_without_premature_beats_has_no_recall() -> None:
    """Nor one without any beats: all alerts are false, and beside nothing."""
    normal = compare_alerts([onset(2000)], SAMPLES, ["N"] * 3600, FS_HZ, N_SAMPLES, START_S)
    assert np.isnan(normal.recall)
    empty = compare_alerts([onset(2000)], SAMPLES[:0], [], FS_HZ, N_SAMPLES, START_S)
    assert (empty.n_premature, empty.n_false, empty.n_false_apart) == (0, 1, 1)


def test_annotations_that_are_no_beats_are_no_neighbours(tmp_path: Path) -> None:
    """A change of rhythm between a beat and a premature one does not part them."""
    symbols = ["N", "N", "+", "V", "N", "N"]
    samples = np.array([34_000, 34_100, 34_150, 34_200, 34_300, 34_400])
    wfdb.wrann("r", "atr", samples, symbols, fs=100, write_dir=str(tmp_path))
    signal = np.zeros((40_000, 1))
    wfdb.wrsamp("r", 100, ["mV"], ["I"], signal, fmt=["16"], write_dir=str(tmp_path))
    said = b"\n".join(map(encode_json, [onset(34_200), onset(34_100), onset(34_400)])).decode()
    compared = compare_alerts_with_record(said, tmp_path / "r")
    assert (compared.n_premature, compared.n_alerted) == (1, 1)
    assert (compared.n_false, compared.n_false_apart) == (2, 1)


def test_missing_records_are_said_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without real records the exit code is 0, and what stands on the pages stays."""
    out = tmp_path / "out"
    parts = [word for part in ("detection", "ecg5000", "record-119") for word in ("--only", part)]
    assert main([*parts, "--records", str(tmp_path), "--out", str(out)]) == 0
    assert capsys.readouterr().err.count("not measured:") == 3
    assert not list(out.iterdir())


@pytest.mark.slow
def test_a_short_replay_is_measured(tmp_path: Path) -> None:
    """Real processes on 36 s of signal: a speed, four processes' memory, nothing lost."""
    settings = Bench(folder=tmp_path, out=None, quick=True, hours=0.01, times=2)
    found = PARTS["replay"](settings)
    assert found.figures == {}  # not of 20 h
    assert "| messages malformed, gaps, dropped, restarts | 0 (0 to 0) |" in found.text
    assert "| the whole command, s |" in found.text
    assert "2 runs" in found.text


# --- alerts ---------------------------------------------------------------------------------------


class PatientState(msgspec.Struct):
    """What a consumer would go on from."""


def test_commits_that_hold_progress_are_measured(tmp_path: Path) -> None:
    """Idle ones before and after are no part of the run; what is committed is unchanged."""
    commits = Commits()
    with Journal(tmp_path / "j") as journal, commits.measured():
        journal.commit([], [], [])
        for seq in (1, 2):
            journal.commit(
                all_encoded([alert(seq=seq, id=str(seq))]),
                [Progress("p", seq, b"", PatientState())],
                [],
            )
        assert journal.newest_seq == 2
    assert (commits.n, commits.alerts) == (2, 2)
    assert 0 < commits.wall_s <= commits.end_to_end_s


@pytest.mark.slow
def test_both_are_measured_with_real_stages(capsys: pytest.CaptureFixture[str]) -> None:
    """A few seconds of two patients, and ten minutes of a record."""
    assert main(["--quick", "--only", "latency", "--only", "journal"]) == 0
    said = capsys.readouterr().out
    assert "| 99th percentile, ms |" in said
    assert "| share of the wall time, % |" in said
