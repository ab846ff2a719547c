"""Beats -> losses -> alerts for all patients: the consumer's step, without its sockets.

All beats that are ready, of all patients with the same model, are scored in one batch.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.checkpoint import Checkpoint
from model.errors import CannotLearn
from model.libraries import TORCH_MISSING, require_torch, torch_is_installed
from model.tracking import put_back, track_all
from monitor.detection.alert_machine import AlertMachine, alert_identity
from monitor.detection.learning_phase import Held, LearningPhase
from monitor.detection.model_store import LearnedFiles
from monitor.detection.patient import Desk, Model, Patient, Saved, is_numbered
from monitor.detection.patient_state import read_saved
from monitor.detection.scored_beats import ScoredBeat, scored_beats
from monitor.detection.system_alerts import Change
from monitor.errors import InvalidMessage, SpecMismatch
from monitor.journal.kept_beats import KeptBeat
from monitor.journal.run import JournaledRun
from monitor.journal.writer import Journal, Progress
from monitor.settings import ConsumerSettings
from monitor.wire.messages import (
    MIN_THRESHOLD,
    MONITOR,
    AckRequest,
    Alert,
    BeatsHeader,
    BeatsMessage,
    ControlRequest,
    EndHeader,
    Message,
    PatientStatus,
    RelearnRequest,
    Stream,
    Technical,
    ThresholdRequest,
    WardCounts,
    joined_messages,
)

if TYPE_CHECKING:  # with torch, which takes seconds and 200 MB; only who learns needs it
    from model.learning import Learned
    from model.training import Epoch

MAX_PATIENTS = 10_000
MONITORED = "monitoring"  # the state of a patient whose beats get verdicts
RELEARN_S = 300.0  # what is learnt anew on request, where the run itself learns nothing
MAX_HELD = 256  # messages of a patient in training; then the stage receives no more


class LearningStopped(Exception):
    """The process leaves; the training is given up."""


class Judge:
    """All patients' monitors.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model every patient begins with.
    settings : ConsumerSettings
        Threshold, learning, false alerts an hour.
    journal : Journal
        Where patients that were monitored before a restart go on from.
    learner : Executor
        Trains a patient's model; one worker, so that trainings do not fight for the cores.
    wall_time : callable
        Returns the wall time as ISO 8601, for display and for the record.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: ConsumerSettings,
        journal: Journal,
        learner: Executor,
        wall_time: Callable[[], str],
    ) -> None:
        self._base = Model.of(checkpoint)
        self._settings = settings
        self._files = LearnedFiles(Path(settings.journal).parent, journal.identity)
        self._learner = learner
        self._leaving = threading.Event()
        length = checkpoint.config.length
        self._saved = {
            reached.patient: (reached, read_saved(reached.consumer_state, length))
            for reached in journal.progress()
        }
        named = {saved.learned for _, saved in self._saved.values()}
        self._files.remove_all_but({file for file in named if file is not None})
        self._streams: dict[str, Stream] = {}
        self._patients: dict[str, Patient] = {}
        self._touched: set[str] = set()  # patients who may have something new to journal
        self._learning: set[str] = set()  # and who may be learning
        self._kept: list[KeptBeat] = []
        self._told_of = 0  # patients, in the heartbeats of a ward's present turn
        self._to_say: list[Message] = []  # with the next step: what a request gave rise to
        self._reached: dict[str, tuple[int, int]] = {}  # next sequence and last R peak of a stream
        self._desk = Desk(
            AlertMachine(settings.rules.episode),
            journal.identity,
            journal.holds,
            self._next_seq,
            wall_time,
        )
        self.journal = journal.identity
        self.newest_seq = journal.newest_seq
        self.newest_lag_s = 0.0  # of the step before: of the patient who waited longest

    @property
    def model(self) -> str:
        """Identity of the checkpoint that patients begin with."""
        return self._base.checkpoint.identity

    @property
    def full(self) -> bool:
        """Whether so much waits for a training that no more should be received."""
        return any(len(phase.held) >= MAX_HELD for _, phase in self._learners())

    @property
    def training(self) -> bool:
        """Whether a model is being trained."""
        return any(phase.training for _, phase in self._learners())

    @property
    def replayed_s(self) -> float:
        """Signal judged since the start, the mean over the patients."""
        judged_s = [
            (one.position - one.stream.first_sample) / one.stream.fs_hz
            for one in self._patients.values()
        ]
        return sum(judged_s) / len(judged_s) if judged_s else 0.0

    def run(self, streams: list[Stream]) -> JournaledRun:
        """Return what decides the alerts, for the journal to hold a resumed run to."""
        settings = self._settings
        return JournaledRun(
            streams=streams,
            model=self.model,
            rules=settings.rules.identity,
            threshold=settings.threshold,
            learn_s=settings.learn_s,
            false_alerts_per_hour=settings.false_alerts_per_hour,
        )

    def expect(self, streams: Iterable[Stream]) -> None:
        """Take note of the records that will come; open those that were monitored before."""
        for stream in streams:
            self._streams[stream.patient] = stream
            if stream.patient in self._saved:
                self._open(stream)

    def leave(self) -> None:
        """Give up what is being trained."""
        self._leaving.set()

    def check(self, message: BeatsMessage) -> None:
        """Raise SpecMismatch or InvalidMessage if the beats cannot be judged here."""
        header, expected = message.header, self._base.checkpoint.spec_identity
        if header.spec != expected:
            raise SpecMismatch(
                f"checkpoint expects beats of spec {expected}, these are {header.spec}; start the "
                "segmenter with the checkpoint's --window, or use another --checkpoint"
            )
        if header.length != self._base.checkpoint.config.length:
            raise InvalidMessage(f"beats of {header.length} samples under spec {header.spec}")
        if header.patient == MONITOR:
            raise InvalidMessage(f"{MONITOR!r} is the name of the monitor itself, of no patient")
        if header.patient not in self._patients and len(self._patients) >= MAX_PATIENTS:
            raise InvalidMessage(f"more than {MAX_PATIENTS} patients")

    def hole_before(self, message: Held) -> bool:
        """Take note of a message's place in its stream; say whether some before it were lost.

        Raises
        ------
        InvalidMessage
            If its beats, or later ones, have come before.
        """
        if isinstance(message, EndHeader):
            self._reached.pop(message.patient, None)
            return False
        header = message.header
        expected, last_r = self._reached.get(header.patient, (header.sequence, -1))
        first_r = message.first_r_sample if header.n_beats else last_r + 1
        if header.sequence < expected or first_r <= last_r:
            raise InvalidMessage(f"{header.patient}: these beats have come before")
        newest_r = message.last_r_sample if header.n_beats else last_r
        self._reached[header.patient] = header.sequence + 1, newest_r
        return header.sequence > expected

    def step(self, messages: Sequence[Held], now_ns: int) -> list[Message]:
        """Judge messages that passed `check`, in order, after what a finished training held."""
        said = self._judge_batch(self._released(), now_ns)
        ready: list[Held] = []
        self.newest_lag_s = max(
            [(now_ns - one.sent_ns) / 1e9 for one in map(_header, messages)] or [0]
        )
        for message in messages:
            ready.extend(self._admit(message))
            if isinstance(message, EndHeader):  # who is admitted next must see that it ended
                said.extend(self._judge_batch(ready, now_ns))
                ready = []
        return [*said, *self._judge_batch(ready, now_ns)]

    def _judge_batch(self, ready: Sequence[Held], now_ns: int) -> list[Message]:
        """Score the beats of messages together, then judge them in order."""
        scores = self._score([one for one in ready if isinstance(one, BeatsMessage)])
        said, self._to_say = self._to_say, []
        for message in ready:
            if isinstance(message, BeatsMessage):
                patient = self._patient_of(message)
                said.extend(patient.judge(message, next(scores), self._desk, now_ns))
                self._touched.add(message.header.patient)
                self._kept += patient.kept
                patient.kept.clear()
            elif message.patient in self._patients:
                said.extend(self._patients[message.patient].finish(message, self._desk))
                self._touched.add(message.patient)
        return said

    def carry_out(self, request: ControlRequest) -> str:
        """Do what was asked and say what was done; LookupError if it cannot be done."""
        match request:
            case ThresholdRequest():
                return self.set_threshold(request)
            case RelearnRequest():
                return self.relearn(request)
            case AckRequest():
                return self.acknowledge(request)

    def acknowledge(self, request: AckRequest) -> str:
        """Take note that one patient's high alert was seen, or everybody's."""
        said = [
            message
            for name in self._named(request.patient)
            for message in self._patients[name].acknowledge(self._desk)
        ]
        if not said:
            raise LookupError("nothing to acknowledge")
        self._to_say.extend(said)
        self._touched.update(one.patient for one in numbered(said))
        return f"acknowledged: {', '.join(one.patient for one in numbered(said))}"

    def say_of_monitor(self, change: Change) -> None:
        """Say with the next step that the monitor itself is in trouble, or no longer."""
        self._to_say.append(self.of_monitor(change, self._desk.next_seq()))

    def of_monitor(self, change: Change, seq: int) -> Technical:
        """Return a technical alert of the monitor itself; one of number 0 is not journaled."""
        return Technical(
            schema=1,
            patient=MONITOR,
            record=MONITOR,
            lead="-",
            sample=0,
            time_s=0.0,
            wall_time=self._desk.wall_time(),
            id=alert_identity(MONITOR, self.journal, change.event, seq),
            seq=seq,
            journal=self.journal,
            event=change.event,
            state="onset" if change.onset else "cleared",
            text=change.text,
        )

    def relearn(self, request: RelearnRequest) -> str:
        """Learn one patient's normal anew, or all patients', from the signal that comes."""
        if not torch_is_installed():
            raise LookupError(TORCH_MISSING)
        chosen = [
            name for name in self._named(request.patient) if self._patients[name].state == MONITORED
        ]
        if not chosen:
            raise LookupError("nothing to learn anew: learning already, or nobody is monitored")
        learn_s = self._settings.learn_s or RELEARN_S
        for name in chosen:
            patient = self._patients[name]
            until_sample = patient.position + round(learn_s * patient.stream.fs_hz)
            learning = LearningPhase(until_sample, self._train)
            self._to_say.extend(patient.relearn(name, learning, self._desk))
            self._learning.add(name)
            self._touched.add(name)
        return f"learning {', '.join(chosen)} for {learn_s:g} s"

    def _named(self, patient: str | None) -> list[str]:
        if patient is not None and patient not in self._patients:
            raise LookupError(f"no patient {patient!r} is monitored")
        return list(self._patients) if patient is None else [patient]

    def set_threshold(self, request: ThresholdRequest) -> str:
        """Change one patient's threshold, or all; LookupError if there is none to change."""
        named = self._named(request.patient)
        chosen = [name for name in named if self._patients[name].learning is None]
        if not chosen:
            raise LookupError("no threshold to move: still learning, or nobody is monitored")
        for name in chosen:
            patient = self._patients[name]
            value = patient.threshold if request.value is None else request.value
            patient.threshold = float(np.clip(value * (request.factor or 1.0), MIN_THRESHOLD, 1e6))
            patient.moved_on = True
            self._touched.add(name)
        return ", ".join(f"{name}: {self._patients[name].threshold:.1f}" for name in chosen)

    def patients(self, most: int | None = None) -> list[PatientStatus]:
        """Return how far every patient is; or of at most so many, in turn from call to call."""
        names = list(self._patients)
        if most is not None and len(names) > most:
            first, self._told_of = self._told_of, (self._told_of + most) % len(names)
            names = (names[first:] + names[:first])[:most]
        return [self._patients[name].status(name) for name in names]

    def ward(self) -> WardCounts:
        """Return what is to be said of all patients together."""
        patients = self._patients.values()
        states = Counter(one.state for one in patients)
        return WardCounts(
            learning=states["learning"],
            monitoring=states["monitoring"],
            ended=states["ended"],
            technical=sum(bool(one.alert_state.technical) for one in patients),
            latched=sum(one.alert_state.latched for one in patients),
            beats=sum(one.counts.beats for one in patients),
            lag_s=max((one.lag_s for one in patients if one.state == MONITORED), default=0.0),
        )

    def take_progress(self) -> list[Progress]:
        """Return what is to be journaled of the patients that moved on since the last call.

        A patient that is learning is not journaled: a restart learns it anew from the start, or
        from where the learning was asked for.
        """
        touched = [(name, self._patients[name]) for name in sorted(self._touched)]
        self._touched.clear()
        moved = [
            (name, one)
            for name, one in touched
            if one.moved_on
            and one.segmenter_state
            and (one.learning is None or one.relearn_from is not None)
        ]
        for _, patient in moved:
            patient.moved_on = False
        self._files.take_progress(name for name, _ in moved)
        return [patient.progress(name) for name, patient in moved]

    def progress_kept(self) -> None:
        """Take note that all progress that was taken is journaled."""
        self._files.remove_replaced()

    def take_kept(self) -> list[KeptBeat]:
        """Return the beats beside alerts that are to be journaled since the last call."""
        kept, self._kept = self._kept, []
        return kept

    def _admit(self, message: Held) -> list[Held]:
        if isinstance(message, EndHeader):
            patient = self._patients.get(message.patient)
        else:
            patient = self._patients.get(message.header.patient)
            if patient is None or (patient.state == "ended" and message.header.n_beats > 0):
                self._forget_unless_continued(message.header)
                patient = self._open(self._stream_of(message.header))
            message = patient.unjudged(message)
        if patient is None or patient.learning is None:
            return [message]
        return patient.learning.admit(message)

    def _forget_unless_continued(self, header: BeatsHeader) -> None:
        """Judge anew what nobody announced and a sender began again, into a journal that is old."""
        before = self._saved.get(header.patient)
        if before is not None and header.position <= before[0].position:
            del self._saved[header.patient]

    def _stream_of(self, header: BeatsHeader) -> Stream:
        announced = self._streams.get(header.patient)
        return announced or Stream(
            patient=header.patient,
            record=header.record,
            lead=header.lead,
            fs_hz=header.fs_hz,
            first_sample=0,
            n_samples=None,
        )

    def _open(self, stream: Stream) -> Patient:
        patient = Patient(
            stream=stream,
            model=self._base,
            threshold=self._settings.threshold or self._base.checkpoint.threshold.value,
            learning=None,
            position=stream.first_sample,
        )
        before = self._saved.pop(stream.patient, None)
        if before is not None:
            progress, saved = before
            patient.position = progress.position
            patient.restore(saved, self._model_of(saved), progress.segmenter_state)
            if saved.relearn_until is not None:
                require_torch()
                patient.learning = LearningPhase(saved.relearn_until, self._train)
                patient.relearn_from = progress
        elif self._settings.learn_s is not None:
            until = stream.first_sample + round(self._settings.learn_s * stream.fs_hz)
            patient.learning = LearningPhase(until, self._train)
        self._patients[stream.patient] = patient
        if patient.learning is not None:
            self._learning.add(stream.patient)
        return patient

    def _model_of(self, saved: Saved) -> Model:
        if saved.learned is None:
            return self._base
        return Model.of(self._files.load(saved.learned))

    def _learners(self) -> Iterator[tuple[Patient, LearningPhase]]:
        for name in sorted(self._learning):
            patient = self._patients[name]
            if patient.learning is not None:
                yield patient, patient.learning
            else:
                self._learning.discard(name)

    def _train(
        self, beats: NDArray[np.float32], rr_before_ms: NDArray[np.float32]
    ) -> Future[Learned]:
        checkpoint = self._base.checkpoint

        def learn(beats: NDArray[np.float32], rr_before_ms: NDArray[np.float32]) -> Learned:
            from model.learning import learn_patient

            return learn_patient(
                beats,
                checkpoint.spec,
                checkpoint.spec_identity,
                checkpoint,
                rr_before_ms=rr_before_ms,
                false_alerts_per_hour=self._settings.false_alerts_per_hour,
                on_epoch=self._perhaps_leave,
            )

        return self._learner.submit(learn, beats, rr_before_ms=rr_before_ms)

    def _perhaps_leave(self, epoch: Epoch) -> None:
        if self._leaving.is_set():
            raise LearningStopped

    def _released(self) -> list[Held]:
        """Return what was held for trainings that have ended."""
        released: list[Held] = []
        for patient, phase in list(self._learners()):
            try:
                learned = phase.learned()
            except CannotLearn as reason:
                released.extend(phase.learn_on(reason, patient.stream.fs_hz))
                continue
            if learned is not None:
                self._start_monitoring(patient, learned)
                released.extend(phase.held)
        return released

    def _start_monitoring(self, patient: Patient, learned: Learned) -> None:
        checkpoint = learned.checkpoint
        file = self._files.save(patient.stream.patient, checkpoint, patient.learned)
        threshold = self._settings.threshold or checkpoint.threshold.value
        patient.start_monitoring(Model.of(checkpoint), threshold, file, learned.note)

    def _score(self, messages: Sequence[BeatsMessage]) -> Iterator[Sequence[ScoredBeat]]:
        """Score the beats of all messages, one batch a model; results in the messages' order."""
        by_model: dict[int, list[int]] = {}
        for index, message in enumerate(messages):
            by_model.setdefault(id(self._patient_of(message).model), []).append(index)
        parts: dict[int, Sequence[ScoredBeat]] = {}
        for indices in by_model.values():
            together = [messages[index] for index in indices]
            scored = iter(self._score_batch(self._patient_of(together[0]).model, together))
            for index, message in zip(indices, together, strict=True):
                parts[index] = [*islice(scored, message.header.n_beats)]
        return iter([parts[index] for index in range(len(messages))])

    def _score_batch(self, model: Model, messages: Sequence[BeatsMessage]) -> list[ScoredBeat]:
        """Score beats by one model; the rhythm and drift of their patients move on."""
        patients = {one.header.patient: self._patient_of(one) for one in messages}
        counts = [(one.header.patient, one.header.n_beats) for one in messages]
        beats = joined_messages(messages, model.checkpoint.config.length)
        states, tracked = track_all(
            {name: patient.track for name, patient in patients.items()},
            counts,
            beats.values,
            beats.rr_before_ms,
            beats.judgeable,
            model.scorer.template,
            model.checkpoint.normal,
        )
        for name, patient in patients.items():
            patient.track = states[name]
        # Of one that learns nothing is scored yet.
        monitored = [patients[name].learning is None for name, n in counts for _ in range(n)]
        rows = beats.judgeable & np.array(monitored, np.bool_)
        scored = put_back(tracked, model.scorer.reconstruct(tracked.inputs[rows]), rows)
        return scored_beats(beats, scored)

    def _patient_of(self, message: BeatsMessage) -> Patient:
        return self._patients[message.header.patient]

    def _next_seq(self) -> int:
        self.newest_seq += 1
        return self.newest_seq


def _header(message: Held) -> BeatsHeader | EndHeader:
    return message if isinstance(message, EndHeader) else message.header


def numbered(messages: Iterable[Message]) -> list[Alert | Technical]:
    """Return the messages that carry a sequence number and are journaled."""
    return [one for one in messages if is_numbered(one)]
