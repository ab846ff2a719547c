"""Beats of many messages scored together, one batch a model; then a row each, as plain numbers.

Numbers are taken out of the arrays once a batch: one by one each costs as much as a whole column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.prematurity import Timing
from model.tracking import Scored, put_back, track_all
from monitor.wire.messages import BeatsMessage, joined_messages
from segmenter.beat import Beats

if TYPE_CHECKING:  # these modules need each other's types alone
    from monitor.detection.desk import Model
    from monitor.detection.patient import Patient


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
    closed_sample: int  # from when on its verdict is possible, from the record's start
    loss: float | None  # none where it is not judgeable
    timing: Timing
    values: bytes  # float32, little-endian, standardised: a copy, that keeps no batch
    batch: Batch
    row: int


def score_messages(
    messages: Sequence[BeatsMessage], patients: Mapping[str, Patient]
) -> Iterator[Sequence[ScoredBeat]]:
    """Score the beats of all messages, one batch a model; results in the messages' order.

    Parameters
    ----------
    messages : sequence of BeatsMessage
        Of patients who are there.
    patients : mapping of str to Patient
        By name; what is followed of them moves on.
    """
    by_model: dict[int, list[int]] = {}
    for index, message in enumerate(messages):
        by_model.setdefault(id(patients[message.header.patient].model), []).append(index)
    parts: dict[int, Sequence[ScoredBeat]] = {}
    for indices in by_model.values():
        together = [messages[index] for index in indices]
        model = patients[together[0].header.patient].model
        scored = iter(_score_batch(model, together, patients))
        for index, message in zip(indices, together, strict=True):
            parts[index] = [*islice(scored, message.header.n_beats)]
    return iter([parts[index] for index in range(len(messages))])


def _score_batch(
    model: Model, messages: Sequence[BeatsMessage], patients: Mapping[str, Patient]
) -> list[ScoredBeat]:
    counts = [(one.header.patient, one.header.n_beats) for one in messages]
    named = {name: patients[name] for name, _ in counts}
    beats = joined_messages(messages, model.checkpoint.config.length)
    states, tracked = track_all(
        {name: patient.track for name, patient in named.items()},
        counts,
        beats.values,
        beats.rr_before_ms,
        beats.judgeable,
        model.scorer.template,
        model.checkpoint.normal,
    )
    for name, patient in named.items():
        patient.track = states[name]
    # Of one that learns nothing is scored yet.
    monitored = [named[name].learning is None for name, n in counts for _ in range(n)]
    rows = beats.judgeable & np.array(monitored, np.bool_)
    scored = put_back(tracked, model.scorer.reconstruct(tracked.inputs[rows]), rows)
    return scored_beats(beats, scored)


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
        beats.closed_sample.tolist(),
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
