"""The autoencoder beside others on ECG5000: the same splits, the same rule for the threshold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, pstdev
from time import process_time
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.baselines import (
    HELD_OUT_SHARE,
    Beats,
    Fitted,
    Learn,
    isolation_forest,
    neighbours,
    one_class_svm,
    principal_components,
    published,
    sequitur,
    shallow,
)
from model.checkpoint import write_atomically
from model.config import AutoencoderConfig
from model.cross_fitting import cross_fit
from model.ecg5000 import NORMAL
from model.errors import InvalidBeats
from model.scoring import Scorer
from model.thresholds import MIN_LOSSES, threshold_from_losses
from model.training import fit
from model.training_config import TrainingConfig
from monitor.offline.evaluation.ecg5000_report import (
    ANOMALY_COLOUR,
    NORMAL_COLOUR,
    area_under_curve,
    split,
)
from monitor.offline.evaluation.page import png
from monitor.offline.evaluation_options import Protocol
from monitor.offline.training_run import Labelled

TARGET_RATE = 0.01  # share of normal beats meant to lie above each scorer's own threshold
# Embeddings to show, and how many seeds at most (None: all): large ones take minutes each.
SIZES: dict[int, int | None] = {8: 3, 16: 3, 32: None, 64: 1}
CROSS_FITTED, FOLDS = 32, 7  # the embedding shown with a threshold from all normal beats as well
BEAT_BY_BEAT_SEEDS = 1  # of the networks trained beat by beat, which take minutes each


@dataclass(frozen=True)
class Contestant:
    """A way to tell anomalous beats after learning normal ones.

    Attributes
    ----------
    name : str
    learn : callable
        Takes normal beats, shape (n, length), and a seed.
    mflop : float or None
        Million operations a beat, where it is a network.
    max_seeds : int or None
        The most seeds to train with; None is all that were asked for.
    """

    name: str
    learn: Learn
    mflop: float | None = None
    max_seeds: int | None = None


@dataclass(frozen=True)
class Trial:
    """One contestant, protocol and seed.

    Attributes
    ----------
    auc : float
        Anomalous against normal test beats.
    recall, false_positive_rate : float
        At the threshold set from held-out normal beats for a rate of TARGET_RATE.
    recall_at_1_percent : float
        At the threshold with that rate on the test beats themselves: chosen with labels.
    cpu_s : float
        Processor time to learn.
    """

    contestant: str
    protocol: Protocol
    seed: int
    auc: float
    recall: float
    false_positive_rate: float
    recall_at_1_percent: float
    cpu_s: float


@dataclass(frozen=True)
class Row:
    """Trials of one contestant and protocol, over seeds."""

    contestant: Contestant
    protocol: Protocol
    trials: tuple[Trial, ...]

    def over(self, figure: str) -> tuple[float, float]:
        """Return mean and standard deviation of a figure of the trials."""
        values = [getattr(trial, figure) for trial in self.trials]
        return mean(values), pstdev(values)

    def to_mapping(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        figures = ("auc", "recall", "false_positive_rate", "recall_at_1_percent", "cpu_s")
        return {
            "contestant": self.contestant.name,
            "protocol": self.protocol,
            "seeds": [trial.seed for trial in self.trials],
            "mflop_per_beat": self.contestant.mflop and round(self.contestant.mflop, 2),
            "auc_min": round(min(trial.auc for trial in self.trials), 6),
            "auc_max": round(max(trial.auc for trial in self.trials), 6),
            **{f"{name}_mean": round(self.over(name)[0], 6) for name in figures},
            **{f"{name}_sd": round(self.over(name)[1], 6) for name in figures},
        }


def contestants(
    training: Callable[[int], TrainingConfig] = lambda seed: TrainingConfig(seed=seed),
    peer_steps: int = 2_000,
) -> list[Contestant]:
    """Return our autoencoder in several sizes and what it is compared with.

    Parameters
    ----------
    training : callable
        How to train the autoencoder with a seed.
    peer_steps : int
        Beats that the networks of others are trained on, one at a time.
    """
    ours = []
    for size, max_seeds in SIZES.items():
        config = replace(AutoencoderConfig(), embedding=size)
        mflop = config.flop_per_beat / 1e6
        ours.append(
            Contestant(f"ours, e = {size}", autoencoder(config, training), mflop, max_seeds)
        )
        if size == CROSS_FITTED:
            name = f"ours, e = {size}, threshold from {FOLDS} folds"
            ours.append(Contestant(name, cross_fitted(config, training), mflop, max_seeds))
    plain = AutoencoderConfig(embedding=64, samples_per_step=1).flop_per_beat / 1e6
    steps, seeds = peer_steps, BEAT_BY_BEAT_SEEDS
    return [
        *ours,
        Contestant("1-NN distance", neighbours(1)),
        Contestant("5-NN distance", neighbours(5)),
        Contestant("one-class SVM", shallow(one_class_svm)),
        Contestant("PCA-4 reconstruction", shallow(principal_components)),
        Contestant("isolation forest", shallow(isolation_forest)),
        Contestant(
            f"published 128/64, {steps:,} steps of one beat", published(steps), plain, seeds
        ),
        Contestant(
            f"sequitur LSTM_AE re-created, e = 16, {steps:,} steps of one beat",
            sequitur(steps, embedding=16),
            None,
            seeds,
        ),
    ]


def autoencoder(config: AutoencoderConfig, training: Callable[[int], TrainingConfig]) -> Learn:
    """Train our autoencoder; its validation beats are the held-out ones."""

    def learn(beats: Beats, seed: int) -> Fitted:
        fitted = fit(beats, config, training(seed))
        return Fitted(Scorer(fitted.autoencoder).losses, fitted.validation_losses)

    return learn


def cross_fitted(config: AutoencoderConfig, training: Callable[[int], TrainingConfig]) -> Learn:
    """Train our autoencoder; all beats are held out, each from one of several trainings."""

    def learn(beats: Beats, seed: int) -> Fitted:
        fitted = cross_fit(beats, config, training(seed), FOLDS)
        return Fitted(Scorer(fitted.autoencoder).losses, fitted.validation_losses)

    return learn


def compare(
    files: list[Labelled],
    protocols: Sequence[Protocol],
    entered: Sequence[Contestant],
    n_seeds: int,
    on_progress: Callable[[float, str], None] = lambda _share, _name: None,
) -> Iterator[Row]:
    """Have each contestant learn and be tested, by each protocol and with seeds from 0 on.

    Parameters
    ----------
    files : list of (labels, beats)
        As `evaluate_training` takes them; the first is the training file.
    protocols : sequence of str
    entered : sequence of Contestant
    n_seeds : int
        Each draws the split (pooled), the beats held out, the weights.
    on_progress : callable, optional
        Told of the share done and the name of what comes next.

    Yields
    ------
    Row
        As soon as its seeds are done.

    Raises
    ------
    InvalidBeats
        If there are too few normal beats for a threshold, before anything is learnt.
    """
    plan = [(protocol, one) for protocol in protocols for one in entered]
    for done, (protocol, one) in enumerate(plan):
        on_progress(done / len(plan), f"{protocol}: {one.name}")
        seeds = range(min(n_seeds, one.max_seeds or n_seeds))
        yield Row(one, protocol, tuple(_trial(one, protocol, files, seed) for seed in seeds))


def _trial(one: Contestant, protocol: Protocol, files: list[Labelled], seed: int) -> Trial:
    learnt, labels, tested = split(files, protocol, seed)
    if round(HELD_OUT_SHARE * len(learnt)) < MIN_LOSSES:
        raise InvalidBeats(
            f"{len(learnt)} normal beats are too few to compare scorers; give at least "
            f"{math.ceil(MIN_LOSSES / HELD_OUT_SHARE)}, so that {MIN_LOSSES} can be held out for "
            "the threshold"
        )
    began = process_time()
    fitted = one.learn(learnt, seed)
    cpu_s = process_time() - began
    scores = fitted.score(tested)
    anomalous = np.asarray(labels != NORMAL)
    threshold = threshold_from_losses(fitted.held_out, TARGET_RATE).value
    at_1_percent = float(np.quantile(scores[~anomalous], 0.99))
    return Trial(
        contestant=one.name,
        protocol=protocol,
        seed=seed,
        auc=area_under_curve(scores, anomalous),
        recall=float((scores[anomalous] > threshold).mean()),
        false_positive_rate=float((scores[~anomalous] > threshold).mean()),
        recall_at_1_percent=float((scores[anomalous] > at_1_percent).mean()),
        cpu_s=cpu_s,
    )


def to_json_line(row: Row) -> str:
    """Return a row as one line of JSON."""
    return f"{json.dumps(row.to_mapping(), allow_nan=False)}\n"


def to_table(rows: Sequence[Row]) -> str:
    """Return a Markdown table: read by people as it is, and put into docs as it is."""
    heading = (
        "protocol", "scorer", "MFLOP", "seeds", "AUC, mean ± sd", "lowest", "recall", "at FPR",
        "recall at FPR .01", "CPU s",
    )  # fmt: skip
    cells = [heading, *(tuple(_cells(row)) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heading))]

    def as_line(row: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    lines = [as_line(row) for row in cells]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def _cells(row: Row) -> Iterator[str]:
    mflop = row.contestant.mflop
    auc, auc_sd = row.over("auc")
    yield row.protocol
    yield row.contestant.name
    yield "" if mflop is None else f"{mflop:.1f}"
    yield str(len(row.trials))
    yield f"{auc:.4f} ± {auc_sd:.4f}"
    yield f"{min(trial.auc for trial in row.trials):.4f}"
    yield f"{row.over('recall')[0]:.3f}"
    yield f"{row.over('false_positive_rate')[0]:.4f}"
    yield f"{row.over('recall_at_1_percent')[0]:.3f}"
    yield f"{row.over('cpu_s')[0]:.1f}"


def plot_comparison(rows: Sequence[Row], path: str | Path) -> None:
    """Draw each contestant's area under the curve, every seed a dot, a panel for each protocol."""
    protocols = list(dict.fromkeys(row.protocol for row in rows))
    names = list(dict.fromkeys(row.contestant.name for row in rows))
    figure = Figure(figsize=(6 + 4 * len(protocols), 1.5 + 0.35 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(protocols), squeeze=False, sharey=True)[0]
    for axes, protocol in zip(panels, protocols, strict=True):
        for row in rows:
            if row.protocol == protocol:
                at = len(names) - 1 - names.index(row.contestant.name)
                areas: NDArray[np.float64] = np.array([trial.auc for trial in row.trials])
                axes.plot(areas, np.full(len(areas), at), "o", alpha=0.5, color=NORMAL_COLOUR)
                axes.plot(areas.mean(), at, "|", markersize=16, color=ANOMALY_COLOUR)
        axes.set(
            title=f"{protocol} protocol",
            xlabel="AUC (dots: seeds, bar: mean)",
            yticks=range(len(names)),
            yticklabels=names[::-1],
        )
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    write_atomically(Path(path), png(figure, dpi=150))
