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

from math import ceil

import numpy as np
from numpy.typing import NDArray

MAX_WINDOW_S = 3.0  # RR of 20 beats a minute; longer holds no single beat


def window_samples(
    kind: str, previous_r: int | None, r: int, next_r: int | None
) -> tuple[float, float]:
    """Return the window [start, stop) of a beat, in samples.

    A neighbour that is missing (the stream's first beat, a pause, a gap) is taken to be as far away
    as the other one; with neither, the window is empty.
    """
    after = next_r - r if next_r is not None else r - previous_r if previous_r is not None else 0
    if kind == "rr":
        return float(r), float(r + after)
    before = r - previous_r if previous_r is not None else after
    return r - before / 2, r + after / 2


def taps(fs_hz: float, length: int) -> int:
    """Return how many samples to either side a value is read from, at most."""
    return max(1, ceil(MAX_WINDOW_S * fs_hz / length)) + 1


def resample(
    signal: NDArray[np.float32],
    start: NDArray[np.float64],
    stop: NDArray[np.float64],
    length: int,
    reach: int,
) -> NDArray[np.float64]:
    """Read windows of a signal as beats of fixed length.

    Parameters
    ----------
    signal : np.ndarray, shape (m,)
        Without NaN; at its ends the last value is repeated.
    start, stop : np.ndarray, shape (n,)
        Windows, in samples from signal[0].
    length : int
        Samples of a beat.
    reach : int
        From `taps`. Always the same for a stream, so that the order of additions is.

    Returns
    -------
    np.ndarray, shape (n, length)
    """
    step = ((stop - start) / length)[:, None]
    origin = np.floor(start)[:, None]
    t = start[:, None] - origin + np.arange(length) * step  # (n, length), small: from origin
    whole = np.floor(t)
    offset = np.arange(1 - reach, reach + 1)
    # Distances to the samples read, in half-widths: (n, length, 2 reach).
    distance = np.abs((t - whole)[:, :, None] - offset) / np.maximum(step, 1.0)[:, :, None]
    weight = np.maximum(1.0 - distance, 0.0)
    index = (whole + origin).astype(np.int64)[:, :, None] + offset
    read = signal.take(index, mode="clip")
    values: NDArray[np.float64] = (weight * read).sum(axis=2) / weight.sum(axis=2)
    return values


def standardise(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return beats (n, length) with mean 0 and standard deviation 1 (n - 1); zeros if constant."""
    length = values.shape[1]
    centred = values - values[:, :1]  # first: a constant then has no rounding errors left
    centred -= centred.sum(axis=1, keepdims=True) / length
    variance = (centred * centred).sum(axis=1, keepdims=True) / (length - 1)
    usable = variance > np.finfo(np.float32).tiny
    scaled = centred / np.sqrt(np.where(usable, variance, 1.0))
    return np.where(usable, scaled, 0.0).astype(np.float32)
