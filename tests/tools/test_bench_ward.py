"""The ward's benchmark: what is made of what was heard, and small wards that are really run."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.run.ward_bench import Moment
from tools import bench_ward
from tools.bench_ward import Course, busy_neighbours, growth

MEMORY_MB = {"producer": 90.0, "segmenter": 150.0, "consumer": 160.0, "subscriber": 170.0}


def moment(at_s: float, delay_ms: float, **changes: Any) -> Moment:
    delays = np.full(10, delay_ms)
    return Moment(at_s, delays, 0, False, MEMORY_MB)._replace(**changes)


def test_the_course_of_a_ward() -> None:
    """Percentiles between times, overload from first to last, in time when every second is."""
    late = [moment(at_s, 900.0, overloaded=at_s > 4) for at_s in (3.0, 4.0, 5.0, 6.0)]
    silent = moment(7.0, 0.0, delays_ms=np.zeros(0))
    course = Course([moment(1.0, 10.0), moment(2.0, 10.0), *late, silent, moment(8.0, 20.0)])
    assert course.p99_ms(0.0, 2.0) == 10.0
    assert course.p99_ms(2.0, 6.0) == 900.0
    assert np.isnan(course.p99_ms(8.0, 9.0))
    assert course.overloaded_s() == (5.0, 6.0)
    assert course.in_time_from_s(2.0) == 7.0
    assert course.in_time_from_s(7.5) == 7.5
    assert Course(late).in_time_from_s(2.0) == math.inf
    assert Course([moment(1.0, 10.0)]).overloaded_s() is None


def test_growth_is_of_medians() -> None:
    """One high value at an end is none."""
    values = np.full(100, 400.0)
    values[-1] = 900.0
    assert growth(values) == 0.0
    assert growth(np.linspace(0, 99, 100)) == 90.0


def test_neighbours_leave() -> None:
    """Also when what they disturb fails."""
    began_s = time.monotonic()
    with pytest.raises(ZeroDivisionError), busy_neighbours(2):
        raise ZeroDivisionError
    assert time.monotonic() - began_s < 30


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
def test_recovery_and_memory_of_a_small_ward(capsys: pytest.CaptureFixture[str]) -> None:
    """Quickly; nothing is written."""
    assert bench_ward.main(["--quick", "--only", "recovery", "--only", "memory"]) == 0
    said = capsys.readouterr().out
    assert "| scores and samples shed (these at both ends of a hole) | " in said
    assert "| all three | " in said
