"""All leads' last ten seconds as a view draws them: no I/O."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

WAVE_FS_HZ = 125.0
WAVE_S = 10.0  # what a view can show
MOST_VALUES = 4096  # that a message may carry, of a stream of any rate


class RecentSignal:
    """The newest samples of a stream, thinned to about 125 Hz: 5 KB a lead.

    Thinned on a grid that is fixed in the record, so that stretches join whenever they are taken.

    Parameters
    ----------
    fs_hz : float
        Of the stream.
    samples : np.ndarray, shape (leads, n), float32
        Millivolts at the stream's rate, the newest last; NaN is missing.
    position : int
        Sample of the record after the last one.

    Examples
    --------
    >>> recent = RecentSignal(250.0, np.arange(4, dtype=np.float32)[None], position=4)
    >>> first, values = recent.since(0)
    >>> first, values.tolist()
    (0, [[0.0, 2.0]])
    """

    def __init__(self, fs_hz: float, samples: NDArray[np.float32], position: int) -> None:
        self.every = max(1, round(fs_hz / WAVE_FS_HZ))
        self.fs_hz = fs_hz / self.every
        start = position - samples.shape[1]
        self._end = -(-position // self.every)  # in steps of `every` samples
        thinned = samples[:, -start % self.every :: self.every]
        self._values = thinned[:, -min(MOST_VALUES, math.ceil(WAVE_S * self.fs_hz)) :].copy()

    def since(self, sample: int) -> tuple[int, NDArray[np.float32]]:
        """Return what is kept from a sample of the record on: its first sample, and the values.

        Returns
        -------
        first : int
            Sample of the record of the first value; the others are `every` samples apart.
        values : np.ndarray, shape (leads, n), float32
            Millivolts, oldest first; NaN where the signal is missing.
        """
        first = max(self._end - self._values.shape[1], -(-sample // self.every))
        if first >= self._end:
            return max(sample, 0), self._values[:, :0]
        return first * self.every, self._values[:, first - self._end :]
