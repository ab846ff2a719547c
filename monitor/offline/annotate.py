"""Records in, WFDB annotation files out: beats (`.qrs`) and, with a model, anomalies (`.alm`).

    .qrs    one annotation a beat: N, or Q where its signal cannot be judged;
            subtype: the beat's `Quality` flags; note: `delay_ms=`, from R peak to detection
    .alm    one annotation an anomalous beat: Q (neither normal nor of a known kind);
            note: `loss=` and `threshold=`; a beat that comes early or late may be one at a lower
            loss, since its timing counts too

Each annotation carries the number of the lead that was read (`chan`). Samples count at the lead's
own rate, which the files state. Each file is written whole or not at
all. Records are done in parallel processes; one that cannot be read does not keep the others.
What was done before, with the same settings and from the same files, is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.errors import ModelError
from monitor.errors import InvalidOption, MonitorError, SpecMismatch
from monitor.offline.annotation_files import alarm_file, beat_file, replace_files, writable_folder
from monitor.offline.annotation_notes import (
    Note,
    hashes,
    settings_digest,
    source_digest,
    valid_note,
    write_note,
)
from monitor.offline.workers import check_jobs, check_stop, run_tasks
from monitor.sources.source import Source
from monitor.sources.wfdb_record import WfdbRecord, list_records
from segmenter.beat import Beats, BeatSpec
from segmenter.errors import SegmenterError
from segmenter.stream import Segmenter

if TYPE_CHECKING:
    from model.checkpoint import Checkpoint
    from model.tracking import Scored

BLOCK_S = 60.0  # signal between two looks at whether to stop
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
    lead : str
        Name of the lead that was read.
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
    lead: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Task:
    """What a worker is told of each record."""

    record: str
    out: Path
    lead: str | int | None
    spec: BeatSpec
    checkpoint: Path | None
    learn_s: float | None
    settings: str  # their digest


def annotate_records(
    records: Sequence[str | Path],
    out: str | Path,
    lead: str | int | None = None,
    spec: BeatSpec | None = None,
    jobs: int | None = None,
    checkpoint: str | Path | None = None,
    learn_s: float | None = None,
    again: bool = False,
    on_progress: Callable[[Annotated, int, int], None] | None = None,
) -> list[Annotated]:
    """Write the beats of records, and with a model their anomalies, as WFDB annotations.

    Parameters
    ----------
    records : sequence of str or Path
        Records as WFDB names them; a folder stands for all records in it.
    out : str or Path
        Folder for `<record>.qrs` and `<record>.alm`; made if it is missing.
    spec : BeatSpec, optional
        How beats are cut; the checkpoint's by default.
    jobs : int, optional
        Processes; as many as there are cores by default. One works in this process.
    checkpoint : str or Path, optional
        Model that tells anomalous beats.
    learn_s : float, optional
        Learn each record's normal from so many seconds and look for anomalies after them,
        beginning with the checkpoint's weights if there is one.
    again : bool
        Do records anew that were done with the same settings.
    on_progress : callable, optional
        Told of each record when it is done, how many are done, and of how many.

    Returns
    -------
    list of Annotated
        In the order of the records.

    Raises
    ------
    InvalidOption
        If `out` cannot be written, two records share a name, or a number is out of bounds.
    SpecMismatch
        If `spec` is not the checkpoint's.
    InvalidCheckpoint
        If the checkpoint cannot be read.
    StageFailed
        If a worker process died.
    """
    check_jobs(jobs)
    if learn_s is not None and not 0 < learn_s <= 1e9:
        raise InvalidOption(f"{learn_s} s cannot be learnt from; use some minutes")
    names = _expand(records)
    checkpoint = None if checkpoint is None else Path(checkpoint)
    chosen_spec, model = _agreed_spec(spec, checkpoint)
    folder = writable_folder(Path(out))
    settings = settings_digest(
        {"lead": lead, "spec": chosen_spec.identity, "model": model, "learn_s": learn_s}
    )
    tasks = [
        _Task(name, folder, lead, chosen_spec, checkpoint, learn_s, settings) for name in names
    ]
    tell = on_progress or (lambda _done, _n_done, _n_all: None)
    done: dict[str, Annotated] = {}
    for task in tasks:
        before = None if again else _done_before(task)
        if before is not None:
            done[task.record] = before
            tell(before, len(done), len(tasks))
    n_before = len(done)
    left = [task for task in tasks if task.record not in done]
    left.sort(key=_length_s, reverse=True)  # no process is left alone with a long last one

    def tell_of_all(one: Annotated, n_done: int, _n_left: int) -> None:
        tell(one, n_before + n_done, len(tasks))

    done |= {one.record: one for one in run_tasks(_annotate_or_say_why, left, jobs, tell_of_all)}
    return [done[name] for name in names]


def _expand(records: Sequence[str | Path]) -> list[str]:
    """Put the records of a folder in the folder's place; refuse two that would share a file."""
    names: list[str] = []
    for record in records:
        if Path(record).is_dir():
            names += [str(Path(record) / name) for name in list_records(record)]
        else:
            names.append(str(record))
    if not names:
        raise InvalidOption("there is no record to annotate; name records or a folder of them")
    by_name: dict[str, str] = {}
    for record in names:
        other = by_name.setdefault(_short_name(record), record)
        if other is not record:
            raise InvalidOption(
                f"{other} and {record} would write the same files; do one at a time"
            )
    return names


def _short_name(record: str) -> str:
    name = Path(record).name
    return name.removesuffix(".hea").removesuffix(".dat")


def _agreed_spec(spec: BeatSpec | None, checkpoint: Path | None) -> tuple[BeatSpec, str | None]:
    """Return how beats are cut, and the identity of the model if there is one."""
    if checkpoint is None:
        return spec or BeatSpec(), None
    from model.checkpoint import load_checkpoint

    loaded = load_checkpoint(checkpoint)
    trained_on = BeatSpec.from_mapping(loaded.spec)
    if spec is not None and spec.identity != trained_on.identity:
        raise SpecMismatch(
            f"checkpoint {checkpoint} expects beats of spec {trained_on.identity}, asked for is "
            f"{spec.identity}; leave the window to the checkpoint or use another one"
        )
    return trained_on, loaded.identity


# --- one record -------------------------------------------------------------------------------


def _done_before(task: _Task) -> Annotated | None:
    """Return what became of a record that was done with these settings; None if it was not."""
    try:
        with WfdbRecord.open(task.record, task.lead) as record:
            note = valid_note(task.out, record.record, task.settings, source_digest(record.files))
    except (MonitorError, OSError):
        return None  # said when it is tried
    return None if note is None else _outcome(task, note, was_done=True)


def _length_s(task: _Task) -> float:
    try:
        with WfdbRecord.open(task.record, task.lead) as record:
            return record.n_samples / record.fs_hz
    except (MonitorError, OSError):
        return 0.0  # said when it is tried


def _outcome(task: _Task, note: Note, *, was_done: bool = False) -> Annotated:
    return Annotated(
        record=task.record,
        n_beats=note.n_beats,
        n_withheld=note.n_withheld,
        n_anomalies=note.n_anomalies,
        signal_s=note.signal_s,
        was_done=was_done,
        lead=note.lead,
        warnings=note.warnings,
    )


def _annotate_or_say_why(task: _Task) -> Annotated:
    try:
        return _annotate(task)
    except (MonitorError, SegmenterError, ModelError) as error:
        return Annotated(task.record, error=str(error))
    except OSError as error:
        return Annotated(task.record, error=f"cannot write to {task.out}: {error.strerror}")
    except MemoryError:
        return Annotated(task.record, error="not enough memory")


def _annotate(task: _Task) -> Annotated:
    with WfdbRecord.open(task.record, task.lead) as record:
        source = source_digest(record.files)  # before it is read: a later change shows
        model = _model(task, record)
        blocks = segment(record, task.spec, record.n_samples)
        first_judged = 0 if task.learn_s is None else round(task.learn_s * record.fs_hz)
        beats = _Judged.joined(list(_judged(blocks, model, first_judged)))
        files = {
            BEAT_EXTENSION: beat_file(
                beats.r_sample,
                beats.judgeable,
                beats.quality,
                beats.delay_ms,
                record.fs_hz,
                record.channel,
            )
        }
        n_anomalies = None
        if model is not None:
            anomalous = (beats.weighted > model.threshold) & (beats.r_sample >= first_judged)
            n_anomalies = int(np.count_nonzero(anomalous))
            files[ALARM_EXTENSION] = alarm_file(
                beats.r_sample[anomalous],
                beats.loss[anomalous],
                model.threshold,
                record.fs_hz,
                record.channel,
            )
        replace_files(task.out, record.record, files)
        note = Note(
            settings=task.settings,
            source=source,
            files=hashes(files),
            n_beats=len(beats.r_sample),
            n_withheld=int(np.count_nonzero(~beats.judgeable)),
            n_anomalies=n_anomalies,
            signal_s=record.n_samples / record.fs_hz,
            lead=record.lead,
            warnings=record.warnings,
        )
        write_note(task.out, record.record, note)
        return _outcome(task, note)


def segment(source: Source, spec: BeatSpec, until_sample: int) -> Iterator[Beats]:
    """Yield the beats of a source's first samples, block by block."""
    segmenter = Segmenter(source.fs_hz, spec)
    block = max(1, round(BLOCK_S * source.fs_hz))
    for start in range(0, until_sample, block):
        check_stop()
        yield segmenter.update(source.read(start, min(start + block, until_sample))).beats
    yield segmenter.flush().beats


def _judged(blocks: Iterable[Beats], model: _Model | None, first_judged: int) -> Iterator[_Judged]:
    """Judge beats block by block; drift counts from the sample `first_judged` on."""
    for block in blocks:
        n_before = int(np.searchsorted(block.r_sample, first_judged))
        if n_before > 0 or len(block) == 0:
            yield _Judged.of(block.rows(slice(0, n_before)), model)
            if model is not None:
                model.forget_drift()
        if n_before < len(block):
            yield _Judged.of(block.rows(slice(n_before, None)), model)


class _Model:
    """Judges the beats of one record as they come."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        from model.scoring import Scorer
        from model.tracking import TrackState

        self._scorer = Scorer(checkpoint.autoencoder)
        self._normal = checkpoint.normal
        self._state = TrackState()
        self.threshold = float(checkpoint.threshold.value)

    def forget_drift(self) -> None:
        """Start anew from the learnt template: what was seen so far was learnt."""
        self._state = self._state.learnt()

    def follow(self, beats: Beats) -> Scored:
        """Score the next beats of the record."""
        from model.tracking import score_tracked

        self._state, scored = score_tracked(
            self._scorer,
            self._normal,
            self._state,
            beats.values,
            beats.rr_before_ms,
            beats.judgeable,
        )
        return scored


def _model(task: _Task, record: Source) -> _Model | None:
    """Return the model of the task: the checkpoint's, or one learnt from the record's start."""
    if task.checkpoint is None and task.learn_s is None:
        return None
    from model.checkpoint import load_checkpoint

    base = None if task.checkpoint is None else load_checkpoint(task.checkpoint)
    if task.learn_s is None:
        return None if base is None else _Model(base)
    from model.learning import learn_patient  # with torch: 1.4 s and 200 MB a process

    until = min(round(task.learn_s * record.fs_hz), record.n_samples)
    first = list(segment(record, task.spec, until))
    learned = learn_patient(
        np.concatenate([beats.values[beats.judgeable] for beats in first]),
        task.spec.to_mapping(),
        task.spec.identity,
        base,
        rr_before_ms=np.concatenate([beats.rr_before_ms[beats.judgeable] for beats in first]),
    )
    return _Model(learned.checkpoint)


@dataclass(frozen=True)
class _Judged:
    """What is written of beats; their samples are let go, so that memory stays small."""

    r_sample: NDArray[np.int64]
    quality: NDArray[np.uint16]
    delay_ms: NDArray[np.float32]
    judgeable: NDArray[np.bool_]
    loss: NDArray[np.float32]  # NaN where there is no verdict
    weighted: NDArray[np.float32]  # the same, weighted by the beats' timing

    @classmethod
    def of(cls, beats: Beats, model: _Model | None) -> _Judged:
        """Judge beats, if there is a model to do so."""
        loss = weighted = np.full(len(beats), np.nan, np.float32)
        if model is not None:
            scored = model.follow(beats)
            loss, weighted = scored.losses, scored.weighted
        return cls(beats.r_sample, beats.quality, beats.delay_ms, beats.judgeable, loss, weighted)

    @classmethod
    def joined(cls, parts: list[_Judged]) -> _Judged:
        """Join what came block by block."""
        return cls(
            np.concatenate([part.r_sample for part in parts]),
            np.concatenate([part.quality for part in parts]),
            np.concatenate([part.delay_ms for part in parts]),
            np.concatenate([part.judgeable for part in parts]),
            np.concatenate([part.loss for part in parts]),
            np.concatenate([part.weighted for part in parts]),
        )


def summary(results: Iterable[Annotated]) -> tuple[int, int]:
    """Return how many records were annotated, and how many could not be."""
    every = list(results)
    n_failed = sum(result.error is not None for result in every)
    return len(every) - n_failed, n_failed
