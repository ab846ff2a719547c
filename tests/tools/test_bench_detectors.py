"""The detectors' comparison: fair scoring, absent and failing detectors named, page and plot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from monitor.offline.evaluation.ec57 import BeatScore
from tools import bench_detectors
from tools.bench_detectors import (
    DETECTORS,
    HEADINGS,
    BankSpeed,
    Detections,
    Detector,
    Result,
    bridged,
    cells,
    main,
    measure,
    plot,
    run,
    to_markdown,
)

FS_HZ = 250
OURS = "ours, 1 s chunks"
BEATS = np.arange(200, 59 * FS_HZ, 200)
SCORE = BeatScore(90, 10, 5, -1.25, 0.0, 2.0, 8.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a minute of plain QRS complexes and their annotations."""
    values = 0.005 * np.random.default_rng(0).standard_normal(60 * FS_HZ)
    for r in BEATS:
        values[r - 10 : r + 11] += np.exp(-0.5 * (np.arange(-10, 11) / 3) ** 2)
    wfdb.wrsamp(
        "rec",
        fs=FS_HZ,
        units=["mV"],
        sig_name=["II"],
        p_signal=values[:, None],
        fmt=["16"],
        adc_gain=[1000.0],
        baseline=[0],
        write_dir=str(tmp_path),
    )
    wfdb.wrann("rec", "atr", BEATS, ["N"] * len(BEATS), write_dir=str(tmp_path))
    return tmp_path


def _given(monkeypatch: pytest.MonkeyPatch, detector: Detector) -> None:
    monkeypatch.setattr(bench_detectors, "DETECTORS", {detector.name: detector})


def test_ours_finds_a_plain_record_and_says_its_delay(folder: Path) -> None:
    """All beats after the first seconds, none invented, with the delay of a streaming detector."""
    result = measure(OURS, [str(folder / "rec")], None, 5.0)
    assert result.score is not None
    assert (result.score.sensitivity, result.score.positive_predictivity) == (1.0, 1.0)
    assert result.real_time_factor > 1
    assert result.peak_mb > result.grown_mb >= 0
    assert result.delay_ms is not None
    assert 0 < result.delay_ms[0] <= result.delay_ms[1]


@pytest.mark.parametrize("name", [name for name in DETECTORS if name != OURS])
def test_the_others_find_it_too(folder: Path, name: str) -> None:
    """Each installed detector is called the way it is meant to be."""
    pytest.importorskip(DETECTORS[name].module)
    result = measure(name, [str(folder / "rec")], "II", 5.0)
    assert result.score is not None
    assert result.score.f1 > 0.95
    assert result.n_failed == 0
    assert result.delay_ms is None


def test_an_absent_detector_is_named_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes its row without figures."""
    _given(monkeypatch, Detector("other", "no_such_module", bench_detectors.gqrs))
    result = run("other", ["nowhere"], None, 0.0)
    assert result.score is None
    assert cells(result)[:2] == ["other", "absent: no_such_module is not installed"]
    assert len(cells(result)) == len(HEADINGS)


def test_a_failing_detector_misses_its_beats(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error on a record is counted against the detector, shown, and ends nothing."""

    def fail(_signal: NDArray[np.float64], _fs_hz: float) -> Detections:
        raise ValueError("too hard")

    _given(monkeypatch, Detector("bad", "segmenter", fail))
    result = measure("bad", [str(folder / "rec")], None, 5.0)
    assert result.score is not None
    assert (result.n_failed, result.score.true_positives) == (1, 0)
    assert result.score.false_negatives == np.count_nonzero(BEATS >= 5 * FS_HZ)
    assert cells(result)[0] == "bad (1 failed)"
    assert "bad: ValueError: too hard" in capsys.readouterr().err


def test_gaps_are_bridged_for_those_who_cannot_take_them() -> None:
    """Lines over NaN; a signal of nothing but NaN is flat."""
    signal = np.array([np.nan, 1.0, np.nan, 3.0, np.nan])
    assert bridged(signal).tolist() == [1.0, 1.0, 2.0, 3.0, 3.0]
    assert bridged(np.full(3, np.nan)).tolist() == [0.0, 0.0, 0.0]
    assert bridged(np.array([1.0, 2.0])).tolist() == [1.0, 2.0]


RESULTS = [
    Result("fast", SCORE, 12_345.6, 150.4, 12.0, (250.0, 300.0)),
    Result("slow", SCORE, 12.0, 90.0, 3.0),
    Result("none", absent="none is not installed"),
]


BANK = BankSpeed(500, 250.0, 7.5e6, 210.4)


def test_the_page_is_markdown() -> None:
    """One row a detector, as many cells as headings."""
    page = to_markdown(RESULTS, BANK, "Two records.")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {len(HEADINGS) + 1}
    expected = (
        "| fast | 90.00 | 94.74 | 92.31 | 10 | 5 | -1.2, 8.0 | 12,346 | 150 (12) | 250, 300 |"
    )
    assert rows[2] == expected
    assert rows[3].endswith("| 12 | 90 (3) | whole record |")
    assert "500 patients" in page
    assert "7.5 million samples a second" in page
    assert "30,000 patients" in page


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    """A PNG, also with an absent detector."""
    plot(RESULTS, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_writes_page_and_plot(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """End to end in a process of its own, for one detector."""
    out = tmp_path / "out"
    arguments = ["--records", str(folder), "--only", OURS, "--start", "5", "--bank", "3"]
    arguments += ["--out", str(out)]
    assert main(arguments) == 0
    assert OURS in capsys.readouterr().out
    page = (out / "detectors.md").read_text()
    assert "| ours, 1 s chunks | 100.00 | 100.00 |" in page
    assert "Ours as a bank of 3 patients" in page
    assert f"    python -m tools.bench_detectors --records {folder}" in page
    assert (out / "detectors.png").stat().st_size > 1000


def test_a_folder_without_references_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing to compare with: exit code 1, a sentence, and nothing written."""
    out = tmp_path / "out"
    assert main(["--records", str(tmp_path), "--out", str(out)]) == 1
    assert "no record with reference annotations" in capsys.readouterr().err
    assert main(["--records", str(tmp_path / "nowhere"), "--out", str(out)]) == 0
    assert "not measured:" in capsys.readouterr().err
    assert not list(out.iterdir())
