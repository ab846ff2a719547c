"""How the autoencoder is trained, and what an epoch came to; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from model.errors import InvalidConfig

Loss = Literal["smooth_l1", "l1"]

BEATS_WRITTEN = 60_000  # over all epochs; see docs/MODEL.md for what fewer and more come to
MIN_EPOCHS, MAX_EPOCHS = 20, 500
MAX_EPOCHS_ASKED = 10_000


@dataclass(frozen=True)
class TrainingConfig:
    """How the autoencoder is trained.

    Parameters
    ----------
    epochs : int, optional
        Passes over the training beats at most; the one-cycle schedule spans them. None is as many
        as make BEATS_WRITTEN: the same effort for few beats as for many.
    batch : int
        Beats an optimiser step.
    learning_rate : float
        Peak of the one-cycle schedule (Smith, Topin 2019), reached at 30 % of the epochs.
    input_noise : float
        Standard deviation of the noise added to the beats that are encoded, in units of the beat's
        own; the clean beat is to be written (a denoising autoencoder).
    loss : {"smooth_l1", "l1"}
        What is minimised; the smooth one has gradients that fade near zero.
    validation_share : float
        Share of the beats kept apart to choose the weights by, 0.02 to 0.5.
    patience : int, optional
        Epochs without a better validation loss before training stops. None is half of the epochs:
        while the learning rate is high, many pass without one.
    seed : int
        Initial weights, the split, the order of the beats and the noise.

    Raises
    ------
    InvalidConfig
        If a value is out of bounds.
    """

    epochs: int | None = None
    batch: int = 32
    learning_rate: float = 1e-2
    input_noise: float = 0.3
    loss: Loss = "smooth_l1"
    validation_share: float = 0.15
    patience: int | None = None
    seed: int = 0

    def epochs_of(self, n_beats: int) -> int:
        """Return the passes over so many training beats at most."""
        if self.epochs is not None:
            return self.epochs
        return min(max(round(BEATS_WRITTEN / n_beats), MIN_EPOCHS), MAX_EPOCHS)

    def __post_init__(self) -> None:
        bounds = (
            ("epochs", True, 1, MAX_EPOCHS_ASKED),
            ("batch", True, 1, 65_536),
            ("learning_rate", False, 1e-7, 1.0),
            ("input_noise", False, 0.0, 2.0),
            ("validation_share", False, 0.02, 0.5),
            ("patience", True, 1, 10_000),
            ("seed", True, 0, 2**62),
        )
        for name, whole, low, high in bounds:
            value = getattr(self, name)
            if value is None and name in ("epochs", "patience"):
                continue
            kinds = int if whole else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
                raise InvalidConfig(
                    f"training {name} {value!r} is not a {'whole ' if whole else ''}number "
                    f"of {low} to {high}"
                )
        if self.loss not in get_args(Loss):
            raise InvalidConfig(f"training loss {self.loss!r} is unknown; use smooth_l1 or l1")


@dataclass(frozen=True)
class Epoch:
    """One pass over the training beats.

    Attributes
    ----------
    number, of : int
        Counted from 1, and how many there are at most.
    training_loss : float
        Mean reconstruction loss of the noisy training beats.
    validation_loss : float
        The same of the clean validation beats.
    is_best : bool
        The validation loss is the lowest so far: these weights are kept.
    """

    number: int
    of: int
    training_loss: float
    validation_loss: float
    is_best: bool
