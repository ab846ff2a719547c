"""Candidate QRS complexes: the dominant peaks of the envelope, of many patients at once.

Samples are handled as arrays (patients, samples); what comes out, two or three peaks a second and
patient, is decided on in `segmenter/qrs.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmenter.filters import ALL, BandPass, Envelope, Rows
from segmenter.tape import Tape

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
        self._beside = np.arange(2 * self.dominance + 1)
        # Of the envelope: enough to judge a peak on either side. Of the signal: to locate R.
        self.heights: Tape[np.int64] = Tape(rows, len(self._beside), room, np.int64)
        before = self.dominance + self.delay + reach + 2
        self.signal: Tape[np.float64] = Tape(rows, before, room, np.float64)
        self._n = 0  # samples begun
        self._positions = np.zeros(rows, np.int64)  # of the first of them

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
        self, chunk: NDArray[np.float64], rows: Rows = ALL, start: int = 0
    ) -> list[list[Candidate]]:
        """Take samples of some rows; return each one's candidates.

        Parameters
        ----------
        chunk : np.ndarray, shape (k, n), float64
            mV, without NaN.
        rows : slice or np.ndarray, shape (k,)
        start : int
            Which of the samples begun is the chunk's first.
        """
        n, before = chunk.shape[1], len(self._beside)
        first = self.heights.end - self._n + start
        envelope = self.heights.columns
        envelope[rows, first : first + n] = self.envelope.update(
            self.band_pass.update(chunk, rows), rows
        )
        joined = envelope[rows, first - before : first + n]
        # Column k of `middle` is dominance + 1 + k of `joined`: each with a full neighbourhood.
        middle = joined[:, self.dominance + 1 : self.dominance + 1 + n]
        totals = middle.cumsum(axis=1)
        totals += self.total[rows]
        self.total[rows] = totals[:, -1:]

        at = self.signal.end - self._n + start
        signal = self.signal.columns
        signal[rows, at : at + n] = chunk
        which, columns = self._dominant(joined, middle)
        found: list[list[Candidate]] = [[] for _ in range(len(chunk))]
        if len(which) == 0:
            return found
        patient = which if isinstance(rows, slice) else rows[which]
        nominal = columns - self.dominance - self.delay  # of the chunk's samples, that of R
        windows = signal[patient[:, None], (nominal + at)[:, None] + self._around]
        positive, positive_height, negative, negative_height, slope = self._locate(windows)
        moved = self._positions[patient] + start  # from the chunk's samples to the stream's
        peak = columns - self.dominance + moved
        nominal += moved
        values = zip(
            peak.tolist(),
            (peak + self.dominance).tolist(),
            (middle[which, columns] / self.envelope.scale).tolist(),
            totals[which, columns].tolist(),
            slope.tolist(),
            np.maximum(nominal + positive, 0).tolist(),  # not before the stream began
            positive_height.tolist(),
            np.maximum(nominal + negative, 0).tolist(),
            negative_height.tolist(),
            strict=True,
        )
        for row, candidate in zip(which.tolist(), map(Candidate._make, values), strict=True):
            found[row].append(candidate)
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
        after = self.dominance + 1
        n = middle.shape[1]
        rises = middle > joined[:, after - 1 : after - 1 + n]
        rises &= middle >= joined[:, after + 1 : after + 1 + n]
        rows, columns = np.nonzero(rises)
        windows = joined[rows[:, None], (columns + 1)[:, None] + self._beside]
        dominant = windows.max(axis=1) == windows[:, self.dominance]
        return rows[dominant], columns[dominant]

    def _locate(
        self, windows: NDArray[np.float64]
    ) -> tuple[
        NDArray[np.int64],
        NDArray[np.float64],
        NDArray[np.int64],
        NDArray[np.float64],
        NDArray[np.float64],
    ]:
        """Find the highest and lowest point and the steepest slope of the smoothed signal.

        Parameters
        ----------
        windows : np.ndarray, shape (m, 1 + 2 * (search + 2 * smooth) + 1)
            Signal around each candidate, and one sample before.

        Returns
        -------
        positive, positive_height, negative, negative_height, slope : np.ndarray, shape (m,)
            Samples from the nominal R; heights over the window's mean.
        """
        smooth = self.smooth
        width = 2 * smooth + 1
        sums = (windows - windows[:, :1]).cumsum(axis=1)
        smoothed = (sums[:, width:] - sums[:, :-width]) / width
        level = sums[:, -1:] / (windows.shape[1] - 1)  # the first of the sums is 0
        slope = np.abs(smoothed[:, 2 * smooth :] - smoothed[:, : -2 * smooth]).max(axis=1)
        searched = smoothed[:, smooth : smooth + 2 * self.search + 1] - level
        positive, negative = searched.argmax(axis=1), searched.argmin(axis=1)
        rows = np.arange(len(windows))
        return (
            positive - self.search,
            searched[rows, positive],
            negative - self.search,
            -searched[rows, negative],
            slope,
        )
