"""`ecg-monitor evaluate patients`: learn each record's first minutes, judge the rest, compare."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.checkpoint import load_checkpoint, load_shipped
from model.errors import CannotLearn, ModelError
from monitor.errors import InvalidOption, MonitorError
from monitor.offline.evaluation.beats_report import read_annotations
from monitor.offline.evaluation.ec57 import compare_beats
from monitor.offline.evaluation.patients_report import (
    AAMI_CLASSES,
    NORMAL,
    JudgedBeats,
    PatientResult,
    half_of,
    make_figures,
    nearest_distances,
)
from monitor.offline.record_judge import JudgeSettings, judge_record
from monitor.offline.workers import run_tasks
from monitor.sources.missing_record import where_records_are
from monitor.sources.mitdb import is_paced_mitdb
from monitor.sources.wfdb_record import WfdbRecord, list_records
from monitor.wire.messages import joined_leads
from segmenter.beat import Beats
from segmenter.errors import SegmenterError

UNKNOWN = ""  # class of a beat that no reference beat belongs to


@dataclass(frozen=True)
class PatientsOptions:
    """What `ecg-monitor evaluate patients` was asked for.

    Parameters
    ----------
    folder : Path
        Records with reference annotations.
    records : tuple of str
        Only these of the folder; none is all, but for MIT-BIH's paced ones.
    learn_s : float
        Learn this much of each record, and more where that is not enough.
    checkpoint : Path, optional
        Begin with these weights; none is the one that ships.
    from_scratch : bool
        Begin with none.
    jobs : int, optional
        Processes; none is one a core.
    ref_ext : str
        Suffix of the reference annotations.
    """

    folder: Path
    records: tuple[str, ...] = ()
    learn_s: float = 300.0
    false_alerts_per_hour: float = 1.0
    checkpoint: Path | None = None
    from_scratch: bool = False
    jobs: int | None = None
    ref_ext: str = "atr"

    def __post_init__(self) -> None:
        if not 0 < self.learn_s <= 1e9:
            raise InvalidOption(
                f"--learn of {self.learn_s:g} s cannot be learnt from; give some minutes, such "
                "as 5:00"
            )
        if self.from_scratch and self.checkpoint is not None:
            raise InvalidOption("--from-scratch uses no checkpoint; leave out it or --checkpoint")


@dataclass(frozen=True)
class _Task:
    """What a worker needs to know about each record."""

    record: Path
    options: PatientsOptions


def records_to_evaluate(options: PatientsOptions) -> tuple[list[str], list[str]]:
    """Return the records to evaluate, and those that are left out since AAMI does so: paced ones.

    A record that is named is evaluated.

    Raises
    ------
    InvalidOption
        If the folder has no such records.
    """
    there = list_records(options.folder)
    if not there:
        raise InvalidOption(where_records_are(options.folder))
    unknown = set(options.records) - set(there)
    if unknown:
        raise InvalidOption(f"{options.folder} has no record {min(unknown)}; give one it has")
    if options.records:
        return [name for name in there if name in options.records], []
    left_out = [name for name in there if is_paced_mitdb(options.folder / name)]
    names = [name for name in there if name not in left_out]
    if not names:
        raise InvalidOption(
            f"{options.folder} holds paced records of MIT-BIH alone ({', '.join(left_out)}), which "
            f"AAMI leaves out; --record {left_out[0]} evaluates one all the same"
        )
    return names, left_out


def run(
    options: PatientsOptions,
    tell: Callable[[PatientResult, int, int], None],
    notice: Callable[[str], None] = lambda _text: None,
) -> list[PatientResult]:
    """Return what became of each record, in the order of their names.

    Parameters
    ----------
    tell : callable
        Told of each result when it is there, how many there are, and of how many.
    notice : callable
        Receives which records are left out.

    Raises
    ------
    InvalidOption
        If the folder has no such records, or none could be judged.
    StageFailed
        If a worker process died.
    """
    names, left_out = records_to_evaluate(options)
    if left_out:
        notice(
            f"left out, as AAMI does: paced records of MIT-BIH, {', '.join(left_out)}; "
            f"--record {left_out[0]} evaluates one"
        )
    tasks = [_Task(options.folder / name, options) for name in names]
    results = run_tasks(_evaluate_or_say_why, tasks, options.jobs, tell)
    if all(one.figures is None for one in results):
        raise InvalidOption(
            f"no record of {options.folder} could be judged: {results[0].record}: {results[0].note}"
        )
    return results


def _evaluate_or_say_why(task: _Task) -> PatientResult:
    name = task.record.name
    try:
        return _evaluate(task)
    except (MonitorError, SegmenterError, ModelError) as error:
        return PatientResult(name, half_of(name), None, note=str(error))


def _evaluate(task: _Task) -> PatientResult:
    options, name = task.options, task.record.name
    base = load_shipped() if options.checkpoint is None else load_checkpoint(options.checkpoint)
    settings = JudgeSettings(
        learn_s=options.learn_s,
        false_alerts_per_hour=options.false_alerts_per_hour,
        from_scratch=options.from_scratch,
    )
    with WfdbRecord.open(task.record) as record:
        fs_hz, n_samples = record.fs_hz, record.n_samples
        lead, warnings = joined_leads(record.leads), record.warnings
        if n_samples <= options.learn_s * fs_hz:
            raise CannotLearn(
                f"the record lasts {math.floor(n_samples / fs_hz)} s, and {options.learn_s:g} s of "
                "it were to be learnt: nothing is left to judge; use a shorter --learn"
            )
        judged = judge_record(record, base, settings, keep_values=True)
    beats = judged.beats
    classes = _classes(task.record, options.ref_ext, beats, fs_hz, n_samples)
    n_learnt = int(np.searchsorted(beats.r_sample, judged.learnt_until))
    learnt, of_learnt = beats.rows(slice(0, n_learnt)), classes[:n_learnt]
    tested = np.flatnonzero(beats.judgeable & (classes != UNKNOWN))
    tested = tested[tested >= n_learnt]
    values = beats.values[tested].reshape(len(tested), -1)
    of_learning = learnt.values.reshape(len(learnt), -1)  # of all leads, end to end
    seen = of_learning[learnt.judgeable]
    seen_normal = of_learning[learnt.judgeable & (of_learnt == NORMAL)]
    of_tested = JudgedBeats(
        classes=classes[tested],
        verdict=judged.ratio[tested].astype(np.float32),
        loss=(judged.loss / judged.threshold_of_loss)[tested].astype(np.float32),
        unlabelled=nearest_distances(values, seen),
        labelled=nearest_distances(values, seen_normal),
    )
    learnt_s = judged.learnt_until / fs_hz
    hours = (n_samples / fs_hz - learnt_s) / 3600
    figures = make_figures(of_tested, hours, options.false_alerts_per_hour)
    cpu_s, threshold = judged.learning_cpu_s, judged.threshold
    return PatientResult(
        name, half_of(name), figures, learnt_s, cpu_s, threshold, judged.note, lead, warnings
    )


def _classes(
    path: Path, ref_ext: str, beats: Beats, fs_hz: float, n_samples: int
) -> NDArray[np.str_]:
    """Return the AAMI class of each beat, shape (n,); UNKNOWN where no reference beat is near."""
    reference = read_annotations(path, ref_ext)
    matches = compare_beats(
        reference.samples, reference.symbols, beats.r_sample, fs_hz, n_samples, start_s=0.0
    )
    symbol_at = dict(zip(reference.samples.tolist(), reference.symbols, strict=True))
    classes = np.full(len(beats), UNKNOWN, "U1")
    rows = np.searchsorted(beats.r_sample, matches.matched_detection)
    classes[rows] = [
        AAMI_CLASSES.get(symbol_at[at], UNKNOWN) for at in matches.matched_reference.tolist()
    ]
    return classes
