"""`ecg-monitor train`: from ECG5000 files, or from records' own beats, to a checkpoint on disk."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.checkpoint import Checkpoint, save_checkpoint
from model.config import AutoencoderConfig
from model.ecg5000 import NORMAL, read_ecg5000
from model.errors import CannotLearn, InvalidBeats
from model.learning import BEATS_PER_HOUR, dominant_beats
from model.thresholds import MIN_LOSSES, threshold_from_losses
from model.training_config import Epoch, TrainingConfig
from monitor.errors import InvalidOption, MonitorError, RecordError, SpecMismatch
from monitor.offline.record_segmenter import BLOCK_S, segment
from monitor.sources.kinds import open_record
from monitor.sources.source import RecordFile, SourceOptions
from segmenter.beat import BeatSpec
from segmenter.errors import SegmenterError
from segmenter.rates import check_rate

if TYPE_CHECKING:  # with torch, which who judges a model does without
    from model.training import Fit, Trainer, TrainingState

ECG5000_SPEC = BeatSpec(window="rr")  # how the beats of ECG5000 were cut
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
# How pages, pictures and what is printed of them begin, in small letters.
PAGES_BEGIN = (b"<!doctype html", b"\x89png", b"%pdf")

Labelled = tuple[NDArray[np.int64], NDArray[np.float32]]  # (n,) classes, (n, length) beats
OnProgress = Callable[[float], None]


@dataclass(frozen=True)
class TrainingOptions:
    """What `ecg-monitor train` was asked for.

    Parameters
    ----------
    out : Path
        The checkpoint to write.
    ecg5000 : tuple of Path
        ECG5000 files, whose beats of class 1 are learnt; or
    records : tuple of str
        paths of records, whose beats of the dominant shape are learnt.
    window : str, optional
        How records are cut; by default as `BeatSpec` does. ECG5000 is cut by "rr".
    embedding, epochs, seed : int, optional
        Of the model and its training; none is their default.
    leads : tuple of str
        Of the records, by name or index; none are all ECG leads.
    fs_hz, units : float, str, optional
        Sampling rate and unit of records that do not say their own.
    learn_s : float, optional
        Learn from this many seconds of each record; None is all of it.
    false_alert_share : float, optional
        Share of normal beats meant to lie above the threshold.
    overwrite : bool
        Whether `out` may be replaced.
    resume : bool
        Go on with the training that was left while it was to write `out`.
    tests : tuple of Path
        Labelled ECG5000 files to judge the model on in the report; none are the files learnt from.
    report : Path, optional
        The HTML page to write, with a PNG beside it.

    Raises
    ------
    InvalidOption
        If options contradict each other or are out of bounds.
    SpecMismatch
        If ECG5000 is to be cut by another window than its own.
    InvalidSpec, InvalidConfig
        If the window is unknown, or a size is out of range.
    """

    out: Path
    ecg5000: tuple[Path, ...] = ()
    records: tuple[str, ...] = ()
    window: str | None = None
    embedding: int | None = None
    epochs: int | None = None
    seed: int = 0
    leads: tuple[str, ...] = ()
    fs_hz: float | None = None  # of records that do not say their own rate, or unit
    units: str | None = None
    learn_s: float | None = None
    false_alert_share: float | None = None
    overwrite: bool = False
    resume: bool = False
    tests: tuple[Path, ...] = ()
    report: Path | None = None

    @property
    def source(self) -> SourceOptions:
        """What was said of the records beside their names."""
        return SourceOptions(self.leads, self.fs_hz, self.units)

    def __post_init__(self) -> None:
        if bool(self.ecg5000) == bool(self.records):
            raise InvalidOption(
                "there is nothing to train on, or too much; name either records or --ecg5000 files"
            )
        if self.ecg5000 and self.spec.identity != ECG5000_SPEC.identity:
            raise SpecMismatch(
                f"ECG5000 beats have the window {ECG5000_SPEC.window}, not {self.window}; leave "
                "--window out, or train on records"
            )
        if self.ecg5000 and (self.source != SourceOptions(()) or self.learn_s is not None):
            raise InvalidOption(
                "--lead, --fs, --units and --learn apply to records, not to ECG5000 files; leave "
                "them out"
            )
        if self.tests and (self.records or self.report is None):
            raise InvalidOption(
                "--test needs --ecg5000 and --report; add them, or leave --test out"
            )
        if self.report is not None and self.report.suffix.lower() not in (".html", ".htm"):
            raise InvalidOption(
                f"--report {self.report} does not end in .html; name a file that does"
            )
        share = self.false_alert_share
        if share is not None and not 0 < share <= 0.5:
            raise InvalidOption(
                f"--false-alert-share {share:g} is out of range; use more than 0 and at most 0.5"
            )
        if self.learn_s is not None and not 0 < self.learn_s < math.inf:
            raise InvalidOption(
                f"--learn of {self.learn_s:g} s holds no beat; give some minutes, such as 5:00"
            )
        # Absurd values are found here, not when the records have been cut.
        _ = self.spec, self.config, self.training

    @property
    def state_path(self) -> Path:
        """Where a training that is left is kept, until it is done."""
        return self.out.with_name(f"{self.out.name}.training")

    @property
    def spec(self) -> BeatSpec:
        """How the beats are cut."""
        if self.window is not None:
            return BeatSpec.from_mapping({"window": self.window})
        return ECG5000_SPEC if self.ecg5000 else BeatSpec()

    @property
    def config(self) -> AutoencoderConfig:
        """Size of the model."""
        embedding = AutoencoderConfig().embedding if self.embedding is None else self.embedding
        return AutoencoderConfig(length=self.spec.length, embedding=embedding)

    @property
    def training(self) -> TrainingConfig:
        """How it is trained."""
        return TrainingConfig(epochs=self.epochs, seed=self.seed)


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
            f"{len(beats.values)} normal beats are too few to train on; give at least {n_needed}"
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


def check_writable(out: Path, overwrite: bool) -> None:
    """Raise InvalidOption if a file cannot be written, or is there and must stay."""
    if out.is_dir():
        raise InvalidOption(f"{out} is a folder; name a file in it")
    if out.exists() and not out.is_file():  # to replace a device would break the system
        raise InvalidOption(f"{out} is a device or a pipe, not a file; choose another name")
    if out.exists() and not overwrite:
        raise InvalidOption(f"{out} exists already; choose another name or add --overwrite")
    try:
        with tempfile.TemporaryFile(dir=out.parent):
            return
    except OSError as error:
        raise InvalidOption(
            f"cannot write to {out.parent}: {error.strerror}; choose another folder"
        ) from error


def check_replaceable(out: Path) -> None:
    """Raise InvalidOption if a page or a picture cannot be written, or is to replace another thing.

    What is made anew each time replaces the one before without being asked, and no journal, record
    or model that was named by mistake.
    """
    check_writable(out, overwrite=True)
    try:
        with out.open("rb") as file:
            begins = file.read(max(map(len, PAGES_BEGIN))).lower()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InvalidOption(
            f"{out} exists, and cannot be read: {error.strerror}; choose another name"
        ) from error
    if begins and not begins.startswith(PAGES_BEGIN):
        raise InvalidOption(
            f"{out} exists, and is no page, picture or PDF; choose another name, or remove it"
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
