"""Pulses are found in any unit, at any cut, and none where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from segmenter.errors import InvalidState
from segmenter.pulse_wave import PulseDetector

FS_HZ = 125.0


def wave(pulse_s: NDArray[np.float64], seconds: float, height: float = 1.0) -> NDArray[np.float32]:
    """Return pulses that rise within 0.1 s and fall within half a second, with breathing."""
    t = np.arange(round(seconds * FS_HZ)) / FS_HZ
    signal = 0.1 * np.sin(2 * np.pi * 0.25 * t)
    for at in pulse_s:
        since = np.maximum(t - at, 0)
        signal += np.exp(-since / 0.25) - np.exp(-since / 0.05)
    return (height * signal).astype(np.float32)


def found_in(signal: NDArray[np.float32], step: int = 1 << 20) -> list[int]:
    detector = PulseDetector(FS_HZ)
    hops = [
        hop for k in range(0, len(signal), step) for hop in detector.update(signal[k : k + step])
    ]
    return [pulse for hop in hops for pulse in hop.pulses]


PULSES = np.arange(1.0, 58.0, 0.8)


@pytest.mark.parametrize("height", [1.0, 0.01, 80.0])
def test_every_pulse_is_found_once_in_any_unit(height: float) -> None:
    """A pulse lies at its steep rise; the first may be missed while levels are learnt."""
    found = np.array(found_in(wave(PULSES, 60.0, height))) / FS_HZ
    for pulse in PULSES[2:-1]:
        assert np.count_nonzero((found > pulse) & (found < pulse + 0.3)) == 1
    assert len(found) <= len(PULSES)


@pytest.mark.parametrize("step", [1, 37, 62, 1000])
def test_any_cut_gives_the_same_pulses(step: int) -> None:
    """The chunks do not matter."""
    signal = wave(PULSES[:20], 18.0)
    assert found_in(signal, step) == found_in(signal)


def test_a_wave_that_stops_has_no_pulses() -> None:
    """Decay and breathing after the last pulse are none."""
    found = np.array(found_in(wave(PULSES[:25], 40.0))) / FS_HZ
    assert not (found > PULSES[24] + 0.4).any()


def test_a_saved_state_goes_on() -> None:
    """Saving at any sample changes nothing; damaged bytes are refused."""
    signal = wave(PULSES[:20], 18.0)
    for cut in (5, 800, 1111):
        before = PulseDetector(FS_HZ)
        hops = before.update(signal[:cut])
        hops += PulseDetector.from_bytes(before.to_bytes()).update(signal[cut:])
        assert hops == PulseDetector(FS_HZ).update(signal)
    with pytest.raises(InvalidState):
        PulseDetector.from_bytes(before.to_bytes()[:-5])


def test_a_missing_wave_is_not_readable() -> None:
    """Nothing is said of what is not there, nor of a constant."""
    for signal in (np.full(1000, np.nan, np.float32), np.full(1000, 7.0, np.float32)):
        hops = PulseDetector(FS_HZ).update(signal)
        assert not any(hop.readable or hop.pulses for hop in hops)
