"""From the signal around an R peak to a beat of fixed length, standardised.

A window [start, stop) of length T = stop - start samples becomes `length` values. Value k is the
signal at t_k = start + k T / length, read with a triangle of half-width w = max(1, T / length):

    value_k = sum_j x_j tri((t_k - j) / w) / sum_j tri((t_k - j) / w),    tri(u) = max(0, 1 - |u|)

Where the window has fewer samples than the beat, w = 1 and this is linear interpolation. Where it
has more (360 Hz, RR 1 s: 360 samples for 140), the triangle is as wide as the new spacing: a
linear-phase low-pass, 8 dB down at the new Nyquist frequency and zero at the new sampling rate, so
that little is aliased and no wave is shifted. Nothing else is filtered: the beat keeps its baseline
and its form. The 140 samples of a window of 140 come back as they were.

The values are then standardised to mean 0 and standard deviation 1 (n - 1), as ECG5000's are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmenter.beat import Window

MAX_WINDOW_S = 3.0  # RR of 20 beats a minute; longer holds no single beat
# Of the typical RR interval, in the window of that name: from the P wave to the end of T (QT is
# about 0.4 of RR), and short of the QRS of a beat that comes early.
BEFORE_R, AFTER_R = 0.40, 0.55


def window_samples(
    kind: Window, previous_r: int | None, r: int, next_r: int | None, typical_rr: float
) -> tuple[float, float]:
    """Return the window [start, stop) of a beat, in samples.

    A neighbour that is missing (the stream's first beat, a pause, a gap) is taken to be as far away
    as the other one; with neither, the window is empty. So it is with a typical RR of 0.
    """
    if kind == "typical":
        return r - BEFORE_R * typical_rr, r + AFTER_R * typical_rr
    after = next_r - r if next_r is not None else r - previous_r if previous_r is not None else 0
    if kind == "rr":
        return float(r), float(r + after)
    before = r - previous_r if previous_r is not None else after
    return r - before / 2, r + after / 2


class Windows(NamedTuple):
    """Windows of n beats in a signal, which may be many patients' signals end to end.

    A window is whole and fraction apart, so that its beat is the same to the bit wherever in the
    signal it lies.
    """

    origin: NDArray[np.int64]  # index of the sample at or before the start
    fraction: NDArray[np.float64]  # of a sample, from there to the start
    span: NDArray[np.float64]  # samples
    first: NDArray[np.int64]  # index of the first sample that may be read
    last: NDArray[np.int64]  # and of the last one

    @classmethod
    def of(
        cls,
        start: NDArray[np.float64],
        stop: NDArray[np.float64],
        moved: NDArray[np.int64],
        first: NDArray[np.int64],
        last: NDArray[np.int64],
    ) -> Windows:
        """Return the windows [start, stop) of streams whose sample 0 has index `moved`."""
        whole = np.floor(start)
        return cls(whole.astype(np.int64) + moved, start - whole, stop - start, first, last)

    def chosen(self, which: NDArray[np.bool_]) -> Windows:
        """Return some of the windows."""
        return Windows(
            self.origin[which],
            self.fraction[which],
            self.span[which],
            self.first[which],
            self.last[which],
        )


def resample(signal: NDArray[np.float32], windows: Windows, length: int) -> NDArray[np.float64]:
    """Read windows of a signal as `length` values each.

    Parameters
    ----------
    signal : np.ndarray, shape (m,)
        Without NaN.
    windows : Windows
        Beyond the samples that may be read, the first or last of them is repeated.
    length : int
        Samples of a beat.

    Returns
    -------
    np.ndarray, shape (n, length), float64
    """
    values = np.empty((len(windows.span), length))
    # Triangles of a like number of samples are laid together.
    reach = np.ceil(np.maximum(1.0, windows.span / length)).astype(np.int64)
    for each in set(reach.tolist()):
        alike = reach == each
        values[alike] = _read(signal, windows.chosen(alike), length, each)
    return values


def _read(
    signal: NDArray[np.float32], windows: Windows, length: int, reach: int
) -> NDArray[np.float64]:
    step = windows.span[:, None] / length
    half_width = np.maximum(1.0, step)
    t = windows.fraction[:, None] + step * np.arange(length)  # (n, length), from the origin
    whole = t.astype(np.int64)
    t -= whole
    whole += windows.origin[:, None]
    total, weights = np.zeros_like(t), np.zeros_like(t)
    first, last = windows.first[:, None], windows.last[:, None]
    for offset in range(1 - reach, reach + 1):
        weight = np.maximum(1.0 - np.abs(t - offset) / half_width, 0.0)
        weights += weight
        weight *= signal.take(np.clip(whole + offset, first, last))
        total += weight
    total /= weights
    return total


def standardise(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return beats (n, length) with mean 0 and standard deviation 1 (n - 1); zeros if constant."""
    length = values.shape[1]
    centred = values - values[:, :1]  # first: a constant then has no rounding errors left
    centred -= centred.sum(axis=1, keepdims=True) / length
    deviation = np.sqrt((centred * centred).sum(axis=1, keepdims=True) / (length - 1))
    deviation[deviation == 0] = np.inf
    beats: NDArray[np.float32] = (centred / deviation).astype(np.float32)
    return beats
