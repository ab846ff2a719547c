"""Can this signal be judged? Flags of seconds and of beats' windows, from the samples alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmenter.beat import Quality
from segmenter.cutter import Windows

FLAT_MV = 0.01  # two steps of an 11-bit, 10 mV converter: no beat is smaller
RAIL_MV = 2.0  # an amplifier's limit is no nearer to zero than this
RAIL_FRACTION = 0.1  # of the samples standing still at one of the extremes
MISSING_FRACTION = 0.2  # of a second; less is a beat's matter
BASELINE_FRACTION = 0.5  # of a window's height; more, and the baseline moved more than the beat
EDGE_FRACTION = 0.1  # of a window, at either end, is averaged for the baseline

# Plain numbers: an IntFlag takes a microsecond to combine.
FLAT, SATURATED = int(Quality.FLAT), int(Quality.SATURATED)
MISSING, BASELINE = int(Quality.MISSING), int(Quality.BASELINE)


def second_flags(signal: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Flag seconds of signal that are missing, flat, or stand at an amplifier's limit.

    Parameters
    ----------
    signal : np.ndarray, shape (n, samples), float32
        mV; where it is missing, the last value before is repeated.
    missing : np.ndarray, shape (n, samples), bool

    Returns
    -------
    np.ndarray, shape (n,), int64
        `Quality` flags.
    """
    highest, lowest = signal.max(axis=1), signal.min(axis=1)
    flags = np.where(highest - lowest <= FLAT_MV, FLAT, 0)
    for k in np.flatnonzero(_may_be_railed(highest, lowest, flags)).tolist():
        flags[k] = _saturated(signal[k], highest[k], lowest[k])
    if missing.any():
        lost = np.count_nonzero(missing, axis=1) >= MISSING_FRACTION * missing.shape[1]
        flags[lost] = MISSING
    return flags


def window_flags(
    signal: NDArray[np.float32], missing: NDArray[np.bool_], windows: Windows
) -> NDArray[np.int64]:
    """Flag beats' windows: missing, flat, saturated, or on a moving baseline.

    Parameters
    ----------
    signal : np.ndarray, shape (m,), float32
        mV; where it is missing, the last value before is repeated.
    missing : np.ndarray, shape (m,), bool
    windows : Windows
        Of n beats, none of them empty.

    Returns
    -------
    np.ndarray, shape (n,), int64
        `Quality` flags.
    """
    n_samples = np.ceil(windows.fraction + windows.span).astype(np.int64)
    begin = np.cumsum(n_samples) - n_samples  # of each window, when they are laid end to end
    index = np.arange(n_samples.sum()) + np.repeat(windows.origin - begin, n_samples)
    values = signal.take(index)
    highest = np.maximum.reduceat(values, begin)
    lowest = np.minimum.reduceat(values, begin)
    flags = np.where(highest - lowest <= FLAT_MV, FLAT, 0)
    for k in np.flatnonzero(_may_be_railed(highest, lowest, flags)).tolist():
        window = values[begin[k] : begin[k] + n_samples[k]]
        flags[k] = _saturated(window, highest[k], lowest[k])

    edge = np.maximum(1, (EDGE_FRACTION * n_samples).astype(np.int64))
    parts = np.stack((begin, begin + edge, begin + n_samples - edge), axis=1).ravel()
    sums = np.add.reduceat(values, np.minimum(parts, len(values) - 1)).reshape(-1, 3)
    moved = np.abs(sums[:, 2] - sums[:, 0]) / edge
    flags |= np.where(moved > BASELINE_FRACTION * (highest - lowest), BASELINE, 0)
    if missing.any():
        flags[np.logical_or.reduceat(missing.take(index), begin)] = MISSING
    return flags


def _may_be_railed(
    highest: NDArray[np.float32], lowest: NDArray[np.float32], flags: NDArray[np.int64]
) -> NDArray[np.bool_]:
    may: NDArray[np.bool_] = (np.maximum(highest, -lowest) >= RAIL_MV) & (flags == 0)
    return may


def _saturated(signal: NDArray[np.float32], highest: np.float32, lowest: np.float32) -> int:
    limit = RAIL_FRACTION * len(signal)
    at_rail = (signal == highest) | (signal == lowest)
    if np.count_nonzero(at_rail) <= limit:  # so it is with a high R peak
        return 0
    still = signal[1:] == signal[:-1]
    return SATURATED if np.count_nonzero(still & at_rail[1:]) > limit else 0
