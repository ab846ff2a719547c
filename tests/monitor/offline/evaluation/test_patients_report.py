"""Figures of one patient at a time: classes, areas, rates, halves."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from monitor.offline.evaluation.ec57 import BEAT_SYMBOLS
from monitor.offline.evaluation.patients_report import (
    AAMI_CLASSES,
    JudgedBeats,
    PatientFigures,
    PatientResult,
    average,
    averages,
    half_of,
    make_figures,
    nearest_distances,
    to_json,
    to_table,
)


def judged(classes: str, verdict: list[float]) -> JudgedBeats:
    scores = np.array(verdict, np.float32)
    half = np.asarray(scores / 2, np.float32)
    return JudgedBeats(np.array(list(classes)), scores, half, scores, scores)


def figures(auc: float = 0.5) -> PatientFigures:
    return replace(make_figures(judged("NV", [0.1, 2.0]), hours=1.0), auc=auc)


def test_every_beat_symbol_has_a_class() -> None:
    """WFDB's beat codes, in EC57's classes."""
    assert set(AAMI_CLASSES) >= BEAT_SYMBOLS
    assert [AAMI_CLASSES[symbol] for symbol in "NLAVF/"] == ["N", "N", "S", "V", "F", "Q"]


def test_figures_of_a_record() -> None:
    """Areas by class, recall and false alerts at 1, runs of false alerts as episodes."""
    beats = judged("NNNNSSVV", [0.2, 1.5, 1.6, 0.3, 0.1, 3.0, 4.0, 5.0])
    result = make_figures(beats, hours=0.5)
    assert result.auc_v == 1.0
    assert result.auc_s == pytest.approx(0.5)
    assert result.auc == pytest.approx(0.75)
    assert (result.recall, result.recall_s, result.recall_v) == (0.75, 0.5, 1.0)
    assert (result.false_alerts_per_hour, result.false_episodes_per_hour) == (4.0, 2.0)
    assert (result.n_normal, result.n_anomalous) == (4, 4)
    assert result.recall_at_target == 0.75  # no false alert in half an hour: above 1.6
    assert make_figures(beats, hours=0.5, target_per_hour=6.0).recall_at_target == 0.75
    assert make_figures(beats, hours=0.5, target_per_hour=8.0).recall_at_target == 1.0


def test_what_nothing_defines_is_no_number() -> None:
    """A record without anomalous beats has false alerts but neither area nor recall."""
    result = make_figures(judged("NN", [0.1, 2.0]), hours=1.0)
    assert math.isnan(result.auc)
    assert math.isnan(result.recall)
    assert result.false_alerts_per_hour == 1.0


@pytest.mark.parametrize(
    ("record", "half"),
    [("106", "development"), ("119", "held back"), ("night", "held back"), ("208", "development")],
)
def test_halves_are_fixed_by_the_records_number(record: str, half: str) -> None:
    """Choices are made on even numbers alone."""
    assert half_of(record) == half


def test_nearest_distances_are_those_of_a_plain_search() -> None:
    """Mean of the five smallest Euclidean distances."""
    rng = np.random.default_rng(0)
    beats = rng.standard_normal((7, 12)).astype(np.float32)
    learnt = rng.standard_normal((20, 12)).astype(np.float32)
    plain = [np.sort(np.linalg.norm(learnt - beat, axis=1))[:5].mean() for beat in beats]
    np.testing.assert_allclose(nearest_distances(beats, learnt), plain, rtol=1e-5)
    assert np.isnan(nearest_distances(beats, learnt[:4])).all()


def test_averages_leave_out_what_is_not_defined() -> None:
    """Mean and median over the records that have the figure; over each half and over all."""
    results = [
        PatientResult("106", half_of("106"), figures(0.8)),
        PatientResult("108", half_of("108"), figures(math.nan)),
        PatientResult("119", half_of("119"), figures(0.6)),
        PatientResult("121", half_of("121"), None, note="too mixed"),
    ]
    assert average(results, "mean")["auc"] == pytest.approx(0.7)
    assert averages(results)["development, mean"]["auc"] == pytest.approx(0.8)
    assert averages(results)["held back, median"]["auc"] == pytest.approx(0.6)


def test_the_report_as_json_and_table() -> None:
    """Valid JSON without NaN; a table that names every record, also those without figures."""
    results = [
        PatientResult("106", "development", figures(math.nan)),
        PatientResult("108", "development", None, note="too mixed"),
    ]
    document = json.loads(to_json(results))
    assert document["records"]["106"]["figures"]["auc"] is None
    assert document["records"]["108"]["figures"] is None
    assert document["records"]["108"]["note"] == "too mixed"
    console = Console(width=200)
    with console.capture() as capture:
        console.print(to_table(results))
    assert "106" in capture.get()
    assert "108" in capture.get()
