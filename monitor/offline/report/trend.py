"""Heart rate and RR intervals over a night, from its beats. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from segmenter.beat import Beats

MOST_BINS = 300  # across the page: two pixels each
BIN_S = (10, 15, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600)
MIN_BEATS = 3  # of a bin that has a rate
CELLS = 60  # of RR intervals, from the lowest to the highest drawn
SHORTEST_MS, LONGEST_MS = 200.0, 3000.0  # what is drawn at most: 300 to 20 beats a minute
BAND = (5, 50, 95)  # percentiles of the rate


@dataclass(frozen=True, eq=False)
class RhythmTrend:
    """A night's rhythm in bins of equal length.

    Attributes
    ----------
    bin_s : float
    rate_bpm : np.ndarray, shape (bins, 3)
        5th, 50th and 95th percentile of 60,000 / RR; NaN where there are too few beats.
    density : np.ndarray, shape (CELLS, bins), int
        How many RR intervals lie in each cell, the shortest first.
    shortest_ms, longest_ms : float
        Bounds of the cells.
    n_intervals : int
    """

    bin_s: float
    rate_bpm: NDArray[np.float64]
    density: NDArray[np.int32]
    shortest_ms: float
    longest_ms: float
    n_intervals: int

    @property
    def is_empty(self) -> bool:
        """Whether no bin has a rate."""
        return not bool(np.isfinite(self.rate_bpm).any())

    @property
    def median_bpm(self) -> float:
        """The median of the bins' medians; of no bin NaN."""
        known = self.rate_bpm[np.isfinite(self.rate_bpm[:, 1]), 1]
        return float(np.median(known)) if len(known) else float("nan")


def bin_length_s(length_s: float) -> float:
    """Return how long a bin is, so that the signal has 300 at most."""
    return float(next((one for one in BIN_S if length_s <= MOST_BINS * one), length_s / MOST_BINS))


def rhythm_trend(
    at_s: NDArray[np.float64], rr_ms: NDArray[np.float64], length_s: float
) -> RhythmTrend:
    """Return the trend of RR intervals.

    Parameters
    ----------
    at_s, rr_ms : np.ndarray, shape (n,)
        When each interval ended, from the signal's beginning, and its length; NaN or absurd
        lengths are left out.
    length_s : float
        Of the signal.
    """
    bin_s = bin_length_s(length_s)
    n_bins = max(1, int(np.ceil(length_s / bin_s)))
    good = (rr_ms >= SHORTEST_MS) & (rr_ms <= LONGEST_MS) & (at_s >= 0) & (at_s <= length_s)
    at_s, rr_ms = at_s[good], rr_ms[good]
    bins = np.minimum((at_s / bin_s).astype(np.int64), n_bins - 1)
    shortest, longest = _bounds_ms(rr_ms)
    places = np.floor((rr_ms - shortest) / (longest - shortest) * CELLS).astype(np.int64)
    density = np.zeros((CELLS, n_bins), np.int32)
    np.add.at(density, (np.clip(places, 0, CELLS - 1), bins), 1)
    rate = np.full((n_bins, 3), np.nan)
    order = np.argsort(bins, kind="stable")
    edges = np.searchsorted(bins[order], np.arange(n_bins + 1))
    rates = 60_000.0 / rr_ms[order]
    for place, (start, stop) in enumerate(pairwise(edges.tolist())):
        if stop - start >= MIN_BEATS:
            rate[place] = np.percentile(rates[start:stop], BAND)
    return RhythmTrend(bin_s, rate, density, shortest, longest, len(rr_ms))


def intervals_of(beats: Beats, fs_hz: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return when the RR intervals of readable beats ended, in seconds, and their lengths in ms."""
    good = beats.judgeable
    return beats.r_sample[good] / fs_hz, beats.rr_before_ms[good].astype(np.float64)


def intervals_of_kept(
    samples: Sequence[int], fs_hz: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return when the RR intervals of beats kept beside alerts ended, and their lengths.

    A journal keeps ten beats on either side of an alert. Where none was kept between two stretches
    the step is longer than an interval can be, and is left out by `rhythm_trend`.
    """
    at = np.unique(np.asarray(samples, np.float64))
    return at[1:] / fs_hz, np.diff(at) * (1000.0 / fs_hz)


def _bounds_ms(rr_ms: NDArray[np.float64]) -> tuple[float, float]:
    """Return bounds at hundreds of ms that hold all but the outermost 1 in 500 on either side."""
    if not len(rr_ms):
        return 400.0, 1200.0
    low, high = np.percentile(rr_ms, [0.2, 99.8])
    shortest, longest = 100 * np.floor(low / 100), 100 * np.ceil(high / 100)
    return float(shortest), float(max(longest, shortest + 200))
