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

from math import ceil, floor

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


def resample(
    signal: NDArray[np.float32], start: float, stop: float, length: int
) -> NDArray[np.float64]:
    """Read a window of a signal as `length` values.

    Parameters
    ----------
    signal : np.ndarray, shape (m,)
        Without NaN; at its ends the last value is repeated.
    start, stop : float
        The window [start, stop), in samples from signal[0].
    length : int
        Samples of a beat.

    Returns
    -------
    np.ndarray, shape (length,), float64
    """
    step = (stop - start) / length
    half_width = max(1.0, step)
    reach = ceil(half_width)
    origin = floor(start)
    # Counted from origin: small numbers, the same to the bit wherever the window lies.
    t = (start - origin) + step * np.arange(length)
    whole = t.astype(np.int64)
    offset = np.arange(1 - reach, reach + 1)
    distance = np.abs((t - whole)[:, None] - offset)  # (length, 2 reach)
    weight = np.maximum(1.0 - distance / half_width, 0.0)
    read = signal.take((whole + origin)[:, None] + offset, mode="clip")
    values: NDArray[np.float64] = (weight * read).sum(axis=1) / weight.sum(axis=1)
    return values


def standardise(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return beats (n, length) with mean 0 and standard deviation 1 (n - 1); zeros if constant."""
    length = values.shape[1]
    centred = values - values[:, :1]  # first: a constant then has no rounding errors left
    centred -= centred.sum(axis=1, keepdims=True) / length
    deviation = np.sqrt((centred * centred).sum(axis=1, keepdims=True) / (length - 1))
    deviation[deviation == 0] = np.inf
    beats: NDArray[np.float32] = (centred / deviation).astype(np.float32)
    return beats
