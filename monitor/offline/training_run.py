"""`ecg-monitor train`: from ECG5000 files, or from records' own beats, to a checkpoint on disk."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.checkpoint import Checkpoint, save_checkpoint
from model.ecg5000 import NORMAL, read_ecg5000
from model.errors import CannotLearn, InvalidBeats
from model.learning import BEATS_PER_HOUR, dominant_beats
from model.thresholds import MIN_LOSSES, threshold_from_losses
from model.training_config import Epoch
from monitor.errors import InvalidOption, MonitorError, RecordError
from monitor.offline.output_files import check_writable
from monitor.offline.record_segmenter import BLOCK_S, segment
from monitor.offline.training_options import ECG5000_SPEC, TrainingOptions
from monitor.sources.kinds import open_record
from monitor.sources.source import RecordFile, SourceOptions
from segmenter.beat import BeatSpec
from segmenter.errors import SegmenterError
from segmenter.rates import check_rate

if TYPE_CHECKING:  # with torch, which who judges a model does without
    from model.training import Fit, Trainer, TrainingState

# The share of normal beats meant to lie above the threshold. About 3 % of ECG5000's beats labelled
# normal have the losses of anomalous ones; a smaller share gives up most of the recall there.
ECG5000_FALSE_ALERTS = 0.05
RECORD_FALSE_ALERTS = 1.0 / BEATS_PER_HOUR
ECG5000_PROVENANCE = {
    "data": "normal beats of ECG5000",
    "source": "ECG5000 (UCR archive), from chf07 of the BIDMC Congestive Heart Failure Database, "
    "PhysioNet",
    "licence": "ODC-By 1.0",
}

KEPT_EVERY_EPOCHS = 10

Labelled = tuple[NDArray[np.int64], NDArray[np.float32]]  # (n,) classes, (n, length) beats
OnProgress = Callable[[float], None]


@dataclass(frozen=True)
class TrainingBeats:
    """What is learnt.

    Attributes
    ----------
    values : np.ndarray, shape (n, length), float32
    provenance : dict
        Where they come from, for the checkpoint.
    """

    values: NDArray[np.float32]
    provenance: dict[str, Any]


def gather(
    options: TrainingOptions,
    on_progress: OnProgress | None = None,
    pass_over: Callable[[str, str], None] = lambda _record, _text: None,
    on_open: Callable[[RecordFile], None] = lambda _record: None,
) -> TrainingBeats:
    """Return the normal beats of ECG5000 files, or the usual ones of records.

    Of several records, one that cannot be read or learnt from is passed over.

    Parameters
    ----------
    options : TrainingOptions
        Records as paths.
    on_progress : callable, optional
        Told of the share of the records that is cut.
    pass_over : callable
        Receives each record that is passed over, and why.
    on_open : callable
        Receives each record that is opened: its leads, and what is wrong with it.

    Raises
    ------
    RecordError, InvalidDataset
        If a file of ECG5000, or every record, cannot be read.
    CannotLearn
        If the beats of every record are too few, or no shape dominates among them.
    """
    if options.ecg5000:
        values = np.concatenate([normal_beats(path) for path in options.ecg5000])
        files = [path.name for path in options.ecg5000]
        return TrainingBeats(values, {**ECG5000_PROVENANCE, "files": files})
    tell = on_progress or (lambda _share: None)
    n_records = len(options.records)
    parts: list[NDArray[np.float32]] = []
    names: list[str] = []
    failed: list[tuple[str, MonitorError | SegmenterError | CannotLearn]] = []
    for number, path in enumerate(options.records):

        def on_record(share: float, done: int = number) -> None:
            tell((done + share) / n_records)

        try:
            parts.append(
                usual_beats(path, options.source, options.spec, options.learn_s, on_record, on_open)
            )
            names.append(Path(path).name)
        except (MonitorError, SegmenterError, CannotLearn) as error:
            failed.append((path, error))
    if not parts:
        raise failed[0][1]
    for path, reason in failed:
        pass_over(path, str(reason))
    return TrainingBeats(
        np.concatenate(parts), {"data": "usual beats of records", "records": names}
    )


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Attributes
    ----------
    checkpoint : Checkpoint
        With the best weights; written.
    fitted : Fit
    interrupted : bool
        Whether it was left before its end: the checkpoint holds the best so far.
    """

    checkpoint: Checkpoint
    fitted: Fit
    interrupted: bool


def train(
    options: TrainingOptions,
    beats: TrainingBeats,
    on_epoch: Callable[[Epoch], None] = lambda _epoch: None,
) -> Trained:
    """Train a model, set its threshold without labels, and write the checkpoint.

    The threshold comes from losses of beats kept apart from the training. A training that is
    interrupted writes the best so far, and beside it what is needed to continue; so does, every few
    epochs, one that is not, since a killed process writes nothing.

    Raises
    ------
    InvalidBeats, InvalidConfig
        If the beats are too few, or an option is out of bounds.
    InvalidOption
        If the checkpoint cannot be written, or there is no training to continue.
    InvalidCheckpoint
        If what is to be gone on with is damaged.
    KeyboardInterrupt
        If it is interrupted before the first epoch is done.
    """
    n_needed = math.ceil(MIN_LOSSES / options.training.validation_share)
    if len(beats.values) < n_needed:  # or the threshold would fail when the training is over
        raise InvalidBeats(
            f"too few normal beats to train on: {len(beats.values)}; give at least {n_needed}"
        )
    check_writable(options.out, options.overwrite or options.resume)
    from model.training import Trainer

    trainer = Trainer(beats.values, options.config, options.training)
    if options.resume:
        trainer.restore(_state_left(options.state_path))
    interrupted = _train_on(trainer, options.state_path, on_epoch)
    fitted = trainer.best()
    checkpoint = _checkpoint(options, beats, fitted)
    save_checkpoint(checkpoint, options.out)
    if not interrupted:
        options.state_path.unlink(missing_ok=True)
    return Trained(checkpoint, fitted, interrupted)


def _state_left(path: Path) -> TrainingState:
    if not path.is_file():
        raise InvalidOption(
            f"{path} does not exist, so no training can be continued; leave --resume out"
        )
    from model.training_file import load_training

    return load_training(path)


def _train_on(trainer: Trainer, path: Path, on_epoch: Callable[[Epoch], None]) -> bool:
    """Train to the end, keeping the state; return whether it was interrupted."""
    from model.training_file import save_training

    state = trainer.state()
    try:
        while not trainer.is_over:
            epoch = trainer.train_epoch()
            state = trainer.state()
            on_epoch(epoch)
            if epoch.number % KEPT_EVERY_EPOCHS == 0:
                save_training(state, path)
    except KeyboardInterrupt:
        if not state.history:
            raise
        trainer.restore(state)  # what half an epoch has changed is not kept
        save_training(state, path)
        return True
    return False


def _checkpoint(options: TrainingOptions, beats: TrainingBeats, fitted: Fit) -> Checkpoint:
    share = options.false_alert_share
    if share is None:
        share = ECG5000_FALSE_ALERTS if options.ecg5000 else RECORD_FALSE_ALERTS
    return Checkpoint(
        autoencoder=fitted.autoencoder,
        spec=options.spec.to_mapping(),
        spec_identity=options.spec.identity,
        threshold=threshold_from_losses(fitted.validation_losses, share),
        provenance={
            **beats.provenance,
            "beats": len(beats.values),
            "seed": options.seed,
            "best_epoch": fitted.best_epoch,
        },
    )


def judged_beats(options: TrainingOptions, fitted: Fit) -> Labelled | None:
    """Return the labelled beats to judge the model on in the report; None without labels.

    Without test files, those of the files learnt from that no gradient has seen: the validation
    beats and the anomalous ones.
    """
    if not options.ecg5000:
        return None
    files = [read_ecg5000(path, ECG5000_SPEC.length) for path in options.tests or options.ecg5000]
    labels, beats = (np.concatenate(columns) for columns in zip(*files, strict=True))
    if options.tests:
        return labels, beats
    others = labels != NORMAL
    normal = np.full(len(fitted.validation_beats), NORMAL)
    return (
        np.concatenate((normal, labels[others])),
        np.concatenate((fitted.validation_beats, beats[others])),
    )


def how_to_go_on(trained: Trained, out: Path) -> str:
    """Say what an interrupted training has kept."""
    last = trained.fitted.history[-1]
    return (
        f"interrupted after epoch {last.number} of {last.of}; {out} holds the best so far "
        f"(epoch {trained.fitted.best_epoch}); continue with the same command and --resume"
    )


def summary_line(checkpoint: Checkpoint, out: Path) -> str:
    """Say what was written, and the threshold."""
    threshold = checkpoint.threshold
    return (
        f"wrote {out}: {checkpoint.provenance['beats']} beats learnt, window "
        f"{checkpoint.spec['window']}, best epoch {checkpoint.provenance['best_epoch']}, "
        f"threshold {threshold.value:.2f} ({threshold.method} of {threshold.n_losses} losses)"
    )


def normal_beats(path: Path) -> NDArray[np.float32]:
    """Return the beats of class 1 of an ECG5000 file, shape (n, 140)."""
    labels, beats = read_ecg5000(path, ECG5000_SPEC.length)
    normal: NDArray[np.float32] = beats[labels == NORMAL]
    return normal


def usual_beats(
    path: str,
    options: SourceOptions,
    spec: BeatSpec,
    learn_s: float | None = None,
    on_progress: OnProgress | None = None,
    on_open: Callable[[RecordFile], None] = lambda _record: None,
) -> NDArray[np.float32]:
    """Return a record's judgeable beats of the dominant shape, shape (n, length); no labels.

    Those of one lead behind those of another: each lead has a dominant shape of its own. A lead
    without one is left out while another has one.

    Raises
    ------
    RecordError
        If the record cannot be read, or its rate cannot be segmented.
    CannotLearn
        If they are too few, or no shape dominates, in every lead.
    """
    with open_record(path, options) as record:
        on_open(record)
        until = record.n_samples
        if learn_s is not None:
            until = min(until, round(learn_s * record.fs_hz))
        n_blocks = math.ceil(until / (BLOCK_S * record.fs_hz)) + 1  # flushing is one more
        parts: list[list[NDArray[np.float32]]] = [[] for _ in record.leads]
        try:
            check_rate(record.fs_hz)
        except SegmenterError as error:
            raise RecordError(f"record {path}: {error}") from error
        for number, beats in enumerate(segment(record, spec, until), start=1):
            judgeable = beats.lead_judgeable & beats.judgeable[:, None]  # (n, leads)
            for lead, part in enumerate(parts):
                part.append(beats.values[judgeable[:, lead], lead])
            if on_progress is not None:
                on_progress(min(1.0, number / n_blocks))
    usual: list[NDArray[np.float32]] = []
    failed: list[CannotLearn] = []
    for part in parts:
        values = np.concatenate([np.empty((0, spec.length), np.float32), *part])
        try:
            usual.append(values[dominant_beats(values)])
        except CannotLearn as error:
            failed.append(error)
    if not usual:
        raise CannotLearn(f"record {path}: {failed[0]}") from failed[0]
    return np.concatenate(usual)
