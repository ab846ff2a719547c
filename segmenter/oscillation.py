"""What kind of signal the last four seconds are: QRS complexes, an oscillation, silence, or noise.

A second view beside the QRS detector. It looks for no beats: each measure is a number of the whole
window, of the signal between 1 and 30 Hz, resampled to 128 Hz, so that none depends on the sampling
rate. `rhythm/` in the monitor decides what they mean.

Sources
-------
Kuo, Dillman: Computer detection of ventricular fibrillation. Computers in Cardiology (1978)
347-349: the leakage of a filter at the mean period.
Barro, Ruiz, Cabello, Mira: Algorithmic sequential decision-making in the frequency domain for life
threatening ventricular arrhythmias. J Biomed Eng 11 (1989) 320-328: where the spectrum lies.
Arafat, Chowdhury, Hasan: A simple time domain algorithm for the detection of ventricular
fibrillation in electrocardiogram. Signal Image Video Process 5 (2011) 1-10: TCSC, the share of
samples far from the baseline.
Amann, Tratnig, Unterkofler: Reliability of old and new ventricular fibrillation detection
algorithms for automated external defibrillators. Biomed Eng Online 4:60 (2005): how they compare.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.fft import irfft, rfft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from segmenter.filters import INTEGRATION_S, QRS_BAND_HZ
from segmenter.hops import HOP_S, WINDOW_S
from segmenter.signs import QRS_BINS, QRS_DELAY_S, WINDOW_COLUMNS, SignalWindow

MOST_MISSING = 0.5  # of a window: what is left says nothing
FS_HZ = 128.0  # of the signal that is measured
BAND_HZ = (1.0, 30.0)  # fibrillation lies within 2 and 10 Hz, QRS complexes within 5 and 25
OSCILLATION_HZ = (2.0, 9.0)  # 120 to 540 a minute
HARMONIC = 0.3  # of the dominant frequency, to either side of it and of its double
MUSCLE_HZ = (30.0, 48.0)  # noise of muscles; below the mains
FAR_FROM_BASELINE = 0.2  # of the highest (Arafat 2011)
TCSC_S = 1.0  # the highest is taken over so much
CONSTANT_MV = 1e-4  # an open input or a missing lead is constant; a standing heart is not
ROWS = 128  # windows that are measured together: their arrays stay in the cache

# In bins of a spectrum, each 1 / WINDOW_S, and in samples at FS_HZ:
N = round(WINDOW_S * FS_HZ)
BAND, QRS_BAND, OSCILLATION, MUSCLE = (
    slice(round(low * WINDOW_S), round(high * WINDOW_S) + 1)
    for low, high in (BAND_HZ, QRS_BAND_HZ, OSCILLATION_HZ, MUSCLE_HZ)
)
ENVELOPE = round(INTEGRATION_S * FS_HZ)
QRS_STOP = N - round(QRS_DELAY_S * FS_HZ)
QRS_HOP = slice(QRS_STOP - round(HOP_S * FS_HZ), QRS_STOP)
PLACES = np.arange(N, dtype=np.int32)


def _tones() -> NDArray[np.float32]:
    """Return, of each bin that may be dominant, which bins of the band are near it or its double.

    Shape (bins of OSCILLATION, bins of BAND), 1 or 0.
    """
    dominant = np.arange(OSCILLATION.start, OSCILLATION.stop)[:, None] / WINDOW_S
    hz = np.arange(BAND.start, BAND.stop) / WINDOW_S
    near = np.abs(hz - dominant) <= HARMONIC * dominant
    near |= np.abs(hz - 2 * dominant) <= HARMONIC * dominant
    return near.astype(np.float32)


TONES = _tones()
BITS = np.array([number.bit_count() for number in range(256)], np.uint8)  # set in a byte


def measure_rows(
    windows: NDArray[np.float32], missing: NDArray[np.bool_] | None = None
) -> NDArray[Any]:
    """Measure windows side by side; each gives to the bit what it gives alone.

    Parameters
    ----------
    windows : np.ndarray, shape (k, n), float32
        mV, of `WINDOW_S`, at whatever rate; any finite value where missing.
    missing : np.ndarray, shape (k, n), bool
        None by default.

    Returns
    -------
    np.ndarray, shape (k,), WINDOW_COLUMNS
        NaN where more than `MOST_MISSING` of a window is missing.
    """
    measured = np.zeros(len(windows), WINDOW_COLUMNS)
    lost = None if missing is None else missing.mean(axis=1)
    if missing is not None and lost is not None and lost.any():
        windows = windows.copy()
        for k in np.flatnonzero((lost > 0) & (lost <= MOST_MISSING)).tolist():
            at, present = np.arange(windows.shape[1]), ~missing[k]
            windows[k] = np.interp(at, at[present], windows[k, present])
        measured["missing"] = lost
        unknown = lost > MOST_MISSING
        nothing = np.full(1, np.nan, np.float32).repeat(WINDOW_COLUMNS.itemsize // 4)
        measured[unknown] = nothing.view(WINDOW_COLUMNS)
        measured["missing"], measured["still"] = lost, unknown
        known = np.flatnonzero(~unknown)
        for start in range(0, len(known), ROWS):
            rows = known[start : start + ROWS]
            part = measured[rows]
            _measure(windows[rows], part)
            measured[rows] = part
        return measured
    for start in range(0, len(windows), ROWS):
        _measure(windows[start : start + ROWS], measured[start : start + ROWS])
    return measured


def _measure(windows: NDArray[np.float32], measured: NDArray[Any]) -> None:
    """Measure whole windows, shape (k, n), into rows of WINDOW_COLUMNS."""
    steps = windows[:, 1:] - windows[:, :-1]
    np.abs(steps, out=steps)
    measured["still"] = _counts(steps < CONSTANT_MV) / steps.shape[1]
    spectra = _spectra(windows)
    kept = np.zeros((2, len(windows), N // 2 + 1), np.complex64)
    kept[0, :, BAND], kept[1, :, QRS_BAND] = spectra[:, BAND], spectra[:, QRS_BAND]
    bands = irfft(kept, N, norm="forward").astype(np.float32, copy=False)  # (2, k, N)
    band, envelopes = bands[0], _envelopes(bands[1])
    measured["height_mv"] = band.max(axis=1) - band.min(axis=1)
    measured["qrs_highest_mv"] = envelopes.max(axis=1)
    measured["qrs_mean_mv"] = envelopes.mean(axis=1)
    hops = envelopes[:, QRS_HOP].reshape(len(windows), QRS_BINS, -1)
    measured["qrs_mv"] = _highest(hops)[..., 0]
    heights = np.abs(band)
    measured["leakage"] = _leakages(band, heights)
    seconds = heights.reshape(len(windows), -1, round(TCSC_S * FS_HZ))
    far = seconds > FAR_FROM_BASELINE * _highest(seconds)
    measured["far_share"] = _counts(far.reshape(len(windows), -1)) / N
    power = spectra.real**2 + spectra.imag**2
    total = power[:, BAND].sum(axis=1) + np.float32(1e-18)
    dominant = power[:, OSCILLATION].argmax(axis=1)
    measured["dominant_hz"] = (OSCILLATION.start + dominant) / WINDOW_S
    measured["tonal_share"] = (power[:, BAND] * TONES[dominant]).sum(axis=1) / total
    measured["muscle_share"] = power[:, MUSCLE].sum(axis=1) / total


def _counts(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many of each row, shape (k, n), are true: as count_nonzero, in a third of it."""
    counts: NDArray[np.int64] = BITS[np.packbits(flags, axis=1)].sum(axis=1, dtype=np.int64)
    return counts


def _highest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the highest along the last axis, a power of two long: shape (..., 1).

    It is halved again and again: a reduction of so few takes several times as long.
    """
    while values.shape[-1] > 1:
        half = values.shape[-1] // 2
        values = np.maximum(values[..., :half], values[..., half:])
    return values


def _spectra(windows: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Return the Fourier coefficients up to MUSCLE, a bin each 1 / WINDOW_S, without the slopes.

    The slope joins the mean of either end: the window is taken for one period of a signal without
    a step.
    """
    n = windows.shape[1]
    edge = max(1, n // 40)
    first, last = (windows[:, part].mean(axis=1) for part in (slice(edge), slice(-edge, None)))
    spectra = rfft(windows, norm="forward")[:, : MUSCLE.stop].astype(np.complex64)
    spectra -= (last - first)[:, None] * _ramp(n)
    return spectra


@lru_cache(maxsize=64)
def _ramp(n: int) -> NDArray[np.complex64]:
    """Return the spectrum up to MUSCLE of what rises by 1 in a window of n samples."""
    ramp: NDArray[np.complex128] = rfft(np.arange(n) / n, norm="forward")[: MUSCLE.stop]
    return ramp.astype(np.complex64)


def _envelopes(qrs_bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of rectified signals over a QRS complex's duration, around each sample."""
    before = ENVELOPE // 2 - 1
    rectified = np.abs(qrs_bands)
    around = np.concatenate(
        (rectified[:, -before:], rectified, rectified[:, : ENVELOPE - 1 - before]), axis=1
    )
    sums = np.zeros_like(rectified)
    reached, width = 0, 1
    while True:  # sums of 1, 2, 4, … samples make up those of any number
        if ENVELOPE & width:
            sums += around[:, reached : reached + N]
            reached += width
        if 2 * width > ENVELOPE:
            sums /= ENVELOPE
            return sums
        around = around[:, :-width] + around[:, width:]
        width *= 2


def _leakages(signals: NDArray[np.float32], rectified: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a filter lets through that cancels each signal's mean period (Kuo 1978)."""
    steps = np.abs(signals[:, 1:] - signals[:, :-1]).sum(axis=1)
    moves = steps > 0
    heights = rectified[:, 1:].sum(axis=1)
    half = np.rint(np.pi * heights / np.where(moves, steps, 1))
    half_period = np.minimum(np.maximum(half, 1), N // 2).astype(np.int32)
    padded = np.zeros((len(signals), N // 2 + N), np.float32)
    padded[:, N // 2 :] = signals
    shifted = sliding_window_view(padded, N, axis=1)  # (k, N // 2 + 1, N)
    earlier = shifted[np.arange(len(signals)), N // 2 - half_period]
    is_later = (half_period[:, None] <= PLACES).astype(np.float32)
    passed = np.abs(signals * is_later + earlier).sum(axis=1)
    np.abs(earlier, out=earlier)
    whole = (rectified * is_later).sum(axis=1) + earlier.sum(axis=1) + np.float32(1e-12)
    return np.where(moves, passed / whole, np.float32(1)).astype(np.float32)


def signal_windows(end_samples: NDArray[np.int64], measured: NDArray[Any]) -> list[SignalWindow]:
    """Return rows of WINDOW_COLUMNS, one for each end, shape (k,), by name."""
    return [
        SignalWindow(end, *values)
        for end, values in zip(end_samples.tolist(), measured.tolist(), strict=True)
    ]


def measure(end_sample: int, window: NDArray[np.float32]) -> SignalWindow:
    """Measure one window.

    Parameters
    ----------
    end_sample : int
        Behind its last sample, from the stream's start.
    window : np.ndarray, shape (n,), float32
        mV, of `WINDOW_S`, at whatever rate; NaN is missing.
    """
    missing = ~np.isfinite(window)
    measured = measure_rows(np.where(missing, np.float32(0), window)[None], missing[None])
    return signal_windows(np.array([end_sample]), measured)[0]
