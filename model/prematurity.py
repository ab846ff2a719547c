"""How unusual a beat's time is: RR intervals against the patient's own, without labels.

A premature beat of the usual shape is an anomaly too. Its prematurity is the logarithm of its RR
interval over the usual one (the median of the last USUAL_BEATS), in units of the patient's own
spread of that logarithm: 10 % early is much in a regular rhythm and nothing in atrial fibrillation.

    deviation d = -log(RR / usual) / spread          positive is premature, negative late
    factor      = exp(min(evidence, 12) / 4)         1 for a beat in time

The factor multiplies the reconstruction loss in the verdict: evidence of shape and of time are
taken as independent, so their logarithms add. On the even-numbered records of MIT-BIH this ranked
beats better than the larger of the two scores (docs/PATIENTS.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

USUAL_BEATS = 64  # about a minute: a run of premature beats does not become the usual rhythm
MIN_BEATS = 8  # before so many intervals are known, no beat is unusual
MIN_SPREAD = 0.04  # of log(RR / usual): sinus arrhythmia of 4 % is nothing, however regular before
FIRST_SPREAD = 0.05
SPREAD_BEATS = 64.0  # time constant of the spread
CLIPPED_AT = 2.5  # spreads: one far interval widens the spread no more than that
MEAN_TO_SD = 1.25  # of the mean absolute deviation of a normal distribution
IN_TIME = 2.5  # deviations up to which a beat counts as in time
FREE = 1.0  # deviations that weigh nothing
LATE_FROM = math.log(1.5)  # a pause: late by half of the usual interval, more than sinus arrhythmia
MAX_EVIDENCE, PER_E_FOLD = 12.0, 4.0


@dataclass(frozen=True)
class TimingState:
    """What is remembered of the rhythm; the beginning of a stream by default.

    Attributes
    ----------
    intervals_ms : tuple of float
        The last USUAL_BEATS RR intervals.
    spread : float
        Running standard deviation of log(RR / usual), robust.
    before : float
        log(RR / usual) of the beat before.
    before_ms : float
        Its RR interval; 0 where it is not known.
    """

    intervals_ms: tuple[float, ...] = ()
    spread: float = FIRST_SPREAD
    before: float = 0.0
    before_ms: float = 0.0


class Timing(NamedTuple):
    """One beat's time.

    Attributes
    ----------
    deviation : float
        In the patient's spreads; positive is premature, negative late, 0 where nothing is known.
    factor : float
        What the loss is multiplied by in the verdict, 1 to 20.
    """

    deviation: float = 0.0
    factor: float = 1.0

    @property
    def in_time(self) -> bool:
        """Whether the beat comes about when it should."""
        return abs(self.deviation) <= IN_TIME


def follow_rhythm(state: TimingState, rr_before_ms: float) -> tuple[TimingState, Timing]:
    """Judge one beat's RR interval, then learn it.

    Parameters
    ----------
    rr_before_ms : float
        Interval to the beat before; NaN where there is none.
    """
    if not (math.isfinite(rr_before_ms) and rr_before_ms > 0):
        return TimingState(state.intervals_ms, state.spread), Timing()
    intervals_ms = (*state.intervals_ms[1 - USUAL_BEATS :], rr_before_ms)
    if len(state.intervals_ms) < MIN_BEATS:
        return TimingState(intervals_ms, state.spread, 0.0, rr_before_ms), Timing()
    usual_ms = median(state.intervals_ms)
    spread = max(state.spread, MIN_SPREAD)
    excess = _excess(state, rr_before_ms, usual_ms, spread)
    clipped = min(abs(excess), CLIPPED_AT * spread)
    widened = state.spread + (MEAN_TO_SD * clipped - state.spread) / SPREAD_BEATS
    evidence = max(-excess / spread - FREE, (excess - LATE_FROM) / spread, 0.0)
    factor = math.exp(min(evidence, MAX_EVIDENCE) / PER_E_FOLD)
    next_state = TimingState(intervals_ms, widened, excess, rr_before_ms)
    return next_state, Timing(-excess / spread, factor)


def time_all(
    states: Mapping[str, TimingState],
    of: Iterable[tuple[str, int]],
    rr_before_ms: NDArray[np.floating],
    judgeable: NDArray[np.bool_],
) -> tuple[dict[str, TimingState], list[Timing]]:
    """Judge the time of beats of many patients, then learn it: `follow_rhythm` beat by beat.

    Parameters
    ----------
    states : mapping of str to TimingState
        Where each patient is.
    of : iterable of (str, int)
        Whose beats the next rows are, and how many; the same one may come again.
    rr_before_ms : np.ndarray, shape (n,)
        NaN where there is no beat before.
    judgeable : np.ndarray, shape (n,), bool
        The others are passed over.

    Returns
    -------
    dict of str to TimingState
        Where the patients are now.
    list of Timing, length n
    """
    intervals_ms = iter(np.where(judgeable, rr_before_ms, np.nan).tolist())
    after, timings = dict(states), list[Timing]()
    for name, n_beats in of:
        state = after[name]
        for rr_ms in islice(intervals_ms, n_beats):
            state, timing = follow_rhythm(state, rr_ms)
            timings.append(timing)
        after[name] = state
    return after, timings


def _excess(state: TimingState, rr_ms: float, usual_ms: float, spread: float) -> float:
    """Return log(RR / usual); 0 for what a premature beat does to the one behind it.

    After a premature beat the next comes late (compensatory pause), or, where the premature one was
    interpolated, at the time at which it would have come without it.
    """
    excess = math.log(rr_ms / usual_ms)
    if state.before >= -IN_TIME * spread:
        return excess
    since_last_in_time = math.log((state.before_ms + rr_ms) / usual_ms)
    if excess > 0 or abs(since_last_in_time) < IN_TIME * spread:
        return 0.0
    return excess
