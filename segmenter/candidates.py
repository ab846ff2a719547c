"""Candidate QRS complexes: the dominant peaks of the envelope, of many patients at once.

Samples are handled as arrays (patients, samples); what comes out, two or three peaks a second and
patient, is decided on in `segmenter/qrs.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from segmenter.filters import BandPass, Envelope

DOMINANCE_S = 0.16  # a candidate is the highest of the envelope so far to either side
SEARCH_S = 0.08  # R lies within so much of where the envelope says
SMOOTH_S = 0.02  # R is sought in the signal averaged over this


Scalar = TypeVar("Scalar", bound=np.generic)


class Candidate(NamedTuple):
    """A peak of the envelope that may be a QRS complex."""

    peak: int  # sample of the envelope's peak
    known: int  # sample at which it is sure to be a peak
    height: float  # mV, mean of the rectified band-pass over the complex
    total: int  # running total of the envelope, in steps
    slope: float  # mV, steepest change over SMOOTH_S
    positive: int  # sample of the highest point near the peak
    positive_height: float  # mV above the local mean
    negative: int
    negative_height: float


class CandidateFinder:
    """From samples of many patients to candidate peaks, vectorised.

    Parameters
    ----------
    rows : int
        Patients.
    fs_hz : float

    Attributes
    ----------
    dominance, search, smooth : int
        The durations above, in samples.
    delay : int
        By so many samples the envelope of a symmetrical complex peaks after its R.
    heights : np.ndarray, shape (rows, 2 * dominance + 1), int64
        The latest of the envelope: enough to judge a peak on either side.
    signal : np.ndarray, shape (rows, m), float64
        The latest of the signal: enough to locate R.
    total : np.ndarray, shape (rows, 1), int64
        Running total of the envelope.
    """

    def __init__(self, rows: int, fs_hz: float) -> None:
        self.dominance = round(DOMINANCE_S * fs_hz)
        self.search = round(SEARCH_S * fs_hz)
        self.smooth = max(1, round(SMOOTH_S / 2 * fs_hz))
        self.band_pass = BandPass(rows, fs_hz)
        self.envelope = Envelope(rows, fs_hz)
        self.delay = round(self.band_pass.delay_samples + self.envelope.delay_samples)
        self.total = np.zeros((rows, 1), np.int64)
        reach = self.search + 2 * self.smooth
        self._around = np.arange(-reach - 1, reach + 1)
        before = self.dominance + self.delay + reach + 2
        self.heights = np.zeros((rows, 2 * self.dominance + 1), np.int64)
        self.signal = np.zeros((rows, before))
        # Of the samples taken last: whose they are, the first one's places, and their envelope.
        self._rows = np.zeros(0, np.int64)
        self._begins: list[int] = []
        self._joined = np.zeros((0, 0), np.int64)

    def make_room(self, rows: int) -> None:
        """Have room for so many rows, at least as many as before."""
        self.band_pass.state = with_rows(self.band_pass.state, rows)
        self.envelope.tail = with_rows(self.envelope.tail, rows)
        self.heights, self.signal = with_rows(self.heights, rows), with_rows(self.signal, rows)
        self.total = with_rows(self.total, rows)

    def forget(self, row: int) -> None:
        """Let a row be as one whose stream begins."""
        self.wake(row, 0.0)
        self.band_pass.state[row] = 0.0  # settled, some of it would be -0.0

    def sleep(self, row: int) -> None:
        """Forget a row's signal."""
        self.heights[row] = 0
        self.signal[row] = 0

    def wake(self, row: int, level: float) -> None:
        """Let a row start at a level that it has had for ever."""
        self.heights[row] = 0
        self.signal[row] = level
        self.band_pass.settle(row, level)
        self.envelope.tail[row] = 0
        self.total[row] = 0

    def update(
        self, chunk: NDArray[np.float64], rows: NDArray[np.int64], begins: list[int]
    ) -> list[list[Candidate]]:
        """Take samples of some rows; return each one's candidates.

        Parameters
        ----------
        chunk : np.ndarray, shape (k, n), float64
            mV, without NaN.
        rows : np.ndarray, shape (k,)
        begins : list of int, of length k
            Where in its stream each row's first sample lies.
        """
        n, dominance, before = chunk.shape[1], self.dominance, self.signal.shape[1]
        signal = np.concatenate((self.signal[rows], chunk), axis=1)
        heights = self.envelope.update(self.band_pass.update(chunk, rows), rows)
        joined = np.concatenate((self.heights[rows], heights), axis=1)
        self.signal[rows], self.heights[rows] = signal[:, n:], joined[:, n:]
        self._rows, self._begins, self._joined = rows, begins, joined
        # Column k of `middle` is dominance + 1 + k of `joined`: each with a full neighbourhood.
        middle = joined[:, dominance + 1 : dominance + 1 + n]
        totals = middle.cumsum(axis=1)
        totals += self.total[rows]
        self.total[rows] = totals[:, -1:]

        found: list[list[Candidate]] = [[] for _ in begins]
        which, at = self._dominant(joined, middle)
        if len(which) == 0:
            return found
        features = (
            which.tolist(),
            (at - dominance).tolist(),
            (middle[which, at] / self.envelope.scale).tolist(),
            totals[which, at].tolist(),
            *self._locate(signal, which, at + (before - dominance - self.delay)),
        )
        for k, peak, height, total, top, bottom, high, low, slope in zip(*features, strict=True):
            peak += begins[k]  # a sample of its stream
            left = peak - self.delay - self.search  # where R is sought from
            found[k].append(
                Candidate(
                    peak,
                    peak + dominance,
                    height,
                    total,
                    slope,
                    max(left + top, 0),  # not before the stream began
                    high,
                    max(left + bottom, 0),
                    low,
                )
            )
        return found

    def highest(self, row: int, start: int, stop: int) -> float:
        """Return the highest of a row's envelope in samples [start, stop) of its stream, in mV.

        The row is one of those updated last.
        """
        k = int((self._rows == row).argmax())
        ahead = self.heights.shape[1] - self._begins[k]
        return float(self._joined[k, start + ahead : stop + ahead].max()) / self.envelope.scale

    def _dominant(
        self, joined: NDArray[np.int64], middle: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows and columns of `middle` at which it is the highest around."""
        n, width = middle.shape[1], 1
        highest = joined[:, 1:]
        while 2 * width <= 2 * self.dominance + 1:  # of 1, 2, 4, ... samples from each on
            highest = np.maximum(highest[:, :-width], highest[:, width:])
            width *= 2
        highest = np.maximum(highest[:, :n], highest[:, -n:])  # of 2 dominance + 1
        peaks = middle == highest
        peaks &= middle > joined[:, self.dominance : self.dominance + n]
        rows, columns = peaks.nonzero()
        return rows, columns

    def _locate(
        self, signal: NDArray[np.float64], rows: NDArray[np.int64], nominal: NDArray[np.int64]
    ) -> tuple[list[Any], ...]:
        """Find the highest and lowest point and the steepest slope of the smoothed signal.

        Parameters
        ----------
        signal : np.ndarray, shape (k, n), float64
        rows, nominal : np.ndarray, shape (m,)
            Row and column of the signal at which the envelope says R is.

        Returns
        -------
        top, bottom : list of int
            The highest and lowest point, in samples from `search` before the nominal R.
        high, low : list of float
            How far, in mV, the former is above and the latter is below the mean of all around.
        slope : list of float
            mV.
        """
        smooth, search = self.smooth, self.search
        width = 2 * smooth + 1
        around = signal[rows[:, None], nominal[:, None] + self._around]
        sums = np.cumsum(around - around[:, :1], axis=1)  # the first of them is 0
        means = (sums[:, width:] - sums[:, :-width]) / width
        slope = np.abs(means[:, 2 * smooth :] - means[:, : -2 * smooth]).max(axis=1)
        level = sums[:, -1] / (around.shape[1] - 1)
        searched = means[:, smooth : smooth + 2 * search + 1]
        high, low = searched.max(axis=1) - level, level - searched.min(axis=1)
        found = (searched.argmax(axis=1), searched.argmin(axis=1), high, low, slope)
        return tuple(feature.tolist() for feature in found)


def with_rows(array: NDArray[Scalar], rows: int) -> NDArray[Scalar]:
    """Return an array of as many rows: those that are new are 0."""
    longer = np.zeros((rows, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
