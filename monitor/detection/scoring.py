"""Beats of many messages scored together: one batch a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from model.tracking import put_back, track_all
from monitor.detection.patient import Model, Patient
from monitor.detection.scored_beats import ScoredBeat, scored_beats
from monitor.wire.messages import BeatsMessage, joined_messages


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
