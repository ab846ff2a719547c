"""`ecg-monitor evaluate patients`: learn each record's first minutes, judge the rest, compare."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.checkpoint import Checkpoint, load_checkpoint, load_shipped
from model.errors import CannotLearn, ModelError
from model.learning import learn_patient
from model.scoring import Scorer
from model.tracking import TrackState, score_tracked
from model.training import use_threads
from monitor.detection.learning_phase import LEARN_ON_S
from monitor.errors import InvalidOption, MonitorError
from monitor.offline.annotate import segment
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
from monitor.offline.workers import check_stop, run_tasks
from monitor.sources.missing_record import where_records_are
from monitor.sources.mitdb import is_paced_mitdb
from monitor.sources.wfdb_record import WfdbRecord, list_records
from segmenter.beat import Beats, BeatSpec, joined_beats
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
        Learn so much of each record; it goes on where that does not suffice.
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
            raise InvalidOption(f"{self.learn_s} s cannot be learnt from; use some minutes")
        if self.from_scratch and self.checkpoint is not None:
            raise InvalidOption("--from-scratch and --checkpoint contradict each other")


@dataclass(frozen=True)
class _Task:
    """What a worker is told of each record."""

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
    use_threads(1)
    try:
        return _evaluate(task)
    except (MonitorError, SegmenterError, ModelError) as error:
        return PatientResult(name, half_of(name), None, note=str(error))


def _evaluate(task: _Task) -> PatientResult:
    options, name = task.options, task.record.name
    base = _base(options)
    spec = BeatSpec() if base is None else BeatSpec.from_mapping(base.spec)
    beats, fs_hz, n_samples = _segmented(task.record, spec)
    classes = _classes(task.record, options.ref_ext, beats, fs_hz, n_samples)
    learnt_s, checkpoint, note, cpu_s = _learnt(beats, fs_hz, n_samples, spec, base, options)
    scorer = Scorer(checkpoint.autoencoder)
    n_learnt = int(np.searchsorted(beats.r_sample, learnt_s * fs_hz))
    learnt, later = beats.rows(slice(0, n_learnt)), beats.rows(slice(n_learnt, None))
    state, _ = score_tracked(
        scorer,
        checkpoint.normal,
        TrackState(),
        learnt.values,
        learnt.rr_before_ms,
        learnt.judgeable,
    )
    _, scored = score_tracked(  # as the monitor does: drift counts from the learning's end on
        scorer,
        checkpoint.normal,
        state.learnt(),
        later.values,
        later.rr_before_ms,
        later.judgeable,
    )
    of_learnt, of_later = classes[:n_learnt], classes[n_learnt:]
    tested = later.judgeable & (of_later != UNKNOWN)
    seen = learnt.values[learnt.judgeable]
    seen_normal = learnt.values[learnt.judgeable & (of_learnt == NORMAL)]
    threshold = checkpoint.threshold.value
    judged = JudgedBeats(
        classes=of_later[tested],
        verdict=scored.weighted[tested] / np.float32(threshold),
        loss=scored.losses[tested] / np.float32(threshold),
        unlabelled=nearest_distances(later.values[tested], seen),
        labelled=nearest_distances(later.values[tested], seen_normal),
    )
    hours = (n_samples / fs_hz - learnt_s) / 3600
    figures = make_figures(judged, hours, options.false_alerts_per_hour)
    return PatientResult(name, half_of(name), figures, learnt_s, cpu_s, threshold, note)


def _base(options: PatientsOptions) -> Checkpoint | None:
    if options.from_scratch:
        return None
    path = options.checkpoint
    return load_shipped() if path is None else load_checkpoint(path)


def _segmented(path: Path, spec: BeatSpec) -> tuple[Beats, float, int]:
    """Return the beats of a record's first lead, its sampling rate and its length in samples."""
    with WfdbRecord.open(path) as record:
        blocks = list(segment(record, spec, record.n_samples))
        return joined_beats(blocks, spec.length), record.fs_hz, record.n_samples


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


def _learnt(
    beats: Beats,
    fs_hz: float,
    n_samples: int,
    spec: BeatSpec,
    base: Checkpoint | None,
    options: PatientsOptions,
) -> tuple[float, Checkpoint, str, float]:
    """Learn as a monitor does: longer where the first minutes do not suffice.

    Returns when the learning ended (s), what was learnt, its note and its processor time (s).
    """
    learn_s, note = options.learn_s, ""
    began_s = time.process_time()
    while learn_s * fs_hz < n_samples:
        rows = beats.judgeable & (beats.r_sample < learn_s * fs_hz)
        try:
            learned = learn_patient(
                beats.values[rows],
                spec.to_mapping(),
                spec.identity,
                base,
                rr_before_ms=beats.rr_before_ms[rows],
                false_alerts_per_hour=options.false_alerts_per_hour,
                on_epoch=lambda _epoch: check_stop(),
            )
        except CannotLearn as reason:
            note = str(reason)
            learn_s += LEARN_ON_S
            continue
        cpu_s = time.process_time() - began_s
        return learn_s, learned.checkpoint, learned.note, cpu_s
    length_s = math.floor(n_samples / fs_hz)
    if not note:  # nothing was tried
        raise CannotLearn(
            f"the record lasts {length_s} s, and {options.learn_s:g} s of it were to be learnt: "
            "nothing is left to judge; use a shorter --learn"
        )
    raise CannotLearn(f"nothing was learnt in {length_s} s: {note}")
