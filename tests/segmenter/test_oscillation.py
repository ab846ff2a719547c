"""What a window of four seconds is, told from the signal alone."""

from __future__ import annotations

import numpy as np
import pytest

from segmenter.oscillation import measure
from segmenter.signs import SignalWindow
from tests.segmenter.synthetic import ecg, regular

KUO_DILLMAN_VF = 0.406


def at_rate(fs_hz: float, hz: float) -> SignalWindow:
    t = np.arange(round(4 * fs_hz)) / fs_hz
    wave = 0.8 * np.sin(2 * np.pi * hz * t) * (1 + 0.2 * np.sin(2 * np.pi * 0.4 * t))
    return measure(len(t), wave.astype(np.float32))


@pytest.mark.parametrize("hz", [3.5, 5.0, 7.0])
def test_an_oscillation_has_no_baseline_and_one_frequency(hz: float) -> None:
    """Coarse fibrillation: little leaks through the filter at its period."""
    found = at_rate(250.0, hz)
    assert found.leakage < KUO_DILLMAN_VF
    assert found.far_share > 0.6
    assert found.dominant_hz == pytest.approx(hz, abs=0.3)
    assert found.tonal_share > 0.9


@pytest.mark.parametrize("rr_s", [0.4, 0.8, 1.2])
def test_complexes_leave_the_baseline_free(rr_s: float) -> None:
    """QRS complexes, fast ones too, are no oscillation."""
    signal = ecg(250.0, regular(rr_s, 8.0), 8.0)[500:1500]
    found = measure(1500, signal)
    assert found.leakage > 0.6
    assert found.far_share < 0.48


@pytest.mark.parametrize("fs_hz", [128.0, 360.0, 1000.0])
def test_the_sampling_rate_does_not_matter(fs_hz: float) -> None:
    """The same signal at another rate measures the same."""
    one, other = at_rate(250.0, 5.0), at_rate(fs_hz, 5.0)
    assert other.leakage == pytest.approx(one.leakage, abs=0.03)
    assert other.far_share == pytest.approx(one.far_share, abs=0.03)
    assert other.height_mv == pytest.approx(one.height_mv, rel=0.05)
    assert other.qrs_highest_mv == pytest.approx(one.qrs_highest_mv, rel=0.1, abs=0.01)


def test_a_gap_between_complexes_is_seen_to_a_sixteenth_of_a_second() -> None:
    """The QRS band is high in the parts of the hop that hold a complex, and nowhere else."""
    signal = ecg(250.0, np.array([3.5]), 4.0, noise_mv=0.002)
    found = measure(1000, signal)  # the parts are of 3.25 to 3.75 s
    assert int(np.argmax(found.qrs_mv)) in (3, 4)
    assert found.qrs_mv[0] < 0.1 * max(found.qrs_mv)
    assert found.qrs_mv[-1] < 0.1 * max(found.qrs_mv)


def test_what_is_constant_or_missing_is_told() -> None:
    """An open input is constant; a heart at rest is not; half a window is none."""
    noise = np.random.default_rng(0).normal(scale=0.005, size=1000).astype(np.float32)
    assert measure(1000, np.zeros(1000, np.float32)).still == 1.0
    assert measure(1000, noise).still < 0.1
    holed = noise.copy()
    holed[:600] = np.nan
    found = measure(1000, holed)
    assert found.missing == pytest.approx(0.6)
    assert np.isnan(found.leakage)
    assert np.isnan(found.qrs_mv).all()
    holed = noise.copy()
    holed[100:200] = np.nan
    assert np.isfinite(measure(1000, holed).leakage)
