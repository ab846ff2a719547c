"""`ecg-monitor evaluate model`: how well a model tells anomalous beats, on ECG5000 or on a record.

Without ECG5000 files the beats are those of a simulated chf07-style record, cut by our segmenter as
the checkpoint asks, and labelled by the record's annotations, which nothing but the report reads.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np

from model.checkpoint import load_checkpoint, load_shipped
from model.ecg5000 import read_ecg5000
from model.training_config import Epoch
from monitor.offline.evaluation.beats_report import read_annotations
from monitor.offline.evaluation.ec57 import compare_beats
from monitor.offline.evaluation.ecg5000_report import (
    Ecg5000Report,
    evaluate_checkpoint,
    evaluate_training,
    plot_loss_densities,
)
from monitor.offline.evaluation_options import PROTOCOLS, EvaluationOptions, Protocol
from monitor.offline.output_files import check_replaceable
from monitor.offline.record_segmenter import segment
from monitor.offline.scoring_run import load_for_ecg5000
from monitor.offline.training_options import ECG5000_SPEC
from monitor.offline.training_run import ECG5000_FALSE_ALERTS, Labelled
from monitor.sources.kinds import open_record
from monitor.sources.simulated import ANNOTATION_EXTENSION, SimulationSettings, write_record
from monitor.sources.source import SourceOptions
from segmenter.beat import BeatSpec

if TYPE_CHECKING:
    from monitor.offline.evaluation.comparison import Row

# Another seed than those of the records that the shipped checkpoint was made from.
SIMULATED = "simulated chf07-style record"
SIMULATION = SimulationSettings(hours=2.0, seed=1007)
CLASS_OF_SYMBOL = {"N": 1, "r": 2, "V": 3, "S": 4, "Q": 5}  # ECG5000's classes in chf07's symbols


def run(
    options: EvaluationOptions, on_epoch: Callable[[Epoch], None] | None = None
) -> list[Ecg5000Report]:
    """Return the report of a checkpoint, or one of each seed trained; draw the plot.

    Raises
    ------
    MonitorError, ModelError
        If something given cannot be used.
    """
    if options.plot is not None:
        check_replaceable(options.plot)  # before minutes of training
    reports = list(_reports(options, on_epoch))
    if options.plot is not None:
        plot_loss_densities(reports[0], options.plot)
    return reports


def _reports(
    options: EvaluationOptions, on_epoch: Callable[[Epoch], None] | None
) -> Iterator[Ecg5000Report]:
    if not options.ecg5000:
        path = options.checkpoint
        checkpoint = load_shipped() if path is None else load_checkpoint(path)
        beats = simulated_beats(BeatSpec.from_mapping(checkpoint.spec), SIMULATION)
        yield evaluate_checkpoint(checkpoint, beats, SIMULATED)
        return
    files = [read_ecg5000(path, ECG5000_SPEC.length) for path in options.ecg5000]
    if options.checkpoint is not None:
        checkpoint = load_for_ecg5000(options.checkpoint)
        yield evaluate_checkpoint(checkpoint, _joined(files))
        return
    protocol: Protocol = "official" if options.protocol == "official" else "pooled"
    for seed in range(options.seeds):
        training = options.training(seed)
        share = options.false_alert_share
        yield evaluate_training(
            files,
            protocol,
            training=training,
            on_epoch=on_epoch,
            folds=options.folds,
            false_alert_share=ECG5000_FALSE_ALERTS if share is None else share,
        )


def run_comparison(
    options: EvaluationOptions,
    on_progress: Callable[[float, str], None],
    on_row: Callable[[Row], None] = lambda _row: None,
) -> list[Row]:
    """Return the autoencoder's figures and those of other scorers; draw the plot.

    Without a protocol named, both are run.

    Raises
    ------
    MonitorError, ModelError
        If something given cannot be used.
    """
    from monitor.offline.evaluation.comparison import compare, contestants, plot_comparison

    if options.plot is not None:
        check_replaceable(options.plot)  # before minutes of training
    files = [read_ecg5000(path, ECG5000_SPEC.length) for path in options.ecg5000]
    protocols = [one for one in PROTOCOLS if options.protocol in (None, one)]
    entered = contestants(options.training, options.peer_steps)
    rows = []
    for row in compare(files, protocols, entered, options.seeds, on_progress):
        rows.append(row)
        on_row(row)
    if options.plot is not None:
        plot_comparison(rows, options.plot)
    return rows


def simulated_beats(spec: BeatSpec, settings: SimulationSettings) -> Labelled:
    """Return classes, shape (n,), and judgeable beats, shape (n, length), of a simulated record.

    Beats that no annotation lies within 150 ms of are left out.
    """
    with tempfile.TemporaryDirectory(prefix="ecg-evaluate-") as folder:
        path = Path(folder) / "simulated"
        write_record(path, settings)
        annotations = read_annotations(path, ANNOTATION_EXTENSION)
        with open_record(path, SourceOptions([0])) as record:  # ECG5000 is of chf07's first lead
            blocks = list(segment(record, spec, record.n_samples))
            fs_hz = record.fs_hz
    r_sample = np.concatenate([block.r_sample[block.judgeable] for block in blocks])
    values = np.concatenate([block.values[block.judgeable, 0] for block in blocks])
    matches = compare_beats(annotations.samples, annotations.symbols, r_sample, fs_hz, start_s=0.0)
    symbol_at = dict(zip(annotations.samples.tolist(), annotations.symbols, strict=True))
    labels = [CLASS_OF_SYMBOL[symbol_at[at]] for at in matches.matched_reference.tolist()]
    rows = np.searchsorted(r_sample, matches.matched_detection)
    return np.array(labels, np.int64), values[rows]


def to_text(reports: Sequence[Ecg5000Report], *, as_json: bool) -> str:
    """Return the reports, and what several seeds come to: lines of JSON, or small tables."""
    if as_json:
        lines = [report.to_json() for report in reports]
        lines += [json.dumps(over_seeds(reports))] * (len(reports) > 1)
        return "".join(f"{line}\n" for line in lines)
    parts = [report.to_text() for report in reports]
    if len(reports) > 1:
        over = over_seeds(reports)
        parts.append(
            f"{over['seeds']} seeds: AUC {over['auc_mean']:.4f} on average, "
            f"{over['auc_min']:.4f} to {over['auc_max']:.4f}"
        )
    return "\n\n".join(parts) + "\n"


def over_seeds(reports: Sequence[Ecg5000Report]) -> dict[str, float]:
    """Return what the reports of several seeds come to."""
    areas = [report.auc for report in reports]
    return {
        "seeds": len(areas),
        "auc_mean": round(mean(areas), 6),
        "auc_min": round(min(areas), 6),
        "auc_max": round(max(areas), 6),
        "recall_mean": round(mean(report.recall for report in reports), 6),
        "false_positive_rate_mean": round(mean(one.false_positive_rate for one in reports), 6),
    }


def _joined(files: Sequence[Labelled]) -> Labelled:
    labels, beats = (np.concatenate(columns) for columns in zip(*files, strict=True))
    return labels, beats
