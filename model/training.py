"""Train the autoencoder on normal beats and keep the weights that reconstruct unseen ones best."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from model.autoencoder import AutoencoderConfig, LstmAutoencoder
from model.errors import InvalidBeats, InvalidConfig
from model.scoring import Scorer, check_beats

Loss = Literal["smooth_l1", "l1"]

MIN_BEATS = 20  # below it a validation share holds too few beats to choose weights by
GRADIENT_NORM = 0.5  # the median; LSTMs over 140 steps throw single gradients 50 times larger
SMOOTH_BELOW = 0.5  # of the smooth L1 loss, in units of the scale of the beats' deviations


@dataclass(frozen=True)
class TrainingConfig:
    """How the autoencoder is trained.

    Parameters
    ----------
    epochs : int
        Passes over the training beats at most; the one-cycle schedule spans them.
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
    patience : int
        Epochs without a better validation loss before training stops.
    seed : int
        Initial weights, the split, the order of the beats and the noise.

    Raises
    ------
    InvalidConfig
        If a value is out of bounds.
    """

    epochs: int = 60
    batch: int = 32
    learning_rate: float = 1e-2
    input_noise: float = 0.1
    loss: Loss = "smooth_l1"
    validation_share: float = 0.15
    patience: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        bounds = (
            ("epochs", True, 1, 10_000),
            ("batch", True, 1, 65_536),
            ("learning_rate", False, 1e-7, 1.0),
            ("input_noise", False, 0.0, 2.0),
            ("validation_share", False, 0.02, 0.5),
            ("patience", True, 1, 10_000),
            ("seed", True, 0, 2**62),
        )
        for name, whole, low, high in bounds:
            value = getattr(self, name)
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
        Mean reconstruction loss (sum of absolute differences) of the noisy training beats.
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


@dataclass(frozen=True)
class Fit:
    """A trained autoencoder with the best weights, and how it came to them.

    Attributes
    ----------
    autoencoder : LstmAutoencoder
        In evaluation mode.
    history : tuple of Epoch
        Every epoch trained.
    best_epoch : int
        The epoch whose weights were kept; 0 where no epoch bettered the base.
    validation_losses : np.ndarray, shape (n_validation,), float32
        Losses of the validation beats, which no gradient has seen.
    """

    autoencoder: LstmAutoencoder
    history: tuple[Epoch, ...]
    best_epoch: int
    validation_losses: NDArray[np.float32]


def fit(
    beats: ArrayLike,
    config: AutoencoderConfig | None = None,
    training: TrainingConfig | None = None,
    base: LstmAutoencoder | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Fit:
    """Train an autoencoder on normal beats.

    The same beats and configs give the same weights on a CPU with the same number of threads. The
    global generators of torch and numpy are neither read nor moved.

    Parameters
    ----------
    beats : array_like, shape (n, length), float32
        Standardised normal beats, at least 20; they are not sorted or labelled further.
    config : AutoencoderConfig, optional
        Size and shape; the base's where one is given, else the default.
    training : TrainingConfig, optional
        How to train.
    base : LstmAutoencoder, optional
        Start from a copy of these weights instead of random ones; the template becomes that of
        `beats`, the base is left as it is.
    on_epoch : callable, optional
        Told of each epoch as it ends; what it raises ends the training.

    Raises
    ------
    InvalidBeats
        If the beats cannot be used or are too few.
    InvalidConfig
        If the base has another config.
    """
    training = training or TrainingConfig()
    config = config or (base.config if base else AutoencoderConfig())
    if base is not None and base.config != config:
        raise InvalidConfig(f"the base is {base.config}, asked for is {config}")
    checked = check_beats(beats, config.length)
    if len(checked) < MIN_BEATS:
        raise InvalidBeats(f"{len(checked)} beats are too few to train on; give {MIN_BEATS}")
    generator = torch.Generator().manual_seed(training.seed)
    kept_apart, trained_on = _split(len(checked), training.validation_share, generator)
    autoencoder = copy.deepcopy(base) if base else LstmAutoencoder(config, training.seed)
    validation = checked[kept_apart]
    autoencoder.centre_on(torch.from_numpy(checked[trained_on]))
    return _descend(
        autoencoder,
        torch.from_numpy(checked[trained_on]),
        validation,
        training,
        generator,
        on_epoch,
    )


def _split(
    n_beats: int, validation_share: float, generator: torch.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows kept apart and the rows trained on, each at random."""
    order = torch.randperm(n_beats, generator=generator).numpy()
    n_validation = max(1, round(n_beats * validation_share))
    return order[:n_validation], order[n_validation:]


def _descend(
    autoencoder: LstmAutoencoder,
    beats: Tensor,  # (n, length)
    validation: NDArray[np.float32],
    training: TrainingConfig,
    generator: torch.Generator,
    on_epoch: Callable[[Epoch], None] | None,
) -> Fit:
    optimiser = torch.optim.Adam(autoencoder.parameters(), lr=training.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        max_lr=training.learning_rate,
        total_steps=training.epochs * math.ceil(len(beats) / training.batch),
    )
    best_losses = Scorer(autoencoder).losses(validation)
    best_weights = copy.deepcopy(autoencoder.state_dict())
    best_epoch = 0
    history: list[Epoch] = []
    for number in range(1, training.epochs + 1):
        training_loss = _pass_over(autoencoder, beats, training, generator, optimiser, schedule)
        losses = Scorer(autoencoder).losses(validation)
        is_best = bool(losses.mean() < best_losses.mean())
        if is_best:
            best_losses, best_epoch = losses, number
            best_weights = copy.deepcopy(autoencoder.state_dict())
        epoch = Epoch(number, training.epochs, training_loss, float(losses.mean()), is_best)
        history.append(epoch)
        if on_epoch:
            on_epoch(epoch)
        if number - best_epoch >= training.patience:
            break
    autoencoder.load_state_dict(best_weights)
    return Fit(autoencoder.eval(), tuple(history), best_epoch, best_losses)


def _pass_over(
    autoencoder: LstmAutoencoder,
    beats: Tensor,  # (n, length)
    training: TrainingConfig,
    generator: torch.Generator,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    """Take one step a batch; return the mean reconstruction loss of the epoch."""
    autoencoder.train()
    total = 0.0
    order = torch.randperm(len(beats), generator=generator)
    for start in range(0, len(beats), training.batch):
        clean = beats[order[start : start + training.batch]]  # (batch, length)
        noise = torch.randn(clean.shape, generator=generator) * training.input_noise
        written = autoencoder(clean + noise)  # (batch, length)
        loss = _minimised((written - clean) / autoencoder.scale, training.loss)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(autoencoder.parameters(), GRADIENT_NORM)
        optimiser.step()
        schedule.step()
        total += float((written.detach() - clean).abs().sum())
    return total / len(beats)


def _minimised(errors: Tensor, loss: Loss) -> Tensor:
    """Return the mean of errors, shape (batch, length), in units of the deviations' scale."""
    zeros = torch.zeros_like(errors)
    if loss == "l1":
        return functional.l1_loss(errors, zeros)
    return functional.smooth_l1_loss(errors, zeros, beta=SMOOTH_BELOW)
