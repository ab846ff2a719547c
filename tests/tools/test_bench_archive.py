"""The archive's benchmark: same files from one process and from two, ratios of medians."""

from __future__ import annotations

import pytest

from tools import bench_archive
from tools.bench_archive import APART, ONE, SEVERAL


def test_the_table_divides_medians() -> None:
    """Of wall times; a slow outlier does not count."""
    walls_s = {ONE: [10.0, 20.0, 90.0], SEVERAL: [10.0, 5.0, 80.0], APART: [8.0, 8.0, 8.0]}
    text = bench_archive.table(walls_s, hours=40, jobs=2)
    assert "| one process | 1.00 | 20.0 (10.0 to 90.0) | 2.00 |" in text
    assert "| 2 processes of one command | 2.00 | 10.0 (5.0 to 80.0) | 4.00 |" in text
    assert "| 2 commands at once | 2.50 | 8.0" in text


def test_a_small_archive_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Two records of two minutes, really annotated."""
    assert bench_archive.main(["--records=2", "--hours=0.03", "--repeats=1"]) == 0
    assert "| 2 commands at once |" in capsys.readouterr().out


def test_what_cannot_be_measured_is_refused() -> None:
    """One process beside one process."""
    with pytest.raises(SystemExit):
        bench_archive.main(["--jobs=1"])
