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

TOGETHER = 128  # windows of like size are read together: the arrays stay in the cache
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
    """Where the windows of n beats lie in a signal, which may be many patients' end to end.

    Whole samples and their fraction are kept apart, so that a beat is the same to the bit wherever
    in its stream, and beside whichever others, it is cut.

    Attributes
    ----------
    begin : np.ndarray, shape (n,), int64
        Index of the first sample that a value may depend on.
    first, last : np.ndarray, shape (n,), int64
        Indices of the first and the last sample that may be read; beyond, they are repeated.
    offset : np.ndarray, shape (n,), float64
        Samples from `begin` to the start of the window.
    step : np.ndarray, shape (n,), float64
        Samples from one value to the next.
    """

    begin: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    offset: NDArray[np.float64]
    step: NDArray[np.float64]

    @classmethod
    def at(
        cls,
        start: NDArray[np.float64],
        stop: NDArray[np.float64],
        length: int,
        moved: NDArray[np.int64],
        seen: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> Windows:
        """Return the windows [start, stop) of streams whose samples 0 have the indices `moved`.

        `seen` are the samples of the streams, first and last, that may be read.
        """
        step = (stop - start) / length
        begin = np.floor(start) - np.maximum(1, np.ceil(step))
        first, last = seen
        return cls(begin.astype(np.int64) + moved, first + moved, last + moved, start - begin, step)

    def rows(self, selected: NDArray[np.intp]) -> Windows:
        """Return some of the windows."""
        return Windows(
            self.begin[selected],
            self.first[selected],
            self.last[selected],
            self.offset[selected],
            self.step[selected],
        )


def resample(signal: NDArray[np.float32], windows: Windows, length: int) -> NDArray[np.float64]:
    """Read windows as `length` values each.

    Parameters
    ----------
    signal : np.ndarray, shape (m,), float32
        mV, without NaN.
    windows : Windows
        Of n beats.
    length : int

    Returns
    -------
    np.ndarray, shape (n, length), float64
    """
    values = np.empty((len(windows.step), length))
    by_size = np.argsort(windows.step, kind="stable")
    n_short = int(np.searchsorted(windows.step[by_size], 1.0))
    for which, read in ((by_size[:n_short], _interpolated), (by_size[n_short:], _averaged)):
        for start in range(0, len(which), TOGETHER):
            some = which[start : start + TOGETHER]
            values[some] = read(signal, windows.rows(some), length)
    return values


def _laid_out(signal: NDArray[np.float32], windows: Windows, length: int) -> NDArray[np.float64]:
    """Return the signal about each window from its `begin` on, side by side."""
    columns = int(float(windows.step.max()) * (length + 2)) + 4
    laid = np.empty((len(windows.step), columns))
    bounds = zip(windows.begin.tolist(), windows.first.tolist(), windows.last.tolist(), strict=True)
    for row, (begin, first, last) in enumerate(bounds):
        if begin >= first and begin + columns <= last + 1:
            laid[row] = signal[begin : begin + columns]
        else:
            laid[row] = signal.take(np.clip(np.arange(begin, begin + columns), first, last))
    return laid


def _times(windows: Windows, first: int, stop: int) -> NDArray[np.float64]:
    """Return when values `first` to `stop` are, in samples from each `begin`."""
    times: NDArray[np.float64] = windows.step[:, None] * np.arange(first, stop)
    times += windows.offset[:, None]
    return times


def _averaged(signal: NDArray[np.float32], windows: Windows, length: int) -> NDArray[np.float64]:
    """Read windows with triangles as wide as the spacing of the values.

    With the ramp R(t) = sum_j x_j max(0, t - j), the sum over a triangle of half-width w at t is
    (R(t + w) - 2 R(t) + R(t - w)) / w; and where w is the spacing, t + w is the next value's t. So
    two running sums are read once a value, whatever the width.
    """
    laid = _laid_out(signal, windows, length)
    level = laid[:, :1].copy()
    laid -= level
    sums = np.cumsum(laid, axis=1, out=laid)  # S(i) = x_0 + ... + x_i
    ramp = np.cumsum(sums, axis=1)  # R(i + 1)
    t, steps = _times(windows, -1, length + 1), windows.step[:, None]
    whole = t.astype(np.intp)
    t -= whole
    whole += np.arange(0, laid.size, laid.shape[1])[:, None]
    short = t - 1
    read = short * sums.take(whole)
    read += ramp.take(whole)  # R(i + f) = R(i + 1) - (1 - f) S(i)
    # Of a signal of ones R(i + f) is ((i + f)^2 + (i + f) + f (1 - f)) / 2.
    t *= short
    ones = _second_difference(t)
    ones *= -0.5
    ones += steps * steps
    values = _second_difference(read)
    values /= ones
    values += level
    return values


def _second_difference(values: NDArray[np.float64]) -> NDArray[np.float64]:
    first = values[:, 1:] - values[:, :-1]
    second: NDArray[np.float64] = first[:, 1:] - first[:, :-1]
    return second


def _interpolated(
    signal: NDArray[np.float32], windows: Windows, length: int
) -> NDArray[np.float64]:
    """Read windows by straight lines between samples."""
    laid = _laid_out(signal, windows, length)
    t = _times(windows, 0, length)
    whole = t.astype(np.intp)
    t -= whole
    whole += np.arange(0, laid.size, laid.shape[1])[:, None]
    low = laid.take(whole)
    values: NDArray[np.float64] = low + t * (laid.take(whole + 1) - low)
    return values


def standardise(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return beats (n, length) with mean 0 and standard deviation 1 (n - 1); zeros if constant."""
    length = values.shape[1]
    centred = values - values[:, :1]  # first: a constant then has no rounding errors left
    centred -= centred.sum(axis=1, keepdims=True) / length
    deviation = np.sqrt((centred * centred).sum(axis=1, keepdims=True) / (length - 1))
    centred /= np.maximum(deviation, np.finfo(np.float64).tiny)
    beats: NDArray[np.float32] = centred.astype(np.float32)
    return beats
