"""Can this signal be judged? Flags of seconds and of beats' windows, from the samples alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmenter.beat import Quality

FLAT_MV = 0.01  # two steps of an 11-bit, 10 mV converter: no beat is smaller
RAIL_MV = 2.0  # an amplifier's limit is no nearer to zero than this
RAIL_FRACTION = 0.1  # of the samples at one of the extremes: a wave's top is narrower
STILL_MV = 1e-5  # what is nearer to the extreme is at it: rounding, not a step of a converter
MISSING_FRACTION = 0.2  # of a second; less is a beat's matter
BASELINE_FRACTION = 0.5  # of a window's height; more, and the baseline moved more than the beat
EDGE_FRACTION = 0.1  # of a window, at either end, is averaged for the baseline

# Plain numbers: an IntFlag takes a microsecond to combine.
FLAT, SATURATED, BASELINE = int(Quality.FLAT), int(Quality.SATURATED), int(Quality.BASELINE)


def second_flags(signal: NDArray[np.float32]) -> list[int]:
    """Flag seconds of signal that are flat, or stand at an amplifier's limit.

    Parameters
    ----------
    signal : np.ndarray, shape (n, samples), float32
        mV.

    Returns
    -------
    list of int
        `Quality` flags of each.
    """
    highest = signal.max(axis=1).astype(np.float64)
    flags: list[int] = _stuck(signal, highest, signal.min(axis=1).astype(np.float64)).tolist()
    return flags


def is_lost(missing: NDArray[np.bool_]) -> bool:
    """Tell whether so much of a second is missing, shape (samples,), that it cannot be judged."""
    return int(np.count_nonzero(missing)) >= MISSING_FRACTION * len(missing)


def window_flags(values: NDArray[np.float64]) -> list[int]:
    """Flag beats that are flat, saturated, or on a moving baseline.

    Parameters
    ----------
    values : np.ndarray, shape (n, length), float64
        The beats as they were cut, mV, not yet standardised.

    Returns
    -------
    list of int
        `Quality` flags of each.
    """
    edge = max(1, int(EDGE_FRACTION * values.shape[1]))
    highest, lowest = values.max(axis=1), values.min(axis=1)
    moved = values[:, -edge:].sum(axis=1) - values[:, :edge].sum(axis=1)
    drifts = np.abs(moved) > edge * BASELINE_FRACTION * (highest - lowest)
    flags: list[int] = (_stuck(values, highest, lowest) | BASELINE * drifts).tolist()
    return flags


def _stuck(
    signals: NDArray[Any], highest: NDArray[np.float64], lowest: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return which of the signals, shape (n, samples), are flat or saturated: flags of each."""
    is_flat = highest - lowest <= FLAT_MV
    flags = FLAT * is_flat.astype(np.int64)
    for k in np.flatnonzero(~is_flat & (np.maximum(highest, -lowest) >= RAIL_MV)).tolist():
        signal, high, low = signals[k], highest.item(k), lowest.item(k)
        at_rail = (signal >= high - STILL_MV) | (signal <= low + STILL_MV)
        if np.count_nonzero(at_rail) > RAIL_FRACTION * len(signal):
            flags[k] = SATURATED
    return flags
