"""All leads' last ten seconds as a view draws them, kept for views that come later: no I/O."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

WAVE_FS_HZ = 125.0
WAVE_S = 10.0  # what a view can show
MOST_VALUES = 4096  # that a message may carry, of a stream of any rate


class RecentSignal:
    """The newest samples of a stream, thinned to about 125 Hz: 5 KB a lead.

    Thinned on a grid that is fixed in the record, so that stretches join whatever the blocks.

    Parameters
    ----------
    fs_hz : float
        Of the stream.
    leads : int

    Examples
    --------
    >>> recent = RecentSignal(fs_hz=250.0)
    >>> recent.add(np.arange(4, dtype=np.float32)[None], position=4)
    >>> first, values = recent.since(0)
    >>> first, values.tolist()
    (0, [[0.0, 2.0]])
    """

    def __init__(self, fs_hz: float, leads: int = 1) -> None:
        self.every = max(1, round(fs_hz / WAVE_FS_HZ))
        self.fs_hz = fs_hz / self.every
        self._capacity = min(MOST_VALUES, math.ceil(WAVE_S * self.fs_hz))
        self._ring: NDArray[np.float32] = np.full((leads, self._capacity), np.nan, np.float32)
        self._first = self._end = -1  # of the values received, in steps of `every` samples

    def add(self, samples: NDArray[np.float32], position: int) -> None:
        """Take in what is new of the stream; what is missing before it is NaN.

        Parameters
        ----------
        samples : np.ndarray, shape (leads, n), float32
            Millivolts at the stream's rate; NaN is a gap.
        position : int
            Sample of the record after the last one.
        """
        every, n_ring = self.every, self._capacity
        start = position - samples.shape[1]
        first = -(-start // every)
        thinned = samples[:, first * every - start :: every]
        if first != self._end:
            self._pass_over(first)
        n = thinned.shape[1]
        place, self._end = first % n_ring, first + n
        if place + n <= n_ring:  # nearly always
            self._ring[:, place : place + n] = thinned
        else:
            kept = thinned[:, -n_ring:]
            self._ring[:, np.arange(self._end - kept.shape[1], self._end) % n_ring] = kept

    def _pass_over(self, first: int) -> None:
        """Go on at another place than the last value's: what lies between is missing."""
        if self._end < 0 or first < self._end:  # the stream begins, or begins anew
            self._first = first
            return
        lost = np.arange(max(self._end, first - self._capacity), first)
        self._ring[:, lost % self._capacity] = np.nan

    def since(self, sample: int) -> tuple[int, NDArray[np.float32]]:
        """Return what is kept from a sample of the record on: its first sample, and the values.

        Returns
        -------
        first : int
            Sample of the record of the first value; the others are `every` samples apart.
        values : np.ndarray, shape (leads, n), float32
            Millivolts, oldest first; NaN where the signal is missing.
        """
        first = max(self._first, self._end - self._capacity, -(-sample // self.every))
        if self._end < 0 or first >= self._end:
            return max(sample, 0), np.empty((len(self._ring), 0), np.float32)
        return first * self.every, self._ring[:, np.arange(first, self._end) % self._capacity]
