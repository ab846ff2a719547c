"""The detectors' comparison: fair scoring, absent and failing detectors named, a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb

from tools.bench_detectors import DETECTORS, HEADINGS, PRESENT, bridged, main, measure

FS_HZ = 250
OURS = "ours, 1 s chunks"
BEATS = np.arange(200, 59 * FS_HZ, 200)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a minute of plain QRS complexes and their annotations."""
    values = 0.005 * np.random.default_rng(0).standard_normal(60 * FS_HZ)
    for r in BEATS:
        values[r - 10 : r + 11] += np.exp(-0.5 * (np.arange(-10, 11) / 3) ** 2)
    signal = {"p_signal": values[:, None], "fmt": ["16"], "adc_gain": [1000.0], "baseline": [0]}
    wfdb.wrsamp("rec", FS_HZ, ["mV"], ["II"], **signal, write_dir=str(tmp_path))
    wfdb.wrann("rec", "atr", BEATS, ["N"] * len(BEATS), write_dir=str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", [name for name in DETECTORS if not name.startswith("ours")])
def test_the_others_find_a_plain_record(folder: Path, name: str) -> None:
    """Each installed detector is called the way it is meant to be."""
    if name not in PRESENT:
        pytest.skip(f"{DETECTORS[name][0]} is not installed")
    result = measure(name, [str(folder / "rec")], "II", 5.0)
    assert result.score.f1 > 0.95
    assert result.n_failed == 0
    assert result.delay_ms is None


def test_gaps_are_bridged_for_those_who_cannot_take_them() -> None:
    """Lines over NaN; a signal of nothing but NaN is flat."""
    signal = np.array([np.nan, 1.0, np.nan, 3.0, np.nan])
    assert bridged(signal).tolist() == [1.0, 1.0, 2.0, 3.0, 3.0]
    assert bridged(np.full(3, np.nan)).tolist() == [0.0, 0.0, 0.0]
    assert bridged(np.array([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_the_command_writes_its_page(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """End to end, each detector in a process of its own; ours tells the delay of a stream."""
    out = tmp_path / "out"
    assert main(["--records", str(folder), "--start", "5", "--out", str(out)]) == 0
    assert OURS in capsys.readouterr().out
    page = (out / "detectors.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {len(HEADINGS) + 1}
    assert len(rows) == len(PRESENT) + 2
    (ours,) = (row.strip("| ").split(" | ") for row in rows if row.startswith(f"| {OURS}"))
    assert ours[1:3] == ["100.00", "100.00"]
    assert 0 < int(ours[-1].split(", ")[0]) <= int(ours[-1].split(", ")[1]) < 1000
    assert f"    python -m tools.bench_detectors --records {folder}" in page
    assert (out / "figures.json").read_text() == "{}\n"  # headlines are of MIT-BIH alone


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
