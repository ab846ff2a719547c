"""How well a model tells normal from anomalous beats of ECG5000: figures, JSON and a plot."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.checkpoint import Checkpoint, write_atomically
from model.config import AutoencoderConfig
from model.ecg5000 import CLASSES, NORMAL
from model.errors import InvalidBeats
from model.scoring import Scorer
from model.thresholds import Threshold, threshold_from_losses
from model.training_config import Epoch, TrainingConfig
from monitor.offline.evaluation.page import png
from monitor.offline.evaluation_options import Protocol
from monitor.offline.training_run import ECG5000_FALSE_ALERTS, Labelled

POOLED_TRAINING_SHARE = 0.85  # of the normal beats, as in the published tutorials
NORMAL_COLOUR, ANOMALY_COLOUR = "#0072b2", "#d55e00"  # colour-blind readers can distinguish them


@dataclass(frozen=True)
class Ecg5000Report:
    """Losses of the test beats and what follows from them.

    Attributes
    ----------
    protocol : {"pooled", "official", "checkpoint"}
        How training and test beats were parted; "checkpoint": every beat given is a test beat.
    labels : np.ndarray, shape (n,), int64
        Classes of the test beats; 1 is normal.
    losses : np.ndarray, shape (n,), float32
        Their reconstruction losses.
    threshold : Threshold
        Set without labels.
    seed : int or None
        Of the split and the training.
    n_trained : int
        Normal beats trained on; 0 where a checkpoint was judged.
    data : str
        What the beats are, for people.
    """

    protocol: Protocol
    labels: NDArray[np.int64]
    losses: NDArray[np.float32]
    threshold: Threshold
    seed: int | None
    n_trained: int
    data: str = "ECG5000"

    @property
    def anomalous(self) -> NDArray[np.bool_]:
        """Whether each test beat is of another class than 1, shape (n,)."""
        return np.asarray(self.labels != NORMAL)

    @property
    def auc(self) -> float:
        """Area under the ROC curve: anomalous against normal beats, by loss."""
        return area_under_curve(self.losses, self.anomalous)

    @property
    def recall(self) -> float:
        """Share of the anomalous beats above the threshold."""
        return float((self.losses[self.anomalous] > self.threshold.value).mean())

    @property
    def false_positive_rate(self) -> float:
        """Share of the normal beats above the threshold."""
        return float((self.losses[~self.anomalous] > self.threshold.value).mean())

    @property
    def recall_by_class(self) -> dict[str, float]:
        """Share of the beats of each anomalous class above the threshold; absent ones left out."""
        alerted = self.losses > self.threshold.value
        return {
            name: float(alerted[self.labels == label].mean())
            for label, name in CLASSES.items()
            if label != NORMAL and (self.labels == label).any()
        }

    def recall_at(self, false_positive_rate: float) -> float:
        """Recall at the threshold that gives this rate on these very test beats.

        That threshold is chosen with labels: it shows what the losses allow, not what a monitor
        would do.
        """
        cut = np.quantile(self.losses[~self.anomalous], 1 - false_positive_rate)
        return float((self.losses[self.anomalous] > cut).mean())

    def to_mapping(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return {
            "data": self.data,
            "protocol": self.protocol,
            "seed": self.seed,
            "n_trained": self.n_trained,
            "n_normal": int((~self.anomalous).sum()),
            "n_anomalous": int(self.anomalous.sum()),
            "auc": self.auc,
            "threshold": asdict(self.threshold),
            "recall": self.recall,
            "false_positive_rate": self.false_positive_rate,
            "recall_by_class": self.recall_by_class,
            "recall_at_1_percent": self.recall_at(0.01),
        }

    def to_json(self) -> str:
        """Return the figures as one line of JSON."""
        return json.dumps(self.to_mapping(), allow_nan=False)

    def to_text(self) -> str:
        """Return the figures as a small table for people."""
        rows = [
            ("data", self.data),
            ("protocol", self.protocol),
            *([("trained on", f"{self.n_trained} normal beats")] if self.n_trained else []),
            ("tested on", f"{(~self.anomalous).sum()} normal, {self.anomalous.sum()} anomalous"),
            ("AUC", f"{self.auc:.4f}"),
            ("threshold", f"{self.threshold.value:.1f} ({self.threshold.method})"),
            ("recall", f"{self.recall:.3f}"),
            ("false-positive rate", f"{self.false_positive_rate:.4f}"),
            *((f"recall, {name}", f"{share:.3f}") for name, share in self.recall_by_class.items()),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def evaluate_checkpoint(
    checkpoint: Checkpoint, beats: Labelled, data: str = "ECG5000"
) -> Ecg5000Report:
    """Judge a checkpoint, with its own threshold, on labelled beats.

    Raises
    ------
    InvalidBeats
        If the beats are of another length, or not of both kinds.
    """
    labels, values = beats
    _check_both_kinds(labels)
    losses = Scorer(checkpoint.autoencoder).losses(values)
    return Ecg5000Report("checkpoint", labels, losses, checkpoint.threshold, None, 0, data)


def evaluate_training(
    files: list[Labelled],
    protocol: Protocol = "pooled",
    config: AutoencoderConfig | None = None,
    training: TrainingConfig | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    folds: int | None = None,
    false_alert_share: float = ECG5000_FALSE_ALERTS,
) -> Ecg5000Report:
    """Train from scratch on normal beats and judge the result on the others.

    Parameters
    ----------
    files : list of (labels, beats)
        "pooled": of all of them, 85 % of the normal beats are trained on, the rest are tested.
        "official": the first is the training file, whose normal beats are trained on; the others
        are tested.
    protocol : {"pooled", "official"}
        How training and test beats are parted.
    config, training : optional
        Of the model; the training's seed draws the split too.
    on_epoch : callable, optional
        Told of each epoch as it ends.
    folds : int, optional
        Train so many times, so that the losses of all beats set the threshold: `cross_fit`.
    false_alert_share : float
        Share of normal beats meant to lie above the threshold.

    Raises
    ------
    InvalidConfig
        If folds or share are out of bounds.
    InvalidBeats
        If there are too few normal beats or no anomalous ones, or no second file for "official".
    """
    from model.cross_fitting import cross_fit  # with torch, which who judges does without
    from model.training import fit

    training = training or TrainingConfig()
    trained, labels, tested = split(files, protocol, training.seed)
    _check_both_kinds(labels)
    if folds is None:
        fitted = fit(trained, config, training, on_epoch=on_epoch)
    else:
        fitted = cross_fit(trained, config or AutoencoderConfig(), training, folds, on_epoch)
    threshold = threshold_from_losses(fitted.validation_losses, false_alert_share)
    losses = Scorer(fitted.autoencoder).losses(tested)
    return Ecg5000Report(protocol, labels, losses, threshold, training.seed, len(trained))


def split(
    files: list[Labelled], protocol: Protocol, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Return training beats, test labels and test beats."""
    if protocol not in get_args(Protocol)[:2]:
        raise ValueError(f"protocol {protocol!r} is unknown; use pooled or official")
    if not files or (protocol == "official" and len(files) < 2):
        raise InvalidBeats("the official protocol needs two files; give --ecg5000 TRAIN TEST")
    if protocol == "official":
        (train_labels, train_beats), *rest = files
        labels, beats = (np.concatenate(columns) for columns in zip(*rest, strict=True))
        return train_beats[train_labels == NORMAL], labels, beats
    labels, beats = (np.concatenate(columns) for columns in zip(*files, strict=True))
    normal = np.random.default_rng(seed).permutation(np.flatnonzero(labels == NORMAL))
    trained = normal[: round(POOLED_TRAINING_SHARE * len(normal))]
    tested = np.setdiff1d(np.arange(len(labels)), trained)
    return beats[trained], labels[tested], beats[tested]


def area_under_curve(losses: NDArray[np.floating[Any]], anomalous: NDArray[np.bool_]) -> float:
    """Return the probability that an anomalous beat has the larger loss; equal losses count half.

    The area under the ROC curve, by ranks (Mann, Whitney 1947).
    """
    _, inverse, counts = np.unique(losses, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # equal losses share their mean rank
    n_anomalous, n_normal = int(anomalous.sum()), int((~anomalous).sum())
    if not n_anomalous or not n_normal:
        raise InvalidBeats(
            "the test beats are all normal or all anomalous, so there is no AUC; give both kinds"
        )
    surplus = float(ranks[anomalous].sum()) - n_anomalous * (n_anomalous + 1) / 2
    return surplus / (n_anomalous * n_normal)


def plot_loss_densities(report: Ecg5000Report, path: str | Path) -> None:
    """Draw the densities of the losses of normal and anomalous beats, and the threshold."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    draw_loss_densities(axes, report.losses, report.anomalous, report.threshold.value)
    axes.set_title(
        f"{report.data}, {report.protocol}: AUC {report.auc:.4f}, recall {report.recall:.3f} "
        f"at a false-positive rate of {report.false_positive_rate:.3f}"
    )
    write_atomically(Path(path), png(figure, dpi=150))


def draw_loss_densities(
    axes: Axes,
    losses: NDArray[np.float32],
    anomalous: NDArray[np.bool_],
    threshold: float,
) -> None:
    """Draw a density of each kind of beat there is, and the threshold, on axes."""
    top = max(float(np.quantile(losses, 0.995)), threshold) * 1.05
    at = np.linspace(0, top, 400)
    groups = (
        (f"normal ({(~anomalous).sum()})", ~anomalous, NORMAL_COLOUR),
        (f"anomalous ({anomalous.sum()})", anomalous, ANOMALY_COLOUR),
    )
    for name, rows, colour in groups:
        if rows.any():
            density = kernel_density(losses[rows].astype(np.float64), at)
            axes.plot(at, density, color=colour, label=name)
            axes.fill_between(at, density, color=colour, alpha=0.25)
    axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.1f}")
    axes.set(
        xlim=(0, top),
        ylim=(0, None),
        xlabel="reconstruction loss",
        ylabel="density",
    )
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def kernel_density(values: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a Gaussian kernel density of values at points `at`, by Silverman's rule.

    The spread is the smaller of standard deviation and interquartile range, so that a long tail
    does not smear the peak.
    """
    quartiles = np.quantile(values, [0.25, 0.75])
    spread = min(float(values.std()), float(quartiles[1] - quartiles[0]) / 1.34)
    width = max(0.9 * spread * len(values) ** -0.2, 1e-3 * float(at[-1]))
    scaled = (at[:, None] - values) / width  # (points, n)
    return np.asarray(np.exp(-0.5 * scaled**2).mean(axis=1) / (width * np.sqrt(2 * np.pi)))


def _check_both_kinds(labels: NDArray[np.int64]) -> None:
    if not (labels == NORMAL).any() or (labels == NORMAL).all():
        raise InvalidBeats("the test beats are all normal or all anomalous; give both kinds")
