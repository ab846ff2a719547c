"""The monitor says when it is itself in trouble, once, and when that is over."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest

from monitor.detection.system_alerts import (
    CALM_HEARTBEATS,
    Change,
    LimitKind,
    Limits,
    Overload,
    changes,
    stage_down,
)
from monitor.settings import TechnicalRules
from monitor.wire.messages import StageHealth, SystemKind

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


def heard(
    heartbeats: Iterable[tuple[float, int, int]], overload: Overload | None = None
) -> list[str | None]:
    """Return what is said at each of some heartbeats of lag in s, samples and scores dropped."""
    overload = overload or Overload()
    lasting, said = False, []
    for lag_s, samples, scores in heartbeats:
        stages = [
            msgspec.structs.replace(HEALTH, dropped=samples),
            msgspec.structs.replace(HEALTH, stage="segmenter", dropped=samples),
            msgspec.structs.replace(HEALTH, stage="consumer", dropped=scores),
        ]
        text = overload.look(stages, lag_s, RULES, lasting)
        lasting = text is not None
        said.append(text)
    return said


def in_signs(said: list[str | None]) -> str:
    return "".join("." if text is None else "!" for text in said)


def test_lateness_is_said_once_it_lasts_and_until_it_is_over() -> None:
    """It begins in the third heartbeat in a row above the limit, and ends below half of it."""
    late = [(lag_s, 0, 0) for lag_s in (0, 11, 11, 9, 11, 11, 11, 6, 4, 4, 6, 4, 4, 4, 4, 4, 4)]
    said = heard(late)
    assert in_signs(said) == "......!!!!!!!!!.."
    assert said[6] == "beats are scored 11.0 s after they were sent"


def test_a_pause_of_a_second_is_no_overload() -> None:
    """A late heartbeat or two are a disk or a neighbour."""
    assert in_signs(heard([(lag_s, 0, 0) for lag_s in (30, 30, 0, 30, 0, 30, 30, 0)])) == "........"


@pytest.mark.parametrize(
    ("samples", "scores", "said"),
    [
        (500, 0, "the oldest samples were dropped (500): the source does not wait"),
        (0, 12, "scores came too late and were not told (12)"),
    ],
)
def test_whatever_is_shed_is_said_at_once(samples: int, scores: int, said: str) -> None:
    """It is over when a number of heartbeats in a row say of no more."""
    calm = [(0.0, samples, scores)] * CALM_HEARTBEATS
    texts = heard([(0.0, 0, 0), (0.0, samples, scores), *calm])
    assert in_signs(texts) == "." + "!" * CALM_HEARTBEATS + "."
    assert texts[1] == said


def test_what_is_shed_again_and_again_is_one_overload() -> None:
    """Loss now and then does not flutter; counters of a stage that began anew are no loss."""
    now_and_then = [(0.0, 100 * (number // 4), 0) for number in range(4, 24)]
    assert in_signs(heard(now_and_then)) == "!" * 20
    assert in_signs(heard([(0.0, 0, 0), (0.0, 900, 0), *[(0.0, 0, 0)] * 6])) == ".!!!!!.."


def test_a_heartbeat_without_the_other_stages_is_no_trouble() -> None:
    """The first ones have not heard of them; a restarted consumer may find overload lasting."""
    overload = Overload()
    assert overload.look([], 0.0, RULES, lasting=False) is None
    fresh = Overload()
    said = [fresh.look([], 0.0, RULES, lasting=True) is not None for _ in range(CALM_HEARTBEATS)]
    assert said == [True] * (CALM_HEARTBEATS - 1) + [False]


def said_of_shed(numbers: Iterable[int]) -> list[tuple[str | None, bool]]:
    """Return what is said at heartbeats with so many patients shed, and whether it is said anew."""
    overload, lasting, said = Overload(), False, []
    for n, beat in zip(numbers, range(1000), strict=False):
        shed = [f"bed-{number}" for number in range(n)]
        dropped = msgspec.structs.replace(HEALTH, dropped=500 * beat)
        text = overload.look([dropped], 0.0, RULES, lasting, shed)
        lasting = text is not None
        said.append((text, overload.is_more))
    return said


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (1, "1 patient is not monitored, the machine cannot keep up with more: bed-0"),
        (3, "3 patients are not monitored, the machine cannot keep up with more: bed-0, bed-1, "),
        (5000, "5000 patients are not monitored, the machine cannot keep up with more: bed-0, "),
    ],
)
def test_shed_patients_are_counted_and_the_first_named(n: int, text: str) -> None:
    """Not all of thousands; their samples are not told beside them, as if all had lost some."""
    ((said, _),) = said_of_shed([n])
    assert said is not None
    assert said.startswith(text)
    assert len(said) < 200
    assert said.endswith("bed-2 and 4997 more") is (n == 5000)


def test_overload_is_said_anew_when_far_more_are_shed() -> None:
    """A few times, not once a heartbeat; it lasts until all are served again.

    The first are news where overload had begun with samples that were dropped of all.
    """
    numbers = [0, 0, 10, 15, 19, 20, 30, 5000, 5000, 4000, 1, *[0] * 6]
    said = said_of_shed(numbers)
    assert [n for n, (_, anew) in zip(numbers, said, strict=True) if anew] == [10, 20, 5000]
    assert all(text is not None for n, (text, _) in zip(numbers, said, strict=True) if n)
    late = Overload()
    assert late.look([], 99.0, RULES, lasting=True) is not None
    assert not late.is_more
    assert late.look([], 0.0, RULES, lasting=True, shed=["bed-1"]) is not None
    assert late.is_more  # it was about lateness; now there is a name


def test_only_changes_are_said() -> None:
    """What lasts is not said again; what is over is said once."""
    lasting: dict[SystemKind, bool] = {"overload": True, "stage_down": False}
    now: dict[SystemKind, str | None] = {"overload": None, "stage_down": "why"}
    assert changes(lasting, now) == [
        Change("overload", False, "over"),
        Change("stage_down", True, "why"),
    ]
    assert changes({"overload": True}, {"overload": "still"}) == []
    anew = changes({"overload": True}, {"overload": "more"}, ["overload"])
    assert anew == [Change("overload", True, "more")]
    assert changes({"overload": True}, {"overload": None}, ["overload"]) == [
        Change("overload", False, "over")
    ]
    assert changes({}, {"overload": None}) == []


def reached(refused: Iterable[dict[LimitKind, int]], lasting: bool = False) -> list[str]:
    """Return what is reported at each of some heartbeats of counts so far: its first words."""
    limits, said = Limits(), []
    for counts in refused:
        change = limits.look(counts, lasting)
        lasting = lasting if change is None else change.onset
        said.append("" if change is None else change.text)
    return said


def test_a_bound_that_is_reached_is_said_once_and_when_it_is_over() -> None:
    """It names how many were refused and what to do; it ends after some calm heartbeats."""
    counts: list[dict[LimitKind, int]] = [{"patients": n} for n in (0, 3, 9, 9, 9, 9, 9, 9, 9)]
    said = reached(counts)
    assert said[1].startswith("messages of further patients were refused (3)")
    assert "start another monitor" in said[1]
    assert said[2:] == ["", "", "", "", "", "over", ""]


def test_another_bound_is_said_although_one_lasts() -> None:
    """Both are named then; it is over when both are."""
    counts: list[dict[LimitKind, int]] = [
        {"requests": 1, "replies": 0},
        {"requests": 5, "replies": 0},
        {"requests": 5, "replies": 2},
    ]
    said = reached(counts + counts[-1:] * CALM_HEARTBEATS)
    assert said[0].startswith("requests were refused (1)")
    assert said[2].startswith("requests were refused (5)")
    assert "; answers were not sent (2)" in said[2]
    assert [text for text in said[3:] if text] == ["over"]
    assert said[-1] == "over"


def test_a_bound_of_before_a_restart_is_over_in_time() -> None:
    """Counters of a stage that began anew are no refusal, and what lasted is ended."""
    said = reached([{"patients": 0}] * (CALM_HEARTBEATS + 1), lasting=True)
    assert said == [""] * (CALM_HEARTBEATS - 1) + ["over", ""]
    assert reached([{"patients": 7}, {"patients": 0}])[1] == ""
