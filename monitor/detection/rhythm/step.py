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
from monitor.wire.messages import AlarmKind

T = TypeVar("T")

# A run that begins changes the pulses; one that has lasted long may have made even ones.
DENIED_BY_STEADY_PULSES: tuple[AlarmKind, ...] = ("ventricular_tachycardia", "ventricular_run")


class RhythmState(msgspec.Struct, frozen=True):
    """All that is remembered of one patient; encodes to some KB of JSON."""

    series: tuple[SeriesState, ...] = ()
    intervals: tuple[IrregularState, ...] = ()
    waves: tuple[PulsesState, ...] = ()
    alarms: dict[str, AlarmLife] = {}


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
    series = _of_length(state.series, len(moment.series), SeriesState())
    waves = tuple(
        pulses.follow_pulses(one, signs)
        for one, signs in zip(
            _of_length(state.waves, len(moment.waves), PulsesState()), moment.waves, strict=True
        )
    )
    uneven = state.alarms.get("irregular_rhythm", AlarmLife()).active
    steady = pulses.is_steady(waves, moment.sample, fs_hz)
    intervals = _of_length(state.intervals, len(moment.series), IrregularState())
    held: dict[AlarmKind, Condition] = {}
    for k in range(max((len(beats) for beats in moment.series), default=0)):
        series = tuple(
            rates.follow(one, beats[k]) if k < len(beats) else one
            for one, beats in zip(series, moment.series, strict=True)
        )
        intervals = tuple(
            irregular.follow_intervals(one, beats[k], limits) if k < len(beats) else one
            for one, beats in zip(intervals, moment.series, strict=True)
        )
        for kind, condition in _of_beats(
            series, moment.sample, fs_hz, limits, usual_per_minute, uneven
        ):
            if condition.holds:  # between two moments, too
                held.setdefault(kind, condition)
    fibrillates = fibrillation.fibrillation(moment.leads, waves, limits, moment.sample, fs_hz)
    stands_still = standstill.asystole(moment.leads, waves, limits, moment.sample, fs_hz)
    if fibrillates.holds:  # an oscillation without complexes is no silence
        stands_still = Condition(False)
    for kind, condition in (
        *_of_beats(series, moment.sample, fs_hz, limits, usual_per_minute, uneven),
        ("asystole", stands_still),
        ("ventricular_fibrillation", fibrillates),
        ("irregular_rhythm", irregular.irregular_rhythm(intervals)),
    ):
        held.setdefault(kind, condition)
    alarms = dict(state.alarms)
    changes = []
    for kind, condition in held.items():
        before = alarms.get(kind, AlarmLife())
        if steady and kind in DENIED_BY_STEADY_PULSES and not before.active:
            condition = Condition(False)
        life, change = live(
            before,
            kind,
            condition,
            moment.sample,
            round(limits.clear_s * fs_hz),
        )
        alarms[kind] = life
        if change is not None:
            changes.append(change)
    return RhythmState(series, intervals, waves, alarms), tuple(changes)


def _of_beats(
    series: tuple[SeriesState, ...],
    sample: int,
    fs_hz: float,
    limits: RhythmLimits,
    usual_per_minute: float,
    irregular_now: bool,
) -> tuple[tuple[AlarmKind, Condition], ...]:
    return (
        ("extreme_tachycardia", rates.extreme_tachycardia(series, limits, sample, fs_hz)),
        ("extreme_bradycardia", rates.extreme_bradycardia(series, limits, sample, fs_hz)),
        (
            "ventricular_tachycardia",
            ventricular.ventricular_tachycardia(series, limits, irregular_now, sample, fs_hz),
        ),
        (
            "ventricular_run",
            ventricular.ventricular_run(series, limits, irregular_now, sample, fs_hz),
        ),
        ("tachycardia", rates.tachycardia(series, limits, usual_per_minute, sample, fs_hz)),
        ("bradycardia", rates.bradycardia(series, limits, usual_per_minute, sample, fs_hz)),
        ("pause", rates.pause(series, limits, sample, fs_hz)),
    )


def _of_length(kept: tuple[T, ...], n: int, new: T) -> tuple[T, ...]:
    return (*kept[:n], *(new,) * (n - len(kept)))
