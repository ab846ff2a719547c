"""What a training came to, for people: one PNG and one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.checkpoint import Checkpoint, write_atomically
from model.ecg5000 import CLASSES, NORMAL
from model.scoring import Scorer
from model.thresholds import Threshold
from model.training import Epoch, Fit
from monitor.offline.evaluation.ecg5000_report import (
    ANOMALY_COLOUR,
    NORMAL_COLOUR,
    area_under_curve,
    draw_loss_densities,
)
from monitor.offline.evaluation.page import facts_table, html_page, png
from monitor.offline.training_run import Labelled

BEAT_COLOUR, RECONSTRUCTION_COLOUR = "black", "#d55e00"
PICTURE_SAYS = "Losses by epoch, loss densities, reconstructions"


@dataclass(frozen=True)
class TrainingReport:
    """A training, and the beats its model was judged on.

    Attributes
    ----------
    title : str
        What was trained, for people.
    history : tuple of Epoch
    threshold : Threshold
    labels : np.ndarray, shape (n,), int64
        Classes of the beats judged; all NORMAL where they have no labels.
    beats, reconstructions : np.ndarray, shape (n, length), float32
    losses : np.ndarray, shape (n,), float32
    facts : tuple of (str, str)
        Names and values of what else is worth telling.
    """

    title: str
    history: tuple[Epoch, ...]
    threshold: Threshold
    labels: NDArray[np.int64]
    beats: NDArray[np.float32]
    reconstructions: NDArray[np.float32]
    losses: NDArray[np.float32]
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def anomalous(self) -> NDArray[np.bool_]:
        """Whether each beat is of another class than 1, shape (n,)."""
        return np.asarray(self.labels != NORMAL)

    @property
    def has_both_kinds(self) -> bool:
        """Whether there are normal and anomalous beats to tell apart."""
        return bool(self.anomalous.any() and not self.anomalous.all())

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts, shape (2, 2): rows normal and anomalous, columns below and above threshold."""
        above = self.losses > self.threshold.value
        pairs = 2 * self.anomalous.astype(np.int64) + above
        return np.bincount(pairs, minlength=4).reshape(2, 2)


def report_of(
    fitted: Fit, checkpoint: Checkpoint, tested: Labelled | None, title: str
) -> TrainingReport:
    """Judge labelled beats; the validation beats, taken for normal, where none are given."""
    labels, beats = tested or (
        np.full(len(fitted.validation_beats), NORMAL),
        fitted.validation_beats,
    )
    losses, reconstructions = Scorer(checkpoint.autoencoder).score(beats)
    known = (name for name in ("data", "beats", "seed") if name in checkpoint.provenance)
    return TrainingReport(
        title=title,
        history=fitted.history,
        threshold=checkpoint.threshold,
        labels=labels,
        beats=beats,
        reconstructions=reconstructions,
        losses=losses,
        facts=tuple((name, str(checkpoint.provenance[name])) for name in known),
    )


def write_report(report: TrainingReport, path: Path) -> None:
    """Write the page to `path` and the picture beside it, as PNG, each whole or not at all."""
    picture = png(_figure(report))
    write_atomically(picture_path(path), picture)
    write_atomically(path, to_html(report, picture).encode())


def picture_path(path: Path) -> Path:
    """Return where the picture of a page is written."""
    return path.with_suffix(".png")


def to_html(report: TrainingReport, picture: bytes) -> str:
    """Return one page that needs no other file; all text in it is escaped."""
    tables = f"{facts_table(_facts(report))}\n{_confusion_table(report)}"
    return html_page(report.title, tables, picture, PICTURE_SAYS)


def _facts(report: TrainingReport) -> Iterator[tuple[str, str]]:
    yield from report.facts
    best = min(report.history, key=lambda epoch: epoch.validation_loss, default=None)
    if best is not None:
        yield "epochs", f"{len(report.history)} of {best.of}, best {best.number}"
        yield "validation loss", f"{best.validation_loss:.2f}"
    threshold = report.threshold
    interval = "" if threshold.low is None else f", 90 % within {threshold.low:.1f} to "
    interval += "" if threshold.high is None else f"{threshold.high:.1f}"
    yield "threshold", f"{threshold.value:.2f} ({threshold.method}{interval})"
    yield "judged", f"{(~report.anomalous).sum()} normal, {report.anomalous.sum()} anomalous beats"
    if report.has_both_kinds:
        yield "AUC", f"{area_under_curve(report.losses, report.anomalous):.4f}"


def _confusion_table(report: TrainingReport) -> str:
    rows = "".join(
        f"<tr><th>{name}</th><td>{below}</td><td>{above}</td></tr>"
        for name, (below, above) in zip(
            ("normal", "anomalous"), report.confusion.tolist(), strict=True
        )
    )
    heading = "<tr><th></th><th>below the threshold</th><th>above</th></tr>"
    return f"<table>{heading}{rows}</table>\n"


def _figure(report: TrainingReport) -> Figure:
    """Draw curves, densities, ROC and confusion above the best and worst beats of each class."""
    classes = [label for label in CLASSES if (report.labels == label).any()]
    figure = Figure(figsize=(13, 6.5 + 1.8 * len(classes)), layout="constrained")
    FigureCanvasAgg(figure)
    halves = figure.add_gridspec(2, 1, height_ratios=[6.5, 1.8 * len(classes)])
    above, below = figure.add_subfigure(halves[0]), figure.add_subfigure(halves[1])
    (curves, densities), (roc, confusion) = above.subplots(2, 2)
    _draw_curves(curves, report.history)
    draw_loss_densities(densities, report.losses, report.anomalous, report.threshold.value)
    densities.set_title("b  losses")
    if report.has_both_kinds:
        _draw_roc(roc, report)
        _draw_confusion(confusion, report.confusion)
    else:
        for axes in (roc, confusion):
            axes.axis("off")
        roc.text(0, 0.5, "No labels of both kinds: no ROC, no confusion.")
    below.suptitle(
        "e  the best two and the worst two of each class; black: beat, orange: reconstruction",
        fontsize=10,
    )
    _draw_extremes(below.subplots(len(classes), 4, squeeze=False), report, classes)
    return figure


def _draw_curves(axes: Axes, history: Sequence[Epoch]) -> None:
    numbers = [epoch.number for epoch in history]
    training = [epoch.training_loss for epoch in history]
    validation = [epoch.validation_loss for epoch in history]
    axes.plot(numbers, training, label="training", color="#56b4e9")
    axes.plot(numbers, validation, label="validation", color="#009e73")
    axes.set(xlabel="epoch", ylabel="reconstruction loss", title="a  training", yscale="log")
    axes.legend(frameon=False)


def _draw_roc(axes: Axes, report: TrainingReport) -> None:
    order = np.argsort(-report.losses, kind="stable")
    anomalous = report.anomalous[order]
    recall = np.concatenate(([0], np.cumsum(anomalous) / anomalous.sum()))
    false_positives = np.concatenate(([0], np.cumsum(~anomalous) / (~anomalous).sum()))
    (_, alarms), (_, found) = report.confusion.tolist()
    at = alarms / (~anomalous).sum(), found / anomalous.sum()
    area = area_under_curve(report.losses, report.anomalous)
    axes.plot(false_positives, recall, color=NORMAL_COLOUR)
    axes.plot(*at, "o", color=ANOMALY_COLOUR, label=f"threshold: recall {at[1]:.3f} at {at[0]:.4f}")
    axes.set(xlabel="false-positive rate", ylabel="recall", title=f"c  ROC, AUC {area:.4f}")
    axes.legend(frameon=False, loc="lower right")


def _draw_confusion(axes: Axes, confusion: NDArray[np.int64]) -> None:
    axes.imshow(confusion / confusion.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(2, 2):
        share = confusion[row, column] / confusion[row].sum()
        colour = "white" if share > 0.5 else "black"
        text = f"{confusion[row, column]}\n{share:.1%}"
        axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set(
        xticks=[0, 1],
        xticklabels=["below", "above"],
        yticks=[0, 1],
        yticklabels=["normal", "anomalous"],
        title="d  at the threshold",
    )


def _draw_extremes(
    panels: NDArray[np.object_], report: TrainingReport, classes: Sequence[int]
) -> None:
    """Draw the two best and the two worst reconstructions of each class, a row each."""
    for row, label in zip(panels, classes, strict=True):
        members = np.flatnonzero(report.labels == label)
        ordered = members[np.argsort(report.losses[members], kind="stable")]
        chosen = [ordered[0], ordered[min(1, len(ordered) - 1)], ordered[-2:][0], ordered[-1]]
        for axes, index in zip(row, chosen, strict=True):
            axes.plot(report.beats[index], color=BEAT_COLOUR, linewidth=1)
            axes.plot(report.reconstructions[index], color=RECONSTRUCTION_COLOUR, linewidth=1)
            axes.set_title(f"loss {report.losses[index]:.1f}", fontsize=9)
            axes.set(xticks=[])
        row[0].set_ylabel(CLASSES[label].replace(" ", "\n") + "\nSD", fontsize=8)
