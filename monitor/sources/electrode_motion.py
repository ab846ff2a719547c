"""A record with the noise of moving electrodes: what verdicts in noise are weighed on.

Noise is on for two minutes and off for two, from a given time on, as in the MIT-BIH Noise Stress
Test Database (Moody, Muldrow, Mark 1984), whose own noise judges and is not used here. It is made:
a band of 0.5 to 8 Hz, where the P, QRS and T waves lie too, that swells and fades within seconds,
and jumps of the potential that decay within a second.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

from monitor.sources.source import RecordSource

Floats = NDArray[np.float64]

NOISY_S = CLEAN_S = 120.0
BAND_HZ = (0.5, 8.0)
SWELL_HZ = 0.3  # it swells and fades slower than that
LEAST_SWELL = 0.3
JUMPS_HZ, JUMP_LASTS_S, JUMP_HZ = 0.8, 0.25, 12.0  # how often, how long, how steep at most
JUMPS_SHARE = 0.7  # of the standard deviation of the band
SETTLED_S = 10.0  # the filters' start is cut off


class MovingElectrodes:
    """A source with noise added; a `RecordSource`.

    Parameters
    ----------
    source : RecordSource
    snr_db : float
        The signal's power over the noise's. The signal's is an eighth of the squared height of its
        QRS complexes, as in the Noise Stress Test Database.
    from_s : float
        When the noise begins; what is before sets the signal's power.
    seed : int
    """

    def __init__(self, source: RecordSource, snr_db: float, from_s: float, seed: int = 0) -> None:
        self._source, self._from_s, self._seed = source, from_s, seed
        self.record, self.leads, self.warnings = source.record, source.leads, source.warnings
        self.fs_hz, self.n_samples = source.fs_hz, source.n_samples
        before = source.read(0, min(round(from_s * source.fs_hz), source.n_samples))
        heights_mv = [_height_mv(lead, round(source.fs_hz)) for lead in before]
        self._noise_mv = [one / math.sqrt(8 * 10 ** (snr_db / 10)) for one in heights_mv]

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples with noise, shape (leads, stop - start), float32, mV."""
        signal = self._source.read(start, stop).copy()
        first = max(0, math.floor((start / self.fs_hz - self._from_s) / (NOISY_S + CLEAN_S)))
        stretch = first
        while (begins := self._begins(stretch)) < stop:
            at, until = max(start, begins), min(stop, begins + round(NOISY_S * self.fs_hz))
            for lead, noise_mv in enumerate(self._noise_mv):
                if at < until:
                    noise = _noise(self.fs_hz, self._seed, stretch, lead)
                    signal[lead, at - start : until - start] += (
                        noise_mv * noise[at - begins : until - begins]
                    )
            stretch += 1
        return signal

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _begins(self, stretch: int) -> int:
        return round((self._from_s + stretch * (NOISY_S + CLEAN_S)) * self.fs_hz)


def _height_mv(lead: NDArray[np.float32], second: int) -> float:
    """Return the median height of a second of signal, in mV; 0 where there is none."""
    n_seconds = len(lead) // second
    parts = lead[: n_seconds * second].reshape(n_seconds, second)
    parts = parts[np.isfinite(parts).all(axis=1)]
    return float(np.median(np.ptp(parts, axis=1))) if len(parts) else 0.0


@lru_cache(maxsize=32)
def _noise(fs_hz: float, seed: int, stretch: int, lead: int) -> Floats:
    """Return one stretch of noise of standard deviation 1, not to be written to."""
    rng = np.random.default_rng((seed, stretch, lead))
    n_settled = round(SETTLED_S * fs_hz)
    n = n_settled + round(NOISY_S * fs_hz)
    band = sosfilt(butter(2, BAND_HZ, "bandpass", fs=fs_hz, output="sos"), rng.standard_normal(n))
    swell = np.abs(sosfilt(butter(2, SWELL_HZ, fs=fs_hz, output="sos"), rng.standard_normal(n)))
    band *= LEAST_SWELL + swell / np.sqrt(np.square(swell).mean())
    jumps = np.zeros(n)
    at = rng.integers(0, n, rng.poisson(n / fs_hz * JUMPS_HZ))
    jumps[at] = rng.laplace(size=len(at))
    jumps = lfilter([1.0], [1.0, -math.exp(-1 / (JUMP_LASTS_S * fs_hz))], jumps)
    jumps = sosfilt(butter(1, JUMP_HZ, fs=fs_hz, output="sos"), jumps)
    noise = (band / band.std() + JUMPS_SHARE * jumps / max(float(jumps.std()), 1e-9))[n_settled:]
    scaled: Floats = noise / noise.std()
    scaled.flags.writeable = False
    return scaled
