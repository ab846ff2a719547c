"""`ecg-monitor score`: the label, the loss and the verdict of each beat of an ECG5000 file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.checkpoint import Checkpoint, load_checkpoint
from model.ecg5000 import read_ecg5000
from model.scoring import Scorer
from monitor.errors import SpecMismatch
from monitor.offline.training_options import ECG5000_SPEC
from monitor.text import counted


@dataclass(frozen=True)
class ScoredFile:
    """Beats with their losses.

    Attributes
    ----------
    labels : np.ndarray, shape (n,), int64
        Classes 1 to 5; 1 is normal. Read only to be printed.
    losses : np.ndarray, shape (n,), float32
    threshold : float
        The checkpoint's.
    """

    labels: NDArray[np.int64]
    losses: NDArray[np.float32]
    threshold: float

    @property
    def anomalous(self) -> NDArray[np.bool_]:
        """Whether each loss is above the threshold, shape (n,)."""
        return np.asarray(self.losses > self.threshold)


def load_for_ecg5000(path: Path) -> Checkpoint:
    """Load a checkpoint; SpecMismatch if it does not take beats cut as those of ECG5000 are."""
    checkpoint = load_checkpoint(path)
    if checkpoint.spec_identity != ECG5000_SPEC.identity:
        window = str(checkpoint.spec.get("window"))[:20]
        raise SpecMismatch(
            f"checkpoint {path} expects beats of spec {checkpoint.spec_identity} (window "
            f"{window}), those of ECG5000 are {ECG5000_SPEC.identity} (window "
            f"{ECG5000_SPEC.window}); train one with `ecg-monitor train --ecg5000`"
        )
    return checkpoint


def score_file(checkpoint: Checkpoint, path: Path) -> ScoredFile:
    """Score the beats of an ECG5000 file in its order; InvalidDataset if it is another file."""
    labels, beats = read_ecg5000(path, checkpoint.config.length)
    losses = Scorer(checkpoint.autoencoder).losses(beats)
    return ScoredFile(labels, losses, checkpoint.threshold.value)


def json_lines(scored: ScoredFile) -> Iterator[str]:
    """Yield one JSON object a beat."""
    for label, loss, anomalous in zip(scored.labels, scored.losses, scored.anomalous, strict=True):
        yield json.dumps(
            {"label": int(label), "loss": round(float(loss), 4), "anomalous": bool(anomalous)}
        )


def plain_lines(scored: ScoredFile) -> Iterator[str]:
    """Yield a heading and one line a beat, in columns."""
    yield "label       loss  verdict"
    for label, loss, anomalous in zip(scored.labels, scored.losses, scored.anomalous, strict=True):
        yield f"{label:>5}  {loss:>9.2f}  {'anomalous' if anomalous else 'normal'}"


def summary_line(scored: ScoredFile) -> str:
    """Return how many beats there are, and how many of them are anomalous."""
    return (
        f"{counted(len(scored.losses), 'beat')}, {np.count_nonzero(scored.anomalous)} anomalous: "
        f"loss above {scored.threshold:.2f}"
    )
