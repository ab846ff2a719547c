"""Noise of moving electrodes, added to a record."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.sources.electrode_motion import MovingElectrodes

FS_HZ = 100.0
FROM_S = 60.0


class Pulses:
    """Two leads of one spike a second, 1 and 3 mV high."""

    record, leads, warnings = "pulses", ("I", "II"), ()
    fs_hz, n_samples = FS_HZ, 60_000

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples."""
        spikes = (np.arange(start, stop) % 100 == 50).astype(np.float32)
        return np.stack([spikes, 3 * spikes])

    def close(self) -> None:
        """Nothing is open."""


def noise(snr_db: float = 12.0, seed: int = 0) -> NDArray[np.float32]:
    """Return what is added to a record of ten minutes."""
    noisy = MovingElectrodes(Pulses(), snr_db, FROM_S, seed)
    return noisy.read(0, 60_000) - Pulses().read(0, 60_000)


def test_noise_is_on_for_two_minutes_and_off_for_two() -> None:
    """From the given time on; what is before it, and between, is as it was."""
    power = np.abs(noise()).reshape(2, -1, 6000).max(axis=2)  # of each minute
    assert (power > 0).tolist() == [[False, *[True, True, False, False] * 2, True]] * 2


@pytest.mark.parametrize("snr_db", [12.0, 0.0])
def test_its_power_is_that_of_the_ratio(snr_db: float) -> None:
    """The signal's is an eighth of the squared height of each lead."""
    noisy = noise(snr_db)[:, 6000:18_000]
    expected = np.array([1.0, 3.0]) ** 2 / 8 / 10 ** (snr_db / 10)
    np.testing.assert_allclose(np.square(noisy).mean(axis=1), expected, rtol=0.05)


def test_windows_of_any_size_hold_the_same() -> None:
    """To the bit; another seed makes other noise, and each lead has its own."""
    noisy = MovingElectrodes(Pulses(), 6.0, FROM_S)
    whole = noisy.read(0, 60_000)
    edges = [0, 1, 5999, 6001, 17_000, 18_001, 31_000, 60_000]
    parts = [noisy.read(*edges[at : at + 2]) for at in range(len(edges) - 1)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    assert not np.array_equal(noise(seed=1), noise(seed=0))
    first, second = noise()[:, 6000:18_000]
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.5


def test_a_signal_of_nothing_gets_no_noise() -> None:
    """Missing samples stay missing; without a height there is nothing to relate noise to."""

    class Missing(Pulses):
        def read(self, start: int, stop: int) -> NDArray[np.float32]:
            return np.full((2, stop - start), np.nan, np.float32)

    assert np.isnan(MovingElectrodes(Missing(), 0.0, FROM_S).read(0, 12_000)).all()
