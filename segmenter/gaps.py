"""Missing samples: filled so that the filters have something to run on, and counted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Bridged(NamedTuple):
    """Signals of k rows without their gaps."""

    held: NDArray[np.float32]  # (k, n) mV; the last value before a gap is repeated in it
    levels: NDArray[np.float64]  # (k, n) mV, to be subtracted: a gap then leaves no step
    gaps: NDArray[np.int64]  # (k, n + 1) missing samples just before each sample, and at the end


def bridge(
    samples: NDArray[np.floating],
    present: NDArray[np.bool_],
    past: Bridged,
    level_gap: float,
    sleep_gap: int,
) -> Bridged:
    """Fill the gaps of the next samples.

    Parameters
    ----------
    samples, present : np.ndarray, shape (k, n)
        mV, and which of them are to be believed.
    past : Bridged
        Of one sample: the last one held and its level; `gaps` as at the end, shape (k, 1).
    level_gap : float
        After more missing samples the signal goes on at the level at which it stopped.
    sleep_gap : int
        After as many the detector starts anew, and the level with it.
    """
    index = np.arange(samples.shape[1])
    latest = np.maximum.accumulate(np.where(present, index, -1), axis=1)
    values = np.where(present, samples, 0).astype(np.float32)
    values = np.take_along_axis(values, np.maximum(latest, 0), axis=1)
    held = np.where(latest < 0, past.held, values)
    after = index - latest + np.where(latest < 0, past.gaps, 0)
    gaps = np.concatenate((past.gaps, after), axis=1)

    levels = np.repeat(past.levels, samples.shape[1], axis=1)
    returns = present & (gaps[:, :-1] > level_gap)
    for row, column in zip(*(where.tolist() for where in np.nonzero(returns)), strict=True):
        if gaps[row, column] >= sleep_gap:
            levels[row, column:] = 0.0
            continue
        before = held[row, column - 1] if column else past.held[row, 0]
        levels[row, column:] += float(held[row, column]) - float(before)
    return Bridged(held, levels, gaps)
