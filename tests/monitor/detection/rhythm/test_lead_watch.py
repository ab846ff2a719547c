"""How quiet a lead is beside its own complexes, and when that proves nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.detection.rhythm.lead_watch import LeadWatchState, is_loose, watch_lead
from monitor.detection.rhythm.signs import LeadSigns
from segmenter.hops import HopWindows
from segmenter.oscillation import measure
from tests.segmenter.synthetic import ecg, regular

FS_HZ = 250.0


def watched(signal: NDArray[np.float32]) -> dict[float, tuple[LeadSigns, bool]]:
    """Return the signs of each half second, and whether an electrode came off shortly before."""
    state, found = LeadWatchState(), {}
    for end, window in HopWindows(FS_HZ).update(signal):
        state, signs = watch_lead(state, measure(end, window), FS_HZ)
        found[end / FS_HZ] = (signs, is_loose(state, end, FS_HZ))
    return found


def standing_still(gain: float = 1.0, p_waves: bool = False) -> NDArray[np.float32]:
    """A minute of beats, then none for 20 s."""
    r_s = regular(0.8, 60.0)
    assert r_s[-1] == pytest.approx(59.3, abs=0.5)
    signal = ecg(FS_HZ, r_s, 80.0).astype(np.float64)
    if p_waves:
        t = np.arange(len(signal)) / FS_HZ
        for at in np.arange(60.5, 80.0, 0.9):
            signal += 0.15 * np.exp(-0.5 * ((t - at) / 0.03) ** 2)
    return (gain * signal).astype(np.float32)


@pytest.mark.parametrize("gain", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("p_waves", [False, True])
def test_quiet_counts_from_the_last_complex(gain: float, p_waves: bool) -> None:
    """In any gain; P waves that go on are no QRS complexes."""
    found = watched(standing_still(gain, p_waves))
    last_r_s = regular(0.8, 60.0)[-1]
    for at_s in (62.0, 64.0, 70.0, 80.0):
        assert found[at_s][0].quiet_s == pytest.approx(at_s - last_r_s, abs=0.3)
    assert max(found[at_s][0].quiet_s for at_s in np.arange(25.0, 60.0, 0.5)) < 1.25


def test_muscles_are_noise_and_what_is_left_of_a_silent_lead_is_not() -> None:
    """Loud as beats; an amplifier's own noise has as much at these frequencies, and is quiet."""
    heart = standing_still()
    muscles = np.random.default_rng(1).normal(0, 0.3, len(heart)).astype(np.float32)
    assert not any(signs.noisy for signs, _ in watched(heart).values())
    found = watched(heart + np.where(np.arange(len(heart)) >= 40 * FS_HZ, muscles, 0))
    assert not any(signs.noisy for at_s, (signs, _) in found.items() if at_s < 40)
    assert all(signs.noisy for at_s, (signs, _) in found.items() if at_s >= 43)
    left = watched(heart + np.where(np.arange(len(heart)) >= 60 * FS_HZ, 0.01 * muscles, 0))
    assert not any(signs.noisy for signs, _ in left.values())


def test_nothing_is_quiet_before_anything_is_usual() -> None:
    """The first twenty seconds teach how high complexes are."""
    found = watched(np.random.default_rng(0).normal(0, 0.003, 4000).astype(np.float32))
    assert all(signs.quiet_s == 0 for at_s, (signs, _) in found.items() if at_s < 16)


def test_a_lead_that_came_off_cannot_be_read_and_its_quiet_proves_nothing() -> None:
    """It is constant; once complexes are seen again, it holds again."""
    signal = ecg(FS_HZ, regular(0.8, 90.0), 90.0)
    signal[15_000:16_500] = 0.0  # 60 to 66 s
    found = watched(signal)
    assert found[59.5] == (found[59.5][0], False)
    assert found[59.5][0].readable
    off, loose = found[65.0]
    assert not off.readable
    assert loose
    assert off.quiet_s == 0
    held, loose = found[80.0]
    assert held.readable
    assert not loose
