"""Irregular rhythm: fibrillation of the atria makes RR intervals irregularly irregular. Pure.

The measure is the coefficient of sample entropy of the last 64 RR intervals: how surprising an
interval is after the one before it. Ectopic beats, also many, repeat themselves: their intervals
are pairs of early and late ones; breathing is slow; fibrillation is neither.

Source
------
Lake, Moorman: Accurate estimation of entropy in very short physiological time series: the problem
of atrial fibrillation detection in implanted ventricular devices. Am J Physiol Heart Circ Physiol
300 (2011) H319-H325. Departures: 64 intervals instead of 12, since a bedside monitor has a minute;
so the limit is another one; the intervals before and behind a ventricular beat are left out, or
frequent ones of every kind would pass for fibrillation.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import msgspec
import numpy as np

from monitor.alarm_limits import RhythmLimits
from monitor.detection.rhythm.life_cycle import ABSENT, Condition
from monitor.detection.rhythm.signs import Beat

FIRST_TOLERANCE_MS = 30.0  # Lake 2011
WIDER = 1.3  # the tolerance grows until there are enough matches
MOST_WIDENINGS = 11
FEWEST_MATCHES = 5  # Lake 2011
BEGINS_ABOVE = -0.6  # of the coefficient; chosen on MIT-BIH, where 201 and 203 fibrillate
ENDS_BELOW = -0.75
GOOD_SHARE = 0.9  # of the beats are fit for a verdict: noise is irregular, too
EVERY_BEATS = 4  # the measure takes 30 us
VENTRICULAR_ABOVE = 0.5  # log odds above those of the usual beats, and above 0
UNLIKE = 0.8  # correlation with the usual beats: those of a fast rhythm are wider, but alike


class IrregularState(msgspec.Struct, frozen=True):
    """The latest RR intervals, between beats that are not ventricular."""

    rr_ms: tuple[float, ...] = ()
    judgeable: tuple[bool, ...] = ()
    beats: int = 0
    entropy: float | None = None
    holds: bool = False
    since_sample: int = 0
    after_ventricular: bool = False


def follow_intervals(
    state: IrregularState, beat: Beat, usual_ventricular: float, limits: RhythmLimits
) -> IrregularState:
    """Take the next beat in; measure now and then.

    `usual_ventricular` is what the shapes of the patient's usual beats say.
    """
    n = limits.irregular_beats
    is_ventricular = _is_ventricular(beat, usual_ventricular)
    left_out = is_ventricular or state.after_ventricular
    if left_out or beat.rr_ms is None:  # there is a hole before it, which is no interval
        if is_ventricular == state.after_ventricular:
            return state
        return msgspec.structs.replace(state, after_ventricular=is_ventricular)
    rr_ms = (*state.rr_ms[1 - n :], beat.rr_ms)
    judgeable = (*state.judgeable[1 - n :], beat.judgeable)
    beats = state.beats + 1
    state = IrregularState(rr_ms, judgeable, beats, state.entropy, state.holds, state.since_sample)
    if len(rr_ms) < n or beats % EVERY_BEATS:
        return state
    if sum(judgeable) < GOOD_SHARE * n:
        return msgspec.structs.replace(state, entropy=None, holds=False)
    entropy = coefficient_of_sample_entropy(rr_ms)
    holds = entropy > (ENDS_BELOW if state.holds else BEGINS_ABOVE)
    since = state.since_sample if state.holds else beat.r_sample
    return msgspec.structs.replace(state, entropy=entropy, holds=holds, since_sample=since)


def _is_ventricular(beat: Beat, usual_ventricular: float) -> bool:
    odds = beat.ventricular
    if odds is None or beat.correlation >= UNLIKE:
        return False
    return odds > max(0.0, usual_ventricular + VENTRICULAR_ABOVE)


def irregular_rhythm(state: IrregularState) -> Condition:
    """Tell whether the intervals are irregular."""
    return Condition(True, state.since_sample) if state.holds else ABSENT


def coefficient_of_sample_entropy(rr_ms: Sequence[float]) -> float:
    """Return the coefficient of sample entropy of RR intervals (Lake 2011), m = 1.

    Sample entropy, with a tolerance wide enough for five matches, made a density by adding the
    logarithm of the tolerance's width, less that of the mean interval.

    Examples
    --------
    Breathing, and intervals drawn by chance.

    >>> import numpy as np
    >>> breathing = 800 + 40 * np.sin(np.arange(64) / 2)
    >>> chance = 800 + 150 * np.random.default_rng(0).standard_normal(64)
    >>> round(coefficient_of_sample_entropy(breathing), 1)
    -2.3
    >>> round(coefficient_of_sample_entropy(chance), 1)
    -0.5
    """
    rr = np.asarray(rr_ms, np.float64)
    apart = np.abs(rr[:, None] - rr[None, :])
    tolerance_ms = FIRST_TOLERANCE_MS
    for widening in range(MOST_WIDENINGS + 1):
        near = apart <= tolerance_ms
        pairs = near[:-1, :-1]  # each twice, and each interval with itself
        n_pairs = (int(np.count_nonzero(pairs)) - len(pairs)) // 2
        n_followed = (int(np.count_nonzero(pairs & near[1:, 1:])) - len(pairs)) // 2
        if n_followed >= FEWEST_MATCHES or widening == MOST_WIDENINGS:
            break
        tolerance_ms *= WIDER
    entropy = -log(max(n_followed, 0.5) / max(n_pairs, 1))
    return entropy + log(2 * tolerance_ms) - log(float(rr.mean()))
