"""All named alarms of one patient: `(state, moment) -> (state, changes)`; no clock, no model."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import NamedTuple

import msgspec

from monitor.alarm_limits import RhythmLimits
from monitor.detection.rhythm import fibrillation, irregular, pulses, rates, standstill, ventricular
from monitor.detection.rhythm.irregular import IrregularState
from monitor.detection.rhythm.life_cycle import (
    ABSENT,
    AlarmChange,
    AlarmLife,
    Condition,
    live,
)
from monitor.detection.rhythm.pulses import PulsesState
from monitor.detection.rhythm.rates import SeriesState
from monitor.detection.rhythm.signs import LeadSigns, PulseSigns, RhythmMoment, heard
from monitor.wire.messages import ALARM_KINDS, AlarmKind

QUIET = AlarmLife()
NO_CHANGES: tuple[AlarmChange, ...] = ()

SLOW: tuple[AlarmKind, ...] = ("extreme_bradycardia", "bradycardia")
QUIET_KEPT = 40  # moments: 17 beats at under 50 a minute
ASKED_WITH: tuple[AlarmKind, ...] = (  # whether they last changes what the rules over beats say
    "irregular_rhythm",
    "extreme_tachycardia",
    "extreme_bradycardia",
    "tachycardia",
    "bradycardia",
)
# A run that begins changes the pulses; one that has lasted long may have made even ones.
DENIED_BY_STEADY_PULSES: tuple[AlarmKind, ...] = ("ventricular_tachycardia", "ventricular_run")


class RhythmState(msgspec.Struct, frozen=True):
    """All that is remembered of one patient; encodes to some KB of JSON.

    `at_rest` is what the rules over beats were last asked with, beside the beats, where none held:
    until another beat comes or that changes, they need not be asked again. Empty where one held.
    `quiet` holds samples of late, and how many seconds the loudest lead had been quiet there.
    """

    beats: SeriesState = SeriesState()
    intervals: IrregularState = IrregularState()
    waves: tuple[PulsesState, ...] = ()
    alarms: dict[AlarmKind, AlarmLife] = {}
    at_rest: tuple[float, ...] = ()
    quiet: tuple[tuple[int, float], ...] = ()


class _Asked(NamedTuple):
    """What the rules over beats are asked with."""

    fs_hz: float
    limits: RhythmLimits
    usual_per_minute: float
    lasting: tuple[AlarmKind, ...]


def step(
    state: RhythmState,
    moment: RhythmMoment,
    fs_hz: float,
    limits: RhythmLimits,
    usual_per_minute: float = nan,
) -> tuple[RhythmState, tuple[AlarmChange, ...]]:
    """Take half a second of a patient; return which named alarms began or ended.

    Parameters
    ----------
    usual_per_minute : float
        The heart rate that was learnt; NaN where none was.
    """
    sample = moment.sample
    beats, intervals = state.beats, state.intervals
    waves = _followed(state.waves, moment.waves) if moment.waves else ()
    lasting = tuple([kind for kind, life in state.alarms.items() if life.active])
    asked = _Asked(fs_hz, limits, usual_per_minute, lasting)
    held: dict[AlarmKind, Condition] = {}
    for beat in moment.beats:
        intervals = irregular.follow_intervals(intervals, beat, beats.usual_ventricular, limits)
        beats = rates.follow(beats, beat)
        if rates.is_fresh(beats, sample, fs_hz):
            for kind, condition in _holding(beats, asked):  # between two moments, too
                held.setdefault(kind, condition)
    is_fresh = rates.is_fresh(beats, sample, fs_hz)
    key = _key(asked, is_fresh=is_fresh)
    if not moment.beats and is_fresh and key != state.at_rest:
        held.update(_holding(beats, asked))
    at_rest = () if held else key
    leads = heard(moment.leads)
    quiet = _with_quiet(state.quiet, sample, leads)
    for kind in SLOW:
        if kind in held and not rates.is_silent_between(quiet, held[kind], sample):
            del held[kind]
    if intervals.holds:
        held["irregular_rhythm"] = irregular.irregular_rhythm(intervals)
    fibrillates = fibrillation.fibrillation(leads, waves, sample, fs_hz)
    if fibrillates.holds:  # an oscillation without complexes is no silence
        held["ventricular_fibrillation"] = fibrillates
    else:
        asystole = standstill.asystole(leads, waves, limits, sample, fs_hz)
        if asystole.holds:
            held["asystole"] = asystole
    alarms, changes = state.alarms, NO_CHANGES
    if held or lasting:
        alarms, changes = _lives(state.alarms, held, waves, sample, fs_hz, limits)
    return RhythmState(beats, intervals, waves, alarms, at_rest, quiet), changes


def _followed(
    states: tuple[PulsesState, ...], signs: tuple[PulseSigns, ...]
) -> tuple[PulsesState, ...]:
    known = (*states[: len(signs)], *(PulsesState(),) * (len(signs) - len(states)))
    pairs = zip(known, signs, strict=True)
    return tuple([pulses.follow_pulses(one, shown) for one, shown in pairs])


def _key(asked: _Asked, *, is_fresh: bool) -> tuple[float, ...]:
    """Return what the answers of the rules over beats depend on, beside the beats."""
    usual = asked.usual_per_minute
    lasting = sum([1 << place for place, kind in enumerate(ASKED_WITH) if kind in asked.lasting])
    return float(lasting), usual if usual == usual else 0.0, float(is_fresh)


def _with_quiet(
    quiet: tuple[tuple[int, float], ...], sample: int, leads: Sequence[LeadSigns]
) -> tuple[tuple[int, float], ...]:
    """Take in how long the loudest of the leads has been quiet, where that is known."""
    known = [lead.quiet_s for lead in leads if lead.quiet_s > 0]
    return (*quiet[1 - QUIET_KEPT :], (sample, min(known))) if known else quiet


def _lives(
    before: dict[AlarmKind, AlarmLife],
    held: dict[AlarmKind, Condition],
    waves: tuple[PulsesState, ...],
    sample: int,
    fs_hz: float,
    limits: RhythmLimits,
) -> tuple[dict[AlarmKind, AlarmLife], tuple[AlarmChange, ...]]:
    """Let each alarm go on that holds or lasts."""
    alarms, changes = before, []
    for kind in ALARM_KINDS:
        life, condition = before.get(kind, QUIET), held.get(kind, ABSENT)
        if not (life.active or condition.holds):
            continue
        if not life.active and kind in DENIED_BY_STEADY_PULSES:
            condition = ABSENT if pulses.is_steady(waves, sample, fs_hz) else condition
        life, change = live(life, kind, condition, sample, round(limits.clear_s * fs_hz))
        alarms = {**alarms, kind: life}
        if change is not None:
            changes.append(change)
    return alarms, tuple(changes)


def _holding(beats: SeriesState, asked: _Asked) -> list[tuple[AlarmKind, Condition]]:
    """Return which rules over beats hold, of beats the latest of which is fresh: mostly none."""
    fs_hz, limits, usual, lasting = asked
    uneven = "irregular_rhythm" in lasting
    fastest, slowest, fast, slow = (kind in lasting for kind in ASKED_WITH[1:])
    asked_for: list[tuple[AlarmKind, Condition]] = [
        ("extreme_tachycardia", rates.extreme_tachycardia(beats, limits, fs_hz, lasts=fastest)),
        ("extreme_bradycardia", rates.extreme_bradycardia(beats, limits, fs_hz, lasts=slowest)),
        (
            "tachycardia",
            rates.tachycardia(beats, limits, usual, fs_hz, lasts=fast, irregular=uneven),
        ),
        (
            "bradycardia",
            rates.bradycardia(beats, limits, usual, fs_hz, lasts=slow, irregular=uneven),
        ),
        ("pause", rates.pause(beats, limits, irregular=uneven)),
    ]
    if ventricular.may_end_a_run(beats):
        tachycardia = ventricular.ventricular_tachycardia(beats, limits, fs_hz, irregular=uneven)
        run = ventricular.ventricular_run(beats, limits, fs_hz, irregular=uneven)
        asked_for += [("ventricular_tachycardia", tachycardia), ("ventricular_run", run)]
    return [(kind, condition) for kind, condition in asked_for if condition.holds]
