"""Causal filters with carried state and a stated delay, over arrays of (patients, samples).

Any cut of the same samples gives the same output to the bit: the recursive filter is computed
sample by sample, and the moving sum is taken over integers, where the order of additions does not
matter. So does any choice of rows: a patient filtered among others gives what it gives alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmenter.recursive_filter import butterworth, group_delay, lfilter, steady_state

QRS_BAND_HZ = (8.0, 20.0)  # where QRS energy stands out of P, T and baseline (Elgendi 2010)
QRS_BAND_ORDER = 2
INTEGRATION_S = 0.1  # about the duration of a QRS complex (Elgendi 2013: 97 ms)
STEPS_PER_MV = float(1 << 20)  # resolution of the integer envelope: 1 nV


class BandPass:
    """Butterworth band-pass of the QRS complex, with carried state.

    Parameters
    ----------
    rows : int
        Patients filtered side by side.
    fs_hz : float
        Sampling rate.

    Attributes
    ----------
    delay_samples : float
        Group delay at the geometric centre of the band.
    state : np.ndarray, shape (rows, 2 * QRS_BAND_ORDER), float64
    """

    def __init__(self, rows: int, fs_hz: float) -> None:
        # One fourth-order section: a fifth of the time of two second-order ones through sosfilt,
        # and at 2000 Hz its poles are still exact to 1e-8.
        self._coefficients = butterworth(QRS_BAND_ORDER, QRS_BAND_HZ, fs_hz)
        centre_hz = float(np.sqrt(QRS_BAND_HZ[0] * QRS_BAND_HZ[1]))
        self.delay_samples = group_delay(self._coefficients, centre_hz, fs_hz)
        self._steady = steady_state(self._coefficients)
        self.state = np.zeros((rows, len(self._steady)))

    def settle(self, row: int, level: float) -> None:
        """Take the state of a filter that has seen `level` for ever."""
        self.state[row] = self._steady * level

    def update(self, chunk: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Filter the next samples of some rows, shape (rows, n)."""
        filtered, self.state[rows] = lfilter(self._coefficients, chunk, self.state[rows])
        return filtered


class Envelope:
    """Moving sum of the rectified band-pass over one QRS duration, in whole steps of a nanovolt.

    Attributes
    ----------
    width : int
        Samples summed.
    scale : float
        Steps of the envelope for a mean of one millivolt.
    delay_samples : float
        Half of the width: a symmetrical complex peaks so much later.
    """

    def __init__(self, rows: int, fs_hz: float) -> None:
        self.width = round(INTEGRATION_S * fs_hz)
        self.scale = self.width * STEPS_PER_MV
        self.delay_samples = (self.width - 1) / 2
        self.tail = np.zeros((rows, self.width), np.int64)

    def update(self, filtered: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the envelope of the next samples of some rows, shape (rows, n), in steps."""
        width, n = self.width, filtered.shape[1]
        sums = np.empty((len(filtered), width + n), np.int64)
        sums[:, :width] = self.tail[rows]
        np.multiply(np.abs(filtered), STEPS_PER_MV, out=sums[:, width:], casting="unsafe")
        self.tail[rows] = sums[:, n:]
        np.cumsum(sums, axis=1, out=sums)
        heights: NDArray[np.int64] = sums[:, width:] - sums[:, :-width]
        return heights
