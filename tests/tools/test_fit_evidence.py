"""Weighing evidence on labelled records."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from model.evidence import MEASURES, BeatRows, Measured
from model.evidence_file import load_shipped_weights
from monitor.offline.record_evidence import RecordEvidence
from tools.fit_evidence import Record, each_by_others, figures

LENGTH = 140
USUAL = {"unlike": -5.0}
VENTRICULAR = {"loss": 3.0, "unlike": -0.5, "early": 4.0, "early_p": 2.0, "pause": 0.3}
ONE_BEAT = np.sin(np.linspace(0, 40, LENGTH)).astype(np.float32)
OTHER_BEAT = np.cos(np.linspace(0, 17, LENGTH)).astype(np.float32)


def a_record(name: str, anomalous: list[int], classes: str = "V", n: int = 200) -> Record:
    """Return a record of a beat a second, some of which are ventricular by shape and time."""
    measures = np.zeros((n, len(MEASURES)))
    inputs = np.tile(ONE_BEAT, (n, 1, 1))
    of_beats = np.full(n, "N", "U1")
    for row in range(n):
        values = VENTRICULAR if row in anomalous else USUAL
        measures[row] = [values.get(measure, 0.0) for measure in MEASURES]
    inputs[anomalous] = OTHER_BEAT
    of_beats[anomalous] = classes
    losses = np.ones((n, 1))
    readable = np.ones((n, 1), np.bool_)
    intervals = np.full(n, 1000.0)
    rows = BeatRows(losses, inputs, inputs, inputs, readable, intervals, intervals)
    measured = Measured(measures, np.zeros(n), np.zeros(n))
    evidence = RecordEvidence(rows, np.arange(n) * 360, 360.0, measured)
    return Record(name, evidence, of_beats, hours=0.5)


def test_figures_are_those_of_verdicts_and_alerts() -> None:
    """Beats count each, a family is heard once, and no alert is false that holds an anomaly."""
    found = figures(a_record("1", [*range(20, 180, 8)]), load_shipped_weights())
    assert (found.n_anomalous, found.auc, found.f1, found.precision) == (20, 1.0, 1.0, 1.0)
    assert (found.recall_v, found.withheld, found.families) == (1.0, 0.0, 1)
    assert math.isnan(found.recall_s)
    assert (found.onsets, found.false_onsets) == (2.0, 0.0)


def test_an_alert_that_holds_no_anomalous_beat_is_false() -> None:
    """The same beats called normal by the reference make one false alert in half an hour."""
    found = figures(a_record("1", [50, 90], classes="N"), load_shipped_weights())
    assert (found.onsets, found.false_onsets) == (2.0, 2.0)
    assert math.isnan(found.auc)


def test_withheld_beats_are_no_verdicts() -> None:
    """Beats in noise whose shape is not known count as withheld."""
    record = a_record("1", [50, 90])
    measured = record.evidence.measured
    noisy = replace(measured, doubt=np.where(np.arange(200) >= 100, 40.0, 0.0))
    record = replace(record, evidence=replace(record.evidence, measured=noisy))
    assert figures(record, load_shipped_weights()).withheld == pytest.approx(0.5)


def test_a_record_is_judged_by_the_labels_of_the_others() -> None:
    """A record whose own labels are turned round is judged as before."""
    records = [a_record(str(name), [*range(20, 180, 8)]) for name in range(3)]
    turned = replace(records[0], classes=np.where(records[0].classes == "N", "V", "N").astype("U1"))
    as_labelled, as_turned = (
        each_by_others([first, *records[1:]])[0] for first in (records[0], turned)
    )
    assert as_labelled.recall_v == 1.0
    assert as_turned.recall_v == 0.0
