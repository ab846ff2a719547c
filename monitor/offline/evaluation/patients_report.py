"""How well one patient's learnt normal tells anomalous beats, against reference annotations.

Classes are those of AAMI EC57: N against S, V, F and Q. The test period runs from the end of what
was learnt to the end of the record; only beats that match a reference beat within 150 ms have a
class, and only those that were given a verdict count.

The verdict is the reconstruction loss weighted by the beat's timing, over the threshold. Beside it
stand the loss alone, and the mean distance to the five nearest beats of the first minutes: of all
of them, which needs no label, and of those labelled N, which no monitor has.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from monitor.offline.evaluation.ecg5000_report import area_under_curve
from monitor.text import harmless

AAMI_CLASSES: Mapping[str, str] = {  # WFDB symbol to EC57's class
    **dict.fromkeys("NLRBej", "N"),
    **dict.fromkeys("AaJSn", "S"),
    **dict.fromkeys("VEr", "V"),
    "F": "F",
    **dict.fromkeys("/fQ?", "Q"),
}
NORMAL = "N"
N_NEIGHBOURS = 5
HALVES = ("development", "held back")


@dataclass(frozen=True)
class JudgedBeats:
    """Beats of one record with their class, in the order of time.

    Attributes
    ----------
    classes : np.ndarray, shape (n,), str
        AAMI class.
    verdict, loss : np.ndarray, shape (n,), float32
        What is held against the threshold, over it: weighted loss, and the loss alone.
    unlabelled, labelled : np.ndarray, shape (n,), float32
        Distances to the nearest learnt beats: of all, of those labelled N.
    """

    classes: NDArray[np.str_]
    verdict: NDArray[np.float32]
    loss: NDArray[np.float32]
    unlabelled: NDArray[np.float32]
    labelled: NDArray[np.float32]


@dataclass(frozen=True)
class PatientFigures:
    """Figures of one record; NaN where it has no such beats.

    Attributes
    ----------
    auc, auc_s, auc_v : float
        Of the verdict's score: all anomalous beats, S alone, V alone, each against N.
    auc_loss, auc_loss_s : float
        The same of the reconstruction loss alone.
    auc_unlabelled, auc_labelled : float
        Of the nearest neighbours.
    recall, recall_s, recall_v : float
        Share of the anomalous beats above the threshold.
    false_alerts_per_hour, false_episodes_per_hour : float
        Normal beats above the threshold, and runs of them (each is one alert).
    recall_at_target : float
        At the threshold, chosen with labels, with so many false alerts as were aimed at: what the
        scores allow.
    n_normal, n_anomalous : int
    """

    auc: float
    auc_s: float
    auc_v: float
    auc_loss: float
    auc_loss_s: float
    auc_unlabelled: float
    auc_labelled: float
    recall: float
    recall_s: float
    recall_v: float
    false_alerts_per_hour: float
    false_episodes_per_hour: float
    recall_at_target: float
    n_normal: float
    n_anomalous: float


FIGURES = tuple(field.name for field in fields(PatientFigures))
HEADINGS = (
    "AUC", "S", "V", "loss", "S loss", "5-NN", "5-NN N",
    "recall", "S", "V", "false/h", "epis./h", "at target", "N", "SVFQ",
)  # fmt: skip


@dataclass(frozen=True)
class PatientResult:
    """What became of one record.

    Attributes
    ----------
    learnt_s : float
        End of what was learnt.
    learning_cpu_s : float
        Processor time of the learning.
    note : str
        What the learning reported, or why there are no figures.
    lead : str
        Name of the lead that was read.
    warnings : tuple of str
        What is wrong with the record and was read all the same.
    """

    record: str
    half: str
    figures: PatientFigures | None
    learnt_s: float = math.nan
    learning_cpu_s: float = math.nan
    threshold: float = math.nan
    note: str = ""
    lead: str = ""
    warnings: tuple[str, ...] = ()


def half_of(record: str) -> str:
    """Return "development" for records of an even number, on which choices may be made."""
    return HALVES[0] if record.isdigit() and int(record) % 2 == 0 else HALVES[1]


def make_figures(beats: JudgedBeats, hours: float, target_per_hour: float = 1.0) -> PatientFigures:
    """Return the figures of one record's beats, tested for `hours`.

    Parameters
    ----------
    target_per_hour : float
        False alerts an hour that the threshold was set for.
    """
    anomalous = beats.verdict > 1
    normal = beats.classes == NORMAL
    false_alerts = anomalous & normal
    episodes = false_alerts & ~np.concatenate(([False], anomalous[:-1]))
    return PatientFigures(
        auc=_auc(beats.verdict, beats.classes),
        auc_s=_auc(beats.verdict, beats.classes, "S"),
        auc_v=_auc(beats.verdict, beats.classes, "V"),
        auc_loss=_auc(beats.loss, beats.classes),
        auc_loss_s=_auc(beats.loss, beats.classes, "S"),
        auc_unlabelled=_auc(beats.unlabelled, beats.classes),
        auc_labelled=_auc(beats.labelled, beats.classes),
        recall=_share(anomalous[~normal]),
        recall_s=_share(anomalous[beats.classes == "S"]),
        recall_v=_share(anomalous[beats.classes == "V"]),
        false_alerts_per_hour=float(false_alerts.sum()) / hours,
        false_episodes_per_hour=float(episodes.sum()) / hours,
        recall_at_target=_recall_at(beats.verdict, normal, math.floor(target_per_hour * hours)),
        n_normal=float(normal.sum()),
        n_anomalous=float((~normal).sum()),
    )


def nearest_distances(
    beats: NDArray[np.float32], learnt: NDArray[np.float32], n_neighbours: int = N_NEIGHBOURS
) -> NDArray[np.float32]:
    """Return the mean Euclidean distance to the nearest learnt beats, shape (n,); NaN if too few.

    Parameters
    ----------
    beats : np.ndarray, shape (n, length)
    learnt : np.ndarray, shape (m, length)
    """
    if len(learnt) < n_neighbours:
        return np.full(len(beats), np.nan, np.float32)
    ours, theirs = beats.astype(np.float64), learnt.astype(np.float64)
    squares = (ours**2).sum(1)[:, None] + (theirs**2).sum(1) - 2 * ours @ theirs.T  # (n, m)
    nearest = np.partition(np.maximum(squares, 0), n_neighbours - 1, axis=1)[:, :n_neighbours]
    return np.asarray(np.sqrt(nearest).mean(axis=1), np.float32)


def average(results: Sequence[PatientResult], statistic: str) -> dict[str, float]:
    """Return the mean or the median over records of each figure; those without it are left out."""
    over = np.nanmean if statistic == "mean" else np.nanmedian
    averages = {}
    for name in FIGURES:
        values = np.array([getattr(one.figures, name) for one in results if one.figures])
        averages[name] = math.nan if np.isnan(values).all() else float(over(values))
    return averages


def averages(results: Sequence[PatientResult]) -> dict[str, dict[str, float]]:
    """Return mean and median over both halves and over all records, by what they are called."""
    groups = {half: [one for one in results if one.half == half] for half in HALVES}
    groups["all"] = list(results)
    return {
        f"{name}, {statistic}": average(group, statistic)
        for name, group in groups.items()
        for statistic in ("mean", "median")
    }


def to_table(results: Sequence[PatientResult]) -> Table:
    """Return the report as a Rich table."""
    table = Table(
        title="One patient at a time: AAMI N against S, V, F, Q",
        caption="AUC of the verdict, of its S and V beats; of the loss alone; of five nearest "
        "neighbours unlabelled and labelled N; recall and false alerts at its own threshold; "
        "recall at one that meets the target, chosen with labels",
    )
    table.add_column("record")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for one in results:
        if one.figures is None:
            table.add_row(Text(harmless(one.record)), *["-"] * len(HEADINGS))
        else:
            table.add_row(Text(harmless(one.record)), *_cells(asdict(one.figures)))
    table.add_section()
    for name, row in averages(results).items():
        table.add_row(name, *_cells(row), style="bold")
    return table


def to_json(results: Sequence[PatientResult]) -> str:
    """Return the report as JSON; null where a figure is not defined."""
    document = {
        "protocol": "AAMI N against S, V, F, Q; beats matched within 150 ms",
        "records": {one.record: _plain(asdict(one)) for one in results},
        "averages": _plain(averages(results)),
    }
    return json.dumps(document, indent=2, allow_nan=False)


def _auc(
    scores: NDArray[np.float32], classes: NDArray[np.str_], one_class: str | None = None
) -> float:
    anomalous = classes != NORMAL if one_class is None else classes == one_class
    counted = anomalous | (classes == NORMAL)
    if not anomalous.any() or not (classes == NORMAL).any() or not np.isfinite(scores).all():
        return math.nan
    return area_under_curve(scores[counted], anomalous[counted])


def _recall_at(verdict: NDArray[np.float32], normal: NDArray[np.bool_], n_false: int) -> float:
    """Return the share of anomalous beats above a threshold that `n_false` normal ones exceed."""
    of_normal = np.sort(verdict[normal])[::-1]
    cut = of_normal[n_false] if n_false < len(of_normal) else -math.inf
    return _share(verdict[~normal] > cut)


def _share(marked: NDArray[np.bool_]) -> float:
    return float(marked.mean()) if len(marked) else math.nan


def _cells(row: Mapping[str, float]) -> list[str]:
    return ["-" if math.isnan(row[name]) else _cell(name, row[name]) for name in FIGURES]


def _cell(name: str, value: float) -> str:
    if name.startswith("n_"):
        return f"{value:.0f}"
    return f"{value:.1f}" if name.endswith("_per_hour") else f"{value:.3f}"


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
