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

from math import nan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmenter.filters import INTEGRATION_S, QRS_BAND_HZ
from segmenter.hops import HOP_S, WINDOW_S
from segmenter.signs import QRS_BINS

MOST_MISSING = 0.5  # of a window: what is left says nothing
FS_HZ = 128.0  # of the signal that is measured
BAND_HZ = (1.0, 30.0)  # fibrillation lies within 2 and 10 Hz, QRS complexes within 5 and 25
OSCILLATION_HZ = (2.0, 9.0)  # 120 to 540 a minute
HARMONIC = 0.3  # of the dominant frequency, to either side of it and of its double
MUSCLE_HZ = (30.0, 48.0)  # noise of muscles; below the mains
FAR_FROM_BASELINE = 0.2  # of the highest (Arafat 2011)
TCSC_S = 1.0  # the highest is taken over so much
QRS_DELAY_S = 0.25  # the window's end is joined to its start: what is nearer may be of either
CONSTANT_MV = 1e-4  # an open input or a missing lead is constant; a standing heart is not


class SignalWindow(NamedTuple):
    """The measures of one window; NaN where it cannot be measured.

    Attributes
    ----------
    end_sample : int
        The sample after the window.
    missing, still : float
        Share of samples that are missing, and share of steps between samples under `CONSTANT_MV`.
    height_mv : float
        Highest over lowest, 1 to 30 Hz.
    qrs_highest_mv, qrs_mean_mv : float
        Highest and mean of the QRS band's envelope (8-20 Hz, mean over 100 ms) in the window.
    qrs_mv : tuple of float
        Highest of that envelope in each sixteenth of a second of the hop that ends `QRS_DELAY_S`
        before the window's end: window after window, all of the signal.
    leakage : float
        0 for a sine wave, 1 for a signal without a period (Kuo 1978).
    far_share : float
        Share of samples farther from the baseline than 0.2 of the highest nearby: TCSC.
    dominant_hz : float
        Where the spectrum is highest between `OSCILLATION_HZ`.
    tonal_share : float
        Share of the power at that frequency and its double.
    muscle_share : float
        Power at 30 to 48 Hz over that between 1 and 30 Hz.
    """

    end_sample: int
    missing: float
    still: float
    height_mv: float
    qrs_highest_mv: float
    qrs_mean_mv: float
    qrs_mv: tuple[float, ...]
    leakage: float
    far_share: float
    dominant_hz: float
    tonal_share: float
    muscle_share: float


UNMEASURED = SignalWindow(
    end_sample=0,
    missing=1.0,
    still=1.0,
    height_mv=nan,
    qrs_highest_mv=nan,
    qrs_mean_mv=nan,
    qrs_mv=(nan,) * QRS_BINS,
    leakage=nan,
    far_share=nan,
    dominant_hz=nan,
    tonal_share=nan,
    muscle_share=nan,
)


def measure(end_sample: int, window: NDArray[np.float32]) -> SignalWindow:
    """Measure one window.

    Parameters
    ----------
    end_sample : int
        Behind its last sample, from the stream's start.
    window : np.ndarray, shape (n,), float32
        mV, of `WINDOW_S`, at whatever rate; NaN is missing.
    """
    present = np.isfinite(window)
    missing = 1.0 - float(np.count_nonzero(present)) / len(window)
    if missing > MOST_MISSING:
        return UNMEASURED._replace(end_sample=end_sample, missing=missing)
    signal = window.astype(np.float64)
    if missing:
        at = np.arange(len(signal))
        signal = np.interp(at, at[present], signal[present])
    still = float(np.mean(np.abs(np.diff(signal)) < CONSTANT_MV))
    spectrum = _spectrum(signal)
    band, qrs_band = _resampled(spectrum, BAND_HZ), _resampled(spectrum, QRS_BAND_HZ)
    envelope = _envelope(qrs_band)
    stop = len(envelope) - round(QRS_DELAY_S * FS_HZ)
    hop = envelope[stop - round(HOP_S * FS_HZ) : stop].reshape(QRS_BINS, -1)
    dominant_hz, tonal_share, muscle_share = _where_power_lies(spectrum)
    return SignalWindow(
        end_sample,
        missing,
        still,
        float(band.max() - band.min()),
        float(envelope.max()),
        float(envelope.mean()),
        tuple(hop.max(axis=1).tolist()),
        _leakage(band),
        _far_share(band),
        dominant_hz,
        tonal_share,
        muscle_share,
    )


def _spectrum(signal: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return the Fourier coefficients, a bin each 1 / WINDOW_S, of the signal without its slope.

    The slope joins the mean of either end: the window is taken for one period of a signal without
    a step.
    """
    n = len(signal)
    edge = max(1, n // 40)
    first, last = signal[:edge].mean(), signal[-edge:].mean()
    line = first + (last - first) * np.arange(n) / n
    coefficients: NDArray[np.complex128] = np.fft.rfft(signal - line) / n
    return coefficients


def _resampled(
    spectrum: NDArray[np.complex128], band_hz: tuple[float, float]
) -> NDArray[np.float64]:
    """Return the part of the signal within a band at `FS_HZ`."""
    n = round(WINDOW_S * FS_HZ)
    low, high = (round(hz * WINDOW_S) for hz in band_hz)
    kept = np.zeros(n // 2 + 1, np.complex128)
    kept[low : high + 1] = spectrum[low : high + 1]
    signal: NDArray[np.float64] = np.fft.irfft(kept, n) * n
    return signal


def _envelope(qrs_band: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the rectified signal over a QRS complex's duration, around each sample."""
    width = round(INTEGRATION_S * FS_HZ)
    rectified = np.abs(qrs_band)
    around = np.concatenate(
        (rectified[-(width // 2) :], rectified, rectified[: width - width // 2])
    )
    sums = np.cumsum(around)
    envelope: NDArray[np.float64] = (sums[width:] - sums[:-width]) / width
    return envelope


def _leakage(signal: NDArray[np.float64]) -> float:
    """Return what a filter lets through that cancels the signal's mean period (Kuo 1978)."""
    steps = float(np.abs(np.diff(signal)).sum())
    if steps <= 0:
        return 1.0
    half_period = round(np.pi * float(np.abs(signal[1:]).sum()) / steps)
    half_period = min(max(half_period, 1), len(signal) // 2)
    one, other = signal[half_period:], signal[:-half_period]
    return float(np.abs(one + other).sum() / (np.abs(one).sum() + np.abs(other).sum() + 1e-12))


def _far_share(signal: NDArray[np.float64]) -> float:
    """Return the share of samples far from the baseline (Arafat 2011), a second at a time."""
    seconds = np.abs(signal).reshape(-1, round(TCSC_S * FS_HZ))
    highest = seconds.max(axis=1, keepdims=True)
    return float(np.mean(seconds > FAR_FROM_BASELINE * highest))


def _where_power_lies(spectrum: NDArray[np.complex128]) -> tuple[float, float, float]:
    """Return the dominant frequency, the share of the power there, and that of muscles' noise."""
    power = spectrum.real**2 + spectrum.imag**2
    hz = np.arange(len(power)) / WINDOW_S
    low, high = (round(edge * WINDOW_S) for edge in BAND_HZ)
    total = float(power[low : high + 1].sum()) + 1e-18
    first, last = (round(edge * WINDOW_S) for edge in OSCILLATION_HZ)
    dominant_hz = float(hz[first + int(np.argmax(power[first : last + 1]))])
    near = np.abs(hz - dominant_hz) <= HARMONIC * dominant_hz
    near |= np.abs(hz - 2 * dominant_hz) <= HARMONIC * dominant_hz
    near &= (hz >= BAND_HZ[0]) & (hz <= BAND_HZ[1])
    muscle = (hz >= MUSCLE_HZ[0]) & (hz <= MUSCLE_HZ[1])
    return dominant_hz, float(power[near].sum()) / total, float(power[muscle].sum()) / total
