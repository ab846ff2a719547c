"""One record judged as a running monitor judges it: the same engine, without stages or journal.

What `replay` says of a record is what is found here, to the bit: the model that is learnt, its
threshold, each beat's verdict. Trainings are done at once, nothing is kept, and no clock is read.
Named alarms are left out, so that an episode which one would explain is an episode here; unless
someone hears the steps (`hear`): then signs are measured, pulse waves read, and alarms raised.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Executor, Future
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.checkpoint import Checkpoint
from model.errors import CannotLearn
from monitor.detection.alert_machine import Verdict
from monitor.detection.engine import Engine
from monitor.detection.learning_phase import Held
from monitor.detection.scored_beats import ScoredBeat
from monitor.journal.writer import StoredProgress
from monitor.offline.record_segmenter import segmented, waves_of
from monitor.offline.worker_processes import check_stop, has_spare_core
from monitor.settings import Rules, VerdictBy
from monitor.sources.source import RecordSource
from monitor.step_result import StepResult
from monitor.wire.messages import (
    Alert,
    BeatsHeader,
    BeatsMessage,
    EndHeader,
    Message,
    PatientStatus,
    RecordEvent,
    Stream,
)
from segmenter.beat import Beats, BeatSpec, joined_beats
from segmenter.stream import Segmented

PATIENT = "record"
Hear = Callable[[StepResult[Message]], None]


@dataclass(frozen=True)
class JudgeSettings:
    """What decides the verdicts, beside the model; the defaults are those of `replay`."""

    threshold: float | None = None
    learn_s: float | None = None
    false_alerts_per_hour: float = 1.0
    verdict: VerdictBy = "evidence"
    rules: Rules = field(default_factory=Rules)
    from_scratch: bool = False  # begin learning with random weights


class Episode(NamedTuple):
    """An alert that began: the R peaks of the first and the last of its anomalous beats."""

    first_sample: int
    last_sample: int


@dataclass(frozen=True)
class Judged:
    """A record's beats and what was decided about them: n rows in the order of the R peaks.

    Attributes
    ----------
    beats : Beats
        Every beat found; without values where they were not to be kept.
    losses : np.ndarray, shape (n, leads), float64
        NaN where a lead gives none: bad signal, left out, or still learning.
    worst : np.ndarray, shape (n,), int
        The lead whose loss is the largest share of its threshold.
    ratio : np.ndarray, shape (n,), float64
        The score: above 1 a beat is anomalous. NaN where a beat has no verdict.
    anomalous : np.ndarray, shape (n,), bool
    models : tuple of Checkpoint or None
        What judged each lead: the one given, or the one that was learnt; none of a lead that could
        not be learnt.
    thresholds : np.ndarray, shape (leads,), float64
        NaN as above.
    learnt_until : int
        Sample at which the learning ended; 0 where nothing was to be learnt.
    note : str
        What the learning says.
    learning_cpu_s : float
        Processor time of the trainings.
    episodes : tuple of Episode
        Alerts that began, in order, as the alerts themselves say; technical ones are none.
    n_families : int
        Families of anomalous beats that look alike; 0 where they are not told apart.
    status : PatientStatus
        As the last heartbeat of a monitor would tell it.
    """

    beats: Beats
    losses: NDArray[np.float64]
    worst: NDArray[np.intp]
    ratio: NDArray[np.float64]
    anomalous: NDArray[np.bool_]
    models: tuple[Checkpoint | None, ...]
    thresholds: NDArray[np.float64]
    learnt_until: int
    note: str
    learning_cpu_s: float
    episodes: tuple[Episode, ...]
    n_families: int
    status: PatientStatus

    @property
    def loss(self) -> NDArray[np.float64]:
        """The loss of each beat's worst lead, shape (n,); NaN where no lead gives one."""
        return np.asarray(np.take_along_axis(self.losses, self.worst[:, None], axis=1)[:, 0])

    @property
    def threshold_of_loss(self) -> NDArray[np.float64]:
        """The threshold of each beat's worst lead, shape (n,)."""
        return np.asarray(self.thresholds[self.worst])

    @property
    def threshold(self) -> float:
        """The threshold that people see: of the first lead that is judged."""
        return float(self.thresholds[np.isfinite(self.thresholds)][0])


def judge_record(
    source: RecordSource,
    base: Checkpoint,
    settings: JudgeSettings,
    *,
    keep_values: bool = False,
    hear: Hear | None = None,
) -> Judged:
    """Judge a record from its start to its end.

    Parameters
    ----------
    source : RecordSource
    base : Checkpoint
        The model, or what a learning begins with.
    settings : JudgeSettings
    keep_values : bool
        Return the cut beats too: 50 MB of 20 hours.
    hear : callable, optional
        Hears what each step led to, in order; named alarms are then raised, too.

    Raises
    ------
    CannotLearn
        If the record ended before enough was learnt.
    RecordError, SegmenterError
        If the record cannot be read, or its rate not be segmented.
    StageFailed
        If the process died that segments it beside this one, where a core is spare.
    """
    judge = _Judge(source, base, settings, keep_values, hear)
    steps = segmented(
        source,
        judge.spec,
        source.n_samples,
        measure_signs=hear is not None,
        beside=has_spare_core(),
    )
    with closing(steps):  # it may have a process
        for found, position in steps:
            judge.take(found, position)
    return judge.end()


class _Judge:
    """An engine with one patient."""

    def __init__(
        self,
        source: RecordSource,
        base: Checkpoint,
        settings: JudgeSettings,
        keep_values: bool,
        hear: Hear | None,
    ) -> None:
        self._keep_values, self._told = keep_values, hear
        self.spec = BeatSpec.from_mapping(base.spec)
        self._source = source
        self._parts: list[Beats] = []
        self._decided: list[tuple[tuple[float | None, ...], int, float, bool]] = []
        self._episodes: list[Episode] = []
        self._sequence = 0
        self._executor = _AtOnce()
        self._engine = Engine(
            base,
            settings,
            _NothingBefore(),
            _InMemory(),
            self._executor,
            lambda: "",
            on_verdict=self._note,
            hears_beats=lambda _: False,
            from_scratch=settings.from_scratch,
        )
        self._leads = [*source.leads]
        waves = None if hear is None else waves_of(source)
        self._waves = [] if waves is None else [*waves.waves]
        stream = Stream(
            PATIENT,
            source.record,
            self._leads,
            source.fs_hz,
            0,
            source.n_samples,
            waves=self._waves,
        )
        self._engine.expect([stream])

    def take(self, found: Segmented, position: int) -> None:
        """Judge what was found up to a sample."""
        self._parts.append(found.beats if self._keep_values else without_values(found.beats))
        events = [
            RecordEvent(one.kind, one.state, one.sample, [self._leads[lead] for lead in one.leads])
            for one in found.events
        ]
        header = BeatsHeader(
            version=5,
            patient=PATIENT,
            record=self._source.record,
            sequence=self._sequence,
            sent_ns=0,
            position=position,
            leads=self._leads,
            fs_hz=self._source.fs_hz,
            spec=self.spec.identity,
            length=self.spec.length,
            n_beats=len(found.beats),
            events=events,
            stretch=0,
            first_sample=0,
            waves=self._waves,
            n_hops=len(found.signs),
            n_complexes=len(found.signs.complexes),
            n_pulses=len(found.signs.pulses),
        )
        self._sequence += 1
        signs = None if self._told is None else found.signs
        self._step(BeatsMessage(header, found.beats, b"", signs=signs))

    def end(self) -> Judged:
        """End the record; return what was decided."""
        source = self._source
        end = EndHeader(
            version=5,
            patient=PATIENT,
            record=source.record,
            sequence=self._sequence,
            sent_ns=0,
            position=source.n_samples,
            reason="complete",
            last=True,
        )
        self._step(end)
        return self._judged()

    def _judged(self) -> Judged:
        judging = self._engine.judging(PATIENT)
        if judging.is_learning:
            raise CannotLearn(judging.note)
        n_leads, length = len(self._leads), self.spec.length if self._keep_values else 0
        losses, worst, ratio, anomalous = (
            zip(*self._decided, strict=True) if self._decided else ((), (), (), ())
        )
        return Judged(
            beats=joined_beats(self._parts, length, n_leads),
            losses=np.array(losses, np.float64).reshape(-1, n_leads),  # None becomes NaN
            worst=np.array(worst, np.intp),
            ratio=np.array(ratio, np.float64),
            anomalous=np.array(anomalous, np.bool_),
            models=judging.models,
            thresholds=np.array(judging.thresholds, np.float64),
            learnt_until=judging.learnt_until,
            note=judging.note,
            learning_cpu_s=self._executor.cpu_s,
            episodes=tuple(self._episodes),
            n_families=judging.n_families,
            status=self._engine.report().patients[0],
        )

    def _step(self, message: Held) -> None:
        self._hear(self._engine.step([message], 0))
        while self._engine.learner.training:  # it is done: what it held can be judged
            self._hear(self._engine.step([], 0))

    def _hear(self, result: StepResult[Message]) -> None:
        if self._told is not None:
            self._told(result)
        for alert in result.alerts:
            if not isinstance(alert, Alert) or alert.kind != "anomalous_beats":
                continue
            first = alert.episode_start_sample
            if alert.state == "onset":
                self._episodes.append(Episode(first, first))
            elif alert.state == "cleared":  # each one is, at the latest with the record
                last = first + round(alert.duration_s * self._source.fs_hz)
                self._episodes[-1] = Episode(first, last)

    def _note(self, beat: ScoredBeat, verdict: Verdict) -> None:
        score = np.nan if beat.score is None else beat.score
        self._decided.append((beat.losses, beat.lead, score, verdict.anomalous is True))


def without_values(beats: Beats) -> Beats:
    """Return beats whose samples are let go: of a long record they are most of the memory."""
    return replace(beats, values=np.zeros((*beats.values.shape[:2], 0), np.float32))


class _NothingBefore:
    """No journal: nothing was said before."""

    identity = origin = "none"
    newest_seq = 0

    def holds(self, identity: str, /) -> bool:
        """Say that no alert was journaled."""
        return False

    def progress(self) -> list[StoredProgress]:
        """Return that no patient was monitored."""
        return []


class _InMemory:
    """No files: models live as long as their patients."""

    def save(
        self, patient: str, checkpoints: Sequence[Checkpoint | None], before: Iterable[str], /
    ) -> list[str | None]:
        """Name the models."""
        return [None if one is None else one.identity for one in checkpoints]

    def load(self, file: str, /) -> Checkpoint:
        """Nothing is restored from here."""
        raise KeyError(file)

    def write_held(self) -> None:
        """Do nothing: what is learnt stays in memory."""

    def take_progress(self, patients: Iterable[str], /) -> None:
        """Nothing is journaled."""

    def forget(self, files: Iterable[str], /) -> None:
        """Nothing was written."""

    def remove_replaced(self) -> None:
        """Nothing was written."""

    def remove_all_but(self, named: Collection[str], /) -> None:
        """Nothing was written."""


class _AtOnce(Executor):
    """Trains in the thread that asks, and stops with the run; `cpu_s` is the time it took."""

    cpu_s = 0.0

    def submit(
        self,
        work: Callable[..., Any],
        /,
        *args: Any,  # noqa: ANN401
        **named: Any,  # noqa: ANN401
    ) -> Future[Any]:
        """Return a future that is done."""
        future: Future[Any] = Future()
        began_s = time.process_time()
        try:
            future.set_result(work(*args, **named, on_epoch=lambda _epoch: check_stop()))
        except CannotLearn as reason:
            future.set_exception(reason)
        self.cpu_s += time.process_time() - began_s
        return future
