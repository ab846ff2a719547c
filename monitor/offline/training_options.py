"""What `ecg-monitor train` is asked for; checked before anything slow to import is needed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from model.config import AutoencoderConfig
from model.training_config import TrainingConfig
from monitor.errors import InvalidOption, SpecMismatch
from monitor.sources.source import SourceOptions
from segmenter.beat import BeatSpec

ECG5000_SPEC = BeatSpec(window="rr")  # how the beats of ECG5000 were cut


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
