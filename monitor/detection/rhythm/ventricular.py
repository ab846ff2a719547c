"""Ventricular tachycardia and runs: beats in a row that are ventricular, and fast. Pure.

As an implanted defibrillator tells it from a fast sinus rhythm: by shape, by a sudden onset, and by
stability. Noise makes beats of strange shape, too, but no two alike: in a run the complexes
resemble each other, and are of one height.

Source
------
Swerdlow, Brown, Gillberg: Rhythm classification by implantable defibrillators: morphology, sudden
onset and stability; in Ellenbogen and others, Clinical Cardiac Pacing, Defibrillation and
Resynchronization Therapy (2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, pstdev

from monitor.alarm_limits import RhythmLimits
from monitor.detection.rhythm.life_cycle import Condition
from monitor.detection.rhythm.rates import SeriesState, is_fresh, known_r_samples, per_minute
from monitor.detection.rhythm.signs import Beat

# What an early beat adds to the evidence of its shape: fitted as `ventricular_shape` says, and as
# there the classes weigh the same.
PER_SHAPE = 0.82
INTERCEPT = 8.29
PER_INTERVAL = -9.03  # of the usual RR interval
VENTRICULAR = 1.0  # log odds: nearly three times as likely as not
LEAST_SHAPE = 1.5  # mean log odds above the usual beats': early beats of the usual shape are no run
MOST_USUAL = -1.0  # log odds of usual beats; where they are higher, the patient's shapes vary
ALIKE = 0.75  # mean correlation of neighbours in a run
HEIGHT_SPREAD = 0.3  # standard deviation over mean
RR_SPREAD = 0.5  # standard deviation over mean: only noise is as uneven
RR_SPREAD_IRREGULAR = 0.25  # while the atria fibrillate: stability tells a run from fast beats
BEFORE_S = 3.0  # so long before a run another lead's beats are looked at, too
FEWEST_BESIDE = 3
USUAL_LIKE = 0.9  # correlation with the beat before
SLOWER = 1.3  # RR intervals over the run's: no detector of the same beats
EVEN = 0.3  # spread of the intervals over their mean
EXCEPTIONS = 1  # beat of five, between others, whose shape may say otherwise


def ventricular_tachycardia(
    series: Sequence[SeriesState],
    limits: RhythmLimits,
    irregular: bool,
    sample: int,
    fs_hz: float,
) -> Condition:
    """Tell whether a detector's last 5 beats were ventricular at over 100 a minute.

    `irregular` tells whether the rhythm is irregular anyway: atrial fibrillation.
    """
    n_beats = limits.ventricular_tachycardia_beats
    return _run(series, n_beats, EXCEPTIONS, limits, irregular, sample, fs_hz)


def ventricular_run(
    series: Sequence[SeriesState],
    limits: RhythmLimits,
    irregular: bool,
    sample: int,
    fs_hz: float,
) -> Condition:
    """Tell whether the last 3 were."""
    n_beats = limits.ventricular_run_beats
    return _run(series, n_beats, 0, limits, irregular, sample, fs_hz)


def _are_ventricular(
    beats: Sequence[Beat], excess: float, irregular: bool, exceptions: int
) -> bool:
    """Tell whether the first beat, the last and most between are ventricular."""
    marks = []
    for beat in beats:
        if beat.ventricular is None:
            marks.append(False)
        elif irregular:  # early beats come by chance
            marks.append(beat.ventricular - excess > VENTRICULAR)
        else:
            marks.append(odds(beat.ventricular, beat.rr_over_usual, excess) > VENTRICULAR)
    return marks[0] and marks[-1] and marks.count(False) <= exceptions


def odds(shape: float, rr_over_usual: float, excess: float = 0.0) -> float:
    """Return the evidence of shape and time that a beat is ventricular, log odds.

    `excess` is what even the usual beats of the patient say above what others' do.
    """
    return PER_SHAPE * (shape - excess) + INTERCEPT + PER_INTERVAL * min(rr_over_usual, 1.0)


def _run(
    series: Sequence[SeriesState],
    n_beats: int,
    exceptions: int,
    limits: RhythmLimits,
    irregular: bool,
    sample: int,
    fs_hz: float,
) -> Condition:
    rr_spread = RR_SPREAD_IRREGULAR if irregular else RR_SPREAD
    limit = limits.ventricular_per_minute * (1 - limits.rate_tolerance)
    for one in series:
        beats = one.beats[-n_beats:]
        if len(beats) < n_beats or not is_fresh(one, sample, fs_hz):
            continue
        if per_minute([beat.r_sample for beat in beats], fs_hz) < limit:
            continue
        excess = max(0.0, one.usual_ventricular - MOST_USUAL)
        if not _are_ventricular(beats, excess, irregular, exceptions):
            continue
        shapes = [beat.ventricular for beat in beats if beat.ventricular is not None]
        if fmean(shapes) - one.usual_ventricular < LEAST_SHAPE or not _are_of_one_kind(
            beats, rr_spread
        ):
            continue
        others = [other for other in series if other is not one]
        if not any(_goes_on_as_usual(other, beats, fs_hz) for other in others):
            return Condition(True, beats[0].r_sample)
    return Condition(False)


def _goes_on_as_usual(other: SeriesState, run: Sequence[Beat], fs_hz: float) -> bool:
    """Tell whether another lead's detector shows good, even, slower beats during the run."""
    first, last = run[0].r_sample, run[-1].r_sample
    start = first - round(BEFORE_S * fs_hz)
    beats = [beat for beat in other.beats if start <= beat.r_sample <= last]
    r_samples = [r for r in known_r_samples(other, fs_hz) if start <= r]
    if len(r_samples) < FEWEST_BESIDE or 2 * r_samples[-1] < first + last:
        return False
    if not all(beat.judgeable and (beat.like_last or 0.0) >= USUAL_LIKE for beat in beats):
        return False
    rr = [b - a for a, b in pairwise(r_samples)]
    slower = fmean(rr) > SLOWER * (last - first) / (len(run) - 1)
    return slower and max(rr) - min(rr) < EVEN * fmean(rr)


def _are_of_one_kind(beats: Sequence[Beat], rr_spread: float) -> bool:
    """Tell whether the beats look like one focus's, not like noise."""
    alike = [beat.like_last for beat in beats[1:] if beat.like_last is not None]
    if not alike or fmean(alike) < ALIKE:
        return False
    heights = [beat.height_ratio for beat in beats]
    if pstdev(heights) > HEIGHT_SPREAD * fmean(heights):
        return False
    rr = [b.r_sample - a.r_sample for a, b in pairwise(beats)]
    return pstdev(rr) <= rr_spread * fmean(rr)
