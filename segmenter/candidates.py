"""Candidate QRS complexes: the dominant peaks of the envelope, of many patients at once.

Samples are handled as arrays (patients, samples); what comes out, two or three peaks a second and
patient, is decided on in `segmenter/qrs.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmenter.filters import BandPass, Envelope, Rows
from segmenter.sample_ring import SampleRing

DOMINANCE_S = 0.16  # a candidate is the highest of the envelope so far to either side
SEARCH_S = 0.08  # R lies within so much of where the envelope says
SMOOTH_S = 0.02  # R is sought in the signal averaged over this


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
    room : int
        Samples that are taken at once, at most.

    Attributes
    ----------
    dominance, search, smooth : int
        The durations above, in samples.
    delay : int
        By so many samples the envelope of a symmetrical complex peaks after its R.
    """

    def __init__(self, rows: int, fs_hz: float, room: int) -> None:
        self.dominance = round(DOMINANCE_S * fs_hz)
        self.search = round(SEARCH_S * fs_hz)
        self.smooth = max(1, round(SMOOTH_S / 2 * fs_hz))
        self.band_pass = BandPass(rows, fs_hz)
        self.envelope = Envelope(rows, fs_hz)
        self.delay = round(self.band_pass.delay_samples + self.envelope.delay_samples)
        self.total = np.zeros((rows, 1), np.int64)
        reach = self.search + 2 * self.smooth
        self._around = np.arange(-reach - 1, reach + 1)
        # Of the envelope: enough to judge a peak on either side. Of the signal: to locate R.
        self.heights: SampleRing[np.int64] = SampleRing(
            rows, 2 * self.dominance + 1, room, np.int64
        )
        before = self.dominance + self.delay + reach + 2
        self.signal: SampleRing[np.float64] = SampleRing(rows, before, room, np.float64)
        self._n = 0  # samples begun
        self._positions = np.zeros(rows, np.int64)  # of the first of them

    def lay(self, arrays: Mapping[str, NDArray[Any]], room: int) -> None:
        """Have other rows: the arrays of `SegmenterBank.lift`; of `room` samples at once."""
        self.heights.lay(arrays["heights"], room)
        self.signal.lay(arrays["near"], room)
        self.band_pass.state, self.envelope.tail = arrays["filter"], arrays["envelope"]
        self.total = arrays["total"]

    def begin(self, n: int, positions: NDArray[np.int64]) -> None:
        """Make room for n samples of every row, the first of them at `positions`, shape (rows,).

        `update` then brings them, for some rows in pieces: around gaps.
        """
        self.heights.extend(n)
        self.signal.extend(n)
        self._n, self._positions = n, positions

    def sleep(self, row: int, stop: int) -> None:
        """Forget a row's signal up to sample `stop` of those begun."""
        for tape in (self.heights, self.signal):
            end = tape.end - self._n + stop
            tape.columns[row, end - tape.keep : end] = 0

    def wake(self, row: int, start: int, level: float) -> None:
        """Let a row start at sample `start` of those begun, at a level it has had for ever."""
        self.sleep(row, start)
        end = self.signal.end - self._n + start
        self.signal.columns[row, end - self.signal.keep : end] = level
        self.band_pass.settle(row, level)
        self.envelope.tail[row] = 0
        self.total[row] = 0

    def update(
        self, chunk: NDArray[np.float64], rows: Rows, start: int = 0
    ) -> list[list[Candidate]]:
        """Take samples of some rows; return each one's candidates.

        Parameters
        ----------
        chunk : np.ndarray, shape (k, n), float64
            mV, without NaN.
        rows : slice or np.ndarray, shape (k,)
            A slice has a start.
        start : int
            Which of the samples begun is the chunk's first.
        """
        n, dominance = chunk.shape[1], self.dominance
        first, near = self.heights.end - self._n + start, self.signal.end - self._n + start
        self.signal.columns[rows, near : near + n] = chunk
        columns = self.heights.columns
        columns[rows, first : first + n] = self.envelope.update(
            self.band_pass.update(chunk, rows), rows
        )
        joined = columns[rows, first - 2 * dominance - 1 : first + n]
        # Column k of `middle` is dominance + 1 + k of `joined`: each with a full neighbourhood.
        middle = joined[:, dominance + 1 : dominance + 1 + n]
        totals = middle.cumsum(axis=1)
        totals += self.total[rows]
        self.total[rows] = totals[:, -1:]

        found: list[list[Candidate]] = [[] for _ in range(len(chunk))]
        which, at = self._dominant(joined, middle)
        if len(which) == 0:
            return found
        patients = which + rows.start if isinstance(rows, slice) else rows[which]
        peaks = at + (start - dominance + self._positions[patients])  # samples of their streams
        features = (
            which.tolist(),
            peaks.tolist(),
            middle[which, at].tolist(),
            totals[which, at].tolist(),
            *self._locate(patients, at + (near - dominance - self.delay)),
        )
        for row, peak, height, total, top, bottom, high, low, slope in zip(*features, strict=True):
            left = peak - self.delay - self.search  # where R is sought from
            found[row].append(
                Candidate(
                    peak,
                    peak + dominance,
                    height / self.envelope.scale,
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
        """Return the highest of a row's envelope in samples [start, stop) of its stream, in mV."""
        ahead = self.heights.end - self._n - int(self._positions[row])
        return float(self.heights.columns[row, start + ahead : stop + ahead].max()) / (
            self.envelope.scale
        )

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

    def _locate(self, rows: NDArray[np.int64], nominal: NDArray[np.int64]) -> tuple[list[Any], ...]:
        """Find the highest and lowest point and the steepest slope of the smoothed signal.

        Parameters
        ----------
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
        around = self.signal.columns[rows[:, None], nominal[:, None] + self._around]
        sums = np.cumsum(around - around[:, :1], axis=1)  # the first of them is 0
        means = (sums[:, width:] - sums[:, :-width]) / width
        slope = np.abs(means[:, 2 * smooth :] - means[:, : -2 * smooth]).max(axis=1)
        level = sums[:, -1] / (around.shape[1] - 1)
        searched = means[:, smooth : smooth + 2 * search + 1]
        high, low = searched.max(axis=1) - level, level - searched.min(axis=1)
        found = (searched.argmax(axis=1), searched.argmin(axis=1), high, low, slope)
        return tuple(feature.tolist() for feature in found)
