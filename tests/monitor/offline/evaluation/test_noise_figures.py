"""Noise stress: which minutes are noisy, and what is told of them."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from monitor.offline.evaluation.noise_figures import (
    NoiseResult,
    noise_of,
    noise_result,
    noisy_spans_s,
)
from monitor.offline.evaluation.noise_report import sheet, to_json
from monitor.offline.evaluation.patients_report import to_tables
from monitor.offline.labelled_record import LabelledRecord
from tests.monitor.offline.labelled import FS_HZ, episodes_of, labelled, with_missed

MINUTE = int(60 * FS_HZ)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("118e24", ("118", 24.0)),
        ("119e00", ("119", 0.0)),
        ("118e_6", ("118", -6.0)),
        ("118", None),
        ("em", None),
        ("e24", None),
    ],
)
def test_a_name_says_the_noise(name: str, expected: tuple[str, float] | None) -> None:
    """As the records of the MIT-BIH Noise Stress Test Database are called."""
    assert noise_of(name) == expected


def test_noise_comes_and_goes_by_two_minutes() -> None:
    """From 5:00 to the record's end."""
    assert noisy_spans_s(100.0) == []
    assert noisy_spans_s(800.0) == [(300.0, 420.0), (540.0, 660.0), (780.0, 800.0)]


def judged_by_minute() -> LabelledRecord:
    """Return ten beats, one a minute: learnt to the fifth; noise from 5 to 7 and 9 minutes on.

    Beats lie a moment behind each full minute.
    """
    #            learnt      noisy       clean       noisy
    classes = "N" * 5 + "V" + "N" + "V" + "N" + "V"
    ratio = [0.1] * 5 + [3.0, 2.0, 0.5, 0.1, math.nan]
    record = labelled("118e_6", classes, ratio, learnt=5, every_samples=MINUTE)
    judged = replace(record.judged, learnt_until=5 * MINUTE)
    judged = replace(judged, episodes=episodes_of(judged.beats.r_sample, judged.ratio))
    reference = with_missed(record, 6 * MINUTE + MINUTE // 2, "V")
    return replace(record, judged=judged, reference=reference)


def test_noisy_and_clean_minutes_are_told_apart() -> None:
    """Alerts where they begin; recall of what was judged, and beside it what was not."""
    result = noise_result(judged_by_minute())
    assert (result.clean_record, result.snr_db) == ("118", -6.0)
    noisy, clean = result.noisy, result.clean
    assert noisy is not None
    assert clean is not None
    assert noisy.hours == pytest.approx(3 / 60, rel=0.01)
    assert clean.hours == pytest.approx(2 / 60, rel=0.01)
    assert noisy.onsets_per_hour == pytest.approx(20, rel=0.01)
    assert (noisy.false_onsets_per_hour, clean.onsets_per_hour) == (0.0, 0.0)
    assert (noisy.recall_v, clean.recall_v, noisy.precision) == (1.0, 0.0, 0.5)
    assert (noisy.n_reference, noisy.n_v) == (4, 3)
    assert (noisy.missed, noisy.withheld) == (0.25, 0.25)
    assert noisy.unjudged_v == pytest.approx(2 / 3)
    assert (clean.missed, clean.withheld, clean.n_v) == (0.0, 0.0, 1)


def test_the_report_names_every_record() -> None:
    """As a table and as JSON; one that could not be judged has no figures."""
    results = [noise_result(judged_by_minute()), NoiseResult("118e00", "118", 0.0, note="too few")]
    document = json.loads(to_json(results))
    assert document["records"]["118e_6"]["noisy"]["recall_v"] == 1.0
    assert document["records"]["118e00"]["noisy"] is None
    assert document["records"]["118e00"]["note"] == "too few"
    console = Console(width=140)
    with console.capture() as capture:
        console.print(to_tables([sheet(results)]))
    rows = [line.split("│")[1:4] for line in capture.get().splitlines() if "118e" in line]
    assert [[cell.strip() for cell in row] for row in rows][1] == ["118e00", "0", "-"]
