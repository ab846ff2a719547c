"""Weigh evidence on labelled records and write what ships with the package.

    python -m tools.fit_evidence ../shared/data/mitdb --out model/checkpoints/evidence.json

Each record is learnt on its first five minutes without labels and judged behind them, as a monitor
judges it; once more with noise added. Then the measures of its beats (`model/evidence.py`) are
weighed by the labels. What is printed is of each record judged by weights of all others, and of
the odd-numbered records judged by the even-numbered ones and the other way round.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.checkpoint import load_shipped
from model.evidence import EvidenceWeights
from model.evidence_file import save_weights
from model.evidence_fit import NORMAL, LabelledEvidence, fit_weights
from monitor.offline.evaluation.ecg5000_report import area_under_curve
from monitor.offline.labelled_record import UNKNOWN, judge_labelled
from monitor.offline.leave_one_out import labelled_evidence, noisy_evidence
from monitor.offline.patients_run import PatientsOptions, records_to_evaluate
from monitor.offline.record_evidence import HeardBeats, RecordEvidence, record_evidence
from monitor.offline.record_judge import JudgeSettings

LEARN_S = 300.0
FEW, MANY = 5, 20  # beats from which on a recall, an F1 is worth a mean
DATA = (
    "MIT-BIH Arrhythmia Database (Moody, Mark 2001), PhysioNet, ODC-By 1.0; AAMI classes of the "
    "reference annotations"
)


@dataclass(frozen=True)
class Record:
    """A record that was judged, its beats' classes, and the hours behind what was learnt."""

    name: str
    evidence: RecordEvidence
    classes: NDArray[np.str_]
    hours: float
    noisy: LabelledEvidence | None = None

    @property
    def labelled(self) -> LabelledEvidence:
        """What weights are fitted to."""
        return replace(labelled_evidence(self.evidence, self.classes), noisy=self.noisy)


def read_record(path: Path) -> Record:
    """Learn and judge a record."""
    settings = JudgeSettings(learn_s=LEARN_S)
    record = judge_labelled(path, load_shipped(), settings, "atr")
    evidence = record_evidence(record.judged, record.fs_hz)
    hours = (record.n_samples - record.judged.learnt_until) / record.fs_hz / 3600
    noisy = noisy_evidence(path, load_shipped(), settings, "atr")
    return Record(record.name, evidence, record.classes, hours, noisy)


@dataclass(frozen=True)
class Figures:
    """How one record's beats and alerts were judged; NaN where it has no such beats."""

    name: str
    n_anomalous: int
    auc: float
    f1: float
    precision: float
    recall_v: float
    recall_s: float
    withheld: float
    onsets: float
    false_onsets: float
    families: int


def figures(record: Record, weights: EvidenceWeights) -> Figures:
    """Judge a record by weights."""
    heard = record.evidence.heard(weights)
    judged = np.isfinite(heard.ratio) & (record.classes != UNKNOWN)
    classes, ratio = record.classes[judged], heard.ratio[judged]
    marked, anomalous = ratio > 1, classes != NORMAL
    hits = int((marked & anomalous).sum())
    n_false = false_onsets(record, heard)
    return Figures(
        record.name,
        int(anomalous.sum()),
        area_under_curve(ratio, anomalous) if anomalous.any() else np.nan,
        2 * hits / max(1, marked.sum() + anomalous.sum()) if anomalous.sum() >= MANY else np.nan,
        hits / marked.sum() if marked.any() else np.nan,
        _recall(marked, classes == "V"),
        _recall(marked, classes == "S"),
        1 - judged.sum() / max(1, len(record.labelled.classes)),
        len(heard.begun) / record.hours,
        n_false / record.hours,
        heard.n_families,
    )


def false_onsets(record: Record, heard: HeardBeats) -> int:
    """Return how many alerts hold no beat that is anomalous by reference."""
    classes = record.classes
    anomalous = record.evidence.r_sample[(classes != NORMAL) & (classes != UNKNOWN)]
    first = np.searchsorted(anomalous, heard.begun, "left")
    return int((np.searchsorted(anomalous, heard.ended, "right") == first).sum())


def _recall(marked: NDArray[np.bool_], rows: NDArray[np.bool_]) -> float:
    return float(marked[rows].mean()) if rows.sum() >= FEW else np.nan


def each_by_others(records: Sequence[Record]) -> list[Figures]:
    """Judge each record by what evidence is worth on all others."""
    labelled = [record.labelled for record in records]
    return [
        figures(record, fit_weights([*labelled[:one], *labelled[one + 1 :]]))
        for one, record in enumerate(records)
    ]


def halves_by_each_other(records: Sequence[Record]) -> list[Figures]:
    """Judge records of odd number by those of even number, and the other way round."""
    halves = [[one for one in records if int(one.name) % 2 == odd] for odd in (0, 1)]
    judged = []
    for own, other in (halves, halves[::-1]):
        if other:
            weights = fit_weights([one.labelled for one in other])
            judged += [figures(one, weights) for one in own]
    return judged


def show(title: str, judged: Sequence[Figures]) -> dict[str, float]:
    """Print a table; return its means."""
    print(f"{title}\nrecord  SVFQ   AUC   F1 prec.    V    S with. onsets/h false/h families")
    for one in judged:
        print(
            f"{one.name:6} {one.n_anomalous:5} {one.auc:5.3f} {one.f1:4.2f} {one.precision:5.2f} "
            f"{one.recall_v:4.2f} {one.recall_s:4.2f} {one.withheld:5.3f} {one.onsets:8.1f} "
            f"{one.false_onsets:7.1f} {one.families:8}"
        )
    false = np.array([one.false_onsets for one in judged])
    names = ("auc", "f1", "recall_v", "recall_s")
    means = {name: float(np.nanmean([getattr(one, name) for one in judged])) for name in names}
    means |= {"false_onsets": float(false.mean()), "false_onsets_median": float(np.median(false))}
    means["false_onsets_worst"] = float(false.max())
    print("  ".join(f"{name} {value:.3f}" for name, value in means.items()))
    return means


def provenance(
    records: Sequence[Record], means: Mapping[str, float], command: str
) -> dict[str, object]:
    """Return what is kept beside the weights."""
    return {
        "data": DATA,
        "records": [record.name for record in records],
        "made_by": command,
        "in_sight": "measures, knots, L2, class weights and the cut were chosen on these records, "
        "each judged by weights of the others; the bounds of noise on them with noise added, and "
        "with nstdb 118 in sight",
        "each_by_the_others": {name: round(value, 4) for name, value in means.items()},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="records with reference annotations (.atr)")
    parser.add_argument("--out", type=Path, help="write the weights there")
    options = parser.parse_args(arguments)
    names, _ = records_to_evaluate(PatientsOptions(options.folder))
    records = [read_record(options.folder / name) for name in names]
    means = show("each record by the others", each_by_others(records))
    show("odd numbers by even ones, even by odd", halves_by_each_other(records))
    command = f"python -m tools.fit_evidence {options.folder.name} --out {SHIPPED_AT}"
    labelled = [record.labelled for record in records]
    weights = fit_weights(labelled, provenance(records, means, command), calibrate=True)
    print(f"cut at a probability of {weights.cut:.3f}")
    if options.out is not None:
        save_weights(weights, options.out)


SHIPPED_AT = "model/checkpoints/evidence.json"


if __name__ == "__main__":
    main()
