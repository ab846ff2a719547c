"""One patient's named alarms: `(state, hop) -> (state, changes)`; no clock, no socket, no model.

The rules say which alarms' conditions hold (`step`). What is told of them is decided here: an alarm
that is off is never told, a lesser one stays silent while a greater explains it, and one of high
priority latches until a person has acknowledged it, each alarm for itself.

    quiet --- it holds, and nothing greater lasts: onset ---> lasts
          <-- it ended, or a greater one began: cleared -----

None ends because no lead can be read any more.

Hops that were taken before, as after a restart, change nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from math import nan
from typing import NamedTuple

import msgspec

from monitor.detection.rhythm.absorption import ABSORBED_BY, EXPLAINED_BEATS, explains
from monitor.detection.rhythm.lead_watch import FEWEST_USUAL, is_loose
from monitor.detection.rhythm.life_cycle import AlarmChange, AlarmLife
from monitor.detection.rhythm.moments import Hop, WatchState, moment, usual_ms
from monitor.detection.rhythm.step import NO_CHANGES, RhythmState, step
from monitor.settings import AlarmRules
from monitor.wire.messages import ALARM_KINDS, AlarmKind, Why

LEARNT_EVERY_BEATS = 16  # while the patient is learnt, the usual interval is noted
LEARNT_KEPT = 64  # such notes: a thousand beats
HISTORY_KEPT = 256  # changes; a beat that waits longer is absorbed by what lasted first
QUIET = AlarmLife()


class ToldAlarm(msgspec.Struct, frozen=True):
    """A named alarm that stands.

    Attributes
    ----------
    since_sample : int
        Where the newest of its kind began.
    onset_sample : int
        Where that was told.
    lasts : bool
        Otherwise it is over.
    latched : bool
        It asks to be acknowledged.
    """

    since_sample: int
    onset_sample: int
    lasts: bool = True
    latched: bool = False


class Lasting(NamedTuple):
    """Alarms that last from a sample on.

    `all_since` is where the first of those began that explain all beats; -1 where there is none.
    """

    sample: int
    kinds: tuple[AlarmKind, ...]
    all_since: int


NONE_LASTS = Lasting(0, (), -1)


class Learning(msgspec.Struct, frozen=True):
    """The heart rate that is being learnt, until a sample; `usual_ms` are notes of it."""

    until_sample: int
    beats: int = 0
    usual_ms: tuple[float, ...] = ()


class AlarmsState(msgspec.Struct, frozen=True):
    """All that is remembered of one patient's named alarms.

    Attributes
    ----------
    reached : int
        The end of the last hop that was taken; -1 before the first.
    watch : WatchState
    rhythm : RhythmState
    told : dict
        Alarms that stand.
    history : tuple of Lasting
        As far as beats may still be judged by it.
    learning : Learning or None
    usual_per_minute : float or None
        The heart rate that was learnt.
    no_beat : tuple of int
        Where the event `no_beat` began, where it ended, where the next began, ...: as long as it is
        not decided whether it is an asystole.
    """

    reached: int = -1
    watch: WatchState = WatchState()
    rhythm: RhythmState = RhythmState()
    told: dict[AlarmKind, ToldAlarm] = {}
    history: tuple[Lasting, ...] = ()
    learning: Learning | None = None
    usual_per_minute: float | None = None
    no_beat: tuple[int, ...] = ()


def take(
    state: AlarmsState, hop: Hop, fs_hz: float, rules: AlarmRules
) -> tuple[AlarmsState, tuple[AlarmChange, ...]]:
    """Take half a second of the patient; return which alarms are told to begin or to be over."""
    if hop.end_sample <= state.reached:
        return state, ()
    watch, now = moment(state.watch, hop, fs_hz)
    learning, usual = state.learning, state.usual_per_minute
    if learning is not None:
        learning, usual = _learnt(learning, hop, watch, usual)
    usual_or_nan = nan if usual is None else usual
    rhythm, _ = step(state.rhythm, now, fs_hz, rules.limits, usual_or_nan)
    told, changes, history = state.told, NO_CHANGES, state.history
    if rhythm.alarms:  # seldom, and of few patients
        blind = all(lead.still for lead in watch.leads)
        told, changes = _tell(state.told, rhythm, hop.end_sample, fs_hz, rules, blind=blind)
    if changes:
        history = (*history[1 - HISTORY_KEPT :], _lasting(told, hop.end_sample))
    no_beat = state.no_beat
    state = AlarmsState(hop.end_sample, watch, rhythm, told, history, learning, usual, no_beat)
    return state, changes


def end(state: AlarmsState, sample: int) -> tuple[AlarmsState, tuple[AlarmChange, ...]]:
    """End the alarms that last where the record ends; what latched stays so."""
    changes = tuple(
        AlarmChange(kind, "cleared", sample, one.since_sample, "low")
        for kind, one in state.told.items()
        if one.lasts
    )
    told = {
        kind: msgspec.structs.replace(one, lasts=False)
        for kind, one in state.told.items()
        if one.latched
    }
    return msgspec.structs.replace(state, told=told), changes


def acknowledge(
    state: AlarmsState, sample: int
) -> tuple[AlarmsState, tuple[tuple[AlarmChange, int], ...]]:
    """Take note that a person has seen all alarms that ask for it.

    Returns
    -------
    changes : tuple of (AlarmChange, int)
        Each with the sample at which the onset of what was seen was told.
    """
    seen = tuple(
        (AlarmChange(kind, "acknowledged", sample, one.since_sample, "low"), one.onset_sample)
        for kind, one in state.told.items()
        if one.latched
    )
    for change, _ in seen:
        state = without_latch(state, change.kind)
    return state, seen


def without_latch(state: AlarmsState, kind: AlarmKind) -> AlarmsState:
    """Return the state in which an alarm no longer asks to be acknowledged."""
    one = state.told[kind]
    told = {other: alarm for other, alarm in state.told.items() if other != kind}
    if one.lasts:
        told[kind] = msgspec.structs.replace(one, latched=False)
    return msgspec.structs.replace(state, told=_in_order(told))


def lasted(state: AlarmsState, sample: int) -> tuple[AlarmKind, ...]:
    """Return the alarms that lasted at a sample, by the hops that had ended."""
    return _at(state, sample).kinds


def _at(state: AlarmsState, sample: int) -> Lasting:
    if not state.history:
        return NONE_LASTS  # nearly always
    place = bisect_right(state.history, sample, key=lambda entry: entry.sample)
    return state.history[place - 1] if place else NONE_LASTS


def explains_beat(state: AlarmsState, closed_sample: int, why: Sequence[Why]) -> bool:
    """Tell whether an alarm that lasted when a beat closed explains that it is anomalous."""
    return explains(lasted(state, closed_sample), why)


def explains_episode(state: AlarmsState, closed_sample: int, start_sample: int) -> bool:
    """Tell whether an alarm that lasted when a beat closed explains an episode of beats wholly.

    Its event began before the episode: what began that were the first beats of a run, which come
    before the alarm.
    """
    since = _at(state, closed_sample).all_since
    return 0 <= since <= start_sample


def judged_up_to(state: AlarmsState, sample: int) -> AlarmsState:
    """Return the state without what only beats that closed up to a sample needed."""
    place = bisect_right(state.history, sample, key=lambda entry: entry.sample)
    first = place - 1 if place and state.history[place - 1].kinds else place
    if first <= 0:
        return state
    return msgspec.structs.replace(state, history=state.history[first:])


def unreadable_kinds(state: AlarmsState, fs_hz: float) -> frozenset[AlarmKind]:
    """Return the alarms that the signal of the last hop does not let be told."""
    leads = state.watch.leads
    if all(lead.still for lead in leads):
        return frozenset(ALARM_KINDS)
    unknown = any(len(lead.usual_mv) < FEWEST_USUAL for lead in leads if not lead.still)
    if unknown or any(is_loose(lead, state.reached, fs_hz) for lead in leads):
        return frozenset(("asystole",))
    return frozenset()


def _learnt(
    learning: Learning, hop: Hop, watch: WatchState, usual: float | None
) -> tuple[Learning | None, float | None]:
    """Note the usual interval now and then; at the end of the learning the median is the rate.

    It depends on R peaks alone: not on how long a training takes.
    """
    if hop.end_sample >= learning.until_sample:
        typical_ms = usual_ms(learning.usual_ms) or usual_ms(watch.rr_ms)
        return None, usual if typical_ms is None else 60_000 / typical_ms
    beats = learning.beats + len(hop.complexes)
    notes, now_ms = learning.usual_ms, usual_ms(watch.rr_ms)
    if beats // LEARNT_EVERY_BEATS > learning.beats // LEARNT_EVERY_BEATS and now_ms is not None:
        notes = (*notes[1 - LEARNT_KEPT :], now_ms)
    return Learning(learning.until_sample, beats, notes), usual


def _tell(
    told: dict[AlarmKind, ToldAlarm],
    rhythm: RhythmState,
    sample: int,
    fs_hz: float,
    rules: AlarmRules,
    *,
    blind: bool,
) -> tuple[dict[AlarmKind, ToldAlarm], tuple[AlarmChange, ...]]:
    """Decide what is told of the alarms whose conditions hold or held.

    Where no lead can be read (`blind`) nobody knows that one is over: it stands.
    """
    active = [kind for kind, life in rhythm.alarms.items() if life.active]
    if not active and not any(one.lasts for one in told.values()):
        return told, ()  # nearly always
    of_rules = {
        kind: life for kind, life in rhythm.alarms.items() if rules.priority(kind) is not None
    }
    active = [kind for kind in active if kind in of_rules]
    after, changes = dict(told), []
    keeps = round(2 * rules.limits.clear_s * fs_hz)
    for kind in ALARM_KINDS:
        before, life = after.get(kind), rhythm.alarms.get(kind, QUIET)
        lasted = before is not None and before.lasts
        lasts = kind in active and not _is_absorbed(kind, of_rules, sample, keeps)
        # What a greater alarm explained is not told once that is over, unless it holds still.
        if lasts and not lasted and life.held_sample == sample:
            priority = rules.priority(kind) or "low"
            latched = (before is not None and before.latched) or (
                rules.latch and priority == "high"
            )
            after[kind] = ToldAlarm(life.since_sample, sample, True, latched)
            changes.append(AlarmChange(kind, "onset", sample, life.since_sample, priority))
        elif before is not None and lasted and not (lasts or blind):
            changes.append(AlarmChange(kind, "cleared", sample, before.since_sample, "low"))
            del after[kind]
            if before.latched:
                after[kind] = msgspec.structs.replace(before, lasts=False)
    return (_in_order(after), tuple(changes)) if changes else (told, ())


def _is_absorbed(
    kind: AlarmKind, lives: Mapping[AlarmKind, AlarmLife], sample: int, keeps: int
) -> bool:
    """Tell whether a greater alarm explains one.

    A while after it is over, too, where the lesser one had begun by then: the last beats that say
    that the heart is slow may lie on either side of the silence.
    """
    begun = lives[kind].since_sample
    for greater in ABSORBED_BY.get(kind, ()):
        life = lives.get(greater)
        if life is None:
            continue
        if life.active or (begun <= life.held_sample and sample - life.held_sample < keeps):
            return True
    return False


def _lasting(told: dict[AlarmKind, ToldAlarm], sample: int) -> Lasting:
    lasting = {kind: one for kind, one in told.items() if one.lasts}
    of_all = [one.since_sample for kind, one in lasting.items() if EXPLAINED_BEATS[kind] == "all"]
    return Lasting(sample, tuple(lasting), min(of_all, default=-1))


def _in_order(told: dict[AlarmKind, ToldAlarm]) -> dict[AlarmKind, ToldAlarm]:
    return {kind: told[kind] for kind in ALARM_KINDS if kind in told}
