"""The ward's benchmark: what is made of what was heard, and small wards that are really run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitor.run import ward_bench
from tools import bench_ward
from tools.bench_ward import growth


def test_growth_is_of_medians() -> None:
    """One high value at an end is none."""
    values = np.full(100, 400.0)
    values[-1] = 900.0
    assert growth(values) == 0.0
    assert growth(np.linspace(0, 99, 100)) == 90.0


@pytest.mark.slow
def test_a_small_ward_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real ones, with their plots; they tell nothing of the largest, and no headline."""
    monkeypatch.setattr(ward_bench, "WARM_UP_S", 3.0)  # of each ward
    small = ["--patients", "20", "--seconds", "3", "--steady", "20", "--shown-s", "3"]
    small += ["--minutes", "0.05", "--times", "1"]
    assert bench_ward.main([*small, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "| 20 | 1 of 1 |" in printed
    assert "| yes |" in printed
    page = (tmp_path / "ward.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Delay",
        "## Growth",
        "## Memory",
    ]
    for plot in ("ward.png", "ward-memory.png"):
        assert f"({plot})" in page
        assert (tmp_path / plot).stat().st_size > 10_000
    assert (tmp_path / "figures.json").read_text() == "{}\n"
