"""A training that was left, as one file: what `Trainer.state` returns, to go on with later.

One safetensors file whose metadata holds one JSON document under METADATA_KEY: format, identity and
history. Nothing in it is executed; `Trainer.restore` compares the tensors with those it needs.
"""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from model.checkpoint import FORMAT, metadata_document, read_bounded, write_atomically
from model.errors import InvalidCheckpoint
from model.training import TrainingState
from model.training_config import MAX_EPOCHS_ASKED, Epoch

METADATA_KEY = "ecg_monitor_training"


def save_training(state: TrainingState, path: str | Path) -> None:
    """Write a training's state, whole or not at all."""
    document = {
        "format": FORMAT,
        "identity": state.identity,
        "history": [astuple(epoch) for epoch in state.history],
    }
    text = json.dumps(document)  # a training that diverged can be written, but not gone on with
    write_atomically(Path(path), safetensors.torch.save(state.tensors, {METADATA_KEY: text}))


def load_training(path: str | Path) -> TrainingState:
    """Read a training's state.

    Raises
    ------
    InvalidCheckpoint
        If the file is missing, foreign or damaged; the message says which.
    """
    data = read_bounded(Path(path))
    try:
        document = metadata_document(data, METADATA_KEY)
        history = tuple(_epoch(values) for values in _history(document))
        if [epoch.number for epoch in history] != list(range(1, len(history) + 1)):
            raise InvalidCheckpoint("its epochs are not counted from 1 on")
        identity = document.get("identity")
        if not isinstance(identity, str):
            raise InvalidCheckpoint("its identity is missing")
        return TrainingState(identity, history, safetensors.torch.load(data))
    except (InvalidCheckpoint, SafetensorError, KeyError, ValueError) as error:
        raise InvalidCheckpoint(
            f"{path} holds no training to continue: {error}; leave --resume out to begin one"
        ) from error


def _history(document: dict[str, Any]) -> list[Any]:
    history = document.get("history")
    if not isinstance(history, list) or len(history) > MAX_EPOCHS_ASKED:
        raise InvalidCheckpoint("its history is missing or implausible")
    return history


def _epoch(values: object) -> Epoch:
    match values:
        case [int(number), int(of), float(training_loss), float(validation_loss), bool(is_best)]:
            return Epoch(number, of, training_loss, validation_loss, is_best)
    raise InvalidCheckpoint("its history holds an entry that is not an epoch")
