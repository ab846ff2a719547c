"""How well one patient's anomalous beats are told: figures of a record, and averages over records.

The test period runs from the end of what was learnt to the end of the record; only beats that match
a reference beat within 150 ms have a class, and only those that were given a verdict count.

The verdict is what the monitor holds against 1. Beside it stand the reconstruction loss alone, and
peers that learnt the same first minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.offline.evaluation.ecg5000_report import area_under_curve
from monitor.offline.labelled_record import NORMAL, LabelledRecord

QUARTER_S = 900.0
SHORTEST_S = 60.0  # a rest that is shorter belongs to the quarter beside it
MANY = 20  # anomalous beats from which on a record's F1 is more than chance
HALVES = ("even number", "others")
STATISTICS: Mapping[str, Callable[[Any], Any]] = {"mean": np.nanmean, "median": np.nanmedian}
PEERS = ("unlabelled", "labelled", "svm", "forest")

Span = tuple[float, float]  # from this sample on, up to before that one


class HeardAlerts(NamedTuple):
    """Alerts that began, n in order of time.

    Attributes
    ----------
    sample : np.ndarray, shape (n,), int64
        Of the first anomalous beat.
    is_false : np.ndarray, shape (n,), bool
        Whether it holds no beat anomalous by reference.
    """

    sample: NDArray[np.int64]
    is_false: NDArray[np.bool_]

    def during(self, spans: Sequence[Span]) -> HeardAlerts:
        """Return those that began in any of the spans."""
        rows = inside(self.sample, spans)
        return HeardAlerts(self.sample[rows], self.is_false[rows])


@dataclass(frozen=True)
class ComparedBeats:
    """Beats of one record with verdict and class: n rows in the order of time.

    Attributes
    ----------
    sample : np.ndarray, shape (n,), int64
        R peak.
    classes : np.ndarray, shape (n,), str
        AAMI class.
    verdict, loss : np.ndarray, shape (n,), float32
        What is held against 1, and the reconstruction loss alone over the threshold.
    peers : mapping of str to np.ndarray, shape (n,), float32
        Scores of PEERS, the larger the less normal; one that is missing has no figure.
    """

    sample: NDArray[np.int64]
    classes: NDArray[np.str_]
    verdict: NDArray[np.float32]
    loss: NDArray[np.float32]
    peers: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def during(self, spans: Sequence[Span]) -> ComparedBeats:
        """Return those within any of the spans."""
        rows = inside(self.sample, spans)
        return ComparedBeats(
            self.sample[rows],
            self.classes[rows],
            self.verdict[rows],
            self.loss[rows],
            {name: scores[rows] for name, scores in self.peers.items()},
        )


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
        Of the mean distance to the five nearest beats of the first minutes: of all of them, and of
        those labelled N, labels that no monitor has.
    auc_svm, auc_forest : float
        Of a one-class SVM and an isolation forest, fitted to all beats of the first minutes.
    f1, precision : float
        Of the beats marked, against those anomalous by reference.
    recall, recall_s, recall_v : float
        Share of the anomalous beats that are marked.
    onsets_per_hour, false_onsets_per_hour : float
        Alerts begun, and those of them that hold no beat anomalous by reference.
    false_alerts_per_hour, false_episodes_per_hour : float
        Normal beats marked, and runs of them.
    recall_at_target : float
        At the threshold, chosen with labels, with so many false alerts as were aimed at: what the
        scores allow.
    unjudged, unjudged_anomalous : float
        Share of the reference beats, and of the anomalous ones, without a verdict: no beat was
        found, or it was not judged. They are in no figure above.
    families : float
        Families of beats alike that the anomalous ones fell into.
    n_normal, n_anomalous : float
    """

    auc: float
    auc_s: float
    auc_v: float
    auc_loss: float
    auc_loss_s: float
    auc_unlabelled: float
    auc_labelled: float
    auc_svm: float
    auc_forest: float
    f1: float
    precision: float
    recall: float
    recall_s: float
    recall_v: float
    onsets_per_hour: float
    false_onsets_per_hour: float
    false_alerts_per_hour: float
    false_episodes_per_hour: float
    recall_at_target: float
    unjudged: float
    unjudged_anomalous: float
    families: float
    n_normal: float
    n_anomalous: float


FIGURES = tuple(one.name for one in fields(PatientFigures))


@dataclass(frozen=True)
class QuarterFigures:
    """Figures of what was tested of a quarter of an hour of the record; NaN as above."""

    quarter: int  # of the record, from 0 on
    start_s: float
    stop_s: float
    recall: float
    recall_s: float
    recall_v: float
    precision: float
    false_onsets_per_hour: float
    n_normal: float
    n_anomalous: float


QUARTER_FIGURES = tuple(one.name for one in fields(QuarterFigures))[3:]


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
    leads : tuple of str
        Names of the leads that were read.
    warnings : tuple of str
        What is wrong with the record and was read all the same.
    quarters : tuple of QuarterFigures
    """

    record: str
    half: str
    figures: PatientFigures | None
    learnt_s: float = math.nan
    learning_cpu_s: float = math.nan
    threshold: float = math.nan
    note: str = ""
    leads: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    quarters: tuple[QuarterFigures, ...] = ()


def half_of(record: str) -> str:
    """Return the half that a record belongs to, by its name; of MIT-BIH both have as many."""
    return HALVES[0] if record.isdigit() and int(record) % 2 == 0 else HALVES[1]


def result_of(
    record: LabelledRecord, from_s: float = 0.0, target_per_hour: float = 1.0
) -> PatientResult:
    """Return what became of a record that was judged, compared from a time of it on.

    Parameters
    ----------
    from_s : float
        Leave out what comes before; what was learnt is left out in any case.
    """
    judged, fs_hz = record.judged, record.fs_hz
    learnt_s, stop_s = judged.learnt_until / fs_hz, record.n_samples / fs_hz
    start_s = max(learnt_s, from_s)
    hours, span = (stop_s - start_s) / 3600, (start_s * fs_hz, math.inf)
    beats = compared_beats(record).during([span])
    heard = heard_alerts(record).during([span])
    return PatientResult(
        record=record.name,
        half=half_of(record.name),
        figures=replace(
            make_figures(beats, heard, hours, target_per_hour),
            unjudged=unjudged_share(record, [span]),
            unjudged_anomalous=unjudged_share(record, [span], anomalous=True),
            families=record.families,
        ),
        learnt_s=learnt_s,
        learning_cpu_s=judged.learning_cpu_s,
        threshold=judged.threshold,
        note=judged.note,
        leads=record.leads,
        warnings=record.warnings,
        quarters=quarters_of(beats, heard, fs_hz, start_s, stop_s),
    )


def compared_beats(record: LabelledRecord) -> ComparedBeats:
    """Return the beats of a record that count."""
    judged, rows = record.judged, record.tested
    return ComparedBeats(
        sample=judged.beats.r_sample[rows],
        classes=record.classes[rows],
        verdict=judged.ratio[rows].astype(np.float32),
        loss=(judged.loss[rows] / judged.threshold).astype(np.float32),
        peers={name: scores[rows] for name, scores in record.peers.items()},
    )


def heard_alerts(record: LabelledRecord) -> HeardAlerts:
    """Return the alerts of a record, and which of them hold nothing."""
    episodes = record.judged.episodes
    first = np.array([one.first_sample for one in episodes], np.int64)
    return HeardAlerts(first, record.reference.hold_nothing(episodes, record.fs_hz))


def unjudged_share(
    record: LabelledRecord, spans: Sequence[Span], *, anomalous: bool = False
) -> float:
    """Return the share of the reference beats in spans that were missed or got no verdict."""
    reference = record.reference
    there = inside(reference.sample, spans)
    if anomalous:
        there &= reference.classes != NORMAL
    return share(~record.has_verdict[there])


def make_figures(
    beats: ComparedBeats, heard: HeardAlerts, hours: float, target_per_hour: float = 1.0
) -> PatientFigures:
    """Return the figures of one record's beats and alerts, tested for `hours`.

    Parameters
    ----------
    target_per_hour : float
        False alerts an hour that the threshold was set for.
    """
    marked = beats.verdict > 1
    normal = beats.classes == NORMAL
    false_alerts = marked & normal
    runs = false_alerts & ~np.concatenate(([False], marked[:-1]))
    peers = {f"auc_{name}": _auc(beats.peers.get(name), beats.classes) for name in PEERS}
    return PatientFigures(
        auc=_auc(beats.verdict, beats.classes),
        auc_s=_auc(beats.verdict, beats.classes, "S"),
        auc_v=_auc(beats.verdict, beats.classes, "V"),
        auc_loss=_auc(beats.loss, beats.classes),
        auc_loss_s=_auc(beats.loss, beats.classes, "S"),
        **peers,
        f1=f1_of(marked, ~normal),
        precision=share(~normal[marked]),
        recall=share(marked[~normal]),
        recall_s=share(marked[beats.classes == "S"]),
        recall_v=share(marked[beats.classes == "V"]),
        onsets_per_hour=len(heard.sample) / hours,
        false_onsets_per_hour=float(heard.is_false.sum()) / hours,
        false_alerts_per_hour=float(false_alerts.sum()) / hours,
        false_episodes_per_hour=float(runs.sum()) / hours,
        recall_at_target=_recall_at(beats.verdict, normal, math.floor(target_per_hour * hours)),
        unjudged=math.nan,  # of the record: no beat here says so
        unjudged_anomalous=math.nan,
        families=math.nan,
        n_normal=float(normal.sum()),
        n_anomalous=float((~normal).sum()),
    )


def quarters_of(
    beats: ComparedBeats, heard: HeardAlerts, fs_hz: float, start_s: float, stop_s: float
) -> tuple[QuarterFigures, ...]:
    """Return the figures of each quarter of an hour of the record from `start_s` on."""
    return tuple(
        _quarter(quarter, beats, heard, fs_hz, first_s, last_s)
        for quarter, first_s, last_s in quarter_spans(start_s, stop_s)
    )


def quarter_spans(start_s: float, stop_s: float) -> list[tuple[int, float, float]]:
    """Return the quarters of an hour of a record between two times: number, start and stop in s.

    What is shorter than a minute, at either end, belongs to the quarter beside it.
    """
    first = math.floor((start_s + SHORTEST_S) / QUARTER_S)
    last = max(first, math.ceil((stop_s - SHORTEST_S) / QUARTER_S) - 1)
    return [
        (
            quarter,
            start_s if quarter == first else quarter * QUARTER_S,
            stop_s if quarter == last else (quarter + 1) * QUARTER_S,
        )
        for quarter in range(first, last + 1)
    ]


def _quarter(
    quarter: int,
    beats: ComparedBeats,
    heard: HeardAlerts,
    fs_hz: float,
    start_s: float,
    stop_s: float,
) -> QuarterFigures:
    span = (start_s * fs_hz, stop_s * fs_hz)
    hours = (stop_s - start_s) / 3600
    whole = make_figures(beats.during([span]), heard.during([span]), hours)
    chosen = {name: getattr(whole, name) for name in QUARTER_FIGURES}
    return QuarterFigures(quarter, start_s, stop_s, **chosen)


def averages(results: Sequence[PatientResult]) -> dict[str, dict[str, float]]:
    """Return mean and median over both halves and over all records, by what they are called."""
    groups = {half: [one for one in results if one.half == half] for half in HALVES}
    groups["all"] = list(results)
    return {
        f"{name}, {statistic}": average(group, statistic)
        for name, group in groups.items()
        for statistic in STATISTICS
    }


def average(results: Sequence[PatientResult], statistic: str) -> dict[str, float]:
    """Return the mean or the median over records of each figure; those without it are left out.

    `f1_20` is that of `f1` over the records with MANY anomalous beats and more.
    """
    every = [one.figures for one in results if one.figures is not None]
    rows = {name: [getattr(one, name) for one in every] for name in FIGURES}
    rows[f"f1_{MANY}"] = [one.f1 for one in every if one.n_anomalous >= MANY]
    return {name: over(values, statistic) for name, values in rows.items()}


def quarter_averages(results: Sequence[PatientResult]) -> list[dict[str, float | str]]:
    """Return mean and median over all records of each quarter of an hour."""
    of_all = [quarter for one in results for quarter in one.quarters]
    rows: list[dict[str, float | str]] = []
    for number in sorted({one.quarter for one in of_all}):
        there = [one for one in of_all if one.quarter == number]
        for statistic in STATISTICS:
            row: dict[str, float | str] = {
                "quarter": number,
                "start_s": min(one.start_s for one in there),
                "stop_s": max(one.stop_s for one in there),
                "records": len(there),
                "statistic": statistic,
            }
            for name in QUARTER_FIGURES:
                row[name] = over([getattr(one, name) for one in there], statistic)
            rows.append(row)
    return rows


def over(values: Sequence[float], statistic: str) -> float:
    """Return the mean or the median of what is a number; NaN of nothing."""
    if all(math.isnan(value) for value in values):
        return math.nan
    return float(STATISTICS[statistic](values))


def inside(samples: NDArray[np.int64], spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Return which samples lie in any of the spans, shape (n,)."""
    rows = np.zeros(len(samples), np.bool_)
    for start, stop in spans:
        rows |= (samples >= start) & (samples < stop)
    return rows


def share(marked: NDArray[np.bool_]) -> float:
    """Return the share that is marked; NaN of nothing."""
    return float(marked.mean()) if len(marked) else math.nan


def f1_of(marked: NDArray[np.bool_], anomalous: NDArray[np.bool_]) -> float:
    """Return the harmonic mean of precision and recall; NaN where nothing is anomalous."""
    if not anomalous.any():
        return math.nan
    return 2 * float((marked & anomalous).sum()) / float(marked.sum() + anomalous.sum())


def _auc(
    scores: NDArray[np.float32] | None, classes: NDArray[np.str_], one_class: str | None = None
) -> float:
    anomalous = classes != NORMAL if one_class is None else classes == one_class
    normal = classes == NORMAL
    if scores is None or not anomalous.any() or not normal.any() or not np.isfinite(scores).all():
        return math.nan
    counted = anomalous | normal
    return area_under_curve(scores[counted], anomalous[counted])


def _recall_at(verdict: NDArray[np.float32], normal: NDArray[np.bool_], n_false: int) -> float:
    """Return the share of anomalous beats above a threshold that `n_false` normal ones exceed."""
    of_normal = np.sort(verdict[normal])[::-1]
    cut = of_normal[n_false] if n_false < len(of_normal) else -math.inf
    return share(verdict[~normal] > cut)
