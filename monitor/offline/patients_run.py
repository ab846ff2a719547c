"""`ecg-monitor evaluate patients`: learn each record's first minutes, judge the rest, compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.checkpoint import Checkpoint, load_checkpoint, load_shipped
from model.errors import ModelError
from model.evidence_fit import LabelledEvidence
from monitor.errors import InvalidOption, MonitorError
from monitor.offline.address import Address
from monitor.offline.at_hand import at_hand, headers_at_hand
from monitor.offline.chosen_records import chosen_records
from monitor.offline.evaluation.patient_figures import PatientResult, half_of, result_of
from monitor.offline.labelled_record import NORMAL, LabelledRecord, judge_labelled
from monitor.offline.leave_one_out import check_others, judged_by_others, noisy_evidence
from monitor.offline.record_evidence import record_evidence
from monitor.offline.record_judge import JudgeSettings
from monitor.offline.workers import Shard, Workers, run_tasks
from monitor.settings import VerdictBy
from monitor.sources.mitdb import is_paced_mitdb
from segmenter.errors import SegmenterError

N_NEIGHBOURS = 5


@dataclass(frozen=True)
class PatientsOptions:
    """What `ecg-monitor evaluate patients` was asked for.

    Parameters
    ----------
    folder : Path or Address
        Records with reference annotations.
    records : tuple of str
        Only these of the folder; none is all, but for MIT-BIH's paced ones.
    learn_s : float
        Learn this much of each record, and more where that is not enough.
    checkpoint : Path, optional
        Begin with these weights; none is the one that ships.
    from_scratch : bool
        Begin with none.
    workers : Workers
        Where records are judged.
    shard : Shard, optional
        Only this part of the records.
    ref_ext : str
        Suffix of the reference annotations.
    from_s : float
        Compare from this time of each record on; what was learnt is left out in any case.
    verdict : {"evidence", "loss"}
        What records are judged by: the evidence that ships, or the bare loss.
    leave_one_out : bool
        Judge each record by evidence that was weighed on all others.
    """

    folder: Path | Address
    records: tuple[str, ...] = ()
    learn_s: float = 300.0
    false_alerts_per_hour: float = 1.0
    checkpoint: Path | None = None
    from_scratch: bool = False
    workers: Workers = Workers()  # noqa: RUF009  frozen
    shard: Shard | None = None
    ref_ext: str = "atr"
    from_s: float = 0.0
    verdict: VerdictBy = "evidence"
    leave_one_out: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.learn_s <= 1e9:
            raise InvalidOption(
                f"--learn of {self.learn_s:g} s cannot be learnt from; give some minutes, such "
                "as 5:00"
            )
        if not 0 <= self.from_s <= 1e9:
            raise InvalidOption(
                f"--from of {self.from_s:g} s is no time of a record; give one such as 20:00"
            )
        if self.from_scratch and self.checkpoint is not None:
            raise InvalidOption("--from-scratch uses no checkpoint; leave out it or --checkpoint")
        if self.leave_one_out and self.shard is not None:
            raise InvalidOption(
                "--leave-one-out judges each record by all others, --shard reads a part of them; "
                "leave out one of them"
            )
        if self.leave_one_out and self.verdict == "loss":
            raise InvalidOption(
                "--leave-one-out weighs evidence, --verdict loss uses none; leave out one of them"
            )


def records_to_evaluate(options: PatientsOptions) -> tuple[list[str], list[str]]:
    """Return the records to evaluate, and those that are left out since AAMI does so: paced ones.

    A record that is named is evaluated.

    Raises
    ------
    InvalidOption
        If the folder has no such records.
    """
    with headers_at_hand(options.folder) as folder:
        chosen = chosen_records(folder, options.records, options.shard)
        if options.records:
            return chosen, []
        left_out = [name for name in chosen if is_paced_mitdb(folder / name)]
    names = [name for name in chosen if name not in left_out]
    if not names:
        raise InvalidOption(
            f"{options.folder} holds paced records of MIT-BIH alone ({', '.join(left_out)}), which "
            f"AAMI leaves out; --record {left_out[0]} evaluates one all the same"
        )
    return names, left_out


def run(
    options: PatientsOptions,
    tell: Callable[[str, int, int], None],
    notice: Callable[[str], None] = lambda _text: None,
) -> list[PatientResult]:
    """Return what became of each record, in the order of their names.

    Parameters
    ----------
    tell : callable
        Told of each record that was judged, how many there are, and of how many.
    notice : callable
        Receives what is left out: records, and peers whose library is missing.

    Raises
    ------
    InvalidOption
        If the folder has no such records, none could be judged, or none other than one.
    StageFailed
        If a worker process died.
    """
    names, left_out = records_to_evaluate(options)
    if left_out:
        notice(
            f"left out, as AAMI does: paced records of MIT-BIH, {', '.join(left_out)}; "
            f"--record {left_out[0]} evaluates one"
        )
    if options.leave_one_out:
        check_others(len(names))  # before minutes of learning
    if not scikit_learn_is_installed():
        notice(
            "left out: one-class SVM and isolation forest, which need scikit-learn; install it: "
            "pip install 'ecg-monitor[compare]'"
        )
    tasks = [_Task(options.folder / name, options) for name in names]
    judged = run_tasks(
        _judge,
        tasks,
        options.workers,
        lambda one, n, of: tell(one.record, n, of),
        lambda task, why: _Judged(task.record.name, f"passed over: {why}"),
    )
    if all(isinstance(one.kept, str) for one in judged):
        raise InvalidOption(
            f"no record of {options.folder} could be judged: {judged[0].record}: {judged[0].kept}"
        )
    anew: dict[str, LabelledRecord] = {}
    if options.leave_one_out:
        records = [one.kept for one in judged if isinstance(one.kept, LabelledRecord)]
        anew = {one.name: one for one in judged_by_others(records)}
    return [_result(one, anew, options) for one in judged]


@dataclass(frozen=True)
class _Task:
    """What a worker needs to know about each record."""

    record: Path | Address
    options: PatientsOptions


class _Judged(NamedTuple):
    """What is kept of a record: its figures, or all that they are made of, or why it has none."""

    record: str
    kept: PatientResult | LabelledRecord | str


def _judge(task: _Task) -> _Judged:
    options, name = task.options, task.record.name
    try:
        record = judged_record(task.record, options)
        record = replace(record, peers=peer_scores(record))
        noisy = _noisy(task.record, options) if options.leave_one_out else None
    except (MonitorError, SegmenterError, ModelError) as error:
        return _Judged(name, str(error))
    if not options.leave_one_out:  # all else stays here: 50 MB of 20 hours
        return _Judged(name, _figures(record, options))
    evidence = record_evidence(record.judged, record.fs_hz)
    return _Judged(name, replace(record, evidence=evidence, noisy=noisy))


def judged_record(path: Path | Address, options: PatientsOptions) -> LabelledRecord:
    """Learn, judge and label one record as the options say.

    Raises
    ------
    MonitorError, SegmenterError, ModelError
        If it cannot be read or learnt, or nothing of it is left to compare.
    """
    with at_hand(path) as here:
        here.fetch(options.ref_ext)
        base, settings = _base(options), _settings(options)
        record = judge_labelled(here.path, base, settings, options.ref_ext, options.from_s)
        return replace(record, warnings=tuple(map(here.said, record.warnings)))


def _noisy(path: Path | Address, options: PatientsOptions) -> LabelledEvidence | None:
    with at_hand(path) as here:
        here.fetch(options.ref_ext)
        return noisy_evidence(here.path, _base(options), _settings(options), options.ref_ext)


def _base(options: PatientsOptions) -> Checkpoint:
    return load_shipped() if options.checkpoint is None else load_checkpoint(options.checkpoint)


def _settings(options: PatientsOptions) -> JudgeSettings:
    return JudgeSettings(
        learn_s=options.learn_s,
        false_alerts_per_hour=options.false_alerts_per_hour,
        verdict=options.verdict,
        from_scratch=options.from_scratch,
    )


def _result(
    one: _Judged, anew: Mapping[str, LabelledRecord], options: PatientsOptions
) -> PatientResult:
    if isinstance(one.kept, str):
        return PatientResult(one.record, half_of(one.record), None, note=one.kept)
    if isinstance(one.kept, PatientResult):
        return one.kept
    return _figures(anew[one.record], options)


def _figures(record: LabelledRecord, options: PatientsOptions) -> PatientResult:
    return result_of(record, options.from_s, options.false_alerts_per_hour)


def peer_scores(record: LabelledRecord) -> dict[str, NDArray[np.float32]]:
    """Return what other scorers make of a record's tested beats; one that is missing is left out.

    All learn the beats of the minutes that the monitor learnt, without labels; `labelled` learns
    those of class N alone.
    """
    from model.baselines import isolation_forest, nearest_distances, one_class_svm  # with torch

    values = first_lead(record.judged.beats.values)
    learnt = record.judged.beats.judgeable & record.is_learnt
    seen, seen_normal = values[learnt], values[learnt & (record.classes == NORMAL)]
    tested = values[record.tested]
    if not len(tested):
        return {}
    scores = {
        name: nearest_distances(known, tested, N_NEIGHBOURS)
        for name, known in (("unlabelled", seen), ("labelled", seen_normal))
        if len(known) >= N_NEIGHBOURS
    }
    if scikit_learn_is_installed() and len(seen) >= N_NEIGHBOURS:
        scores["svm"] = one_class_svm(seen, 0)(tested)
        scores["forest"] = isolation_forest(seen, 0)(tested)
    return {name: _laid_out(one, record.tested) for name, one in scores.items()}


def first_lead(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the first lead's beats, shape (n, length), of beats of one lead or several."""
    return values.reshape(len(values), -1)[:, : values.shape[-1]]


def _laid_out(scores: NDArray[np.float32], rows: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the scores of some rows as a column of all, shape (n,)."""
    column = np.full(len(rows), np.nan, np.float32)
    column[rows] = scores
    return column


def scikit_learn_is_installed() -> bool:
    """Look for it without importing it."""
    return find_spec("sklearn") is not None
