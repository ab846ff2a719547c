"""The monitor says when it is itself in trouble, once, and when that is over."""

from __future__ import annotations

import msgspec
import pytest

from monitor.rules import TechnicalRules
from monitor.system_alerts import Change, changes, overload, stage_down
from monitor.wire import StageHealth, SystemKind
from tests.monitor.messages import patient_status

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
    ("lag_s", "state", "lasting", "rings"),
    [
        (9.0, "monitoring", False, False),
        (11.0, "monitoring", False, True),
        (6.0, "monitoring", True, True),
        (4.0, "monitoring", True, False),
        (50.0, "ended", False, False),
    ],
)
def test_being_behind(lag_s: float, state: str, lasting: bool, rings: bool) -> None:
    """The slowest patient that is monitored counts."""
    patients = [patient_status(), patient_status(lag_s=lag_s, state=state)]
    assert (overload(patients, RULES, lasting) is not None) is rings


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
