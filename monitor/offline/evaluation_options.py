"""What `ecg-monitor evaluate model` is asked for; checked before what is slow to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from model.training_config import TrainingConfig
from monitor.errors import InvalidOption

MAX_SEEDS = 100
Protocol = Literal["pooled", "official", "checkpoint"]
PROTOCOLS = get_args(Protocol)[:2]  # those that train
PEER_STEPS = 2_000  # of about 37,000 (official) and 310,000 (pooled) in 150 passes


@dataclass(frozen=True)
class EvaluationOptions:
    """What `ecg-monitor evaluate model` was asked for.

    Parameters
    ----------
    ecg5000 : tuple of Path
        Labelled files; none is a simulated record.
    protocol : str, optional
        "pooled" or "official": train a new model and test it. None is "pooled" for files.
    checkpoint : Path, optional
        Judge this model instead; without files, none is the one that ships.
    seeds : int
        Train this many times, with seeds from 0 on.
    epochs : int, optional
        Of each training; none is its default.
    plot : Path, optional
        Where the densities of the losses are drawn, as PNG; those of the first seed. With
        `compare`, the areas of all.
    compare : bool
        Set the autoencoder, in several sizes, beside other scorers.
    peer_steps : int
        With `compare`: steps of one beat that the networks of others are trained for.
    folds : int, optional
        Train so many times for each seed, so that all normal beats set the threshold.
    false_alert_share : float, optional
        Share of normal beats meant to lie above the threshold; none is ECG5000_FALSE_ALERTS.

    Raises
    ------
    InvalidOption
        If options contradict each other or are out of bounds.
    """

    ecg5000: tuple[Path, ...] = ()
    protocol: str | None = None
    checkpoint: Path | None = None
    seeds: int = 1
    epochs: int | None = None
    plot: Path | None = None
    compare: bool = False
    peer_steps: int = PEER_STEPS
    folds: int | None = None
    false_alert_share: float | None = None

    def __post_init__(self) -> None:
        if self.protocol is not None and self.protocol not in PROTOCOLS:
            raise InvalidOption(
                f"--protocol {self.protocol!r} is unknown; use {' or '.join(PROTOCOLS)}"
            )
        if not 1 <= self.seeds <= MAX_SEEDS:
            raise InvalidOption(f"--seeds {self.seeds} is out of range; use 1 to {MAX_SEEDS}")
        share = self.false_alert_share
        if share is not None and not 0 < share <= 0.5:
            raise InvalidOption(
                f"--false-alert-share {share:g} is out of range; use more than 0 and at most 0.5"
            )
        if self.compare and (self.folds is not None or share is not None):
            raise InvalidOption(
                "--compare has folds and a share of its own; leave --folds and --false-alert-share "
                "out"
            )
        asked = (self.protocol, self.epochs, self.folds, share)
        of_training = any(one is not None for one in asked) or self.seeds > 1 or self.compare
        if of_training and (self.checkpoint is not None or not self.ecg5000):
            raise InvalidOption(
                "--protocol, --seeds, --epochs, --folds, --false-alert-share and --compare need a "
                "training; give --ecg5000 files and no --checkpoint"
            )

    @property
    def trains(self) -> bool:
        """Whether a model is trained, not only judged."""
        return bool(self.ecg5000) and self.checkpoint is None

    @property
    def n_trainings(self) -> int:
        """How many trainings follow one another, where it trains and compares nothing."""
        return self.seeds * (self.folds or 1)

    def training(self, seed: int) -> TrainingConfig:
        """How to train with a seed."""
        return TrainingConfig(epochs=self.epochs, seed=seed)
