"""The archive's benchmark: same files from one process and from two, ratios of the same turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import bench_archive
from tools.bench_archive import ONE, SEVERAL, turn_ratios


def test_ratios_are_of_the_same_turn() -> None:
    """A slow turn slows both."""
    walls_s = {ONE: [10.0, 20.0, 90.0], SEVERAL: [5.0, 8.0, 50.0]}
    assert turn_ratios(walls_s, SEVERAL) == [2.0, 2.5, 1.8]


def test_a_small_archive_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two records of two minutes, really annotated; a section of the page, no headline."""
    options = ["--records=2", "--hours=0.03", "--times=1", f"--out={tmp_path}"]
    assert bench_archive.main(options) == 0
    assert "| 2 processes |" in capsys.readouterr().out
    page = (tmp_path / "program.md").read_text()
    assert "## Archive" in page
    assert "python -m tools.bench_archive --records=2" in page
    assert (tmp_path / "figures.json").read_text() == "{}\n"
