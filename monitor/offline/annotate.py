"""Records in, WFDB annotation files out: beats (`.qrs`) and, with a model, anomalies (`.alm`).

    .qrs    one annotation a beat: N, or Q where its signal cannot be judged;
            subtype: the beat's `Quality` flags; note: `delay_ms=`, from R peak to detection
    .alm    one annotation an anomalous beat: Q (neither normal nor of a known kind);
            note: `loss=` and `threshold=`; a beat that comes early or late may be one at a lower
            loss, since its timing counts too

Each annotation carries the number of the first lead that was read (`chan`). Samples count at the
leads' own rate, which the files state. Each file is written whole or not at all. Records are done
in parallel processes; one that cannot be read does not keep the others.

Records and the folder for the files may lie elsewhere (`elsewhere`): whoever does a record fetches
it, and finds out whether it was done before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from model.errors import ModelError
from model.evidence_file import load_shipped_weights
from monitor.errors import InvalidOption, MonitorError, RecordError, SpecMismatch, reason_of
from monitor.offline.address import Address, place
from monitor.offline.annotation_files import alarm_file, beat_file, replace_files, writable_place
from monitor.offline.annotation_notes import (
    Note,
    hashes,
    settings_digest,
    source_digest,
    valid_note,
    write_note,
)
from monitor.offline.at_hand import RecordAtHand, at_hand, headers_at_hand
from monitor.offline.chosen_records import with_those_of_folders
from monitor.offline.elsewhere import folders_below as folders_elsewhere
from monitor.offline.elsewhere import is_file, is_folder
from monitor.offline.record_judge import JudgeSettings, judge_record, without_values
from monitor.offline.record_segmenter import segment
from monitor.offline.store import Unreachable
from monitor.offline.workers import Shard, Workers, run_tasks
from monitor.settings import VerdictBy
from monitor.sources.kinds import open_record
from monitor.sources.missing_record import HEADER
from monitor.sources.record_file import record_name
from monitor.sources.source import RecordFile, SourceOptions
from monitor.sources.wfdb_record import list_records
from segmenter.beat import BeatSpec, joined_beats
from segmenter.errors import SegmenterError

if TYPE_CHECKING:
    from model.checkpoint import Checkpoint

BEAT_EXTENSION, ALARM_EXTENSION = "qrs", "alm"


@dataclass(frozen=True)
class Annotated:
    """What became of one record.

    Attributes
    ----------
    record : str
        As it was asked for.
    n_beats, n_withheld : int
        Beats written, and those of them whose signal cannot be judged.
    n_anomalies : int or None
        None without a model.
    signal_s : float
        Length of the record.
    error : str or None
        Why nothing was written.
    was_done : bool
        It was annotated before; nothing was written.
    leads : tuple of str
        Names of the leads that were read.
    warnings : tuple of str
        What is wrong with the record and was read all the same.
    """

    record: str
    n_beats: int = 0
    n_withheld: int = 0
    n_anomalies: int | None = None
    signal_s: float = 0.0
    error: str | None = None
    was_done: bool = False
    leads: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Task:
    """What a worker needs to know about each record."""

    record: str | Address
    out: Path | Address
    leads: Sequence[str | int]  # as asked for
    spec: BeatSpec
    checkpoint: Path | None
    learn_s: float | None
    verdict: VerdictBy
    settings: str  # their digest
    fs_hz: float | None = None  # as given, for a record that does not say its own
    units: str | None = None
    again: bool = False

    @property
    def is_elsewhere(self) -> bool:
        """Whether to find out about it takes a while, so that workers do it side by side."""
        return isinstance(self.record, Address) or isinstance(self.out, Address)

    @property
    def options(self) -> SourceOptions:
        """What was said of the record beside its name."""
        return SourceOptions(self.leads, self.fs_hz, self.units)


def annotate_records(
    records: Sequence[str | Path | Address],
    out: str | Path | Address,
    leads: Sequence[str | int] = (),
    spec: BeatSpec | None = None,
    workers: Workers = Workers(),  # noqa: B008  frozen
    checkpoint: str | Path | None = None,
    learn_s: float | None = None,
    again: bool = False,
    on_progress: Callable[[Annotated, int, int], None] | None = None,
    verdict: VerdictBy = "evidence",
    shard: Shard | None = None,
    fs_hz: float | None = None,
    units: str | None = None,
) -> list[Annotated]:
    """Write the beats of records, and with a model their anomalies, as WFDB annotations.

    Parameters
    ----------
    records : sequence of str, Path or Address
        Files, or WFDB records without suffix; a folder stands for all WFDB records in it, or, where
        it has none itself, for those of its folders. They may be addresses, s3://bucket/folder.
    out : str, Path or Address
        Folder for `<record>.qrs` and `<record>.alm`; made if it is missing.
    leads : sequence of str and int
        Names or indices of leads; none are all ECG leads of each record.
    spec : BeatSpec, optional
        How beats are cut; the checkpoint's by default.
    workers : Workers, optional
        Where records are done; in as many processes as there are cores by default.
    checkpoint : str or Path, optional
        Model that tells anomalous beats.
    learn_s : float, optional
        Learn each record's normal from so many seconds and look for anomalies after them, as
        `replay` does: from the weights of the checkpoint, or of the one that ships.
    again : bool
        Annotate records again that were done with the same settings.
    on_progress : callable, optional
        Told of each record when it is done, how many are done, and of how many.
    verdict : {"evidence", "loss"}
        What judges learnt records; see `replay --verdict`.
    shard : Shard, optional
        Only this part of the records; the others are somebody else's.
    fs_hz, units : float, str, optional
        Sampling rate and unit of records that do not say their own.

    Returns
    -------
    list of Annotated
        In the order of the records, then the folders that hold none.

    Raises
    ------
    InvalidOption
        If there is no record, `out` cannot be written, two records share a name, or a number is
        out of bounds.
    SpecMismatch
        If `spec` is not the checkpoint's.
    InvalidCheckpoint
        If the checkpoint cannot be read.
    StageFailed
        If no worker can be started, or the cluster cannot be reached.
    """
    if learn_s is not None and not 0 < learn_s <= 1e9:
        raise InvalidOption(
            f"--learn of {learn_s:g} s cannot be learnt from; give some minutes, such as 5:00"
        )
    places = [one if isinstance(one, Address) else _as_named(one) for one in records]
    names, failed = _expand(places)
    names = names if shard is None else shard.part(names)
    checkpoint = None if checkpoint is None else Path(checkpoint)
    chosen_spec, model = _agreed_spec(spec, checkpoint, learn_s)
    folder = writable_place(out if isinstance(out, Address) else place(out))

    settings = settings_digest(
        {
            "leads": tuple(leads),
            "spec": chosen_spec.identity,
            "model": model,
            "learn_s": learn_s,
            "verdict": f"evidence {load_shipped_weights().identity}"
            if verdict == "evidence"
            else verdict,
            **({} if fs_hz is None else {"fs_hz": fs_hz}),
            **({} if units is None else {"units": units}),
        }
    )
    tasks = [
        _Task(
            record=name,
            out=folder,
            leads=leads,
            spec=chosen_spec,
            checkpoint=checkpoint,
            learn_s=learn_s,
            verdict=verdict,
            settings=settings,
            fs_hz=fs_hz,
            units=units,
            again=again,
        )
        for name in names
    ]
    tell = on_progress or (lambda _done, _n_done, _n_all: None)
    done: dict[str, Annotated] = {}
    for task in tasks:
        before = None if task.again or task.is_elsewhere else _done_before(task)
        if before is not None:
            done[before.record] = before
            tell(before, len(done), len(tasks))
    n_before = len(done)
    left = [task for task in tasks if str(task.record) not in done]
    left.sort(key=_length_s, reverse=True)  # no process is left alone with a long last one

    def tell_of_all(one: Annotated, n_done: int, _n_left: int) -> None:
        tell(one, n_before + n_done, len(tasks))

    results = run_tasks(_annotate_or_say_why, left, workers, tell_of_all, _gave_up)
    done |= {one.record: one for one in results}
    return [done[str(name)] for name in names] + failed


def _as_named(record: str | Path) -> str | Address:
    """Return an address, or the record's name as it was given."""
    found = place(record)
    return found if isinstance(found, Address) else str(record)


def _expand(records: Sequence[str | Address]) -> tuple[list[str | Address], list[Annotated]]:
    """Put the records of a folder in the folder's place; refuse two that would share a file.

    A folder that holds none itself stands for those of its folders. Returned with them are the
    folders that hold none at all, or cannot be read.
    """
    names: list[str | Address] = []
    failed: list[Annotated] = []
    for record in records:
        if not isinstance(record, Address):
            found, empty = with_those_of_folders([record])
            names += found
            failed += [Annotated(folder, error=why) for folder, why in empty.items()]
            continue
        try:
            names += _records_elsewhere(record)
        except RecordError as error:
            failed.append(Annotated(str(record), error=str(error)))
    if not names:
        why = failed[0].error if failed else "name records, or a folder that holds .hea files"
        raise InvalidOption(f"there is no record to annotate: {why}")
    by_name: dict[str, str | Address] = {}
    for record in names:
        other = by_name.setdefault(_short_name(record), record)
        if other is not record:
            raise InvalidOption(
                f"{other} and {record} would write the same files; annotate them one after "
                "the other, each with its own --out"
            )
    return names, failed


def _records_elsewhere(address: Address) -> list[Address]:
    """Return a record, or those of a folder, as `with_those_of_folders` does."""
    try:
        if not address.is_root and _is_record(address):
            return [address]
        found = [address / name for name in _listed(address)]
        if not found:
            below = folders_elsewhere(address, HEADER)
            found = [one / name for one in below for name in _listed(one)]
    except Unreachable as error:
        raise RecordError(f"{address} cannot be read: {error}") from error
    if not found:
        raise RecordError(f"{address} holds no records (*{HEADER}), nor do its folders")
    return found


def _is_record(address: Address) -> bool:
    return is_file(address.with_name(f"{address.name}{HEADER}")) or not is_folder(address)


def _listed(folder: Address) -> list[str]:
    with headers_at_hand(folder, may_be_empty=True) as here:
        return list_records(here)


def _short_name(record: str | Address) -> str:
    return record_name(Path(record.name if isinstance(record, Address) else record))


def _agreed_spec(
    spec: BeatSpec | None, checkpoint: Path | None, learn_s: float | None
) -> tuple[BeatSpec, str | None]:
    """Return how beats are cut, and the identity of the model if there is one."""
    if checkpoint is None and learn_s is None:
        return spec or BeatSpec(), None
    from model.checkpoint import load_checkpoint, load_shipped

    loaded = load_shipped() if checkpoint is None else load_checkpoint(checkpoint)
    named = "the installed model" if checkpoint is None else f"checkpoint {checkpoint}"
    trained_on = BeatSpec.from_mapping(loaded.spec)
    if spec is not None and spec.identity != trained_on.identity:
        raise SpecMismatch(
            f"{named} expects beats of spec {trained_on.identity}, asked for is {spec.identity}; "
            "leave the window to the model or use another --checkpoint"
        )
    return trained_on, loaded.identity


# --- one record -------------------------------------------------------------------------------


def _done_before(task: _Task) -> Annotated | None:
    """Return what became of a record that was done with these settings; None if it was not."""
    try:
        with open_record(_path(task), task.options) as record:
            note = valid_note(task.out, record.record, task.settings, source_digest(record.files))
    except (MonitorError, OSError):
        return None  # reported when the record is tried
    return None if note is None else _outcome(task, note, was_done=True)


def _path(task: _Task) -> str:
    assert isinstance(task.record, str), "what lies elsewhere is looked at by workers"
    return task.record


def _length_s(task: _Task) -> float:
    if task.is_elsewhere:
        return 0.0  # in the order given
    try:
        with open_record(_path(task), task.options) as record:
            return record.n_samples / record.fs_hz
    except (MonitorError, OSError):
        return 0.0  # reported when the record is tried


def _outcome(task: _Task, note: Note, *, was_done: bool = False) -> Annotated:
    return Annotated(
        record=str(task.record),
        n_beats=note.n_beats,
        n_withheld=note.n_withheld,
        n_anomalies=note.n_anomalies,
        signal_s=note.signal_s,
        was_done=was_done,
        leads=note.leads,
        warnings=note.warnings,
    )


def _annotate_or_say_why(task: _Task) -> Annotated:
    record = str(task.record)
    try:
        return _annotate(task)
    except (MonitorError, SegmenterError, ModelError) as error:
        return Annotated(record, error=str(error))
    except Unreachable as error:
        return Annotated(record, error=f"cannot write to {task.out}: {error}")
    except OSError as error:
        file = error.filename or task.out
        return Annotated(record, error=f"cannot write {file}: {reason_of(error)}")
    except MemoryError:
        return Annotated(record, error="not enough memory")


def _gave_up(task: _Task, why: str) -> Annotated:
    name = _short_name(task.record)
    return Annotated(str(task.record), error=f"record {name} is passed over: {why}")


def _annotate(task: _Task) -> Annotated:
    with at_hand(task.record) as here:
        before = _noted(task, here)
        if before is not None:
            return before
        here.fetch()
        with open_record(here.path, task.options) as record:
            # before it is read: a later change shows
            source = here.source or source_digest(record.files)
            files, note = _judged(task, record, source)
            note = msgspec.structs.replace(note, warnings=tuple(map(here.said, note.warnings)))
            replace_files(task.out, record.record, files)
            write_note(task.out, record.record, note)
            return _outcome(task, note)


def _noted(task: _Task, here: RecordAtHand) -> Annotated | None:
    """Return what became of a record, in what lies elsewhere; None if it is to be done."""
    if task.again or not task.is_elsewhere:
        return None
    if here.source is None:
        return _done_before(task)
    note = valid_note(task.out, record_name(here.path), task.settings, here.source)
    return None if note is None else _outcome(task, note, was_done=True)


def _judged(task: _Task, record: RecordFile, source: str) -> tuple[dict[str, bytes], Note]:
    """Return a record's annotation files, by their extensions, and what is noted of them."""
    judged = None
    if task.checkpoint is None and task.learn_s is None:
        parts = [without_values(one) for one in segment(record, task.spec, record.n_samples)]
        beats = joined_beats(parts, 0)
    else:
        judged = judge_record(
            record, _base(task), JudgeSettings(learn_s=task.learn_s, verdict=task.verdict)
        )
        beats = judged.beats
    files = {
        BEAT_EXTENSION: beat_file(
            beats.r_sample,
            beats.judgeable,
            beats.quality,
            beats.delay_ms,
            record.fs_hz,
            record.channels[0],
        )
    }
    if judged is not None:
        rows = judged.anomalous
        by_evidence = task.learn_s is not None and task.verdict == "evidence"
        scores = judged.ratio[rows] if by_evidence else np.full(rows.sum(), np.nan)
        files[ALARM_EXTENSION] = alarm_file(
            beats.r_sample[rows],
            judged.loss[rows],
            judged.threshold_of_loss[rows].astype(np.float32),
            scores.astype(np.float32),
            record.fs_hz,
            record.channels[0],
        )
    note = Note(
        settings=task.settings,
        source=source,
        files=hashes(files),
        n_beats=len(beats),
        n_withheld=int(np.count_nonzero(~beats.judgeable)),
        n_anomalies=None if judged is None else int(np.count_nonzero(judged.anomalous)),
        signal_s=record.n_samples / record.fs_hz,
        leads=record.leads,
        warnings=record.warnings,
    )
    return files, note


def _base(task: _Task) -> Checkpoint:
    from model.checkpoint import load_checkpoint, load_shipped

    return load_shipped() if task.checkpoint is None else load_checkpoint(task.checkpoint)


def summary(results: Iterable[Annotated]) -> tuple[int, int]:
    """Return how many records were annotated, and how many could not be."""
    every = list(results)
    n_failed = sum(result.error is not None for result in every)
    return len(every) - n_failed, n_failed
