"""Train the autoencoder on normal beats and keep the weights that reconstruct unseen ones best."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from model.autoencoder import LstmAutoencoder
from model.config import AutoencoderConfig
from model.errors import InvalidBeats, InvalidConfig
from model.scoring import MAX_BATCH, check_beats, reconstruction_losses
from model.trained import TrainedAutoencoder
from model.training_config import Epoch, Loss, TrainingConfig

__all__ = ["Epoch", "Fit", "Trainer", "TrainingConfig", "TrainingState", "fit"]

MIN_BEATS = 20  # below it a validation share holds too few beats to choose weights by
WARM_UP_SHARE, FIRST_RATE, LAST_RATE = 0.3, 1 / 25, 4e-6  # of the steps; of the peak rate
MOMENTA = (0.95, 0.85)  # of Adam, at the lowest and at the highest learning rate
ADAM_SECOND_MOMENT, ADAM_FLOOR = 0.999, 1e-8
GRADIENT_NORM = 0.5  # the median; LSTMs over 140 steps throw single gradients 50 times larger
SMOOTH_BELOW = 0.5  # of the smooth L1 loss, in units of the scale of the beats' deviations


@dataclass(frozen=True)
class Fit:
    """A trained autoencoder with the best weights, and how it came to them.

    Attributes
    ----------
    autoencoder : TrainedAutoencoder
    history : tuple of Epoch
        Every epoch trained.
    best_epoch : int
        The epoch whose weights were kept; 0 where no epoch bettered the base.
    validation_losses : np.ndarray, shape (n_validation,), float32
        Losses of the validation beats, which no gradient has seen.
    validation_beats : np.ndarray, shape (n_validation, length), float32
        These beats.
    """

    autoencoder: TrainedAutoencoder
    history: tuple[Epoch, ...]
    best_epoch: int
    validation_losses: NDArray[np.float32]
    validation_beats: NDArray[np.float32]


def fit(
    beats: ArrayLike,
    config: AutoencoderConfig | None = None,
    training: TrainingConfig | None = None,
    base: TrainedAutoencoder | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    kept_apart: NDArray[np.int64] | None = None,
) -> Fit:
    """Train an autoencoder on normal beats.

    The same beats and configs give the same weights, however many cores and threads there are: on
    the CPU, in one thread. The global generators of torch and numpy are neither read nor moved.

    Parameters
    ----------
    beats : array_like, shape (n, length), float32
        Standardised normal beats, at least 20; they are not sorted or labelled further.
    config : AutoencoderConfig, optional
        Size and shape; the base's where one is given, else the default.
    training : TrainingConfig, optional
        How to train.
    base : TrainedAutoencoder, optional
        Start from a copy of these weights instead of random ones; the template becomes that of
        `beats`, the base is left as it is.
    on_epoch : callable, optional
        Told of each epoch as it ends; what it raises ends the training.
    kept_apart : np.ndarray, shape (n_validation,), int64, optional
        Rows of the validation beats; none is a share of them at random.

    Raises
    ------
    InvalidBeats
        If the beats cannot be used or are too few.
    InvalidConfig
        If the base has another config.
    """
    trainer = Trainer(beats, config, training, base, kept_apart=kept_apart)
    while not trainer.is_over:
        epoch = trainer.train_epoch()
        if on_epoch:
            on_epoch(epoch)
    return trainer.best()


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch compute in one thread: the order of its additions depends on their number.

    At these batches more threads are no faster, and slower where other processes share the cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Trainer:
    """A training that can be left after any epoch, and gone on with in another process.

    Learning happens in `train_epoch` alone. What `state` returns, restored into a trainer made of
    the same beats and configs, goes on to the very weights of a training that was not interrupted.

    Parameters
    ----------
    beats, config, training, base, kept_apart
        As `fit` takes them.
    device : str
        Where torch computes. The random numbers come from the CPU in any case; another device
        gives other weights, and not always the same.

    Raises
    ------
    InvalidBeats
        If the beats cannot be used or are too few.
    InvalidConfig
        If the base has another config.
    """

    def __init__(
        self,
        beats: ArrayLike,
        config: AutoencoderConfig | None = None,
        training: TrainingConfig | None = None,
        base: TrainedAutoencoder | None = None,
        device: str = "cpu",
        kept_apart: NDArray[np.int64] | None = None,
    ) -> None:
        self.training = training or TrainingConfig()
        config = config or (base.config if base else AutoencoderConfig())
        if base is not None and base.config != config:
            raise InvalidConfig(
                f"the base model has {base.config}, this training {config}; use a base of the "
                "same size"
            )
        checked = check_beats(beats, config.length)
        if len(checked) < MIN_BEATS:
            raise InvalidBeats(f"too few beats to train on: {len(checked)}; give {MIN_BEATS}")
        self.device = device
        self._generator = torch.Generator().manual_seed(self.training.seed)
        if kept_apart is None:
            kept_apart, trained_on = _split(
                len(checked), self.training.validation_share, self._generator
            )
        else:
            trained_on = np.setdiff1d(np.arange(len(checked)), kept_apart)
        self._validation = checked[kept_apart]
        self._beats = torch.from_numpy(checked[trained_on])  # (n, length)
        self._epochs = self.training.epochs_of(len(self._beats))
        self._patience = self.training.patience or math.ceil(self._epochs / 2)
        seed = self.training.seed
        autoencoder = LstmAutoencoder.of(base) if base else LstmAutoencoder(config, seed)
        with one_thread():
            autoencoder.centre_on(self._beats)
        self._autoencoder = autoencoder.to(self.device)
        self._adam = Adam(list(self._autoencoder.parameters()))
        self._best_weights = copy.deepcopy(self._autoencoder.state_dict())
        self._best_losses = self._validation_losses()
        self._history: list[Epoch] = []
        in_order = checked[np.concatenate((kept_apart, trained_on))]
        self._identity = _identity(config, self.training, base, in_order)

    @property
    def history(self) -> tuple[Epoch, ...]:
        """The epochs trained so far."""
        return tuple(self._history)

    @property
    def best_epoch(self) -> int:
        """Number of the epoch with the lowest validation loss; 0 before any was better."""
        return max((epoch.number for epoch in self._history if epoch.is_best), default=0)

    @property
    def is_over(self) -> bool:
        """Whether all epochs are trained, or the last ones bettered nothing."""
        waited = len(self._history) - self.best_epoch
        return len(self._history) >= self._epochs or waited >= self._patience

    def train_epoch(self) -> Epoch:
        """Pass once over the training beats; return what came of it."""
        with one_thread():
            training_loss = self._pass_over()
        losses = self._validation_losses()
        is_best = bool(losses.mean() < self._best_losses.mean())
        if is_best:
            self._best_losses = losses
            self._best_weights = copy.deepcopy(self._autoencoder.state_dict())
        epoch = Epoch(
            number=len(self._history) + 1,
            of=self._epochs,
            training_loss=training_loss,
            validation_loss=float(losses.mean()),
            is_best=is_best,
        )
        self._history.append(epoch)
        return epoch

    def best(self) -> Fit:
        """Return the best weights so far, on the CPU."""
        autoencoder = copy.deepcopy(self._autoencoder)
        autoencoder.load_state_dict(self._best_weights)
        return Fit(
            autoencoder=autoencoder.trained(),
            history=self.history,
            best_epoch=self.best_epoch,
            validation_losses=self._best_losses,
            validation_beats=self._validation,
        )

    def state(self) -> TrainingState:
        """Return all that the next epochs depend on."""
        copied = {name: tensor.detach().cpu().clone() for name, tensor in self._tensors().items()}
        return TrainingState(self._identity, self.history, copied)

    def _tensors(self) -> dict[str, Tensor]:
        """Return all that the next epochs depend on, as it is; not copied."""
        return {
            **_prefixed("weights", self._autoencoder.state_dict()),
            **_prefixed("best", self._best_weights),
            "adam.mean": self._adam.mean,
            "adam.square": self._adam.square,
            "best_losses": torch.from_numpy(self._best_losses),
            "generator": self._generator.get_state(),
        }

    def restore(self, state: TrainingState) -> None:
        """Go on from a state.

        Raises
        ------
        InvalidConfig
            If it is of other beats, or of another config; nothing is changed then.
        """
        if state.identity != self._identity:
            raise InvalidConfig(
                "the training to continue had other beats or options; give the same, or leave "
                "--resume out"
            )
        if problem := self._misfit(state):
            raise InvalidConfig(
                f"the training to continue is damaged: {problem}; leave --resume out"
            )
        tensors = {name: tensor.clone() for name, tensor in state.tensors.items()}
        try:
            self._generator.set_state(tensors["generator"])
        except RuntimeError as error:
            raise InvalidConfig(
                f"the training to continue is damaged: {error}; leave --resume out"
            ) from error
        self._best_losses = tensors["best_losses"].numpy()
        tensors = {name: tensor.to(self.device) for name, tensor in tensors.items()}
        self._autoencoder.load_state_dict(_with_prefix("weights", tensors))
        self._best_weights = _with_prefix("best", tensors)
        self._adam.mean, self._adam.square = tensors["adam.mean"], tensors["adam.square"]
        self._history = list(state.history)

    def _misfit(self, state: TrainingState) -> str | None:
        """Return which tensor of a state is not one that this training has, if there is one."""
        expected = {name: (tensor.shape, tensor.dtype) for name, tensor in self._tensors().items()}
        if state.tensors.keys() != expected.keys():
            return f"{sorted(state.tensors.keys() ^ expected.keys())[0]} is missing or unknown"
        for name, tensor in state.tensors.items():
            if (tensor.shape, tensor.dtype) != expected[name]:
                return f"{name} is {tensor.dtype} {tuple(tensor.shape)}"
            if not bool(torch.isfinite(tensor).all()):
                return f"{name} holds NaN or infinite values"
        return None

    def _validation_losses(self) -> NDArray[np.float32]:
        """Return the losses of the validation beats, shape (n_validation,).

        Torch writes them: a `Scorer` of each epoch's weights would take as long as a step.
        """
        autoencoder, beats = self._autoencoder.eval(), torch.from_numpy(self._validation)
        with one_thread(), torch.no_grad():
            written = [
                autoencoder(beats[start : start + MAX_BATCH].to(self.device)).cpu().numpy()
                for start in range(0, len(beats), MAX_BATCH)
            ]
        return reconstruction_losses(self._validation, np.concatenate(written))

    def _pass_over(self) -> float:
        """Take one step a batch; return the mean reconstruction loss of the epoch."""
        autoencoder, training = self._autoencoder.train(), self.training
        order = torch.randperm(len(self._beats), generator=self._generator)
        n_steps = math.ceil(len(order) / training.batch)
        total = 0.0
        for number in range(n_steps):
            rows = order[number * training.batch : (number + 1) * training.batch]
            clean = self._beats[rows]  # (batch, length)
            noise = torch.randn(clean.shape, generator=self._generator) * training.input_noise
            noisy, clean = (clean + noise).to(self.device), clean.to(self.device)
            written = autoencoder(noisy)  # (batch, length)
            loss = _minimised((written - clean) / autoencoder.scale, training.loss)
            autoencoder.zero_grad()
            torch.autograd.backward(loss)
            step = len(self._history) * n_steps + number
            rate, momentum = one_cycle(step / max(1, self._epochs * n_steps - 1))
            self._adam.step(step + 1, rate * training.learning_rate, momentum)
            written, clean = written.detach().cpu(), clean.cpu()
            total += float(reconstruction_losses(clean.numpy(), written.numpy()).sum())
        return total / len(order)


class Adam:
    """Adam (Kingma, Ba 2015) on gradients whose norm is clipped, over all weights as one vector.

    Torch's own imports torch's compiler at its first step: 0.8 s of a core.

    Attributes
    ----------
    mean, square : Tensor, shape (n_weights,)
        Running means of the gradient and of its square.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters
        edges = list(accumulate((weights.numel() for weights in parameters), initial=0))
        self._parts = [slice(start, end) for start, end in pairwise(edges)]
        self.mean = torch.zeros(edges[-1], device=parameters[0].device)
        self.square = torch.zeros_like(self.mean)

    @torch.no_grad()
    def step(self, number: int, rate: float, momentum: float) -> None:
        """Move the weights by their gradients; steps are counted from 1."""
        gradients = [weights.grad for weights in self._parameters]
        gradient = torch.cat([one.flatten() for one in gradients if one is not None])
        gradient *= torch.clamp(GRADIENT_NORM / gradient.norm(), max=1.0)
        self.mean.lerp_(gradient, 1 - momentum)
        self.square.lerp_(gradient.square(), 1 - ADAM_SECOND_MOMENT)
        size = (self.square / (1 - ADAM_SECOND_MOMENT**number)).sqrt_().add_(ADAM_FLOOR)
        moves = self.mean / size * (-rate / (1 - momentum**number))
        for weights, part in zip(self._parameters, self._parts, strict=True):
            weights.add_(moves[part].view_as(weights))


@dataclass(frozen=True)
class TrainingState:
    """A training as it stands between two epochs.

    Attributes
    ----------
    identity : str
        Hash over beats, configs and base: a state goes on with those alone.
    history : tuple of Epoch
        Trained so far.
    tensors : dict of str to Tensor
        Weights, best weights and their losses, the optimiser's moments, the random generator.
    """

    identity: str
    history: tuple[Epoch, ...]
    tensors: dict[str, Tensor]


def one_cycle(share_done: float) -> tuple[float, float]:
    """Return the learning rate, as a share of its peak, and Adam's momentum (Smith, Topin 2019).

    The rate rises along a cosine from 1/25 to 1 in the first 30 % of the steps and falls to next to
    nothing in the others; the momentum falls from .95 to .85 and rises again. A function of the
    step alone, so that nothing of it need be kept when a training is left.
    """
    if share_done < WARM_UP_SHARE:
        risen = (1 - math.cos(math.pi * share_done / WARM_UP_SHARE)) / 2
        floor = FIRST_RATE
    else:
        risen = (1 + math.cos(math.pi * (share_done - WARM_UP_SHARE) / (1 - WARM_UP_SHARE))) / 2
        floor = LAST_RATE
    return floor + risen * (1 - floor), MOMENTA[0] + risen * (MOMENTA[1] - MOMENTA[0])


def _identity(
    config: AutoencoderConfig,
    training: TrainingConfig,
    base: TrainedAutoencoder | None,
    beats: NDArray[np.float32],
) -> str:
    """Return a hash that two trainings share only if they take the same steps."""
    digest = hashlib.sha256(repr((asdict(config), asdict(training), beats.shape)).encode())
    digest.update(beats.tobytes())
    for name, weights in sorted(base.weights.items()) if base else ():
        digest.update(name.encode())
        digest.update(weights.tobytes())
    return digest.hexdigest()


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def _split(
    n_beats: int, validation_share: float, generator: torch.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows kept apart and the rows trained on, each at random."""
    order = torch.randperm(n_beats, generator=generator).numpy()
    n_validation = max(1, round(n_beats * validation_share))
    return order[:n_validation], order[n_validation:]


def _minimised(errors: Tensor, loss: Loss) -> Tensor:
    """Return the mean of errors, shape (batch, length), in units of the deviations' scale."""
    zeros = torch.zeros_like(errors)
    if loss == "l1":
        return functional.l1_loss(errors, zeros)
    return functional.smooth_l1_loss(errors, zeros, beta=SMOOTH_BELOW)
