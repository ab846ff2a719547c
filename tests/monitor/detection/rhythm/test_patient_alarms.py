"""Tables of hearts, and the alarms that are told of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from monitor.alarm_limits import RhythmLimits
from monitor.detection.rhythm import patient_alarms
from monitor.detection.rhythm.absorption import ABSORBED_BY, EXPLAINED_BEATS, explains
from monitor.detection.rhythm.life_cycle import AlarmChange
from monitor.detection.rhythm.moments import hops
from monitor.detection.rhythm.patient_alarms import AlarmsState, Learning, take
from monitor.settings import AlarmRules
from monitor.wire.messages import ALARM_KINDS, AlarmKind, Why
from tests.monitor.hearts import FS_HZ, Heart

V = True
STILL = [8.0]
RUN, TACHYCARDIA = [(0.45, V)] * 3, [(0.4, V)] * 12
Told = list[tuple[str, str]]


def told(
    heart: Heart, rules: AlarmRules | None = None, state: AlarmsState | None = None
) -> tuple[AlarmsState, Told]:
    """Return what becomes known of a heart, in order."""
    state = state or AlarmsState()
    changes: Told = []
    for hop in hops(heart.signs()):
        state, new = take(state, hop, FS_HZ, rules or AlarmRules())
        changes += [(one.kind, one.state) for one in new]
    return state, changes


def after(*rr_s: float | tuple[float, bool], then: int = 12) -> Heart:
    """Return a heart that beats evenly for 40 s, then so, then evenly."""
    intervals = [*[0.8] * 50, *rr_s, *[0.8] * then]
    length_s = sum(one if isinstance(one, float) else one[0] for one in intervals)
    return Heart(intervals, length_s + 1)


def both(kind: AlarmKind) -> Told:
    return [(kind, "onset"), (kind, "cleared")]


@pytest.mark.parametrize(
    ("rr_s", "expected"),
    [
        ([], []),
        (STILL, both("asystole")),  # and neither pause nor bradycardia
        ([2.2], both("pause")),
        (RUN, both("ventricular_run")),
        ([0.47] * 12, both("tachycardia")),
        (
            [0.4] * 30,
            [
                ("tachycardia", "onset"),
                ("extreme_tachycardia", "onset"),
                ("tachycardia", "cleared"),
                ("extreme_tachycardia", "cleared"),
            ],
        ),
        (
            TACHYCARDIA,
            [
                ("ventricular_run", "onset"),
                ("ventricular_tachycardia", "onset"),
                ("ventricular_run", "cleared"),
                ("ventricular_tachycardia", "cleared"),
            ],
        ),
    ],
)
def test_alarms_and_what_they_absorb(rr_s: Sequence[float], expected: Told) -> None:
    """One alarm a cause: a lesser one ends when the greater begins, and is not told after it."""
    assert told(after(*rr_s, then=25))[1] == expected


def test_fibrillation_absorbs_the_interval_that_it_leaves() -> None:
    """Beats far apart because there were none between are no bradycardia."""
    heart = Heart([*[0.8] * 50, 12.0, *[0.8] * 30], 76, fibrillates=[(42, 52)])
    assert told(heart)[1] == both("ventricular_fibrillation")


def test_a_lesser_alarm_that_goes_on_is_told_when_the_greater_is_over() -> None:
    """A ventricular tachycardia that turns into a fast sinus rhythm is still a fast heart."""
    _, changes = told(after(*TACHYCARDIA, *[0.4] * 40))
    over = changes.index(("ventricular_tachycardia", "cleared"))
    assert ("extreme_tachycardia", "onset") in changes[over:]


def test_an_alarm_that_is_off_is_not_told_and_absorbs_nothing() -> None:
    """Without ventricular tachycardia a run stays one, and a priority is that of the rules."""
    rules = AlarmRules(ventricular_tachycardia="off", ventricular_run="high")
    state, changes = told(after(*TACHYCARDIA, then=25), rules)
    assert [one for one in changes if one[0] != "tachycardia"] == both("ventricular_run")
    assert state.told["ventricular_run"].latched


def test_limits_are_those_of_the_rules() -> None:
    """A pause of 2.2 s is none where 3 s are asked for."""
    rules = AlarmRules(limits=RhythmLimits(pause_s=3.0, pause_ratio=4.0))
    assert told(after(2.2, then=25), rules)[1] == []


def test_high_alarms_latch_each_for_itself() -> None:
    """Until a person has seen them; one that lasts goes on, and does not ask a second time."""
    heart = after(*STILL, *[0.8] * 20, *TACHYCARDIA, then=5)
    state, _ = told(heart)
    stands = {kind: (one.lasts, one.latched) for kind, one in state.told.items()}
    assert stands == {"asystole": (False, True), "ventricular_tachycardia": (True, True)}
    state, seen = patient_alarms.acknowledge(state, heart.samples)
    assert [one.kind for one, _ in seen] == ["asystole", "ventricular_tachycardia"]
    assert [(one.lasts, one.latched) for one in state.told.values()] == [(True, False)]
    assert patient_alarms.acknowledge(state, heart.samples) == (state, ())
    state, cleared = patient_alarms.end(state, heart.samples)
    assert [(one.kind, one.state) for one in cleared] == [("ventricular_tachycardia", "cleared")]
    assert not state.told


def test_no_alarm_ends_because_the_lead_came_off() -> None:
    """Nobody knows that the heart beats again, until it is seen to."""
    intervals = [*[0.8] * 50, 20.0, *[0.8] * 20]
    stopped = Heart(intervals, 60, off=[(46, 60)])
    state, changes = told(stopped)
    assert changes == [("asystole", "onset")]
    assert state.told["asystole"].lasts
    _, changes = told(Heart(intervals, 75, off=[(46, 58)]))
    assert [one for one in changes if one[0] == "asystole"] == both("asystole")


def test_nothing_latches_where_the_rules_say_so() -> None:
    """Then an alarm that is over stands no longer."""
    assert not told(after(*STILL, then=25), AlarmRules(latch=False))[0].told


@pytest.mark.parametrize("heart", [after(*STILL, then=25), after(*TACHYCARDIA, then=25)])
def test_hops_that_come_again_change_nothing(heart: Heart) -> None:
    """As after a restart, in mid-alarm too: each state goes on, through bytes, as it would have."""
    rules, all_hops = AlarmRules(), list(hops(heart.signs()))
    states, changes = [AlarmsState()], []
    for hop in all_hops:
        state, new = take(states[-1], hop, FS_HZ, rules)
        states.append(state)
        changes.append(new)
    for cut in range(0, len(states), 7):
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(states[cut]), type=AlarmsState)
        again: list[AlarmChange] = []
        for hop in all_hops[max(0, cut - 20) :]:
            state, new = take(state, hop, FS_HZ, rules)
            again += new
        assert again == [one for new in changes[cut:] for one in new]
        assert state == states[-1]


def test_the_state_of_a_quiet_patient_stays_small() -> None:
    """It is journaled once a second."""
    state, _ = told(Heart([0.8] * 400, 320, leads=2))
    assert len(msgspec.msgpack.encode(state)) < 8_000


def test_a_rate_that_was_learnt_is_no_tachycardia() -> None:
    """125 a minute is fast for anybody, until it is known to be the patient's own."""
    fast = Heart([0.48] * 190, 90)
    learning = AlarmsState(learning=Learning(round(60 * FS_HZ)))
    state, changes = told(fast, state=learning)
    assert state.usual_per_minute == pytest.approx(125)
    assert state.learning is None
    assert changes == both("tachycardia")
    assert told(fast)[1] == [("tachycardia", "onset")]
    assert told(Heart([0.8] * 10, 8), state=learning)[0].learning is not None


def test_what_was_learnt_never_silences_the_absolute_limit() -> None:
    """A rate of 150 that was learnt is an alarm all the same."""
    learning = AlarmsState(learning=Learning(round(20 * FS_HZ)))
    state, changes = told(Heart([0.4] * 150, 58), state=learning)
    assert state.usual_per_minute == pytest.approx(150)
    assert changes[-2:] == [("extreme_tachycardia", "onset"), ("tachycardia", "cleared")]
    assert state.told["extreme_tachycardia"].lasts


SHAPE: tuple[Why, ...] = ("shape",)
PREMATURE: tuple[Why, ...] = ("premature",)
LATE: tuple[Why, ...] = ("late",)


@pytest.mark.parametrize(
    ("kind", "explained"),
    [
        ("asystole", [LATE]),
        ("ventricular_fibrillation", [SHAPE, PREMATURE, LATE]),
        ("ventricular_tachycardia", [SHAPE, PREMATURE, LATE]),
        ("extreme_tachycardia", [SHAPE, PREMATURE, LATE]),
        ("extreme_bradycardia", [LATE]),
        ("ventricular_run", [SHAPE, PREMATURE, LATE]),
        ("pause", [LATE]),
        ("tachycardia", [PREMATURE]),
        ("bradycardia", [LATE]),
        ("irregular_rhythm", [PREMATURE, LATE]),
    ],
)
def test_which_beats_an_alarm_explains(kind: AlarmKind, explained: list[Sequence[Why]]) -> None:
    """A beat of another shape in a slow or irregular rhythm is still one."""
    assert [why for why in (SHAPE, PREMATURE, LATE) if explains([kind], why)] == explained
    assert explains([kind], (*SHAPE, *PREMATURE)) is (SHAPE in explained)


def test_the_tables_name_every_alarm() -> None:
    """A kind that is new needs a decision."""
    assert set(EXPLAINED_BEATS) == set(ALARM_KINDS)
    assert all(lesser not in ABSORBED_BY[lesser] for lesser in ABSORBED_BY)


def test_beats_are_explained_by_what_lasted_when_they_closed() -> None:
    """Not by what lasts when they are judged: they may wait for a training."""
    heart = after(*TACHYCARDIA, then=25)
    state, _ = told(heart)
    asked = [(at_s, patient_alarms.explains_beat(state, round(at_s * FS_HZ), SHAPE)) for at_s in
             (30, 41, 44, 48, 55)]  # fmt: skip
    assert asked == [(30, False), (41, False), (44, True), (48, True), (55, False)]
    later = patient_alarms.judged_up_to(state, round(46 * FS_HZ))
    assert patient_alarms.explains_beat(later, round(46 * FS_HZ), SHAPE)
    assert patient_alarms.judged_up_to(state, heart.samples).history == ()


def test_an_episode_is_explained_by_an_alarm_whose_event_began_before_it() -> None:
    """A run's first beats begin an episode before there are enough for an alarm."""
    heart = after(*TACHYCARDIA, then=25)
    state, _ = told(heart)
    (run, *_) = [one for one in state.history if one.all_since >= 0]
    for start, closed, expected in (
        (run.all_since, run.sample, True),
        (run.all_since, run.sample - 1, False),  # nobody knew of it yet
        (run.all_since - 1, run.sample, False),  # it has a cause of its own
        (run.all_since + 100, heart.samples, False),
    ):
        assert patient_alarms.explains_episode(state, closed, start) is expected
    state, _ = told(after(*STILL, then=25))
    assert not any(one.all_since >= 0 for one in state.history)


def test_kinds_that_cannot_be_told() -> None:
    """All before the first hop and without a lead; asystole until the lead's usual height is known,
    and while an electrode that came off may have taken others with it.
    """
    assert patient_alarms.unreadable_kinds(AlarmsState(), FS_HZ) == set(ALARM_KINDS)
    heart = Heart([0.8] * 100, 80, off=[(60, 80)], leads=2)
    for seconds, expected in ((15, {"asystole"}), (50, set()), (62, {"asystole"})):
        state, _ = told(Heart([0.8] * 100, seconds, off=[(60, 80)], leads=2))
        assert patient_alarms.unreadable_kinds(state, FS_HZ) == expected, seconds
    alone, _ = told(Heart([0.8] * 100, 62, off=[(60, 80)]))
    assert patient_alarms.unreadable_kinds(alone, FS_HZ) == set(ALARM_KINDS)
    assert told(heart)[1] == []


def test_an_irregular_rhythm_stays_one_alarm() -> None:
    """As long as it lasts; a run of usual beats ends it."""
    uneven = [float(one) for one in np.random.default_rng(0).uniform(0.45, 1.1, 120)]
    _, changes = told(Heart([*[0.8] * 30, *uneven, *[0.8] * 80], 180))
    assert changes == both("irregular_rhythm")
