"""The archive's benchmark: same files from one process and from two, ratios of the same turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import bench_archive
from tools.bench_archive import APART, JOBS, ONE, SEVERAL, Archive, archive_part, turn_ratios


def test_ratios_are_of_the_same_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow turn slows both; what is shown are the median ratio and its spread."""
    walls_s = {ONE: [10.0, 20.0, 90.0], SEVERAL: [5.0, 8.0, 50.0], APART: [10.0, 20.0, 45.0]}
    assert turn_ratios(walls_s, SEVERAL) == [2.0, 2.5, 1.8]
    monkeypatch.setattr(bench_archive, "measure", lambda *_: walls_s)
    found = archive_part(Archive(8, 6.0, JOBS, 3))
    assert "| 2 processes of one command | 2.00 (1.80 to 2.50) | 8.0 (5.0 to 50.0) |" in found.text
    assert found.figures["archive.times_faster"] == [2.0, 2.5, 1.8]
    assert not archive_part(Archive(8, 1.0, JOBS, 3)).figures  # not what is asked for


def test_a_small_archive_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two records of two minutes, really annotated; a section of the page, no headline."""
    options = ["--records=2", "--hours=0.03", "--times=1", f"--out={tmp_path}"]
    assert bench_archive.main(options) == 0
    assert "| 2 commands at once |" in capsys.readouterr().out
    page = (tmp_path / "program.md").read_text()
    assert "## Archive" in page
    assert "python -m tools.bench_archive --records=2" in page


def test_what_cannot_be_measured_is_refused() -> None:
    """One process beside one process."""
    with pytest.raises(SystemExit):
        bench_archive.main(["--jobs=1"])
