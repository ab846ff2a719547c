"""Counts, shares and the score of the challenge."""

from __future__ import annotations

import json
import math

import pytest

from monitor.offline.evaluation.alarms_report import AlarmCounts, AlarmResult, by_kind, to_json


def test_a_missed_alarm_weighs_five_times_a_false_one() -> None:
    """The formula of the PhysioNet/CinC Challenge 2015."""
    assert AlarmCounts(8, 2, 10, 0).score == pytest.approx(100 * 18 / 20)
    assert AlarmCounts(6, 0, 12, 2).score == pytest.approx(100 * 18 / 28)
    assert math.isnan(AlarmCounts(0, 0, 0, 0).score)
    assert AlarmCounts(3, 0, 0, 1).sensitivity == 0.75
    assert AlarmCounts(0, 1, 3, 0).specificity == 0.75


RESULTS = [
    AlarmResult("a1", "asystole", True, True, True),
    AlarmResult("a2", "asystole", False, True, False),
    AlarmResult("v1", "ventricular_tachycardia", True, False, False),
    AlarmResult("v2", "ventricular_tachycardia", False, False, False),
    AlarmResult("x", note="cannot be read"),
]


def test_each_kind_is_counted_and_what_was_not_judged_is_left_out() -> None:
    """With the ECG alone, and with pulse waves."""
    alone, witnessed = by_kind(RESULTS, "ecg"), by_kind(RESULTS, "ecg_and_pulse")
    assert alone["asystole"] == AlarmCounts(1, 1, 0, 0)
    assert witnessed["asystole"] == AlarmCounts(1, 0, 1, 0)
    assert alone["all but ventricular_tachycardia"] == AlarmCounts(1, 1, 0, 0)
    assert alone["all"] == AlarmCounts(1, 1, 1, 1)


def test_json_has_no_figure_that_is_not_defined() -> None:
    """Null where a kind has no record."""
    document = json.loads(to_json(RESULTS))
    assert document["figures"]["ecg"]["all"]["fn"] == 1
    assert document["figures"]["ecg"]["extreme_tachycardia"]["score"] is None
    assert document["records"]["a1"]["ecg"] is True
