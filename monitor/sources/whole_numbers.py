"""Samples as whole numbers that left their range: 40,000 as int16 is -25,536, a spike downwards.

LSL, and whoever casts in C or numpy, keeps the low bits. No ECG steps by more than half the range
from one sample to the next, so such a step leaves the range, and the next one comes back: what lies
between is missing. A device whose amplifier saturates instead stays at its limit; that is left as
it is, and the segmenter sees it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_WRAPPED_S = 0.5  # outside the range; what lasts longer was a step of the signal itself


class RangeWatch:
    """Tells which samples of one stream lie outside the range of their type.

    Parameters
    ----------
    bits : int
        Of the type: 8, 16 or 32.
    leads : int
        How many.
    fs_hz : float
        Sampling rate.

    Examples
    --------
    >>> watch = RangeWatch(16, 1, 250.0)
    >>> watch.outside(np.array([[30_000, -25_536, -24_000, 31_000]])).tolist()
    [[False, True, True, False]]
    """

    def __init__(self, bits: int, leads: int, fs_hz: float) -> None:
        self._half = 1 << (bits - 1)
        self._most = max(1, round(MOST_WRAPPED_S * fs_hz))
        self._last: list[int | None] = [None] * leads
        self._outside = [0] * leads  # samples in a row
        self.n_outside = 0

    def outside(self, samples: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which samples are not to be believed.

        Parameters
        ----------
        samples : np.ndarray, shape (leads, n), of whole numbers
            As they came; they follow the ones before.
        """
        found = np.zeros(samples.shape, np.bool_)
        for lead, row in enumerate(samples):
            self._look(lead, row.astype(np.int64), found[lead])
        self.n_outside += int(found.sum())
        return found

    def _look(self, lead: int, row: NDArray[np.int64], found: NDArray[np.bool_]) -> None:
        if not len(row):
            return
        last = self._last[lead]
        before = np.concatenate([[row[0] if last is None else last], row[:-1]])
        steps = np.flatnonzero(np.abs(row - before) > self._half).tolist()
        self._last[lead] = int(row[-1])
        if not steps and not self._outside[lead]:
            return
        stepping = set(steps)
        run = self._outside[lead]
        for n in range(len(row)):
            if n in stepping:
                run = 0 if run else 1
            elif run:
                run = run + 1 if run < self._most else 0
            found[n] = run > 0
        self._outside[lead] = run
