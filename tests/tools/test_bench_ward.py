"""The ward's benchmark: what is made of what was heard, and small wards that are really run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tools import bench_ward
from tools.bench_ward import growth


def test_growth_is_of_medians() -> None:
    """One high value at an end is none."""
    values = np.full(100, 400.0)
    values[-1] = 900.0
    assert growth(values) == 0.0
    assert growth(np.linspace(0, 99, 100)) == 90.0


@pytest.mark.slow
def test_a_small_ward_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A real one, with its plot; it tells nothing of the largest."""
    options = ["--only", "growth", "--patients", "20", "--seconds", "3", "--times", "1"]
    assert bench_ward.main([*options, "--out", str(tmp_path)]) == 0
    assert "| 20 | 1 of 1 |" in capsys.readouterr().out
    assert "![CPU and delay against patients](ward.png)" in (tmp_path / "ward.md").read_text()
    assert (tmp_path / "ward.png").stat().st_size > 10_000
    assert (tmp_path / "figures.json").read_text() == "{}\n"


@pytest.mark.slow
def test_delay_and_memory_of_a_small_ward(capsys: pytest.CaptureFixture[str]) -> None:
    """Quickly; nothing is written."""
    assert bench_ward.main(["--quick", "--only", "delay", "--only", "memory"]) == 0
    said = capsys.readouterr().out
    assert "| yes |" in said
    assert "| all three | " in said
