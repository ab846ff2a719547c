"""Can this signal be judged? Flags of a second and of a beat's window, from the samples alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmenter.beat import Quality

FLAT_MV = 0.01  # two steps of an 11-bit, 10 mV converter: no beat is smaller
RAIL_MV = 2.0  # an amplifier's limit is no nearer to zero than this
RAIL_FRACTION = 0.1  # of the samples standing still at one of the extremes
MISSING_FRACTION = 0.2  # of a second; less is a beat's matter
BASELINE_FRACTION = 0.5  # of a window's height; more, and the baseline moved more than the beat
EDGE_FRACTION = 0.1  # of a window, at either end, is averaged for the baseline


def second_flags(signal: NDArray[np.float32], missing: NDArray[np.bool_]) -> Quality:
    """Flag a second of signal that is missing, flat, or stands at an amplifier's limit.

    Parameters
    ----------
    signal : np.ndarray, shape (n,), float32
        mV; where it is missing, the last value before is repeated.
    missing : np.ndarray, shape (n,), bool
    """
    if np.count_nonzero(missing) >= MISSING_FRACTION * len(missing):
        return Quality.MISSING
    return _stuck(signal, float(signal.max()), float(signal.min()))


def window_flags(signal: NDArray[np.float32], missing: NDArray[np.bool_]) -> Quality:
    """Flag a beat's window: missing, flat, saturated, or on a moving baseline.

    Parameters
    ----------
    signal : np.ndarray, shape (n,), float32
        mV, n > 0; where it is missing, the last value before is repeated.
    missing : np.ndarray, shape (n,), bool
    """
    if missing.any():
        return Quality.MISSING
    highest, lowest = float(signal.max()), float(signal.min())
    flags = _stuck(signal, highest, lowest)
    edge = max(1, int(EDGE_FRACTION * len(signal)))
    moved = abs(float(signal[-edge:].sum()) - float(signal[:edge].sum())) / edge
    if moved > BASELINE_FRACTION * (highest - lowest):
        return flags | Quality.BASELINE
    return flags


def _stuck(signal: NDArray[np.float32], highest: float, lowest: float) -> Quality:
    if highest - lowest <= FLAT_MV:
        return Quality.FLAT
    if max(highest, -lowest) >= RAIL_MV:
        still = signal[1:] == signal[:-1]
        at_rail = (signal[1:] == highest) | (signal[1:] == lowest)
        if np.count_nonzero(still & at_rail) > RAIL_FRACTION * len(signal):
            return Quality.SATURATED
    return Quality.GOOD
