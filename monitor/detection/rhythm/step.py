"""All named alarms of one patient: `(state, moment) -> (state, changes)`; no clock, no model."""

from __future__ import annotations

from math import nan
from typing import TypeVar

import msgspec

from monitor.alarm_limits import RhythmLimits
from monitor.detection.rhythm import fibrillation, irregular, pulses, rates, standstill, ventricular
from monitor.detection.rhythm.irregular import IrregularState
from monitor.detection.rhythm.life_cycle import AlarmChange, AlarmLife, Condition, live
from monitor.detection.rhythm.pulses import PulsesState
from monitor.detection.rhythm.rates import SeriesState
from monitor.detection.rhythm.signs import RhythmMoment
from monitor.wire.messages import ALARM_KINDS, AlarmKind

T = TypeVar("T")
QUIET, ABSENT = AlarmLife(), Condition(False)

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

    series: tuple[SeriesState, ...] = ()
    intervals: tuple[IrregularState, ...] = ()
    waves: tuple[PulsesState, ...] = ()
    alarms: dict[AlarmKind, AlarmLife] = {}
    at_rest: tuple[float, ...] = ()
    quiet: tuple[tuple[int, float], ...] = ()


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
    series = _of_length(state.series, len(moment.series), SeriesState())
    intervals = _of_length(state.intervals, len(moment.series), IrregularState())
    waves = tuple(
        pulses.follow_pulses(one, signs)
        for one, signs in zip(
            _of_length(state.waves, len(moment.waves), PulsesState()), moment.waves, strict=True
        )
    )
    lasting = tuple(kind for kind in ASKED_WITH if state.alarms.get(kind, QUIET).active)
    held: dict[AlarmKind, Condition] = {}
    n_beats = max(map(len, moment.series), default=0)
    for k in range(n_beats):
        intervals = tuple(
            irregular.follow_intervals(one, beats[k], of.usual_ventricular, limits)
            if k < len(beats)
            else one
            for one, of, beats in zip(intervals, series, moment.series, strict=True)
        )
        series = tuple(
            rates.follow(one, beats[k]) if k < len(beats) else one
            for one, beats in zip(series, moment.series, strict=True)
        )
        for kind, condition in _of_beats(series, sample, fs_hz, limits, usual_per_minute, lasting):
            if condition.holds:  # between two moments, too
                held.setdefault(kind, condition)
    usual = usual_per_minute if usual_per_minute == usual_per_minute else 0.0
    fresh = (float(rates.is_fresh(one, sample, fs_hz)) for one in series)
    asked = (*(float(kind in lasting) for kind in ASKED_WITH), usual, *fresh)
    if not n_beats and asked != state.at_rest:
        for kind, condition in _of_beats(series, sample, fs_hz, limits, usual_per_minute, lasting):
            held[kind] = condition
    at_rest = () if any(condition.holds for condition in held.values()) else asked
    quiet = _with_quiet(state.quiet, moment)
    for kind in SLOW:
        condition = held.get(kind, ABSENT)
        if condition.holds and not rates.is_silent_between(quiet, condition, sample):
            held[kind] = ABSENT
    held["irregular_rhythm"] = irregular.irregular_rhythm(intervals)
    fibrillates = fibrillation.fibrillation(moment.leads, waves, sample, fs_hz)
    held["ventricular_fibrillation"] = fibrillates
    if not fibrillates.holds:  # an oscillation without complexes is no silence
        held["asystole"] = standstill.asystole(moment.leads, waves, limits, sample, fs_hz)
    alarms, changes = _lives(state.alarms, held, waves, sample, fs_hz, limits)
    return RhythmState(series, intervals, waves, alarms, at_rest, quiet), changes


def _with_quiet(
    quiet: tuple[tuple[int, float], ...], moment: RhythmMoment
) -> tuple[tuple[int, float], ...]:
    """Take in how long the loudest readable lead has been quiet, where that is known."""
    known = [lead.quiet_s for lead in moment.leads if lead.readable and lead.quiet_s > 0]
    return (*quiet[1 - QUIET_KEPT :], (moment.sample, min(known))) if known else quiet


def _lives(
    before: dict[AlarmKind, AlarmLife],
    held: dict[AlarmKind, Condition],
    waves: tuple[PulsesState, ...],
    sample: int,
    fs_hz: float,
    limits: RhythmLimits,
) -> tuple[dict[AlarmKind, AlarmLife], tuple[AlarmChange, ...]]:
    """Let each alarm go on; nearly always none holds and none lasts."""
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


def _of_beats(
    series: tuple[SeriesState, ...],
    sample: int,
    fs_hz: float,
    limits: RhythmLimits,
    usual_per_minute: float,
    lasting: tuple[AlarmKind, ...],
) -> tuple[tuple[AlarmKind, Condition], ...]:
    at, usual = (sample, fs_hz), usual_per_minute
    uneven = "irregular_rhythm" in lasting
    fastest, slowest, fast, slow = (kind in lasting for kind in ASKED_WITH[1:])
    return (
        ("extreme_tachycardia", rates.extreme_tachycardia(series, limits, *at, lasts=fastest)),
        ("extreme_bradycardia", rates.extreme_bradycardia(series, limits, *at, lasts=slowest)),
        (
            "ventricular_tachycardia",
            ventricular.ventricular_tachycardia(series, limits, uneven, *at),
        ),
        ("ventricular_run", ventricular.ventricular_run(series, limits, uneven, *at)),
        (
            "tachycardia",
            rates.tachycardia(series, limits, usual, *at, lasts=fast, irregular=uneven),
        ),
        (
            "bradycardia",
            rates.bradycardia(series, limits, usual, *at, lasts=slow, irregular=uneven),
        ),
        ("pause", rates.pause(series, limits, *at, irregular=uneven)),
    )


def _of_length(kept: tuple[T, ...], n: int, new: T) -> tuple[T, ...]:
    return (*kept[:n], *(new,) * (n - len(kept)))
