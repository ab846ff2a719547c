"""A training that was left goes on to the same weights; damaged or foreign files are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from model.checkpoint import FORMAT, Checkpoint, save_checkpoint
from model.config import AutoencoderConfig
from model.errors import InvalidCheckpoint, InvalidConfig
from model.thresholds import Threshold
from model.training import Trainer, TrainingConfig, TrainingState, fit
from model.training_file import METADATA_KEY, load_training, save_training
from tests.model.test_training import CONFIG, sine_beats

TRAINING = TrainingConfig(epochs=6, batch=16, seed=3)


def trained(epochs: int, training: TrainingConfig = TRAINING) -> Trainer:
    trainer = Trainer(sine_beats(60), CONFIG, training)
    for _ in range(epochs):
        trainer.train_epoch()
    return trainer


@pytest.fixture(scope="module")
def left() -> TrainingState:
    return trained(2).state()


@pytest.mark.parametrize("epochs", [0, 1, 4])
def test_a_training_gone_on_with_ends_as_one_never_left(epochs: int, tmp_path: Path) -> None:
    """Weights, history and losses are those of an uninterrupted training, to the bit."""
    save_training(trained(epochs).state(), tmp_path / "left")
    again = trained(0)
    again.restore(load_training(tmp_path / "left"))
    while not again.is_over:
        again.train_epoch()
    whole, resumed = fit(sine_beats(60), CONFIG, TRAINING), again.best()
    assert resumed.history == whole.history
    assert resumed.best_epoch == whole.best_epoch
    np.testing.assert_array_equal(resumed.validation_losses, whole.validation_losses)
    for name, weights in whole.autoencoder.weights.items():
        np.testing.assert_array_equal(resumed.autoencoder.weights[name], weights)


def test_a_state_stays_as_it_was_taken() -> None:
    """What is learnt afterwards does not reach into it, nor what is restored from it."""
    trainer = trained(1)
    state = trainer.state()
    before = {name: tensor.clone() for name, tensor in state.tensors.items()}
    trainer.train_epoch()
    other = trained(0)
    other.restore(state)
    other.train_epoch()
    assert all(torch.equal(state.tensors[name], tensor) for name, tensor in before.items())
    assert trainer.history == other.history


def test_other_beats_or_options_are_refused(left: TrainingState) -> None:
    """A state goes on with the training it is of, and with no other."""
    for other in (
        Trainer(sine_beats(61), CONFIG, TRAINING),
        Trainer(sine_beats(60, seed=1), CONFIG, TRAINING),
        Trainer(sine_beats(60), CONFIG, replace(TRAINING, seed=4)),
        Trainer(
            sine_beats(60), AutoencoderConfig(length=48, samples_per_step=4, embedding=3), TRAINING
        ),
        Trainer(sine_beats(60), CONFIG, TRAINING, base=trained(1).best().autoencoder),
    ):
        with pytest.raises(InvalidConfig, match="other beats or options"):
            other.restore(left)


def without(name: str) -> Callable[[dict[str, torch.Tensor]], None]:
    return lambda tensors: tensors.__delitem__(name)


def with_value(name: str, value: torch.Tensor) -> Callable[[dict[str, torch.Tensor]], None]:
    return lambda tensors: tensors.__setitem__(name, value)


@pytest.mark.parametrize(
    "damage",
    [
        without("weights.output.bias"),
        without("adam.mean"),
        without("generator"),
        with_value("more", torch.zeros(1)),
        with_value("adam.mean", torch.zeros(3)),
        with_value("adam.square", torch.tensor(float("nan"))),
        with_value("best_losses", torch.zeros(1)),
        with_value("generator", torch.zeros(3, dtype=torch.uint8)),
        with_value("best.scale", torch.ones(1, dtype=torch.float64)),
    ],
)
def test_a_state_with_other_tensors_is_refused(
    left: TrainingState, damage: Callable[[dict[str, torch.Tensor]], None]
) -> None:
    """Missing, unknown, of another shape or type, NaN: named, and the trainer goes on unharmed."""
    tensors = dict(left.tensors)
    damage(tensors)
    trainer = trained(0)
    with pytest.raises(InvalidConfig, match="damaged"):
        trainer.restore(replace(left, tensors=tensors))
    assert trainer.train_epoch() == trained(1).history[0]


def test_files_that_are_no_training_are_refused(left: TrainingState, tmp_path: Path) -> None:
    """Missing, empty, cut short, a pickle, a checkpoint, absurd histories."""
    path = tmp_path / "left"
    with pytest.raises(InvalidCheckpoint, match="is not a file"):
        load_training(path)
    save_training(left, path)
    whole = path.read_bytes()
    for data in (b"", whole[:-1], whole[: len(whole) // 2], whole[:100], b"PK\x03\x04", b"\0" * 9):
        path.write_bytes(data)
        with pytest.raises(InvalidCheckpoint, match="left"):
            load_training(path)
    model = Checkpoint(trained(0).best().autoencoder, {}, "00000000", Threshold(1.0))
    save_checkpoint(model, path)
    with pytest.raises(InvalidCheckpoint, match="of another program"):
        load_training(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 1},
        {"history": None},
        {"history": [[1, 6, 3.0, 2.0]]},
        {"history": [[2, 6, 3.0, 2.0, True]]},
        {"history": [[1, 6, "3", 2.0, True]]},
        {"identity": 7},
    ],
)
def test_absurd_documents_are_refused(
    left: TrainingState, changed: dict[str, object], tmp_path: Path
) -> None:
    """Format, history and identity are checked before a tensor is read."""
    document = {"format": FORMAT, "identity": left.identity, "history": [], **changed}
    text = {METADATA_KEY: json.dumps(document)}
    (tmp_path / "left").write_bytes(safetensors.torch.save(left.tensors, text))
    with pytest.raises(InvalidCheckpoint):
        load_training(tmp_path / "left")
