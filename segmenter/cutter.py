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


def resample(
    signal: NDArray[np.float32],
    start: NDArray[np.float64],
    stop: NDArray[np.float64],
    length: int,
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

    Returns
    -------
    np.ndarray, shape (n, length)
    """
    half_width = np.maximum((stop - start) / length, 1.0)
    reach = np.ceil(half_width)
    values = np.empty((len(start), length))
    # Beats are read together only with those of as many addends: the order of additions, and with
    # it the last bit, is then the beat's own.
    for same in set(reach.tolist()):
        group = np.flatnonzero(reach == same)
        values[group] = _read(signal, start[group], stop[group], half_width[group], length)
    return values


def _read(
    signal: NDArray[np.float32],
    start: NDArray[np.float64],
    stop: NDArray[np.float64],
    half_width: NDArray[np.float64],
    length: int,
) -> NDArray[np.float64]:
    """Read windows whose triangles reach over the same number of samples."""
    reach = ceil(half_width[0])
    origin = np.floor(start)
    step = (stop - start) / length
    # (n, length), counted from origin: small numbers, the same wherever the window lies
    t = (start - origin)[:, None] + np.arange(length) * step[:, None]
    whole = np.floor(t)
    offset = np.arange(1 - reach, reach + 1)
    distance = np.abs((t - whole)[:, :, None] - offset)  # (n, length, 2 reach)
    weight = np.maximum(1.0 - distance / half_width[:, None, None], 0.0)
    index = (whole + origin[:, None]).astype(np.int64)[:, :, None] + offset
    read = signal.take(index, mode="clip")
    values: NDArray[np.float64] = (weight * read).sum(axis=2) / weight.sum(axis=2)
    return values


def standardise(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return beats (n, length) with mean 0 and standard deviation 1 (n - 1); zeros if constant."""
    length = values.shape[1]
    centred = values - values[:, :1]  # first: a constant then has no rounding errors left
    centred -= centred.sum(axis=1, keepdims=True) / length
    deviation = np.sqrt((centred * centred).sum(axis=1, keepdims=True) / (length - 1))
    deviation[deviation == 0] = np.inf
    return (centred / deviation).astype(np.float32)
