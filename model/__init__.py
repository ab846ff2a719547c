"""The autoencoder, what it learns and how it scores.

    from model import Scorer, load_shipped

A name loads its module when it is first used: `import model` itself loads nothing. To learn
(`learn_patient`) PyTorch must be installed; to score it need not be.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.checkpoint import Checkpoint, load_checkpoint, load_shipped, save_checkpoint
    from model.errors import (
        CannotLearn,
        InvalidBeats,
        InvalidCheckpoint,
        MissingLibrary,
        ModelError,
    )
    from model.learning import Learned, learn_patient
    from model.scoring import Scorer
    from model.thresholds import Threshold

__all__ = [
    "CannotLearn",
    "Checkpoint",
    "InvalidBeats",
    "InvalidCheckpoint",
    "Learned",
    "MissingLibrary",
    "ModelError",
    "Scorer",
    "Threshold",
    "learn_patient",
    "load_checkpoint",
    "load_shipped",
    "save_checkpoint",
]

# ONNX Runtime (1.29 and later) keeps count of how it is used and sends that to its maker, unless it
# is told not to before it is imported. Of a monitor nothing leaves the machine unasked.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_HOMES = {
    "CannotLearn": "model.errors",
    "Checkpoint": "model.checkpoint",
    "InvalidBeats": "model.errors",
    "InvalidCheckpoint": "model.errors",
    "Learned": "model.learning",
    "MissingLibrary": "model.errors",
    "ModelError": "model.errors",
    "Scorer": "model.scoring",
    "Threshold": "model.thresholds",
    "learn_patient": "model.learning",
    "load_checkpoint": "model.checkpoint",
    "load_shipped": "model.checkpoint",
    "save_checkpoint": "model.checkpoint",
}

if not TYPE_CHECKING:  # a type checker would take every name for one that is there

    def __getattr__(name: str) -> object:
        """Import a public name from its home when it is first asked for."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
