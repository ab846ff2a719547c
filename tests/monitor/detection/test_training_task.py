"""A training as bytes: nothing of it is lost on the way to another process and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.checkpoint import load_shipped
from model.errors import CannotLearn
from monitor.detection.training_task import (
    TrainingTask,
    decode_outcome,
    decode_task,
    encode_task,
    learn,
    outcome_of,
)


def task_of(n_beats: int = 80, seed: int = 0) -> TrainingTask:
    """Return a training of beats that are alike but for noise."""
    base, rng = load_shipped(), np.random.default_rng(seed)
    noise = rng.normal(0, 0.1, (n_beats, base.config.length))
    beats = (base.autoencoder.template + noise).astype(np.float32)
    return TrainingTask(beats, np.full(n_beats, 800, np.float32), base, 1.0)


@pytest.mark.parametrize("from_scratch", [False, True])
def test_a_task_comes_back_as_it_was(from_scratch: bool) -> None:
    """Beats, intervals, the model to begin with and the options."""
    task = replace(task_of(), from_scratch=from_scratch, false_alerts_per_hour=2.5)
    told = decode_task(encode_task(task))
    np.testing.assert_array_equal(told.beats, task.beats)
    np.testing.assert_array_equal(told.rr_before_ms, task.rr_before_ms)
    assert told.base.identity == task.base.identity
    assert (told.false_alerts_per_hour, told.from_scratch) == (2.5, from_scratch)


def test_what_was_learnt_comes_back_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint, its provenance and what is said of it."""
    monkeypatch.setattr("model.learning.TRAINED_FLOP", 1e8)
    here, told = learn(task_of()), decode_outcome(outcome_of(task_of()))
    assert told.checkpoint.identity == here.checkpoint.identity
    assert told.checkpoint.provenance == here.checkpoint.provenance
    assert (told.n_given, told.n_kept, told.note) == (here.n_given, here.n_kept, here.note)
    for name, weights in here.checkpoint.autoencoder.weights.items():
        np.testing.assert_array_equal(told.checkpoint.autoencoder.weights[name], weights)


@pytest.mark.parametrize("n_beats", [0, 10])
def test_why_nothing_was_learnt_comes_back(n_beats: int) -> None:
    """In the words of whoever tried; also of a lead that cannot be read and has no beats."""
    task = decode_task(encode_task(task_of(n_beats)))
    assert task.beats.shape == task_of(n_beats).beats.shape
    with pytest.raises(CannotLearn, match=f"{n_beats} beats are too few"):
        decode_outcome(outcome_of(task))
