"""Ventricular tachycardia and runs: beats in a row that are ventricular, and fast. Pure.

As an implanted defibrillator tells it from a fast sinus rhythm: by shape, by a sudden onset, and by
stability. Noise makes beats of strange shape, too, but no two alike: in a run the complexes
resemble each other, are of one height, and make the signal an oscillation.

What each of these is worth was weighed by a logistic regression with signs given beforehand
(`tools/fit_ventricular.py`, docs/ALARMS.md).

Source
------
Swerdlow, Brown, Gillberg: Rhythm classification by implantable defibrillators: morphology, sudden
onset and stability; in Ellenbogen and others, Clinical Cardiac Pacing, Defibrillation and
Resynchronization Therapy (2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import log
from statistics import fmean, median, pstdev
from typing import NamedTuple

from monitor.alarm_limits import RhythmLimits
from monitor.detection.rhythm.life_cycle import ABSENT, Condition
from monitor.detection.rhythm.rates import SeriesState
from monitor.detection.rhythm.signs import Beat

FEWEST_BEFORE = 16  # beats before a run: until then nothing is usual that it could be unlike
FEWEST_SHAPES = 3  # of a run's beats whose shape is known
SHORTEST_MS, LONGEST_MS = 300.0, 2000.0  # usual RR intervals that are believed
LEAST_EDGE = 0.1  # log odds of the first and the last beat above usual: a run begins and ends so
MOST_SHAPE, LEAST_UNLIKE, MOST_FASTER = 4.0, 0.02, 0.5  # none of these says it alone
LEAST_HEIGHT = 0.05  # of the usual: lower is none


class RunMeasures(NamedTuple):
    """What a run looks like; each is a mean over its beats, and over the leads.

    Attributes
    ----------
    shape : float
        Log odds of the shapes, above those of the patient's usual beats; 4 at most.
    unlike : float
        Logarithm of 1 less the correlation with the patient's usual shape.
    alike : float
        Correlation of neighbours.
    height : float
        Logarithm of the height over that of usual beats: noise is higher.
    height_spread : float
        Standard deviation over mean.
    faster : float
        Logarithm of the rate over the usual one, 0.5 at most: what is faster still may be noise.
    unstable : float
        Standard deviation of the intervals over their mean.
    tonal : float
        Share of the power at one frequency and its double.
    good : float
        Share of beats and leads whose signal was good.
    irregular : float
        1 while the rhythm is irregular anyway, as in fibrillation of the atria; else 0.
    """

    shape: float
    unlike: float
    alike: float
    height: float
    height_spread: float
    faster: float
    unstable: float
    tonal: float
    good: float
    irregular: float


SIGNS = RunMeasures(1, 1, 1, -1, -1, 1, -1, 1, 1, -1)  # what each can say of a run
WEIGHTS = RunMeasures(1.00, 0.50, 1.17, -1.59, -2.84, 5.33, -5.50, 6.04, 3.06, -1.00)
INTERCEPT = -9.19


def may_end_a_run(one: SeriesState) -> bool:
    """Tell whether the last beat may be ventricular: nearly never."""
    shape = one.beats[-1].ventricular
    return shape is None or shape - one.usual_ventricular >= LEAST_EDGE


def ventricular_tachycardia(
    one: SeriesState, limits: RhythmLimits, fs_hz: float, *, irregular: bool
) -> Condition:
    """Tell whether the last 5 beats were ventricular at over 100 a minute.

    `irregular` tells whether the rhythm is irregular anyway: atrial fibrillation.
    """
    return _run(one, limits.ventricular_tachycardia_beats, limits, fs_hz, irregular)


def ventricular_run(
    one: SeriesState, limits: RhythmLimits, fs_hz: float, *, irregular: bool
) -> Condition:
    """Tell whether the last 3 were."""
    return _run(one, limits.ventricular_run_beats, limits, fs_hz, irregular)


def _run(
    one: SeriesState, n_beats: int, limits: RhythmLimits, fs_hz: float, irregular: bool
) -> Condition:
    measures = run_measures(one, n_beats, limits, irregular, fs_hz)
    if measures is None or not log_odds_of_run(measures) > 0:
        return ABSENT
    return Condition(True, one.beats[-n_beats].r_sample)


def run_measures(
    one: SeriesState, n_beats: int, limits: RhythmLimits, irregular: bool, fs_hz: float
) -> RunMeasures | None:
    """Measure the last beats; None where they can be no run."""
    beats = one.beats[-n_beats:]
    limit = limits.ventricular_per_minute * (1 - limits.rate_tolerance)
    if len(beats) < n_beats or one.seen < n_beats + FEWEST_BEFORE:
        return None
    rr_ms = [1000 * (b.r_sample - a.r_sample) / fs_hz for a, b in pairwise(beats)]
    usual_ms = _usual_ms(beats)
    if not 0 < fmean(rr_ms) <= 60000 / limit or max(rr_ms) > max(usual_ms, 60000 / limit):
        return None  # early beats in pairs are no run: it has no pause
    shapes = [beat.ventricular for beat in beats if beat.ventricular is not None]
    if len(shapes) < FEWEST_SHAPES:
        return None
    edges = [beat.ventricular for beat in (beats[0], beats[-1]) if beat.ventricular is not None]
    if edges and min(edges) - one.usual_ventricular < LEAST_EDGE:
        return None
    alike = [beat.like_last for beat in beats[1:] if beat.like_last is not None]
    height = max(fmean(beat.height_ratio for beat in beats), LEAST_HEIGHT)
    return RunMeasures(
        shape=min(fmean(shapes) - one.usual_ventricular, MOST_SHAPE),
        unlike=log(max(1 - fmean(beat.correlation for beat in beats), LEAST_UNLIKE)),
        alike=fmean(alike) if alike else 0.0,
        height=log(height),
        height_spread=_height_spread(beats),
        faster=min(log(usual_ms / fmean(rr_ms)), MOST_FASTER),
        unstable=pstdev(rr_ms) / fmean(rr_ms),
        tonal=beats[-1].tonal_share,
        good=fmean(beat.good_share for beat in beats),
        irregular=float(irregular),
    )


def log_odds_of_run(measures: RunMeasures) -> float:
    """Return the evidence that a run is ventricular: above 0 it is told."""
    weighted = zip(WEIGHTS, measures, strict=True)
    return INTERCEPT + sum(weight * value for weight, value in weighted)


def _height_spread(beats: Sequence[Beat]) -> float:
    """Return how unlike in height beats are, mean over the leads in which that is known."""
    rows = [beat.lead_heights or (beat.height_ratio,) for beat in beats]
    spreads = []
    for lead in zip(*rows, strict=False):
        heights = [height for height in lead if height is not None]
        if len(heights) >= FEWEST_SHAPES:
            spreads.append(pstdev(heights) / max(fmean(heights), LEAST_HEIGHT))
    return fmean(spreads) if spreads else 0.0


def _usual_ms(beats: Sequence[Beat]) -> float:
    """Return the patient's usual RR interval when a run began."""
    usual = [
        beat.rr_ms / beat.rr_over_usual
        for beat in beats
        if beat.rr_ms is not None and beat.rr_over_usual > 0
    ]
    return min(max(median(usual), SHORTEST_MS), LONGEST_MS)
