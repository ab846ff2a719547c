"""Figures of one patient at a time: areas, rates, alerts, quarters, halves, averages."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from monitor.offline.evaluation.patient_figures import (
    PEERS,
    ComparedBeats,
    HeardAlerts,
    PatientFigures,
    PatientResult,
    average,
    averages,
    half_of,
    make_figures,
    quarter_averages,
    quarter_spans,
    quarters_of,
    result_of,
)
from monitor.offline.record_judge import Episode
from tests.monitor.offline.labelled import FIRST_SAMPLE, FS_HZ, RR_SAMPLES, labelled, with_missed

NOTHING = HeardAlerts(np.zeros(0, np.int64), np.zeros(0, np.bool_))


def compared(classes: str, verdict: list[float], every_samples: int = 1) -> ComparedBeats:
    scores = np.array(verdict, np.float32)
    half = np.asarray(scores / 2, np.float32)
    sample = np.arange(len(classes), dtype=np.int64) * every_samples
    return ComparedBeats(sample, np.array(list(classes)), scores, half, {"unlabelled": -scores})


def heard(samples: list[int], is_false: list[bool]) -> HeardAlerts:
    return HeardAlerts(np.array(samples, np.int64), np.array(is_false, np.bool_))


def figures(auc: float = 0.5, n_anomalous: float = 1.0, f1: float = 1.0) -> PatientFigures:
    made = make_figures(compared("NV", [0.1, 2.0]), NOTHING, hours=1.0)
    return replace(made, auc=auc, n_anomalous=n_anomalous, f1=f1)


def test_figures_of_a_record() -> None:
    """Areas by class, recall and precision at 1, runs of false alerts as episodes."""
    beats = compared("NNNNSSVV", [0.2, 1.5, 1.6, 0.3, 0.1, 3.0, 4.0, 5.0])
    result = make_figures(beats, NOTHING, hours=0.5)
    assert result.auc_v == 1.0
    assert result.auc_s == pytest.approx(0.5)
    assert result.auc == pytest.approx(0.75)
    assert (result.recall, result.recall_s, result.recall_v) == (0.75, 0.5, 1.0)
    assert result.precision == pytest.approx(3 / 5)
    assert result.f1 == pytest.approx(2 * 3 / (5 + 4))
    assert (result.false_alerts_per_hour, result.false_episodes_per_hour) == (4.0, 2.0)
    assert (result.n_normal, result.n_anomalous) == (4, 4)
    assert result.recall_at_target == 0.75  # no false alert in half an hour: above 1.6
    of_six = make_figures(beats, NOTHING, hours=0.5, target_per_hour=6.0)
    of_eight = make_figures(beats, NOTHING, hours=0.5, target_per_hour=8.0)
    assert (of_six.recall_at_target, of_eight.recall_at_target) == (0.75, 1.0)


def test_alerts_are_counted_as_a_person_hears_them() -> None:
    """Each that began once, however many beats it holds; false ones apart."""
    alerts = heard([0, 3, 7], [False, True, True])
    result = make_figures(compared("NV", [0.1, 2.0]), alerts, hours=0.5)
    assert (result.onsets_per_hour, result.false_onsets_per_hour) == (6.0, 4.0)


def test_a_peer_that_is_missing_has_no_figure() -> None:
    """Those that are there have their area, of the same beats."""
    result = make_figures(compared("NNVV", [0.1, 0.2, 2.0, 3.0]), NOTHING, hours=1.0)
    assert result.auc_unlabelled == 0.0
    others = [getattr(result, f"auc_{name}") for name in PEERS if name != "unlabelled"]
    assert all(math.isnan(one) for one in others)


def test_what_nothing_defines_is_no_number() -> None:
    """A record without anomalous beats has false alerts but no area, recall or F1."""
    result = make_figures(compared("NN", [0.1, 2.0]), NOTHING, hours=1.0)
    assert all(math.isnan(one) for one in (result.auc, result.recall, result.f1))
    assert (result.false_alerts_per_hour, result.precision) == (1.0, 0.0)
    silent = make_figures(compared("NV", [0.1, 0.2]), NOTHING, hours=1.0)
    assert (silent.f1, silent.recall) == (0.0, 0.0)
    assert math.isnan(silent.precision)
    assert math.isnan(silent.families)


@pytest.mark.parametrize(
    ("record", "half"),
    [("106", "even number"), ("119", "others"), ("night", "others"), ("208", "even number")],
)
def test_halves_are_fixed_by_the_records_number(record: str, half: str) -> None:
    """Choices are made on even numbers alone."""
    assert half_of(record) == half


def test_averages_leave_out_what_is_not_defined() -> None:
    """Mean and median over the records that have the figure; over each half and over all."""
    results = [
        PatientResult("106", half_of("106"), figures(0.8)),
        PatientResult("108", half_of("108"), figures(math.nan)),
        PatientResult("119", half_of("119"), figures(0.6)),
        PatientResult("121", half_of("121"), None, note="too mixed"),
    ]
    assert average(results, "mean")["auc"] == pytest.approx(0.7)
    assert averages(results)["even number, mean"]["auc"] == pytest.approx(0.8)
    assert averages(results)["others, median"]["auc"] == pytest.approx(0.6)


def test_f1_is_averaged_over_records_with_many_anomalous_beats_too() -> None:
    """One of three such beats says little: `f1_20` is of twenty and more."""
    of_few = PatientResult("101", "others", figures(n_anomalous=19, f1=0.1))
    of_many = PatientResult("106", "even number", figures(n_anomalous=20, f1=0.9))
    found = average([of_few, of_many], "mean")
    assert [found["f1"], found["f1_20"]] == pytest.approx([0.5, 0.9])
    assert math.isnan(average([of_few], "mean")["f1_20"])


def test_a_record_is_compared_behind_what_was_learnt() -> None:
    """Or from a later time on; alerts that begin before it are left out, too."""
    record = labelled("106", "NNVNV", [0.1, 0.2, 2.0, 0.3, 0.5], learnt=2)
    at = FIRST_SAMPLE + 2 * RR_SAMPLES
    judged = replace(record.judged, episodes=(Episode(at, at),))
    whole = result_of(replace(record, judged=judged)).figures
    assert whole is not None
    assert (whole.n_normal, whole.n_anomalous, whole.recall) == (1, 2, 0.5)
    assert whole.onsets_per_hour > 0
    later = result_of(replace(record, judged=judged), from_s=(at + 1) / FS_HZ).figures
    assert later is not None
    assert (later.n_normal, later.n_anomalous, later.onsets_per_hour) == (1, 1, 0.0)


def test_beats_without_verdict_or_class_do_not_count() -> None:
    """Withheld ones, and those that match no reference beat."""
    record = labelled("106", "NV-V", [0.1, 2.0, 3.0, math.nan])
    made = result_of(record).figures
    assert made is not None
    assert (made.n_normal, made.n_anomalous) == (1, 1)
    assert [made.unjudged, made.unjudged_anomalous] == pytest.approx([1 / 3, 1 / 2])


def test_who_does_not_find_a_beat_does_not_judge_it() -> None:
    """What is missed is as unjudged as what is withheld."""
    record = labelled("106", "NV", [0.1, 2.0])
    missed = replace(record, reference=with_missed(record, FIRST_SAMPLE + 2 * RR_SAMPLES, "V"))
    made = result_of(missed).figures
    assert made is not None
    assert [made.unjudged, made.unjudged_anomalous] == pytest.approx([1 / 3, 1 / 2])
    assert made.recall == 1.0


def test_families_are_those_that_the_monitor_made() -> None:
    """None where it makes none."""
    record = labelled("106", "NV", [0.1, 2.0])
    without, made = result_of(record).figures, result_of(replace(record, families=2.0)).figures
    assert without is not None
    assert made is not None
    assert (math.isnan(without.families), made.families) == (True, 2.0)


@pytest.mark.parametrize(
    ("start_s", "stop_s", "expected"),
    [
        (300.0, 1805.0, [(0, 300.0, 900.0), (1, 900.0, 1805.0)]),  # a record of MIT-BIH
        (300.0, 600.0, [(0, 300.0, 600.0)]),
        (880.0, 1900.0, [(1, 880.0, 1800.0), (2, 1800.0, 1900.0)]),
        (10.0, 20.0, [(0, 10.0, 20.0)]),
    ],
)
def test_quarters_are_those_of_the_record(
    start_s: float, stop_s: float, expected: list[tuple[int, float, float]]
) -> None:
    """A rest of less than a minute belongs to the quarter beside it."""
    assert quarter_spans(start_s, stop_s) == expected


def test_quarters_show_whether_verdicts_become_better() -> None:
    """Each has the figures of its own beats and alerts; averages are by quarter."""
    beats = compared("NVVNVV", [0.1, 0.2, 3.0, 0.1, 2.0, 3.0], every_samples=300)  # every 5 min
    alerts = heard([0, 600], [True, False])
    first, second = quarters_of(beats, alerts, fs_hz=1.0, start_s=0.0, stop_s=1800.0)
    assert (first.quarter, first.recall, first.false_onsets_per_hour) == (0, 0.5, 4.0)
    assert (second.quarter, second.recall, second.false_onsets_per_hour) == (1, 1.0, 0.0)
    of_both = [
        PatientResult("1", "others", None, quarters=(first, second)),
        PatientResult("3", "others", None, quarters=(second,)),
    ]
    rows = quarter_averages(of_both)
    told = [[row[key] for key in ("quarter", "statistic", "records", "recall")] for row in rows]
    assert told[0] == [0, "mean", 1, 0.5]
    assert told[2] == [1, "mean", 2, 1.0]
