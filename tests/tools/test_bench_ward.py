"""The ward's benchmark: what is made of what was heard; the wards themselves are not run here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from monitor.errors import MonitorError
from monitor.run.ward_bench import Moment, WardResult, nobody
from tools import bench_ward, figures
from tools.bench_ward import Course, busy_neighbours, growth

MEMORY_MB = {"producer": 90.0, "segmenter": 150.0, "consumer": 160.0, "subscriber": 170.0}
CORES = {"producer": 0.1, "segmenter": 0.6, "consumer": 0.7, "subscriber": 0.1}


def moment(at_s: float, delay_ms: float, **changes: Any) -> Moment:
    delays = np.full(10, delay_ms)
    return Moment(at_s, delays, 0, False, MEMORY_MB)._replace(**changes)


def result(patients: int, p99_ms: float, dropped: int = 0) -> WardResult:
    return WardResult(
        patients=patients,
        seconds=1.0,
        beats=100,
        beats_per_s=100.0,
        alerts=7,
        delay_median_ms=p99_ms / 2,
        delay_p99_ms=p99_ms,
        delay_max_ms=p99_ms,
        alert_delay_p99_ms=p99_ms,
        dropped=dropped,
        missed=0,
        overloads=int(dropped > 0),
        cores=CORES,
        memory_mb=MEMORY_MB,
        kept_up=p99_ms <= 250 and not dropped,
    )


def fake_ward(
    patients: int,
    seconds: float,
    seed: int = 1,
    tell: Callable[[Moment], None] = nobody,
    tell_every_s: float = 1.0,
) -> WardResult:
    """Be late in the middle third, and past 2,000 patients."""
    for at_s in np.arange(1.0, seconds + 1):
        behind = seconds / 3 < at_s <= 2 * seconds / 3
        shed = 500 * (at_s > seconds / 2)
        tell(moment(at_s, 4000.0 if behind else 50.0, dropped=shed, overloaded=behind))
    return result(patients, 50.0) if patients <= 2000 else result(patients, 900.0, dropped=10)


@pytest.fixture
def no_wards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_ward, "run_ward", fake_ward)
    monkeypatch.setattr(bench_ward, "NEIGHBOURS", 0)
    monkeypatch.setattr(bench_ward, "measure_steps", lambda patients, _s: ({"all": 1.0}, patients))
    monkeypatch.setattr(bench_ward, "WARM_UP_S", 3.0)


def test_the_page_tells_ratios_of_what_was_heard(
    no_wards: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables, the machine, and a plot for each part."""
    options = ["--patients", "3000", "500", "2000", "--times", "2", "--minutes", "3"]
    options += ["--seconds", "20"]
    assert bench_ward.main([*options, "--out", str(tmp_path)]) == 0
    page, said = (tmp_path / "ward.md").read_text(), capsys.readouterr().out
    for line in page.splitlines()[1:]:
        assert line in said
    assert "kept up with in every run: 2,000 patients" in page
    us = "14000 (14000 to 14000)"
    each, late = "100 (100 to 100)", "450 (450 to 450) | 900 (900 to 900)"
    assert f"| 500 | 2 of 2 | {us} | {each} | 25 (25 to 25) | 50 (50 to 50) | 0 | 0 of 2" in page
    assert f"| 3,000 | 0 of 2 | {us} | {each} | {late} | 10 | 2 of 2 |" in page
    assert "| 2 | 25 | 50 | 50 | 0, 0 | 0 | 100 | 0.10, 0.60, 0.70 | 400 | yes |" in page
    assert "| scores and samples shed (these at both ends of a hole) | 500 |" in page
    assert "| all three | 400 | +0.0 |" in page
    for plot in ("ward.png", "ward-recovery.png", "ward-memory.png"):
        assert (tmp_path / plot).stat().st_size > 10_000
        assert f"({plot})" in page
    kept = figures.read(tmp_path / "figures.json")
    assert kept["ward.delay"].values == [50.0, 50.0]
    assert kept["ward.largest"].values == [2000.0]
    assert "ward.memory" not in kept  # three minutes are not what it says


def test_a_part_replaces_its_section_alone(no_wards: None, tmp_path: Path) -> None:
    """The other sections, of other days, stay as they are."""
    folder = tmp_path / "new" / "folder"
    out = ["--out", str(folder)]
    assert bench_ward.main(["--only", "delay", *out, "--times", "1"]) == 0
    before = (folder / "ward.md").read_text()
    assert bench_ward.main(["--only", "recovery", *out]) == 0
    after = (folder / "ward.md").read_text()
    assert after.startswith(before.rstrip())
    assert "## Recovery" in after
    assert f"python -m tools.bench_ward --only delay --out {folder} --times 1" in after


def test_a_ward_of_which_no_score_comes_is_shown_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Past saturation for long: no delay, no cost of a beat, and the others are drawn."""

    def silent(patients: int, *_: Any, **__: Any) -> WardResult:
        known = result(patients, 50.0)
        nothing: dict[str, Any] = {
            "delay_median_ms": None,
            "delay_p99_ms": None,
            "delay_max_ms": None,
        }
        nothing |= {"beats": 0, "beats_per_s": 0.0, "kept_up": False}
        return known if patients < 3000 else msgspec.structs.replace(known, **nothing)

    monkeypatch.setattr(bench_ward, "run_ward", silent)
    given = ["--only", "growth", "--patients", "2000", "4000", "--times", "2"]
    assert bench_ward.main([*given, "--out", str(tmp_path)]) == 0
    assert "| 4,000 | 0 of 2 | - | 0 (0 to 0) | - | - |" in (tmp_path / "ward.md").read_text()
    assert figures.read(tmp_path / "figures.json")["ward.largest"].values == [2000.0]


def test_a_ward_that_fails_does_not_end_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said, and it was not kept up with; too small a table finds no largest."""

    def failing(patients: int, *_: Any, **__: Any) -> WardResult:
        if patients == 3000:
            raise MonitorError("a stage died")
        return result(patients, 50.0)

    monkeypatch.setattr(bench_ward, "run_ward", failing)
    given = ["--only", "growth", "--times", "2", "--out", str(tmp_path), "--patients"]
    assert bench_ward.main([*given, "500", "3000", "4000"]) == 0
    assert "3000 patients: a stage died" in capsys.readouterr().err
    assert figures.read(tmp_path / "figures.json")["ward.largest"].values == [4000.0]
    (tmp_path / "figures.json").unlink()
    assert bench_ward.main([*given, "500"]) == 0
    assert figures.read(tmp_path / "figures.json") == {}


def test_a_quick_run_writes_nothing(no_wards: None, tmp_path: Path) -> None:
    """Neither page nor plots."""
    assert bench_ward.main(["--quick", "--out", str(tmp_path)]) == 0
    assert list(tmp_path.iterdir()) == []


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
