"""The archive's benchmark: same files from one process and from two, ratios of medians."""

from __future__ import annotations

import pytest

from tools import bench_archive
from tools.bench_archive import Run


def test_the_table_divides_medians() -> None:
    """Of wall times; a slow outlier does not count."""
    runs = {1: [Run(10, 9), Run(20, 9), Run(90, 9)], 2: [Run(10, 11), Run(5, 11), Run(80, 11)]}
    text = bench_archive.table(runs, hours=40)
    assert "| 1 | 20.0 (10.0 to 90.0) | 9.0 | 2.00 |" in text
    assert text.endswith("2 processes are 2.00 times faster than one.")


def test_a_small_archive_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Two records of two minutes, really annotated."""
    assert bench_archive.main(["--records=2", "--hours=0.03", "--repeats=1"]) == 0
    assert "| 2 |" in capsys.readouterr().out


def test_what_cannot_be_measured_is_refused() -> None:
    """One process beside one process."""
    with pytest.raises(SystemExit):
        bench_archive.main(["--jobs=1"])
