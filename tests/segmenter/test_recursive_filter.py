"""The band-pass of QRS complexes: SciPy's own figures, and its filter without the rest of SciPy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import signal

from segmenter import recursive_filter
from segmenter.filters import QRS_BAND_HZ, QRS_BAND_ORDER
from segmenter.recursive_filter import butterworth, group_delay, lfilter, steady_state

RATES_HZ = (100.0, 128.0, 250.0, 257.0, 333.3, 360.0, 500.0, 1000.0, 2000.0)


@pytest.mark.parametrize("fs_hz", RATES_HZ)
def test_coefficients_are_those_of_scipy(fs_hz: float) -> None:
    """Coefficients, steady state and delay are those that scipy.signal gives."""
    numerator, denominator = signal.butter(QRS_BAND_ORDER, QRS_BAND_HZ, "bandpass", fs=fs_hz)
    found = butterworth(QRS_BAND_ORDER, QRS_BAND_HZ, fs_hz)
    np.testing.assert_allclose(found[0], numerator, rtol=1e-13)
    np.testing.assert_allclose(found[1], denominator, rtol=1e-13)
    centre_hz = float(np.sqrt(QRS_BAND_HZ[0] * QRS_BAND_HZ[1]))
    _, delay = signal.group_delay((numerator, denominator), w=[centre_hz], fs=fs_hz)
    assert group_delay(found, centre_hz, fs_hz) == pytest.approx(float(delay[0]), rel=1e-9)
    steady = signal.lfilter_zi(numerator, denominator)
    np.testing.assert_allclose(steady_state(found), steady, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("band_hz", [(0.0, 20.0), (20.0, 8.0), (8.0, 125.0)])
def test_a_band_that_is_none_is_refused(band_hz: tuple[float, float]) -> None:
    """A band must lie between 0 and half the sampling rate."""
    with pytest.raises(ValueError, match="does not lie in 0 to 125"):
        butterworth(2, band_hz, 250.0)


def test_filters_as_scipy_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The filter by itself, and the one that stands in for it, give scipy.signal's bits."""
    coefficients = butterworth(QRS_BAND_ORDER, QRS_BAND_HZ, 250.0)
    random = np.random.default_rng(0)
    samples, state = random.normal(size=(3, 500)), random.normal(size=(3, 4))
    expected = signal.lfilter(*coefficients, samples, axis=-1, zi=state)
    for one, other in zip(lfilter(coefficients, samples, state), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    monkeypatch.setattr(recursive_filter, "_by_itself", lambda: None)
    recursive_filter._linear_filter.cache_clear()
    try:
        stands_in = lfilter(coefficients, samples, state)
    finally:
        recursive_filter._linear_filter.cache_clear()
    for one, other in zip(stands_in, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_segmenter_does_not_import_scipy_signal() -> None:
    """Finding beats imports neither scipy.signal nor scipy.fft; both can be imported later."""
    program = (
        "import sys, numpy as np\n"
        "from segmenter.pool import SegmenterPool\n"
        "from segmenter.filters import BandPass\n"
        "row = np.zeros(1, np.int64)\n"
        "filtered = BandPass(1, 250.0).update(np.ones((1, 50)), row)\n"
        "assert not {'scipy.signal', 'scipy.fft', 'scipy.stats'} & set(sys.modules)\n"
        "from scipy.signal import lfilter\n"
        "print(filtered.shape)\n"
    )
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, "(1, 50)"), ran.stderr
