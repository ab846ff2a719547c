"""Scoring: losses against a naive twin, batches, broken input."""

from __future__ import annotations

import math
import operator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.autoencoder import LstmAutoencoder
from model.config import AutoencoderConfig
from model.errors import InvalidBeats
from model.scoring import Scorer, reconstruction_losses
from model.trained import TrainedAutoencoder

LENGTH = 30


@pytest.fixture
def autoencoder() -> TrainedAutoencoder:
    return LstmAutoencoder(
        AutoencoderConfig(length=LENGTH, samples_per_step=1, embedding=4), seed=1
    ).trained()


@pytest.fixture
def beats() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((50, LENGTH)).astype(np.float32)


def naive_losses(autoencoder: TrainedAutoencoder, beats: NDArray[np.float32]) -> list[float]:
    """One beat, one sample at a time."""
    losses, plain = [], LstmAutoencoder.of(autoencoder).eval()
    for beat in beats:
        written = plain(torch.from_numpy(beat)[None])[0].tolist()
        losses.append(naive_loss([float(value) for value in beat], written))
    return losses


def naive_loss(beat: list[float], written: list[float]) -> float:
    """Take out the drift, smooth over five, let each sample agree with the best of five."""
    length = len(beat)
    last = length - 1

    def smooth(values: list[float], at: int) -> float:
        return sum(values[min(max(at + near, 0), last)] for near in range(-2, 3)) / 5

    differences = [ours - theirs for ours, theirs in zip(beat, written, strict=True)]
    drift = [0.0] * length
    for k in range(4):
        wave = [math.cos(math.pi * k * (at + 0.5) / length) for at in range(length)]
        share = sum(map(operator.mul, differences, wave)) / sum(value**2 for value in wave)
        drift = [so_far + share * value for so_far, value in zip(drift, wave, strict=True)]
    level = [ours - slow for ours, slow in zip(beat, drift, strict=True)]
    squares = 0.0
    for at in range(length):
        theirs = smooth(written, at)
        near = (min(max(at + shift, 0), last) for shift in range(-2, 3))
        squares += min(abs(smooth(level, place) - theirs) for place in near) ** 2
    return length * math.sqrt(squares / length)


def test_losses_are_those_of_a_naive_twin(
    autoencoder: TrainedAutoencoder, beats: NDArray[np.float32]
) -> None:
    """The fast scorer agrees with the obvious one."""
    losses = Scorer(autoencoder).losses(beats)
    assert losses.dtype == np.float32
    np.testing.assert_allclose(losses, naive_losses(autoencoder, beats), rtol=1e-4)


def test_an_even_error_costs_the_sum_of_absolute_differences() -> None:
    """The scale is that of the published thresholds.

    Blocks of the two signs, too fast for a drift and too long for a shift to make up for.
    """
    blocks = np.where(np.arange(1400) // 100 % 2, 1, -1).astype(np.float32)[None]
    losses = reconstruction_losses(blocks * np.float32(0.25), np.zeros_like(blocks))
    np.testing.assert_allclose(losses, 0.25 * 1400, rtol=0.1)


def test_drift_costs_nothing(beats: NDArray[np.float32]) -> None:
    """An offset and a baseline that wanders once over the beat are no anomaly."""
    at = np.pi * (np.arange(LENGTH) + 0.5) / LENGTH
    drift = (0.5 + 0.8 * np.cos(at) - 0.3 * np.cos(2 * at)).astype(np.float32)
    np.testing.assert_allclose(reconstruction_losses(beats + drift, beats), 0, atol=1e-3)


def test_a_wave_two_samples_early_costs_little_and_ten_samples_much() -> None:
    """The T wave of another interval is the same wave; one in another place is not."""
    at = np.arange(140)

    def wave(centre: int) -> NDArray[np.float32]:
        return np.exp(-(((at - centre) / 6) ** 2)).astype(np.float32)[None]

    still, early, far = (reconstruction_losses(wave(70 - by), wave(70))[0] for by in (0, 2, 10))
    assert still == 0
    assert early < 0.15 * far


def test_a_wave_that_is_missing_costs_what_it_holds() -> None:
    """No shift makes up for it."""
    wave = np.exp(-(((np.arange(140) - 70) / 6) ** 2)).astype(np.float32)[None]
    plain = 140 * math.sqrt(float(np.square(wave).mean()))
    assert reconstruction_losses(np.zeros_like(wave), wave)[0] > 0.7 * plain


def test_a_gathered_error_costs_more_than_noise() -> None:
    """Of the same sum of absolute differences, a bump costs more than an alternating error."""
    bump = np.zeros((1, 140), np.float32)
    bump[:, 60:70] = 1.0
    alternating = bump.mean() * np.where(np.arange(140) % 2, 1, -1).astype(np.float32)[None]
    nothing = np.zeros_like(bump)
    losses = [float(reconstruction_losses(errors, nothing)[0]) for errors in (bump, alternating)]
    assert losses[0] > 4 * losses[1]


def test_the_loss_of_a_beat_is_the_same_bits_in_any_batch(beats: NDArray[np.float32]) -> None:
    """Alone or among others, as the chunking law asks."""
    written = beats[::-1].copy()
    whole = reconstruction_losses(beats, written)
    single = [reconstruction_losses(beats[[row]], written[[row]])[0] for row in range(len(beats))]
    np.testing.assert_array_equal(whole, single)


def test_loss_does_not_depend_on_its_neighbours(
    autoencoder: TrainedAutoencoder, beats: NDArray[np.float32]
) -> None:
    """One beat at a time, in sevens or all at once: the same losses."""
    whole = Scorer(autoencoder).losses(beats)
    sevens = Scorer(autoencoder, max_batch=7).losses(beats)
    single = np.concatenate([Scorer(autoencoder).losses(beat[None]) for beat in beats])
    np.testing.assert_allclose(sevens, whole, rtol=1e-4)
    np.testing.assert_allclose(single, whole, rtol=1e-4)


def test_scoring_twice_gives_the_same_bits(
    autoencoder: TrainedAutoencoder, beats: NDArray[np.float32]
) -> None:
    """Scoring changes neither the model nor the beats."""
    given = beats.copy()
    scorer = Scorer(autoencoder)
    np.testing.assert_array_equal(scorer.losses(given), scorer.losses(given))
    np.testing.assert_array_equal(given, beats)


def test_score_gives_losses_and_the_reconstructions_they_belong_to(
    autoencoder: TrainedAutoencoder, beats: NDArray[np.float32]
) -> None:
    """The three ways to score agree with each other."""
    scorer = Scorer(autoencoder)
    losses, reconstructions = scorer.score(beats)
    np.testing.assert_array_equal(losses, reconstruction_losses(beats, reconstructions))
    np.testing.assert_array_equal(reconstructions, scorer.reconstruct(beats))


def test_no_beats_have_no_losses(autoencoder: TrainedAutoencoder) -> None:
    """N = 0 is an ordinary batch."""
    losses, reconstructions = Scorer(autoencoder).score(np.empty((0, LENGTH), np.float32))
    assert losses.shape == (0,)
    assert reconstructions.shape == (0, LENGTH)


def test_read_only_and_strided_beats_are_scored(
    autoencoder: TrainedAutoencoder, beats: NDArray[np.float32]
) -> None:
    """Beats straight out of a message (read-only) or a slice (strided) are as good as any."""
    frozen = beats.copy()
    frozen.flags.writeable = False
    scorer = Scorer(autoencoder)
    np.testing.assert_array_equal(scorer.losses(frozen), scorer.losses(beats))
    np.testing.assert_allclose(scorer.losses(beats[::2]), scorer.losses(beats)[::2], rtol=1e-4)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (np.zeros((2, LENGTH + 1)), "shape"),
        (np.zeros(LENGTH), "shape"),
        (np.zeros((1, 2, LENGTH)), "shape"),
        (np.full((2, LENGTH), np.nan), "beat 0 of 2"),
        (np.vstack([np.zeros(LENGTH), np.full(LENGTH, np.inf)]), "beat 1 of 2"),
        (
            np.vstack([np.zeros(LENGTH), np.full(LENGTH, -3e38)]),
            "beat 1 of 2 .* implausibly large",
        ),
        ([["a"] * LENGTH], "not an array of numbers"),
        ([[0.0], [0.0, 1.0]], "not an array of numbers"),
    ],
)
def test_broken_beats_are_refused(
    autoencoder: TrainedAutoencoder, broken: NDArray[np.float64], message: str
) -> None:
    """Wrong shapes, NaN, text and what would overflow are refused before torch sees them."""
    with pytest.raises(InvalidBeats, match=message):
        Scorer(autoencoder).losses(broken)


def test_constant_beats_have_a_finite_loss(autoencoder: TrainedAutoencoder) -> None:
    """A flat beat, all zeros after standardising, is scored like any other."""
    assert np.isfinite(Scorer(autoencoder).losses(np.zeros((1, LENGTH)))).all()


def test_batch_of_no_beats_is_refused(autoencoder: TrainedAutoencoder) -> None:
    """A batch size below one would never end."""
    with pytest.raises(ValueError, match="max_batch"):
        Scorer(autoencoder, max_batch=0)


@pytest.mark.parametrize(
    "config",
    [
        AutoencoderConfig(),
        AutoencoderConfig(embedding=16, samples_per_step=1),
        AutoencoderConfig(length=24, embedding=3, samples_per_step=4, reverse=False),
        AutoencoderConfig(length=16, embedding=1, samples_per_step=16),
    ],
    ids=["default", "one sample a step", "small, forwards", "one step"],
)
@pytest.mark.parametrize("n_beats", [1, 3, 65])
def test_reconstructions_are_those_of_the_network_that_was_trained(
    config: AutoencoderConfig, n_beats: int
) -> None:
    """What runs is another program than what was trained; losses agree within 1e-4."""
    network = LstmAutoencoder(config, seed=2).eval()
    rng = np.random.default_rng(5)
    network.centre_on(torch.from_numpy(rng.standard_normal((20, config.length), np.float32)))
    scorer = Scorer(network.trained())
    beats = rng.standard_normal((n_beats, config.length), np.float32)
    with torch.inference_mode():
        plain = network(torch.from_numpy(beats)).numpy()
    losses, reconstructions = scorer.score(beats)
    np.testing.assert_allclose(reconstructions, plain, atol=1e-3)
    np.testing.assert_allclose(losses, reconstruction_losses(beats, plain), rtol=1e-4)


def test_several_threads_may_score_at_once(
    autoencoder: TrainedAutoencoder, beats: NDArray[np.float32]
) -> None:
    """One scorer serves them all, and each gets what it would get alone."""
    scorer = Scorer(autoencoder, max_batch=2)
    alone = scorer.reconstruct(beats)
    with ThreadPoolExecutor(4) as threads:
        for together in threads.map(scorer.reconstruct, [beats] * 16):
            np.testing.assert_array_equal(together, alone)
