"""Beats that were scored together, a row each: plain numbers, as messages and counts take them.

Numbers are taken out of the arrays once a batch: one by one each costs as much as a whole column.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.prematurity import Timing
from model.tracking import Scored
from segmenter.beat import Beats


class Batch(NamedTuple):
    """Beats and what became of them, row by row; an alert shows and explains one."""

    beats: Beats
    scored: Scored


class ScoredBeat(NamedTuple):
    """One beat of a batch."""

    sample: int  # R peak, from the record's start
    rr_before_ms: float | None  # none where there is no beat before
    rr_after_ms: float | None
    quality: int  # flags
    loss: float | None  # none where it is not judgeable
    timing: Timing
    values: bytes  # float32, little-endian, standardised: a copy, that keeps no batch
    batch: Batch
    row: int


def scored_beats(beats: Beats, scored: Scored) -> list[ScoredBeat]:
    """Return beats that were scored together, one by one."""
    batch, n_beats = Batch(beats, scored), len(beats)
    values = beats.values.astype("<f4", copy=False).tobytes()
    size = len(values) // max(1, n_beats)
    columns = zip(
        beats.r_sample.tolist(),
        _or_none(beats.rr_before_ms),
        _or_none(beats.rr_after_ms),
        beats.quality.tolist(),
        _or_none(scored.losses),
        scored.tracked.timings,
        [values[row * size : (row + 1) * size] for row in range(n_beats)],
        [batch] * n_beats,
        range(n_beats),
        strict=True,
    )
    return [*map(ScoredBeat._make, columns)]


def _or_none(values: NDArray[np.float32]) -> list[float | None]:
    """Return None for NaN and infinities, which JSON cannot say."""
    return [value if math.isfinite(value) else None for value in values.tolist()]
