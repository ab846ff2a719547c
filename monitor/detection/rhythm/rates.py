"""Too fast, too slow, a beat too late: asked while the latest R peak is fresh. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import copysign, inf

import msgspec

from monitor.alarm_limits import MOST_BEATS, RhythmLimits
from monitor.detection.rhythm.life_cycle import ABSENT, Condition
from monitor.detection.rhythm.signs import Beat

SHORTEST_USUAL_MS = 800.0  # after a fast run the sinus node takes its time: that is no pause
GOOD_SHARE = 0.8  # of a fast rhythm's beats are fit for a verdict, else it may be noise
USUAL_VENTRICULAR = -2.0  # log odds of a usual beat, before the patient's are known
MEDIAN_STEP = 0.02  # log odds a beat
SILENT_S = 0.6  # longer than a QRS complex and its T wave: between two beats of a slow heart
SILENT_SHARE = 0.25  # of a slow rhythm's time; true ones have half, missed beats none
STALE_S = 8.0  # without a beat for so long nothing is known of the rate


class SeriesState(msgspec.Struct, frozen=True):
    """The latest beats, without a hole between them.

    `usual_ventricular` is what the shapes of the patient's usual beats say: a median that moves a
    little with each beat, so that a run of a minute hardly does. `seen` counts all beats so far.
    """

    beats: tuple[Beat, ...] = ()
    usual_ventricular: float = USUAL_VENTRICULAR
    seen: int = 0


def follow(state: SeriesState, beat: Beat) -> SeriesState:
    """Take the next beat in; where the signal before it could not be read, begin anew."""
    kept = () if beat.rr_ms is None else state.beats[1 - MOST_BEATS :]
    usual = state.usual_ventricular
    if beat.ventricular is not None:
        usual += copysign(MEDIAN_STEP, beat.ventricular - usual)
    return SeriesState((*kept, beat), usual, state.seen + 1)


def is_fresh(state: SeriesState, sample: int, fs_hz: float) -> bool:
    """Tell whether the latest beat is recent."""
    return bool(state.beats) and sample - state.beats[-1].r_sample <= STALE_S * fs_hz


def _span(state: SeriesState, n_beats: int, fs_hz: float) -> tuple[int, int] | None:
    """Return the first and the last of the latest R peaks that are known; None of too few."""
    beats = state.beats
    last, after_ms = beats[-1].r_sample, beats[-1].rr_after_ms
    if after_ms is not None:
        n_beats -= 1
        last += round(after_ms * fs_hz / 1000)
    return (beats[-n_beats].r_sample, last) if len(beats) >= n_beats > 0 else None


def too_fast(one: SeriesState, n_beats: int, limit: float, fs_hz: float) -> Condition:
    """Tell whether the last `n_beats` came at more than `limit` a minute, in a good signal."""
    reach = _span(one, n_beats, fs_hz)
    if reach is None or not _of_rate(n_beats, reach, fs_hz) > limit:
        return ABSENT  # nearly always
    beats = one.beats[-n_beats:]
    is_good = sum([beat.judgeable for beat in beats]) >= GOOD_SHARE * len(beats)
    return Condition(True, reach[0]) if is_good else ABSENT


def too_slow(one: SeriesState, n_beats: int, limit: float, fs_hz: float) -> Condition:
    """Tell whether the last `n_beats` came at less than `limit` a minute."""
    reach = _span(one, n_beats, fs_hz)
    if reach is None or not _of_rate(n_beats, reach, fs_hz) < limit:
        return ABSENT  # nearly always
    return Condition(True, reach[0])


def is_silent_between(
    quiet: Sequence[tuple[int, float]], condition: Condition, sample: int
) -> bool:
    """Tell whether the leads fall silent in a slow rhythm; where not, beats were missed.

    `quiet` holds samples, and how long the loudest lead had been quiet there.
    """
    quiet_s = [one for at, one in quiet if condition.since_sample < at <= sample]
    silent = sum(one >= SILENT_S for one in quiet_s)
    return silent >= SILENT_SHARE * len(quiet_s)


def _of_rate(n_beats: int, reach: tuple[int, int], fs_hz: float) -> float:
    return 60.0 * fs_hz * (n_beats - 1) / max(1, reach[1] - reach[0])


def extreme_tachycardia(
    one: SeriesState, limits: RhythmLimits, fs_hz: float, *, lasts: bool = False
) -> Condition:
    """Tell whether 17 beats came at more than 140 a minute (challenge of 2015).

    An alarm that `lasts` ends a little later than it begins, as those of the other rates do.
    """
    limit = limits.extreme_tachycardia_per_minute * (1 - limits.rate_tolerance)
    limit *= 1 - limits.rate_hysteresis * lasts
    return too_fast(one, limits.extreme_tachycardia_beats, limit, fs_hz)


def extreme_bradycardia(
    one: SeriesState, limits: RhythmLimits, fs_hz: float, *, lasts: bool = False
) -> Condition:
    """Tell whether 5 beats came at less than 40 a minute (challenge of 2015)."""
    limit = limits.extreme_bradycardia_per_minute * (1 + limits.rate_tolerance)
    limit *= 1 + limits.rate_hysteresis * lasts
    return too_slow(one, limits.extreme_bradycardia_beats, limit, fs_hz)


def tachycardia(
    one: SeriesState,
    limits: RhythmLimits,
    usual_per_minute: float,
    fs_hz: float,
    *,
    lasts: bool = False,
    irregular: bool = False,
) -> Condition:
    """Tell whether the rate is above the patient's limit; never later than the extreme one.

    `usual_per_minute` is the rate that was learnt; NaN where none was. The mean of a few intervals
    of an `irregular` rhythm wanders about any limit: as many beats as are remembered count there.
    """
    own = 1.2 * usual_per_minute if usual_per_minute == usual_per_minute else 0.0
    limit = min(max(limits.tachycardia_per_minute, own), limits.extreme_tachycardia_per_minute)
    limit *= 1 - limits.rate_hysteresis * lasts
    return too_fast(one, MOST_BEATS if irregular else limits.rate_beats, limit, fs_hz)


def bradycardia(
    one: SeriesState,
    limits: RhythmLimits,
    usual_per_minute: float,
    fs_hz: float,
    *,
    lasts: bool = False,
    irregular: bool = False,
) -> Condition:
    """Tell whether the rate is below the patient's limit; never later than the extreme one.

    As of `tachycardia`, more beats count while the rhythm is `irregular`.
    """
    own = 0.8 * usual_per_minute if usual_per_minute == usual_per_minute else 1e9
    limit = max(min(limits.bradycardia_per_minute, own), limits.extreme_bradycardia_per_minute)
    limit *= 1 + limits.rate_hysteresis * lasts
    return too_slow(one, MOST_BEATS if irregular else limits.rate_beats, limit, fs_hz)


def pause(one: SeriesState, limits: RhythmLimits, *, irregular: bool = False) -> Condition:
    """Tell whether the last beat came much too late.

    While the rhythm is `irregular` no interval is usual, and only the limit in seconds counts.
    """
    beats, late_ms = one.beats, one.beats[-1].rr_ms or 0.0
    limit_ms, ratio = 1000 * limits.pause_s, inf if irregular else limits.pause_ratio
    if late_ms <= min(limit_ms, ratio * SHORTEST_USUAL_MS):
        return ABSENT  # nearly always, and whatever is usual
    if len(beats) < 3 or not beats[-1].judgeable or not beats[-2].judgeable:
        return ABSENT
    before = sorted([beat.rr_ms or 0.0 for beat in beats[1:-1]])
    usual_ms = max(before[len(before) // 2], SHORTEST_USUAL_MS)
    if late_ms <= min(limit_ms, ratio * usual_ms):
        return ABSENT
    return Condition(True, beats[-2].r_sample)
