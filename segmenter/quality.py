"""Can this signal be judged? Flags of a second and of a beat's window, from the samples alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmenter.beat import Quality

FLAT_MV = 0.01  # two steps of a 12-bit, 10 mV converter: no beat is smaller
RAIL_MV = 2.0  # an amplifier's limit is no nearer to zero than this
RAIL_FRACTION = 0.1  # of the samples standing still at one of the extremes
MISSING_FRACTION = 0.2  # of a second; less is a beat's matter
BASELINE_RATIO = 1.0  # the baseline moved by the beat's own height


def signal_flags(signal: NDArray[np.float32], missing: NDArray[np.bool_]) -> Quality:
    """Flag a stretch of signal that is flat or stands at an amplifier's limit.

    Parameters
    ----------
    signal : np.ndarray, shape (n,), float32
        mV; where it is missing, the last value before is repeated.
    missing : np.ndarray, shape (n,)
    """
    quality = Quality.GOOD
    if len(signal) == 0:
        return quality
    highest, lowest = float(signal.max()), float(signal.min())
    if highest - lowest <= FLAT_MV:
        quality |= Quality.FLAT
    elif max(highest, -lowest) >= RAIL_MV:
        still = signal[1:] == signal[:-1]
        at_rail = (signal[1:] == highest) | (signal[1:] == lowest)
        if np.count_nonzero(still & at_rail & ~missing[1:]) > RAIL_FRACTION * len(signal):
            quality |= Quality.SATURATED
    return quality


def baseline_moved(signal: NDArray[np.float32]) -> bool:
    """Tell whether the baseline moves by more than the beat's height over its window."""
    edge = max(1, len(signal) // 10)
    head, tail = float(signal[:edge].mean()), float(signal[-edge:].mean())
    trend = np.linspace(head, tail, len(signal))
    height = float(np.ptp(signal - trend))
    return abs(tail - head) > BASELINE_RATIO * height
