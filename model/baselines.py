"""What the autoencoder is compared with on ECG5000: each learns from normal beats alone.

Distances, one-class models and two networks as others train them. scikit-learn is asked for where
one of its models is fitted and nowhere else, so that the monitor does without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.autoencoder import LstmAutoencoder
from model.config import AutoencoderConfig
from model.errors import MissingLibrary
from model.scoring import Scorer

Beats = NDArray[np.float32]  # (n, length)
Scores = NDArray[np.float32]  # (n,): the larger, the less normal
Score = Callable[[Beats], Scores]

HELD_OUT_SHARE = 0.15  # of the normal beats; their scores set the threshold, as the model's do
PCA_COMPONENTS = 4
SVM_OUTSIDE_SHARE = 0.05  # nu: at most so many of the training beats lie outside
FOREST_TREES = 300
PLAIN_RATE = 1e-3  # Adam's, as both networks are published


@dataclass(frozen=True)
class Fitted:
    """A scorer that has learnt what is normal.

    Attributes
    ----------
    score : callable
        Takes beats, shape (n, length), returns scores, shape (n,).
    held_out : np.ndarray, shape (n_held_out,), float32
        Scores of normal beats that were not learnt, to set a threshold by.
    """

    score: Score
    held_out: Scores


Learn = Callable[[Beats, int], Fitted]  # normal beats and a seed


def shallow(fit: Callable[[Beats, int], Score]) -> Learn:
    """Have a quickly fitted scorer learn all beats; a second fit scores those held out."""

    def learn(beats: Beats, seed: int) -> Fitted:
        kept_apart, learnt = held_out_rows(len(beats), seed)
        return Fitted(fit(beats, seed), fit(beats[learnt], seed)(beats[kept_apart]))

    return learn


def held_out_rows(n_beats: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows kept apart and the rows learnt from, each at random."""
    order = np.random.default_rng(seed).permutation(n_beats)
    n_held_out = max(1, round(HELD_OUT_SHARE * n_beats))
    return order[:n_held_out], order[n_held_out:]


def neighbours(n_nearest: int) -> Learn:
    """Mean Euclidean distance to the nearest beats learnt."""

    def fit(beats: Beats, _seed: int) -> Score:
        return lambda tested: nearest_distances(beats, tested, n_nearest)

    return shallow(fit)


def nearest_distances(learnt: Beats, tested: Beats, n_nearest: int) -> Scores:
    """Return the mean distance of each tested beat to its nearest learnt ones, shape (n,)."""
    squares = (learnt.astype(np.float64) ** 2).sum(axis=1)
    parts = []
    for some in np.array_split(tested.astype(np.float64), len(tested) // 512 + 1):
        squared = (some**2).sum(axis=1)[:, None] + squares - 2 * some @ learnt.T  # (some, learnt)
        nearest = np.partition(np.maximum(squared, 0), n_nearest - 1, axis=1)[:, :n_nearest]
        parts.append(np.sqrt(nearest).mean(axis=1))
    return np.concatenate(parts).astype(np.float32)


def principal_components(beats: Beats, _seed: int) -> Score:
    """Sum of absolute differences to the beat drawn again from its principal components."""
    mean = beats.mean(axis=0)
    _, _, directions = np.linalg.svd(beats - mean, full_matrices=False)
    kept = directions[:PCA_COMPONENTS]  # (components, length)

    def score(tested: Beats) -> Scores:
        return absolute_errors(tested, mean + (tested - mean) @ kept.T @ kept)

    return score


def absolute_errors(beats: Beats, reconstructions: Beats) -> Scores:
    """Return the sums of absolute differences, the loss that others publish."""
    return np.asarray(np.abs(beats - reconstructions).sum(axis=1), np.float32)


def one_class_svm(beats: Beats, _seed: int) -> Score:
    """Negative decision function of scikit-learn's one-class SVM with its Gaussian kernel."""
    svm = _scikit_learn("svm").OneClassSVM(nu=SVM_OUTSIDE_SHARE).fit(beats)
    # Shifted above 0, where a threshold can be set; no order changes.
    return lambda tested: np.asarray(svm.offset_ * -1 + 1e3 - svm.score_samples(tested), np.float32)


def isolation_forest(beats: Beats, seed: int) -> Score:
    """Anomaly score of scikit-learn's isolation forest, 0 to 1."""
    forest = (
        _scikit_learn("ensemble")
        .IsolationForest(n_estimators=FOREST_TREES, random_state=seed)
        .fit(beats)
    )
    return lambda tested: np.asarray(-forest.score_samples(tested), np.float32)


def _scikit_learn(module: str) -> Any:  # noqa: ANN401  an optional library without types
    try:
        return import_module(f"sklearn.{module}")
    except ImportError as error:
        raise MissingLibrary(
            "the comparison needs scikit-learn; install it: pip install 'ecg-monitor[compare]'"
        ) from error


def published(n_steps: int) -> Learn:
    """Train the autoencoder published with ECG5000 as it was trained, but for fewer steps.

    Units of 128 and 64, one sample a step, torch's own initial weights, the beat itself in and out
    and not reversed; one beat a step of Adam at 1e-3 on the sum of absolute differences.
    """

    def learn(beats: Beats, seed: int) -> Fitted:
        kept_apart, learnt = held_out_rows(len(beats), seed)
        config = AutoencoderConfig(beats.shape[1], 64, reverse=False, samples_per_step=1)
        autoencoder = LstmAutoencoder(config)  # its template of zeros and scale of one: no change
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for layer in autoencoder.children():
                layer.reset_parameters()  # type: ignore[operator]  # every LSTM and Linear has it
        train_beat_by_beat(autoencoder, nn.L1Loss(reduction="sum"), beats[learnt], n_steps, seed)
        scorer = Scorer(autoencoder.trained())

        def score(tested: Beats) -> Scores:
            return absolute_errors(tested, scorer.reconstruct(tested))

        return Fitted(score, score(beats[kept_apart]))

    return learn


def sequitur(n_steps: int, embedding: int) -> Learn:
    """Train sequitur's LSTM_AE, re-created, as its `quick_train` does, but for fewer steps.

    One beat a step of Adam at 1e-3 on the sum of squared differences, which is the score too.
    """

    def learn(beats: Beats, seed: int) -> Fitted:
        kept_apart, learnt = held_out_rows(len(beats), seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = SequiturAutoencoder(embedding)
        train_beat_by_beat(network, nn.MSELoss(reduction="sum"), beats[learnt], n_steps, seed)

        def score(tested: Beats) -> Scores:
            with torch.inference_mode():
                parts = [
                    np.square(network(torch.from_numpy(some)).numpy() - some).sum(axis=1)
                    for some in np.array_split(tested, len(tested) // 256 + 1)
                ]
            return np.concatenate(parts)

        return Fitted(score, score(beats[kept_apart]))

    return learn


class SequiturAutoencoder(nn.Module):
    """LSTM_AE of the library sequitur 1.2.4, re-created from its description, for batches.

    LSTMs of 2e and e units, a sigmoid between them, a tanh on the embedding; the decoder is fed the
    embedding at every sample, through LSTMs of 2e and 2e units with a sigmoid between, and a matrix
    without bias, drawn from 0 to 1.
    """

    def __init__(self, embedding: int) -> None:
        super().__init__()
        e = embedding
        self.encoder = nn.ModuleList(
            [nn.LSTM(1, 2 * e, batch_first=True), nn.LSTM(2 * e, e, batch_first=True)]
        )
        self.decoder = nn.ModuleList(
            [nn.LSTM(e, 2 * e, batch_first=True), nn.LSTM(2 * e, 2 * e, batch_first=True)]
        )
        self.output = nn.Parameter(torch.rand(2 * e, 1))

    def forward(self, beats: Tensor) -> Tensor:
        """Reconstruct beats, shape (batch, length)."""
        hidden, _ = self.encoder[0](beats[:, :, None])  # (batch, length, 2e)
        _, (last, _) = self.encoder[1](torch.sigmoid(hidden))  # (1, batch, e)
        repeated = torch.tanh(last[0])[:, None, :].expand(-1, beats.shape[1], -1)
        hidden, _ = self.decoder[0](repeated)  # (batch, length, 2e)
        hidden, _ = self.decoder[1](torch.sigmoid(hidden))  # (batch, length, 2e)
        written: Tensor = (hidden @ self.output)[:, :, 0]  # (batch, length)
        return written


def train_beat_by_beat(
    network: nn.Module,
    criterion: nn.Module,
    beats: Beats,
    n_steps: int,
    seed: int,
) -> None:
    """Take `n_steps` steps of Adam, one beat each, passing over the beats again and again."""
    optimiser = torch.optim.Adam(network.parameters(), lr=PLAIN_RATE)
    generator = torch.Generator().manual_seed(seed)
    given = torch.from_numpy(beats)  # (n, length)
    n_passes = -(-n_steps // len(beats))
    order = torch.cat([torch.randperm(len(beats), generator=generator) for _ in range(n_passes)])
    network.train()
    for row in order[:n_steps]:
        beat = given[row][None]  # (1, length)
        optimiser.zero_grad()
        criterion(network(beat), beat).backward()
        optimiser.step()
    network.eval()
