"""Training: it learns, keeps the best weights, repeats itself, leaves global state alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.autoencoder import LstmAutoencoder
from model.config import AutoencoderConfig
from model.errors import InvalidBeats, InvalidConfig
from model.scoring import Scorer
from model.training import GRADIENT_NORM, Adam, Epoch, Fit, TrainingConfig, fit

CONFIG = AutoencoderConfig(length=48, samples_per_step=4, embedding=4)
SHORT = TrainingConfig(epochs=3, batch=16)


def sine_beats(n: int, seed: int = 0) -> NDArray[np.float32]:
    """Two waves whose phase and height vary; a single one would be taken for drift."""
    generator = np.random.default_rng(seed)
    phase = generator.uniform(0, 1, (n, 1))
    height = generator.uniform(0.8, 1.2, (n, 1))
    at = np.linspace(0, 4 * np.pi, CONFIG.length)
    return (height * np.sin(at + phase)).astype(np.float32)


@pytest.fixture(scope="module")
def fitted() -> Fit:
    return fit(sine_beats(200), CONFIG, TrainingConfig(epochs=80, batch=16))


def test_what_was_learnt_beats_the_mean_beat(fitted: Fit) -> None:
    """Unseen beats are written far better than by the training beats' mean."""
    unseen = sine_beats(100, seed=1)
    of_mean = np.abs(unseen - sine_beats(200).mean(axis=0)).sum(axis=1).mean()
    assert Scorer(fitted.autoencoder).losses(unseen).mean() < 0.5 * of_mean


def test_anomalies_lose_more_than_normal_beats(fitted: Fit) -> None:
    """Waves of twice the frequency score above every normal one."""
    at = np.linspace(0, 8 * np.pi, CONFIG.length)
    scorer = Scorer(fitted.autoencoder)
    assert scorer.losses(np.sin(at)[None])[0] > scorer.losses(sine_beats(100, seed=1)).max()


def test_steps_are_those_of_torch_s_adam() -> None:
    """Its clipped gradients, its moments: over steps of changing rate and momentum."""
    generator = torch.Generator().manual_seed(0)
    ours = [torch.randn(shape, generator=generator) for shape in ((3, 4), (5,), (2, 1))]
    theirs = [one.clone().requires_grad_() for one in ours]
    adam, twin = Adam(ours), torch.optim.Adam(theirs)
    for number in range(1, 30):
        rate, momentum = 0.01 * number, 0.95 - 0.003 * number
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator) * number / 15
            other.grad = one.grad.clone()
        torch.nn.utils.clip_grad_norm_(theirs, GRADIENT_NORM)
        twin.param_groups[0].update(lr=rate, betas=(momentum, 0.999))
        twin.step()
        adam.step(number, rate, momentum)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other.detach(), rtol=1e-4, atol=1e-5)


def test_best_weights_are_kept(fitted: Fit) -> None:
    """The validation losses returned are those of the best epoch, which the history names."""
    best = min(fitted.history, key=lambda epoch: epoch.validation_loss)
    assert fitted.best_epoch == best.number
    assert fitted.validation_losses.mean() == pytest.approx(best.validation_loss)
    assert fitted.validation_losses.shape == (30,)


def test_training_repeats_itself_and_leaves_global_state() -> None:
    """The same seed gives the same bits, whatever the global generators, which stay put."""
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global generator is the point
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    first = fit(sine_beats(60), CONFIG, SHORT)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # type: ignore[index]  # noqa: NPY002
    torch.manual_seed(2)
    second = fit(sine_beats(60), CONFIG, SHORT)
    assert first.history == second.history
    for name, weights in first.autoencoder.weights.items():
        np.testing.assert_array_equal(weights, second.autoencoder.weights[name])


def test_another_seed_trains_another_model() -> None:
    """The seed is used."""
    one = fit(sine_beats(60), CONFIG, SHORT)
    other = fit(sine_beats(60), CONFIG, TrainingConfig(epochs=3, batch=16, seed=1))
    assert one.history != other.history


def test_base_is_a_start_and_stays_as_it_was(fitted: Fit) -> None:
    """Training goes on from a copy: better at once than from nothing, and the base is untouched."""
    before = {name: w.copy() for name, w in fitted.autoencoder.weights.items()}
    beats = sine_beats(60, seed=2)
    gentle = TrainingConfig(epochs=2, batch=16, learning_rate=1e-3)
    warm = fit(beats, training=gentle, base=fitted.autoencoder)
    cold = fit(beats, CONFIG, gentle)
    assert warm.validation_losses.mean() < 0.5 * cold.validation_losses.mean()
    for name, weights in fitted.autoencoder.weights.items():
        np.testing.assert_array_equal(weights, before[name])


def test_on_epoch_hears_every_epoch_as_it_ends() -> None:
    """A progress bar sees what the history keeps."""
    heard: list[Epoch] = []
    result = fit(sine_beats(60), CONFIG, SHORT, on_epoch=heard.append)
    assert tuple(heard) == result.history
    assert [epoch.number for epoch in heard] == [1, 2, 3]
    assert heard[0].of == 3


def test_on_epoch_can_end_the_training() -> None:
    """Ctrl-C in a callback is not swallowed."""

    def interrupt(_epoch: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(sine_beats(60), CONFIG, SHORT, on_epoch=interrupt)


def test_training_stops_when_nothing_improves() -> None:
    """A learning rate of next to nothing betters nothing; patience ends it."""
    still = TrainingConfig(epochs=50, batch=16, learning_rate=1e-7, patience=3)
    assert len(fit(np.tile(sine_beats(1), (40, 1)), CONFIG, still).history) < 50


def test_beats_all_alike_can_be_learnt() -> None:
    """No deviation from the mean beat: nothing is divided by zero."""
    result = fit(np.tile(sine_beats(1), (40, 1)), CONFIG, SHORT)
    assert np.isfinite(result.validation_losses).all()


@pytest.mark.parametrize(
    "beats",
    [
        np.zeros((19, 48)),
        np.zeros((40, 47)),
        np.full((40, 48), np.nan),
        np.zeros((0, 48)),
        np.zeros(48),
    ],
)
def test_beats_that_cannot_be_learnt_are_refused(beats: NDArray[np.float64]) -> None:
    """Too few, of another length, NaN."""
    with pytest.raises(InvalidBeats):
        fit(beats, CONFIG, SHORT)


def test_base_of_another_size_is_refused() -> None:
    """Config and base must agree."""
    config = AutoencoderConfig(length=48, samples_per_step=4, embedding=3)
    with pytest.raises(InvalidConfig, match="base"):
        fit(sine_beats(40), CONFIG, SHORT, base=LstmAutoencoder(config).trained())


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"batch": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"input_noise": -0.1},
        {"loss": "l2"},
        {"validation_share": 0.0},
        {"validation_share": 0.9},
        {"patience": 0},
        {"seed": -1},
        {"seed": True},
    ],
)
def test_absurd_training_config_is_refused(values: dict[str, Any]) -> None:
    """Every field has bounds."""
    with pytest.raises(InvalidConfig):
        TrainingConfig(**values)
