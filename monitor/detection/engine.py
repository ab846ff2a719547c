"""Beats -> losses -> alerts for all patients: the consumer's step, without its sockets.

All beats that are ready, of all patients with the same model, are scored in one batch. `admission`
decides which messages come here, `scored_beats` scores them, `learner` holds who is being learnt,
`requests` carries out what a person asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import msgspec

from model.checkpoint import Checkpoint
from model.errors import CannotLearn
from model.evidence_file import load_shipped_weights
from model.families import FamiliesState, kept_by_word
from model.libraries import require_torch
from monitor.detection import admission
from monitor.detection.admission import Admission
from monitor.detection.alert_machine import AlertMachine, Verdict, alert_identity
from monitor.detection.desk import (
    Desk,
    LeadModel,
    PatientModel,
    learnt_model,
    of_everybody,
    shared_model,
)
from monitor.detection.family_marks import family_statuses, told_key
from monitor.detection.learner import Learner
from monitor.detection.learning_phase import Held, Outcome, outcomes_text
from monitor.detection.outside import EngineSettings, Journaled, Models
from monitor.detection.patient import Patient, Saved
from monitor.detection.patient_messages import is_numbered
from monitor.detection.patient_state import read_saved
from monitor.detection.requests import MONITORED, Requests
from monitor.detection.scored_beats import ScoredBeat, score_messages
from monitor.detection.system_alerts import Change
from monitor.detection.timeline import Timeline
from monitor.detection.weighing import ByEvidence, Weigh, by_loss
from monitor.journal.run import JournaledRun
from monitor.journal.writer import Progress
from monitor.step_result import StepResult
from monitor.wire.messages import (
    MONITOR,
    BeatsHeader,
    BeatsMessage,
    ControlRequest,
    EndHeader,
    FamilyStatus,
    Message,
    PatientStatus,
    ShedHeader,
    Stream,
    Technical,
    WardCounts,
)

MOST_SHAPES = 16  # patients in a heartbeat whose families carry their shapes, 1 KB each at most


@dataclass(frozen=True)
class EngineReport:
    """How far all patients are, for the heartbeat."""

    model: str  # identity of the checkpoint that patients begin with
    journal: str
    origin: str  # the journal's first identity
    newest_seq: int
    replayed_s: float  # signal judged since the start, the mean over the patients
    patients: list[PatientStatus]
    ward: WardCounts


@dataclass(frozen=True)
class Judging:
    """What judges one patient's beats."""

    models: tuple[Checkpoint | None, ...]  # of each lead; none of one that could not be learnt
    thresholds: tuple[float, ...]  # of each lead; NaN as above
    is_learning: bool
    learnt_until: int  # sample at which the learning ended; 0 where nothing was to be learnt
    note: str  # what the learning says
    n_families: int  # of anomalous beats that look alike


class Engine:
    """All patients' monitors.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model every patient begins with.
    settings : EngineSettings
        Threshold, learning, false alerts an hour, rules, what losses are weighed by.
    journal : Journaled
        Where patients that were monitored before a restart go on from.
    models : Models
        Where what is learnt of patients is kept.
    executor : Executor
        Trains a model for each lead: it does `learn` of `training_task`, here or elsewhere.
    wall_time : callable
        Returns the wall time as ISO 8601, for display and for the record.
    on_verdict : callable, optional
        Hears of each beat and what was decided about it.
    hears_beats : callable, optional
        Tells of whose beats somebody wants to hear (default: everybody's); alerts are made of all.
    from_scratch, source_waits
        As a `Learner` takes them.

    Attributes
    ----------
    admission : Admission
        What a message must pass before `step` takes it.
    learner : Learner
        Who is being learnt, and whether so much waits for it that no more should be received.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: EngineSettings,
        journal: Journaled,
        models: Models,
        executor: Executor,
        wall_time: Callable[[], str],
        *,
        on_verdict: Callable[[ScoredBeat, Verdict], None] | None = None,
        hears_beats: Callable[[str], bool] = of_everybody,
        from_scratch: bool = False,
        source_waits: bool = True,
    ) -> None:
        self._base = LeadModel.of(checkpoint)
        self._settings = settings
        self._weigh: Weigh = by_loss
        self._verdict = "loss"
        if settings.verdict == "evidence":
            weights = load_shipped_weights()
            self._weigh, self._verdict = ByEvidence(weights), f"evidence {weights.identity}"
        self._models = models
        length = checkpoint.config.length
        self._saved = {
            reached.patient: (reached, read_saved(reached.consumer_state, length))
            for reached in journal.progress()
        }
        named = [saved.learned for _, saved in self._saved.values()]
        self._models.remove_all_but({file for files in named for file in _named(files)})
        self._streams: dict[str, Stream] = {}
        self._patients: dict[str, Patient] = {}
        self._touched: set[str] = set()  # patients who may have something new to journal
        self._ending: set[str] = set()  # ended, and not committed
        # Who may be forgotten when others need the room, the longest ended first; at first those
        # whom the journal holds from before.
        self._gone = {name: None for name, (_, saved) in self._saved.items() if saved.ended}
        self._forgotten: dict[str, list[str]] = {}  # whom the journal may forget; their models
        self._reported = 0  # patients, in the heartbeats of a ward's present turn
        self._reports = 0
        # Families of an earlier stream of a patient, and the leads they were seen in.
        self._families_before: dict[str, tuple[tuple[str, ...], FamiliesState]] = {}
        self._pending: list[Message] = []  # for the next step: what a request gave rise to
        self._desk = Desk(
            AlertMachine(settings.rules.episode),
            lambda: journal.identity,
            journal.holds,
            self._next_seq,
            wall_time,
            on_verdict,
            settings.rules.alarms,
            hears_beats,
        )
        self._journal = journal
        self._newest_seq = journal.newest_seq
        self.admission = Admission(
            checkpoint.spec_identity, length, self._patients.keys(), lambda: bool(self._gone)
        )
        aim = settings.false_alerts_per_hour
        self.learner = Learner(
            checkpoint,
            aim,
            executor,
            self._patients,
            from_scratch=from_scratch,
            source_waits=source_waits,
        )
        self._requests = Requests(self._patients, self.learner, settings.learn_s, self._desk)

    def judging(self, patient: str) -> Judging:
        """Return what judges a patient's beats now."""
        one = self._patients[patient]
        is_learning = one.learning is not None
        models = tuple(None if by is None else by.checkpoint for by in one.model.leads)
        n_families = one.families.next_number - 1
        return Judging(models, one.thresholds, is_learning, one.learnt_until, one.note, n_families)

    def journaled_run(self, streams: list[Stream]) -> JournaledRun:
        """Return what decides the alerts, for the journal to hold a resumed run to."""
        settings = self._settings
        return JournaledRun(
            streams=streams,
            model=self._base.checkpoint.identity,
            rules=settings.rules.identity,
            threshold=settings.threshold,
            learn_s=settings.learn_s,
            false_alerts_per_hour=settings.false_alerts_per_hour,
            verdict=self._verdict,
        )

    def expect(self, streams: Iterable[Stream]) -> None:
        """Take note of the records that will come; open those that were monitored before."""
        for stream in streams:
            self._streams[stream.patient] = stream
            if stream.patient in self._saved:
                self._open(stream)

    def step(self, messages: Sequence[Held], now_ns: int) -> StepResult[Message]:
        """Judge admitted messages, in order, after what a finished training held.

        The result's progress is of the patients that moved on. A patient that is learning has none:
        a restart learns it anew from the start, or from where the learning was asked for.
        """
        result = StepResult[Message]()
        waits_ns = [now_ns - one.sent_ns for one in map(_header, messages)]
        result.lag_s = max(waits_ns, default=0) / 1e9
        self._judge(self.learner.released(self._start_monitoring), now_ns, result)
        ready: list[Held] = []
        for message in messages:
            ready.extend(self._waiting_for_none(message))
            if isinstance(message, EndHeader):  # who is admitted next must see that it ended
                self._judge(ready, now_ns, result)
                ready = []
        self._judge(ready + self.learner.overflow(), now_ns, result)
        self.learner.late(now_ns)
        result.alerts = [one for one in result.messages if is_numbered(one)]
        result.progress = self._take_progress()
        return result

    def carry_out(self, request: ControlRequest) -> str:
        """Do what was asked and return what was done; LookupError if it cannot be done."""
        done = self._requests.carry_out(request)
        self._pending.extend(done.messages)
        self._touched.update(done.patients)
        return done.answer

    def listened(self, seconds: float, *, report: bool) -> None:
        """Take note of so much time in which all that was sent would have been heard.

        Called about once a second. A patient of whom nothing came for too long is reported with the
        next step, unless `report` is False: where a stage before is down, that is reported.
        """
        for name, patient in self._patients.items():
            reports = patient.grow_old(seconds, self._desk, report=report)
            if reports:
                self._pending += reports
                self._touched.add(name)

    def shed(self, header: ShedHeader) -> None:
        """Take note that nothing is sent of a patient until there is room again.

        Raises
        ------
        InvalidMessage
            If nobody can be monitored under this name.
        """
        self.admission.check_name(header.patient)
        patient = self._patients.get(header.patient)
        if patient is None:
            patient = self._open(self._stream_of(header))
        patient.shed(header.position)

    def shed_patients(self) -> list[str]:
        """Return the names of the patients who are shed, in the order of their admission."""
        return [name for name, one in self._patients.items() if one.shed_from is not None]

    def write_models(self) -> None:
        """Write what was learnt and is not kept yet, which progress that is journaled may name.

        Raises
        ------
        JournalFailed
            If that cannot be done; nothing may be journaled then.
        """
        self._models.write_held()

    def committed(self) -> list[str]:
        """Take note that all progress that `step` returned is journaled.

        Returns
        -------
        list of str
            Patients who were forgotten to make room: the journal need not keep their progress.
        """
        self._models.remove_replaced()
        self._gone.update(dict.fromkeys(sorted(self._ending)))
        self._ending.clear()
        forgotten, self._forgotten = self._forgotten, {}
        for files in forgotten.values():  # they go after the next commit: the journal names them
            self._models.forget(files)
        return list(forgotten)

    def _make_room(self) -> None:
        """Forget the longest ended patients, as many as it takes for another one.

        What they were stays in the journal's alerts; one who comes again is a new patient.
        """
        while self._gone and len(self._patients) + len(self._saved) >= admission.MAX_PATIENTS:
            name = next(iter(self._gone))
            del self._gone[name]
            patient, saved = self._patients.pop(name, None), self._saved.pop(name, None)
            self.admission.forget(name)
            if name not in self._streams:  # a record that was announced is not monitored again
                learned = saved[1].learned if saved is not None else ()
                self._forgotten[name] = _named(learned if patient is None else patient.learned)

    def report(self, most: int | None = None) -> EngineReport:
        """Return how far every patient is; or of at most so many, in turn from call to call."""
        names = list(self._patients)
        if most is not None and len(names) > most:
            first, self._reported = self._reported, (self._reported + most) % len(names)
            names = (names[first:] + names[:first])[:most]
        self._reports += 1
        told = self._families_to_tell(names, of_all=most is None)
        return EngineReport(
            model=self._base.checkpoint.identity,
            journal=self._journal.identity,
            origin=self._journal.origin,
            newest_seq=self._newest_seq,
            replayed_s=self._replayed_s(),
            patients=[self._status(self._patients[name], name, told.get(name)) for name in names],
            ward=self._ward_counts(),
        )

    def _status(
        self, patient: Patient, name: str, families: list[FamilyStatus] | None
    ) -> PatientStatus:
        learning = patient.learning
        ahead = 0 if learning is None else self.learner.ahead(learning)
        return patient.status(name, self._desk, ahead, families)

    def _families_to_tell(
        self, names: Sequence[str], *, of_all: bool
    ) -> dict[str, list[FamilyStatus]]:
        """Return the families of those patients who carry them in this heartbeat, with shapes.

        Of many those whose families or words have changed, then those told longest ago; so a
        heartbeat of 200 patients grows by those of 16. `of_all`: the others' without shapes.
        """
        keys = {name: told_key(self._patients[name].families) for name in names}

        def told_before(name: str) -> tuple[bool, int]:
            key, when = self._patients[name].families_told
            return key == keys[name], when

        having = [name for name in names if keys[name]]
        carrying = set(sorted(having, key=told_before)[:MOST_SHAPES])
        told: dict[str, list[FamilyStatus]] = {}
        for name in names:
            patient, with_shapes = self._patients[name], name in carrying
            if with_shapes:
                patient.families_told = keys[name], self._reports
            if with_shapes or of_all or not keys[name]:
                told[name] = family_statuses(patient.families, with_shapes=with_shapes)
        return told

    def report_monitor(self, change: Change) -> None:
        """Report with the next step that the monitor itself is in trouble, or no longer."""
        self._pending.append(self.monitor_alert(change, self._desk.next_seq()))

    def monitor_alert(self, change: Change, seq: int) -> Technical:
        """Return a technical alert of the monitor itself; one of number 0 is not journaled."""
        return Technical(
            schema=1,
            patient=MONITOR,
            record=MONITOR,
            lead="-",
            sample=0,
            time_s=0.0,
            wall_time=self._desk.wall_time(),
            id=alert_identity(MONITOR, self._desk.journal, change.event, seq),
            seq=seq,
            journal=self._desk.journal,
            event=change.event,
            state="onset" if change.onset else "cleared",
            text=change.text,
        )

    def _judge(self, ready: Sequence[Held], now_ns: int, result: StepResult[Message]) -> None:
        """Score the beats of messages together, then judge them in order."""
        of_beats = [one for one in ready if isinstance(one, BeatsMessage)]
        scores = score_messages(of_beats, self._patients, self._weigh)
        result.messages += self._pending
        self._pending = []
        for message in ready:
            if isinstance(message, BeatsMessage):
                patient = self._patients[message.header.patient]
                result.messages += patient.judge(message, next(scores), self._desk, now_ns)
                self._touched.add(message.header.patient)
                result.kept += patient.kept
                patient.kept.clear()
            elif message.patient in self._patients:
                result.messages += self._patients[message.patient].finish(message, self._desk)
                self._touched.add(message.patient)
                self._ending.add(message.patient)

    def _take_progress(self) -> list[Progress[Saved]]:
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
        self._models.take_progress(name for name, _ in moved)
        return [patient.progress(name) for name, patient in moved]

    def _waiting_for_none(self, message: Held) -> list[Held]:
        """Return what of a message can be judged now; a training holds the rest."""
        if isinstance(message, EndHeader):
            patient = self._patients.get(message.patient)
        else:
            header = message.header
            patient = self._patients.get(header.patient)
            if patient is None or (patient.state == "ended" and _begins_anew(patient, header)):
                self._forget_unless_continued(header)
                patient = self._open(self._stream_of(header))
                patient.verdict_sample = max(patient.verdict_sample, header.first_sample)
            elif patient.state == "ended":
                return [message]
            if (header.leads, header.fs_hz) != (patient.stream.leads, patient.stream.fs_hz):
                patient = self._open_other(patient, header)
            message, reports = patient.on_timeline(message, self._desk)
            self._pending += reports
            message = patient.unjudged(message)
            if patient.learning is not None:  # whose beats may wait for minutes
                self._pending += patient.hear_signs(message, self._desk)
        if patient is None or patient.learning is None:
            return [message]
        return patient.learning.admit(message)

    def _forget_unless_continued(self, header: BeatsHeader) -> None:
        """Forget what an old journal holds of a patient whom a sender begins again."""
        before = self._saved.get(header.patient)
        if before is None or header.stretch == before[1].timeline.stretch:
            return
        if header.position <= before[0].position:
            del self._saved[header.patient]
            self._families_before[header.patient] = before[1].leads, before[1].families

    def _stream_of(self, header: BeatsHeader | ShedHeader) -> Stream:
        announced = self._streams.get(header.patient)
        return announced or Stream(
            patient=header.patient,
            record=header.record,
            leads=header.leads,
            fs_hz=header.fs_hz,
            first_sample=(
                header.first_sample if isinstance(header, BeatsHeader) else header.position
            ),
            n_samples=None,
        )

    def _open_other(self, before: Patient, header: BeatsHeader) -> Patient:
        """Begin a patient anew who has other leads or another rate: what was learnt is of those.

        Time goes on from where it had come.
        """
        self._pending += before.close(before.position, self._desk)
        reached = round(before.position / before.stream.fs_hz * header.fs_hz)
        stream = Stream(
            patient=header.patient,
            record=header.record,
            leads=header.leads,
            fs_hz=header.fs_hz,
            first_sample=max(reached, header.first_sample),
            n_samples=None,
        )
        patient = self._open(stream)
        patient.timeline = Timeline(before.timeline.stretch, 0, reached)
        return patient

    def _open(self, stream: Stream) -> Patient:
        """Begin a patient, or go on with one of the journal; a person's words for families stay."""
        before = self._saved.pop(stream.patient, None)
        earlier = self._patients.get(stream.patient)
        if earlier is not None:
            self._families_before[stream.patient] = tuple(earlier.stream.leads), earlier.families
        leads, families = self._families_before.pop(stream.patient, ((), FamiliesState()))
        if before is not None:  # where others come, it is closed and begun anew with the first
            stream = msgspec.structs.replace(stream, leads=[*before[1].leads])
        patient = Patient(
            stream=stream,
            model=shared_model(self._base, len(stream.leads), self._settings.threshold),
            learning=None,
            position=stream.first_sample,
        )
        if leads == tuple(stream.leads):
            patient.families = kept_by_word(families)
        self._ending.discard(stream.patient)
        self._gone.pop(stream.patient, None)
        self._forgotten.pop(stream.patient, None)
        if stream.patient not in self._patients:
            self._make_room()
        self._patients[stream.patient] = patient
        if before is not None:
            reached, saved = before
            patient.position = reached.position
            model = self._model_of(saved) or patient.model
            patient.restore(saved, model, reached.segmenter_state)
            if saved.relearn_until is not None:
                require_torch()
                patient.learning = self.learner.begin(stream.patient, saved.relearn_until)
                of_stages = (reached.patient, reached.position, reached.segmenter_state)
                patient.relearn_from = Progress(*of_stages, saved)
        elif self._settings.learn_s is not None:
            until = stream.first_sample + round(self._settings.learn_s * stream.fs_hz)
            patient.learning = self.learner.begin(stream.patient, until)
            patient.alarms.learn(until)
        return patient

    def _model_of(self, saved: Saved) -> PatientModel | None:
        """Return what was learnt of a patient; None where nothing was."""
        if not saved.learned:
            return None
        learnt = [None if file is None else self._models.load(file) for file in saved.learned]
        return learnt_model(learnt, self._settings.threshold)

    def _start_monitoring(self, patient: Patient, outcomes: Sequence[Outcome]) -> None:
        learnt = [None if isinstance(one, CannotLearn) else one.checkpoint for one in outcomes]
        name, before = patient.stream.patient, _named(patient.learned)
        files = self._models.save(name, learnt, before)
        note = outcomes_text(patient.stream.leads, outcomes)
        model = learnt_model(learnt, self._settings.threshold)
        why = [str(one) if isinstance(one, CannotLearn) else "" for one in outcomes]
        self._pending += patient.start_monitoring(model, files, note, why, self._desk)

    def _replayed_s(self) -> float:
        judged_s = [
            (one.position - one.stream.first_sample) / one.stream.fs_hz
            for one in self._patients.values()
        ]
        return sum(judged_s) / len(judged_s) if judged_s else 0.0

    def _ward_counts(self) -> WardCounts:
        patients = self._patients.values()
        states = Counter(one.state for one in patients)
        return WardCounts(
            learning=states["learning"],
            monitoring=states["monitoring"],
            ended=states["ended"],
            technical=sum(bool(one.alert_state.technical) for one in patients),
            latched=sum(one.latched for one in patients),
            shed=sum(one.shed_from is not None for one in patients),
            beats=sum(one.counts.beats for one in patients),
            lag_s=max((one.lag_s for one in patients if _is_waited_for(one)), default=0.0),
        )

    def _next_seq(self) -> int:
        self._newest_seq += 1
        return self._newest_seq


def _named(files: Iterable[str | None]) -> list[str]:
    """Return the files of the leads that have one."""
    return [file for file in files if file is not None]


def _begins_anew(patient: Patient, header: BeatsHeader) -> bool:
    """Tell whether an ended patient's stream comes again."""
    return header.n_beats > 0 or header.stretch != patient.timeline.stretch


def _is_waited_for(patient: Patient) -> bool:
    """Tell whether a patient's lag is one.

    Not of who has ended or is shed, nor while beats are collected.
    """
    if patient.shed_from is not None:
        return False
    training = patient.learning is not None and patient.learning.training
    return training or patient.state == MONITORED


def _header(message: Held) -> BeatsHeader | EndHeader:
    return message if isinstance(message, EndHeader) else message.header
