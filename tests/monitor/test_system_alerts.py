"""The monitor says when it is itself in trouble, once, and when that is over."""

from __future__ import annotations

import msgspec
import pytest

from monitor.rules import TechnicalRules
from monitor.system_alerts import CALM_HEARTBEATS, Change, Overload, changes, stage_down
from monitor.wire import StageHealth, SystemKind, WardCounts
from tests.monitor.messages import status

RULES = TechnicalRules(stage_down_s=4.0, overload_lag_s=10.0)
HEALTH = StageHealth("producer", 1, 1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("ages_s", "lasting", "said"),
    [
        ([0.5, 1.0], False, None),
        ([0.5, 4.5], False, "nothing from the producer for 4 s"),
        ([0.5, 2.5], True, "nothing from the producer for 2 s"),  # no flutter about the limit
        ([0.5, 1.9], True, None),
        ([], False, None),
    ],
)
def test_a_stage_that_is_not_heard(ages_s: list[float], lasting: bool, said: str | None) -> None:
    """It begins at the limit and ends at half of it."""
    stages = [msgspec.structs.replace(HEALTH, age_s=age_s) for age_s in ages_s]
    assert stage_down(stages, RULES, lasting) == said


@pytest.mark.parametrize(
    ("lag_s", "lasting", "rings"),
    [(9.0, False, False), (11.0, False, True), (6.0, True, True), (4.0, True, False)],
)
def test_being_behind(lag_s: float, lasting: bool, rings: bool) -> None:
    """The slowest patient counts; it begins at the limit and ends at half of it."""
    said = Overload().look(status(ward=WardCounts(lag_s=lag_s)), RULES, lasting)
    assert (said is not None) is rings


def test_dropped_samples_are_overload_until_none_were_for_a_while() -> None:
    """What the producer drops rings at once, and is over when heartbeats say of no more."""
    overload, lasting, said = Overload(), False, []
    for dropped in (0, 0, 500, 500, 700, *[700] * CALM_HEARTBEATS, 700):
        health = msgspec.structs.replace(HEALTH, dropped=dropped)
        text = overload.look(status(stages=[health]), RULES, lasting)
        lasting = text is not None
        said.append(text)
    rings = [text is not None for text in said]
    assert rings == [False] * 2 + [True] * (3 + CALM_HEARTBEATS - 1) + [False] * 2
    assert said[2] == "the oldest 500 samples were dropped: the source does not wait"


def test_a_monitor_that_was_never_behind_says_nothing() -> None:
    """Samples that other stages lose are holes, not overload."""
    health = StageHealth("segmenter", 1, 1, 0, 3, 900, 0)
    assert Overload().look(status(stages=[health]), RULES, lasting=False) is None


def test_only_changes_are_said() -> None:
    """What lasts is not said again; what is over is said once."""
    lasting: dict[SystemKind, bool] = {"overload": True, "stage_down": False}
    now: dict[SystemKind, str | None] = {"overload": None, "stage_down": "why"}
    assert changes(lasting, now) == [
        Change("overload", False, "over"),
        Change("stage_down", True, "why"),
    ]
    assert changes({"overload": True}, {"overload": "still"}) == []
    assert changes({}, {"overload": None}) == []
