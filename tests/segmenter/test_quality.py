import numpy as np
import pytest
from numpy.typing import NDArray

from segmenter import quality
from segmenter.beat import Quality
from segmenter.cutter import Windows
from tests.segmenter.synthetic import ecg

BEAT = ecg(250.0, np.array([0.4]), 0.8)
PRESENT = np.zeros(len(BEAT), np.bool_)


def second_flags(signal: NDArray[np.float32], missing: NDArray[np.bool_]) -> int:
    return int(quality.second_flags(signal[None], missing[None])[0])


def window_flags(signal: NDArray[np.float32], missing: NDArray[np.bool_]) -> int:
    """Flag a window that is all of a signal."""
    none, end = np.zeros(1, np.int64), np.array([len(signal)])
    windows = Windows.of(none.astype(float), end.astype(float), none, none, end - 1)
    return int(quality.window_flags(signal, missing, windows)[0])


def test_a_clean_beat_is_good() -> None:
    """No flag without a reason."""
    assert window_flags(BEAT, PRESENT) == Quality.GOOD
    assert second_flags(BEAT, PRESENT) == Quality.GOOD


def test_one_missing_sample_marks_a_beat_but_not_a_second() -> None:
    """A second is missing from a fifth on."""
    missing = PRESENT.copy()
    missing[50] = True
    assert window_flags(BEAT, missing) == Quality.MISSING
    assert second_flags(BEAT, missing) == Quality.GOOD
    missing[50:90] = True
    assert second_flags(BEAT, missing) == Quality.MISSING


@pytest.mark.parametrize("level", [0.0, -3.0, 5.12])
def test_one_step_of_the_converter_is_flat(level: float) -> None:
    """Flat is flat at any level, and with the last bit flickering."""
    signal = np.full(250, level, np.float32)
    signal[::7] += np.float32(0.005)
    assert second_flags(signal, np.zeros(250, np.bool_)) == Quality.FLAT
    assert window_flags(signal, np.zeros(250, np.bool_)) == Quality.FLAT


def test_clipping_at_a_rail_is_saturation() -> None:
    """A fifth of the window stuck at the extreme is saturated; a single peak there is not."""
    signal = BEAT * 6
    assert window_flags(signal, PRESENT) == Quality.GOOD
    signal[100:140] = 5.12
    assert window_flags(np.minimum(signal, np.float32(5.12)), PRESENT) & Quality.SATURATED


def test_a_moving_baseline_is_told() -> None:
    """A drift of three times the beat's height through the window."""
    drift = np.linspace(0, 3, len(BEAT), dtype=np.float32)
    assert window_flags(BEAT + drift, PRESENT) == Quality.BASELINE
