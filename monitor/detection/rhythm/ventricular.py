"""Ventricular tachycardia and runs: beats in a row that are ventricular by shape, and fast. Pure.

Noise makes beats of strange shape, too, but no two alike: in a run the complexes resemble each
other, and are of one height.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from statistics import fmean, pstdev

from monitor.detection.rhythm.life_cycle import Condition
from monitor.detection.rhythm.limits import RhythmLimits
from monitor.detection.rhythm.rates import SeriesState, is_fresh, per_minute
from monitor.detection.rhythm.signs import Beat

VENTRICULAR = 1.0  # log odds of a beat: it is so nearly three times as likely as not
ALIKE = 0.75  # mean correlation of neighbours in a run
HEIGHT_SPREAD = 0.2  # standard deviation over mean
RR_SPREAD = 0.5
EXCEPTIONS = 1  # beats of five whose shape may say otherwise: the first is often a fusion beat


def ventricular_tachycardia(
    series: Sequence[SeriesState], limits: RhythmLimits, sample: int, fs_hz: float
) -> Condition:
    """Tell whether a detector's last 5 beats were ventricular at over 100 a minute."""
    return _run(
        series, limits.ventricular_tachycardia_beats, EXCEPTIONS, limits, sample, fs_hz
    )


def ventricular_run(
    series: Sequence[SeriesState], limits: RhythmLimits, sample: int, fs_hz: float
) -> Condition:
    """Tell whether the last 3 were."""
    return _run(series, limits.ventricular_run_beats, 0, limits, sample, fs_hz)


def _run(
    series: Sequence[SeriesState],
    n_beats: int,
    exceptions: int,
    limits: RhythmLimits,
    sample: int,
    fs_hz: float,
) -> Condition:
    limit = limits.ventricular_per_minute * (1 - limits.rate_tolerance)
    for one in series:
        beats = one.beats[-n_beats:]
        if len(beats) < n_beats or not is_fresh(one, sample, fs_hz):
            continue
        if per_minute([beat.r_sample for beat in beats], fs_hz) < limit:
            continue
        if sum(beat.ventricular > VENTRICULAR for beat in beats) < n_beats - exceptions:
            continue
        if _are_of_one_kind(beats):
            return Condition(True, beats[0].r_sample)
    return Condition(False)


def _are_of_one_kind(beats: Sequence[Beat]) -> bool:
    """Tell whether the beats look like one focus's, not like noise."""
    alike = [beat.like_last for beat in beats[1:] if isfinite(beat.like_last)]
    if not alike or fmean(alike) < ALIKE:
        return False
    heights = [beat.height_ratio for beat in beats]
    if pstdev(heights) > HEIGHT_SPREAD * fmean(heights):
        return False
    rr = [b.r_sample - a.r_sample for a, b in pairwise(beats)]
    return pstdev(rr) <= RR_SPREAD * fmean(rr)
