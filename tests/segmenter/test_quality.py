import numpy as np
import pytest
from numpy.typing import NDArray

from segmenter import quality
from segmenter.beat import Quality
from tests.segmenter.synthetic import ecg

BEAT = ecg(250.0, np.array([0.4]), 0.8)


def second_flags(signal: NDArray[np.float32]) -> int:
    return quality.second_flags(signal[None])[0]


def window_flags(signal: NDArray[np.float32]) -> int:
    return quality.window_flags(signal[None].astype(np.float64))[0]


def test_a_clean_beat_is_good() -> None:
    """No flag without a reason."""
    assert window_flags(BEAT) == Quality.GOOD
    assert second_flags(BEAT) == Quality.GOOD


def test_a_second_is_lost_from_a_fifth_on() -> None:
    """One missing sample is a beat's matter."""
    missing = np.zeros(250, np.bool_)
    missing[50] = True
    assert not quality.is_lost(missing)
    missing[50:100] = True
    assert quality.is_lost(missing)


@pytest.mark.parametrize("level", [0.0, -3.0, 5.12])
def test_one_step_of_the_converter_is_flat(level: float) -> None:
    """Flat is flat at any level, and with the last bit flickering."""
    signal = np.full(250, level, np.float32)
    signal[::7] += np.float32(0.005)
    assert second_flags(signal) == Quality.FLAT
    assert window_flags(signal) == Quality.FLAT


def test_clipping_at_a_rail_is_saturation() -> None:
    """A fifth of the window stuck at the extreme is saturated; a single peak there is not."""
    signal = BEAT * 6
    assert window_flags(signal) == Quality.GOOD
    signal[100:140] = 5.12
    assert window_flags(np.minimum(signal, np.float32(5.12))) & Quality.SATURATED


def test_a_moving_baseline_is_told() -> None:
    """A drift of three times the beat's height through the window."""
    drift = np.linspace(0, 3, len(BEAT), dtype=np.float32)
    assert window_flags(BEAT + drift) == Quality.BASELINE
