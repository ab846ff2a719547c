"""One patient's monitor: losses -> marks, episodes, messages; its counts; what a restart needs."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import msgspec
import numpy as np

from model.evidence import EvidenceState, UsualLead
from model.families import FamiliesState, Placed, hear, kept_by_word, marked
from model.prematurity import TimingState
from model.tracking import Drift
from monitor.detection.alarm_messages import LEAD_UNREAD, inhibited_kinds
from monitor.detection.alert_machine import (
    AlertState,
    Transition,
    Verdict,
)
from monitor.detection.desk import Desk, PatientModel
from monitor.detection.explanation import verdict_of
from monitor.detection.family_marks import is_called_normal, take_word
from monitor.detection.learning_phase import LearningPhase
from monitor.detection.model_fit import (
    FITS,
    ModelFit,
    doubted_anew,
    leads_without_fit,
    no_lead_fits,
    unfit_leads,
    unfit_text,
)
from monitor.detection.named_alarms import NamedAlarms, NoBeat, acknowledged
from monitor.detection.patient_messages import (
    TECHNICAL_TEXTS,
    beat_alert,
    beat_scored,
    episode_alert,
    is_numbered,
    mark_alert,
    technical,
)
from monitor.detection.rhythm.patient_alarms import AlarmsState
from monitor.detection.scored_beats import ScoredBeat
from monitor.detection.timeline import Timeline
from monitor.detection.verdict_watch import SILENT_S, reports
from monitor.journal.kept_beats import AlertContext, KeptBeat, take_beat
from monitor.journal.writer import Progress
from monitor.wire.messages import (
    SHED,
    BeatsHeader,
    BeatsMessage,
    EndHeader,
    FamilyStatus,
    MarkRequest,
    Message,
    PatientKind,
    PatientStatus,
    RecordEvent,
    SignalKind,
    Stream,
    joined_leads,
)
from segmenter.beat import Quality

NOISY = int(Quality.NOISY)  # an IntFlag takes a microsecond to combine
UNHEARD_S = 4.0  # so long without a sample is reported; a message comes at least once a second
RATE_BEATS = 8  # RR intervals behind the shown heart rate
OF_SIGNAL: tuple[PatientKind, ...] = (*get_args(SignalKind), "two_senders")
NO_RATE = {
    "no_verdict",
    "signal_lost",
    "stream_restarted",
}  # while one lasts there is no heart rate to be shown
# Of a patient who was restored: what was said when it was learnt is not kept.
LEARNT_BEFORE = "learnt before; the journal kept the model"


class Counts(msgspec.Struct, frozen=True):
    """What is counted of a patient; frozen, since progress waits for its commit."""

    beats: int = 0
    anomalous: int = 0
    alerts: int = 0  # onsets
    withheld: int = 0  # beats without a verdict, those of the learning phase apart
    judged: int = 0  # beats with a verdict


class Saved(msgspec.Struct, frozen=True):
    """What goes on after a restart, beside the segmenter's own state; of each lead in order."""

    leads: tuple[str, ...]
    alert_state: AlertState
    counts: Counts
    factor: float  # that a person moved all thresholds by
    learned: tuple[str | None, ...]  # files; none of a lead that is left out; () is the base
    ended: bool
    context: AlertContext = AlertContext()
    timing: TimingState = msgspec.field(default_factory=TimingState)
    drifts: tuple[list[float] | None, ...] = ()
    relearn_until: int | None = None  # a learning that was asked for ends there
    judged_r: int = -1  # the last R peak judged; the segmenter's state may be of an earlier sample
    verdict_sample: int | None = None  # when the newest verdict became possible
    timeline: Timeline = Timeline()
    unheard: bool = False
    fits: tuple[ModelFit, ...] = ()
    left_out: tuple[str, ...] = ()  # leads that cannot be read, while others can
    weighed: EvidenceState = msgspec.field(default_factory=EvidenceState)
    families: FamiliesState = msgspec.field(default_factory=FamiliesState)
    alarms: AlarmsState = AlarmsState()


@dataclass
class Patient:
    """One patient's monitor.

    Attributes
    ----------
    position : int
        Samples judged, from the record's start.
    judged_r : int
        The last R peak that was judged, -1 before the first.
    verdict_sample : int
        The sample at which the newest verdict became possible; where the stream began before one.
    timeline : Timeline
        Where the stretch of samples that is judged lies.
    heard, unheard_s, unheard
        Whether samples came since `grow_old` was last called; for how long none did; whether that
        was reported.
    shed_from : int or None
        The sample of the sender's from which on nothing is sent of the patient, because the monitor
        is overloaded; None while samples come. It is reported of all together, not of each.
    segmenter_state, state_position
        What the segmenter last sent of itself, and the sample it is of: a restart begins there, and
        passes over the beats up to `judged_r`, which the rest of the patient's state has seen.
    learning : LearningPhase or None
        The phase that has not yet ended.
    learnt_until : int
        The sample up to which was learnt, where a learning of this process has ended.
    model : PatientModel
        What judges each lead.
    factor : float
        That a person moved all thresholds by.
    learned : tuple of str or None
        Files of the checkpoints that were learnt, a lead each, for a restart; empty where nothing
        was, None of a lead that could not be learnt.
    timing : TimingState
        The rhythm that is followed.
    drifts : list of np.ndarray or None
        Of each lead: its template now minus the learnt one.
    relearn_from : Progress or None
        What a restart goes on from while a learning that was asked for lasts: where it began.
    fits : tuple of ModelFit
        Whether each lead's model fits; while none does, the verdicts raise no alert.
    left_out : tuple of str
        Leads that cannot be read while others can, as the segmenter says.
    weighed : EvidenceState
        What is followed to weigh evidence: the rhythm, usual losses, noise.
    families : FamiliesState
        Anomalous beats that look alike.
    alarms : NamedAlarms
        Asystole and its kin, from the signs of the signal.
    families_told : tuple
        What was told of them last with their shapes, and in which heartbeat.
    moved_on : bool
        Whether there is something new to journal.
    kept : list of KeptBeat
        Beats beside alerts that are to be journaled.
    """

    stream: Stream
    model: PatientModel
    learning: LearningPhase | None
    position: int
    factor: float = 1.0
    alert_state: AlertState = field(default_factory=AlertState)
    counts: Counts = field(default_factory=Counts)
    judged_r: int = -1
    verdict_sample: int = -1
    timeline: Timeline = field(default_factory=Timeline)
    heard: bool = True
    unheard_s: float = 0.0
    unheard: bool = False
    shed_from: int | None = None
    segmenter_state: bytes = b""
    state_position: int = 0
    learned: tuple[str | None, ...] = ()
    ended: bool = False
    stopped: bool = False  # by a person, before the record's end; not journaled
    moved_on: bool = False
    context: AlertContext = field(default_factory=AlertContext)
    kept: list[KeptBeat] = field(default_factory=list)
    note: str = ""
    learnt_until: int = 0
    lag_s: float = 0.0
    timing: TimingState = field(default_factory=TimingState)
    drifts: list[Drift | None] = field(default_factory=list)
    relearn_from: Progress[Saved] | None = None
    fits: tuple[ModelFit, ...] = ()
    left_out: tuple[str, ...] = ()
    weighed: EvidenceState = field(default_factory=EvidenceState)
    families: FamiliesState = field(default_factory=FamiliesState)
    families_told: tuple[Sequence[tuple[int, str]], int] = ((), 0)
    thresholds: tuple[float, ...] = ()  # of each lead; NaN of one that is not judged
    alarms: NamedAlarms = field(init=False)
    _rr_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RATE_BEATS))
    _is_unfit: bool = False  # no lead's model fits
    _silent_samples: int = 0
    _leads: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.alarms = NamedAlarms(self.stream)
        self._silent_samples = round(SILENT_S * self.stream.fs_hz)
        if self.verdict_sample < 0:
            self.verdict_sample = self.position
        self._judge_by(self.model, self.factor)
        self._leads = tuple(self.stream.leads)

    def _judge_by(self, model: PatientModel, factor: float) -> None:
        """Judge by these models from now on: nothing is known of their fit, nothing followed."""
        n_leads = len(model.leads)
        self.model, self.factor = model, factor
        self.thresholds = model.thresholds(factor)
        self.drifts, self.fits = [None] * n_leads, (ModelFit(),) * n_leads
        self._is_unfit = False

    @property
    def usual(self) -> Sequence[UsualLead | None] | None:
        """The units that evidence counts in, a lead each; None where the base judges."""
        return (None,) * len(self.model.leads) if self.learning is not None else self.model.usual

    @property
    def moved_by(self) -> float:
        """By how much the thresholds were moved, by an option or a person."""
        return self.factor * self.model.moved_by

    @property
    def threshold(self) -> float:
        """The threshold that people see and move: of the first lead that is judged."""
        return self.thresholds[self.model.first]

    @property
    def unjudged_leads(self) -> list[str]:
        """The leads that have no part in the verdicts now, in order."""
        by_fit = leads_without_fit(self.fits)
        return [
            name
            for lead, name in enumerate(self._leads)
            if name in self.left_out or lead in by_fit or self.model.leads[lead] is None
        ]

    @property
    def latched(self) -> bool:
        """Whether a high alert was not acknowledged, of anomalous beats or a named alarm."""
        return self.alert_state.latched or self.alarms.latched

    @property
    def state(self) -> Literal["learning", "monitoring", "ended"]:
        """The state that the view shows."""
        if self.ended or self.stopped:
            return "ended"
        return "learning" if self.learning is not None else "monitoring"

    def judge(
        self, message: BeatsMessage, beats: Sequence[ScoredBeat], desk: Desk, now_ns: int
    ) -> list[Message]:
        """Take one message's scored beats and events in; return the messages they lead to."""
        header, state = message.header, message.state
        messages: list[Message] = []
        self.alarms.hear(message.signs, desk)
        for event in header.events:
            if event.event == "stream_restarted":
                messages.extend(self._begin_stretch(event.sample, desk))
            elif event.event == "lead_left_out":
                messages.extend(self._leave_out(event, desk))
            elif event.event != "no_beat" or not self.alarms.holds_no_beat(
                event.state, event.sample, desk
            ):
                messages.extend(self._technical(event.event, event.state, event.sample, desk))
        for beat in beats:
            messages.extend(self._alarms_until(beat.closed_sample, desk))
            messages.extend(self._beat(beat, desk, header.sent_ns))
        messages.extend(self._alarms_until(None, desk))
        self.alarms.judged_up_to(header.position)
        messages.extend(self._watch(header.position, False, desk))
        self.position = max(self.position, header.position)
        if beats:
            self.judged_r = beats[-1].sample
        if state:
            self.segmenter_state, self.state_position = state, header.position
        self.lag_s = max(0.0, (now_ns - header.sent_ns) / 1e9)
        # The rest of what was judged since the last state can be judged again from there.
        self.moved_on = self.moved_on or bool(state) or any(map(is_numbered, messages))
        return messages

    def hear_signs(self, message: BeatsMessage, desk: Desk) -> list[Message]:
        """Raise the named alarms of a message whose beats wait for a training, or are learnt."""
        self.alarms.hear(message.signs, desk)
        return self._alarms_until(None, desk)

    def _alarms_until(self, sample: int | None, desk: Desk) -> list[Message]:
        if not self.alarms.has_ended(sample):
            return []  # of most beats
        messages: list[Message] = []
        for one in self.alarms.until(sample, desk):
            if isinstance(one, NoBeat):
                messages += self._technical("no_beat", one.state, one.sample, desk)
                continue
            self.moved_on = True
            if one.state == "onset":
                alerts = self.counts.alerts + 1
                self.counts = msgspec.structs.replace(self.counts, alerts=alerts)
            messages.append(one)
        return messages

    def on_timeline(self, message: BeatsMessage, desk: Desk) -> tuple[BeatsMessage, list[Message]]:
        """Take note that samples came; return the message on the patient's timeline, and reports.

        Reported is that samples come again.
        """
        before, stretch = self.timeline.reached, self.timeline.stretch
        self._end_shedding(message.header, is_other_stretch=message.header.stretch != stretch)
        self.timeline, message = self.timeline.take(message)
        reports: list[Message] = []
        if self.timeline.reached > before:
            self.heard = True
            if self.unheard:
                self.unheard, self.moved_on = False, True
                reports = self._technical("signal_lost", "cleared", self.timeline.reached, desk)
        return message, reports

    def shed(self, position: int) -> None:
        """Take note that nothing is sent from a sample of the sender's on; it may be repeated."""
        if not (self.ended or self.stopped):
            self.shed_from = position
            self._rr_ms.clear()

    def _end_shedding(self, header: BeatsHeader, *, is_other_stretch: bool) -> None:
        """Take note that samples come again; the time without a verdict counts from there."""
        if self.shed_from is None:
            return
        if is_other_stretch or header.position > self.shed_from:
            self.shed_from = None
            self.verdict_sample = max(self.verdict_sample, header.position + self.timeline.shift)

    def grow_old(self, listened_s: float, desk: Desk, *, report: bool) -> list[Message]:
        """Note that so much time was listened, in s; report when nothing came for too long.

        Parameters
        ----------
        report : bool
            False where the cause is known: a stage before is down, which is said once, not of each
            patient. The heart rate is not shown in any case.
        """
        self.unheard_s = 0.0 if self.heard else self.unheard_s + listened_s
        self.heard = False
        if self.shed_from is not None:
            self.unheard_s = 0.0
            return []
        if self.ended or self.stopped or self.unheard_s < UNHEARD_S:
            return []
        self._rr_ms.clear()
        if self.unheard or not report or "signal_lost" in self.alert_state.technical:
            return []
        self.unheard = self.moved_on = True
        return self._technical("signal_lost", "onset", self.timeline.reached, desk)

    def unjudged(self, message: BeatsMessage) -> BeatsMessage:
        """Return a message without the beats that were judged before a restart."""
        header = message.header
        if not header.n_beats or message.first_r_sample > self.judged_r:
            return message
        beats = message.beats
        n_judged = int(np.searchsorted(beats.r_sample, self.judged_r, "right"))
        header = msgspec.structs.replace(header, n_beats=len(beats) - n_judged)
        rest = beats.rows(slice(n_judged, None))
        return message._replace(header=header, together=rest, first=0)

    def finish(self, end: EndHeader, desk: Desk) -> list[Message]:
        """End the stream, and the episode that is open; nothing the second time.

        Where a person stopped it nothing ends but the status: what is journaled can be resumed.
        """
        if self.ended or self.stopped:
            return []
        if self.learning is not None:
            reason = self.learning.note or "the record ended before enough was learnt"
            since = "" if self.relearn_from is None else " since it was to be learnt anew"
            self.note = f"nothing was monitored{since}: {reason}"
        if end.reason == "stopped":
            self.stopped = True
            return []
        if self.relearn_from is not None:  # what was learnt before still holds
            self.learning = self.relearn_from = None
        return self.close(end.position + self.timeline.shift, desk)

    def close(self, position: int, desk: Desk) -> list[Message]:
        """End the stream at a sample of the timeline, and the episode that is open."""
        self.ended = self.moved_on = True
        self.position = max(self.position, position)
        messages = self._watch(self.position, False, desk)
        messages += self.alarms.end(self.position, desk)
        self.alert_state, transition = desk.machine.finish(self.alert_state)
        if transition is not None:
            messages += self._of_episode(self.position, transition, desk)
        return messages

    def acknowledge(self, desk: Desk) -> list[Message]:
        """Take note that a person has seen the high alerts; nothing if there is none to see."""
        self.alert_state, transition = desk.machine.acknowledge(self.alert_state)
        of_alarms = self.alarms.acknowledge(max(self.position, self.alarms.state.reached), desk)
        if transition is None and not of_alarms:
            return []
        self.moved_on = True
        if self.relearn_from is not None:  # a restart must not ask for it again
            before = self.relearn_from.consumer
            seen, _ = desk.machine.acknowledge(before.alert_state)
            alarms = acknowledged(before.alarms, before.alarms.told)
            before = msgspec.structs.replace(before, alert_state=seen, alarms=alarms)
            self.relearn_from = msgspec.structs.replace(self.relearn_from, consumer=before)
        if transition is None:
            return [*of_alarms]
        return [*of_alarms, *self._of_episode(self.position, transition, desk)]

    def mark(self, request: MarkRequest, desk: Desk) -> list[Message]:
        """Take a person's word for a family; LookupError, which says why, if it is refused."""
        if self.learning is not None and self.relearn_from is None:
            raise LookupError(
                f"{request.patient} is still being learnt; try again when that is done"
            )
        word, fs_hz = (request.family, request.word), self.stream.fs_hz
        self.families = take_word(self.families, self.alert_state, fs_hz, *word)
        if self.relearn_from is not None:  # a restart goes on from there
            saved = self.relearn_from.consumer
            saved = msgspec.structs.replace(saved, families=marked(saved.families, *word))
            self.relearn_from = msgspec.structs.replace(self.relearn_from, consumer=saved)
        self.moved_on = True
        lead = self.model.judged(self.alert_state.peak_lead)
        judge, rule = self.model.identity, desk.machine.rule.name
        of = self.stream, lead, rule, judge, self.position, self.alert_state
        return [mark_alert(*of, request, desk)]

    def status(
        self,
        name: str,
        desk: Desk,
        trainings_ahead: int = 0,
        families: list[FamilyStatus] | None = None,
    ) -> PatientStatus:
        """Return how far this patient is, for the heartbeat; of families what is to be told."""
        learning, fs_hz = self.learning, self.stream.fs_hz
        is_shed = self.shed_from is not None
        technical = [*self.alert_state.technical, *([SHED] if is_shed else [])]
        no_rate = is_shed or self.alarms.is_silent or not NO_RATE.isdisjoint(technical)
        has_rate = self._rr_ms and not no_rate
        rate_bpm = 60_000.0 / float(np.median(self._rr_ms)) if has_rate else None
        return PatientStatus(
            patient=name,
            record=self.stream.record,
            lead=joined_leads(self._leads),
            fs_hz=self.stream.fs_hz,
            position=self.position,
            n_samples=self.stream.n_samples,
            state=self.state,
            beats=self.counts.beats,
            anomalous=self.counts.anomalous,
            alerts=self.counts.alerts,
            withheld=self.counts.withheld,
            judged=self.counts.judged,
            threshold=None if self.learning is not None else self.threshold,
            heart_rate_bpm=rate_bpm,
            lag_s=0.0 if is_shed else self.lag_s,
            technical=technical,
            note=self.note or (self.learning.note if self.learning is not None else ""),
            latched=self.latched,
            learning=None
            if learning is None or self.state != "learning"
            else learning.status(self.position, fs_hz, trainings_ahead),
            leads=[*self._leads],
            left_out=self.unjudged_leads,
            families=families,
            alarms=self.alarms.status(desk),
            inhibited=[] if self.state == "ended" else self.alarms.inhibited(technical, desk),
        )

    def restore(self, saved: Saved, model: PatientModel, segmenter_state: bytes) -> None:
        """Go on from what `progress` returned."""
        self._judge_by(model, saved.factor)
        self.learned = saved.learned
        if any(saved.learned) and saved.relearn_until is None:
            self.note = LEARNT_BEFORE
        self.alert_state = saved.alert_state
        self.counts = saved.counts
        self.ended = saved.ended
        self.context = saved.context
        self.timing, self.weighed, self.families = saved.timing, saved.weighed, saved.families
        self.alarms.state = saved.alarms
        self.drifts = [None if one is None else np.array(one) for one in saved.drifts]
        self.judged_r = saved.judged_r
        if saved.verdict_sample is not None:
            self.verdict_sample = saved.verdict_sample
        self.timeline, self.unheard = saved.timeline, saved.unheard
        self.fits, self.left_out = saved.fits, saved.left_out
        self._is_unfit = no_lead_fits(saved.fits)
        self.segmenter_state, self.state_position = segmenter_state, self.position

    def start_monitoring(
        self,
        model: PatientModel,
        learned: Sequence[str | None],
        note: str,
        why: Sequence[str],
        desk: Desk,
    ) -> list[Message]:
        """End the learning phase with what was learnt: the rhythm continues, drift counts anew.

        Parameters
        ----------
        learned : sequence of str or None
            The file of each lead's checkpoint; None of one that could not be learnt.
        why : sequence of str
            Why each such lead could not be.

        Returns
        -------
        list of Message
            Which leads are left out from now on, and which are judged again.
        """
        out_before = self._out
        if self.learning is not None:
            self.learnt_until = self.learning.until_sample
        self._judge_by(model, 1.0)
        self.fits, self.weighed = (FITS,) * len(model.leads), self.weighed.learnt()
        self.families = kept_by_word(self.families)
        self.learned, self.note = tuple(learned), note
        self.learning = self.relearn_from = None
        reasons = [f"it could not be learnt: {one}" for one in why]
        return self._tell_leads(out_before, self.learnt_until, desk, reasons, "it was learnt")

    def relearn(self, name: str, learning: LearningPhase, desk: Desk) -> list[Message]:
        """Begin to learn anew; the episode that is open ends. A restart begins it here again."""
        self.alert_state, transition = desk.machine.finish(self.alert_state)
        messages = [] if transition is None else self._of_episode(self.position, transition, desk)
        fits = doubted_anew(self.fits)
        messages += self._judge_models(fits, self.position, desk, "the patient is learnt anew")
        self.learning, self.note, self.moved_on = learning, "", True
        self.alarms.learn(learning.until_sample)
        self.relearn_from = self._progress(name, learning.until_sample)
        return messages

    def set_threshold(self, threshold: float, desk: Desk) -> list[Message]:
        """Judge by another threshold from now on, the other leads' moved alike.

        A model that did not fit gets a new chance.
        """
        self.factor = threshold / self.model.thresholds(1.0)[self.model.first]
        self.thresholds, self.moved_on = self.model.thresholds(self.factor), True
        fits = doubted_anew(self.fits)
        return self._judge_models(fits, self.position, desk, "the threshold was moved: judged anew")

    def progress(self, name: str) -> Progress[Saved]:
        """Return what a restart needs to go on behind the position."""
        return self.relearn_from or self._progress(name, None)

    def _progress(self, name: str, relearn_until: int | None) -> Progress[Saved]:
        saved = Saved(
            leads=self._leads,
            alert_state=self.alert_state,
            counts=self.counts,
            factor=self.factor,
            learned=self.learned,
            ended=self.ended,
            context=self.context,
            timing=self.timing,
            drifts=tuple(None if one is None else one.tolist() for one in self.drifts),
            relearn_until=relearn_until,
            judged_r=self.judged_r,
            verdict_sample=self.verdict_sample,
            timeline=self.timeline,
            unheard=self.unheard,
            fits=self.fits,
            left_out=self.left_out,
            weighed=self.weighed,
            families=self.families,
            alarms=self.alarms.state,
        )
        return Progress(name, self.state_position, self.segmenter_state, saved)

    def _beat(self, beat: ScoredBeat, desk: Desk, sent_ns: int) -> list[Message]:
        beat, placed = self._placed(beat)
        verdict, is_learning = verdict_of(beat, self.thresholds, placed), self.learning is not None
        messages: list[Message] = []
        if beat.readable:
            messages += self._watch(beat.closed_sample, True, desk)
            if "stream_restarted" in self.alert_state.technical:
                messages += self._technical("stream_restarted", "cleared", beat.closed_sample, desk)
        if desk.on_verdict is not None:
            desk.on_verdict(beat, verdict)
        self._count(beat, verdict)
        if desk.hears_beats(self.stream.patient):
            messages.append(
                beat_scored(self.stream, beat, verdict, desk, sent_ns, is_learning=is_learning)
            )
        messages += self._judge_models(beat.fits, beat.sample, desk)
        messages += self._end_explained_episode(beat, desk)
        explained = verdict.anomalous and self.alarms.explains(beat.closed_sample, verdict.why)
        if self._is_unfit or explained:
            verdict = verdict._replace(anomalous=None)  # it is published, and raises no alert
        elif is_called_normal(self.families, verdict.family):
            verdict = verdict._replace(called_normal=True)
        self.alert_state, transition = desk.machine.beat(self.alert_state, verdict)
        self._keep(beat, transition)
        if transition is None:
            return messages
        if transition.state == "cleared":
            return [*messages, *self._of_episode(verdict.sample, transition, desk)]
        alerts = beat_alert(
            self.stream, self.model, self.thresholds, beat, verdict, transition, desk
        )
        if transition.state == "onset":
            onsets = self.counts.alerts + len(alerts)
            self.counts = msgspec.structs.replace(self.counts, alerts=onsets)
        return [*messages, *alerts]

    def _end_explained_episode(self, beat: ScoredBeat, desk: Desk) -> list[Message]:
        """End an episode that the first beats of a run began before its alarm."""
        state, closed = self.alert_state, beat.closed_sample
        if not state.active:
            return []
        if not self.alarms.explains_episode(closed, state.episode_start_sample):
            return []
        self.alert_state, transition = desk.machine.finish(state)
        return [] if transition is None else [*self._of_episode(beat.sample, transition, desk)]

    def _placed(self, beat: ScoredBeat) -> tuple[ScoredBeat, Placed | None]:
        """Return a beat without a verdict where it lies in noise; and its family."""
        if beat.early is None or beat.score is None:
            return beat, None
        self.families, heard = hear(
            self.families,
            beat.batch.inputs[beat.row],
            [loss is not None for loss in beat.losses],
            beat.sample / self.stream.fs_hz,
            beat.score,
            beat.early,
            doubt=beat.doubt,
            during_alert=self.alert_state.active,
        )
        if heard.anomalous is None:
            noisy = beat.quality | NOISY
            return beat._replace(score=None, readable=False, quality=noisy), None
        return beat, heard.placed

    def _keep(self, beat: ScoredBeat, transition: Transition | None) -> None:
        kept_beat = KeptBeat(
            patient=self.stream.patient,
            sample=beat.sample,
            leads=self._leads,
            losses=beat.losses,
            thresholds=self.thresholds,
            values=beat.values,
            score=beat.score,
            weighed=beat.weighed,
        )
        alerted = transition is not None and transition.state in ("onset", "ongoing")
        self.context, kept = take_beat(self.context, kept_beat, alerted=alerted)
        self.kept += kept

    def _count(self, beat: ScoredBeat, verdict: Verdict) -> None:
        counts, withheld = self.counts, verdict.anomalous is None and self.learning is None
        self.counts = Counts(
            counts.beats + 1,
            counts.anomalous + (verdict.anomalous is True),
            counts.alerts,
            counts.withheld + withheld,
            counts.judged + (verdict.anomalous is not None),
        )
        if beat.rr_before_ms is not None and beat.rr_before_ms > 0:
            self._rr_ms.append(beat.rr_before_ms)

    def _of_episode(self, sample: int, transition: Transition, desk: Desk) -> list[Message]:
        return episode_alert(self.stream, self.model, self.thresholds, sample, transition, desk)

    def _watch(self, now_sample: int, is_verdict: bool, desk: Desk) -> list[Message]:
        """Look at how long there has been no verdict; `is_verdict` that there is one now."""
        silent = "no_verdict" in self.alert_state.technical
        newest, limit = self.verdict_sample, self._silent_samples
        if is_verdict:
            self.verdict_sample = max(newest, now_sample)
        if not silent and now_sample - newest < limit:
            return []  # nearly always
        messages: list[Message] = []
        for state, sample in reports(newest, silent, limit, now_sample, is_verdict):
            if state == "onset":
                self._rr_ms.clear()  # the rate is of beats long past
            messages += self._technical("no_verdict", state, sample, desk)
        return messages

    def _begin_stretch(self, sample: int, desk: Desk) -> list[Message]:
        """Report that the samples began anew; what lasted of the signal before is over."""
        messages: list[Message] = []
        for event in self.alert_state.technical:
            if event == "lead_left_out":
                over = RecordEvent("lead_left_out", "cleared", sample, [*self.left_out])
                messages += self._leave_out(over, desk)
            elif event in OF_SIGNAL:
                messages += self._technical(event, "cleared", sample, desk)
        self._rr_ms.clear()
        self.verdict_sample = sample
        return messages + self._technical("stream_restarted", "onset", sample, desk)

    def _judge_models(
        self, fits: tuple[ModelFit, ...], sample: int, desk: Desk, over: str = "the model fits"
    ) -> list[Message]:
        """Take in what is known of the models; where none fits, the episode they made ends."""
        if fits == self.fits:
            return []  # nearly always
        was_unfit, out_before, is_unfit = self._is_unfit, self._out, no_lead_fits(fits)
        self.fits, self._is_unfit = fits, is_unfit
        why = ["its model does not fit"] * len(self._leads)
        messages = self._tell_leads(out_before, sample, desk, why, over)
        if is_unfit == was_unfit:
            return messages
        if not is_unfit:
            return [*messages, *self._technical("model_unfit", "cleared", sample, desk, over)]
        messages += self._technical("model_unfit", "onset", sample, desk, unfit_text(fits))
        self.alert_state, transition = desk.machine.finish(self.alert_state)
        if transition is not None:
            messages += self._of_episode(sample, transition, desk)
        return messages

    def _leave_out(self, event: RecordEvent, desk: Desk) -> list[Message]:
        """Take note of leads that cannot be read while others can, or can be read again."""
        is_onset, out_before = event.state == "onset", self._out
        named = [name for name in event.leads if name in self._leads]
        others = tuple(one for one in self.left_out if one not in named)
        self.left_out = (*others, *named) if is_onset else others
        why = ["it cannot be read"] * len(self._leads)
        return self._tell_leads(out_before, event.sample, desk, why, "it can be read")

    @property
    def _out(self) -> list[int]:
        """The leads that are left out, whatever for, in order; of doubts nothing is told."""
        by_fit, learned = unfit_leads(self.fits), self.learned
        return [
            lead
            for lead, name in enumerate(self._leads)
            if name in self.left_out or lead in by_fit or (learned and learned[lead] is None)
        ]

    def _tell_leads(
        self, before: Sequence[int], sample: int, desk: Desk, why: Sequence[str], over: str
    ) -> list[Message]:
        """Report leads that are left out as of now, or no longer; the event lasts while any is.

        Parameters
        ----------
        before : sequence of int
            The leads that were left out before.
        why : sequence of str
            What to say of each lead that is now.
        over : str
            What to say of leads that are judged again.
        """
        out = self._out
        if out == [*before]:
            return []
        self.alert_state, _ = desk.machine.technical(self.alert_state, "lead_left_out", bool(out))
        self.moved_on = True
        turned = [(lead, "cleared") for lead in before if lead not in out]
        turned += [(lead, "onset") for lead in out if lead not in before]
        messages: list[Message] = []
        for lead, state in turned:
            name, is_onset = self._leads[lead], state == "onset"
            done = f"left out of the verdicts: {why[lead]}" if is_onset else f"judged again: {over}"
            text = f"lead {name} is {done}"
            is_unread = is_onset and name in self.left_out
            messages += technical(
                self.stream,
                "lead_left_out",
                "onset" if is_onset else "cleared",
                sample,
                text,
                desk,
                [name],
                inhibited_kinds(desk.alarms, (), LEAD_UNREAD) if is_unread else [],
            )
        return messages

    def _technical(
        self,
        event: PatientKind,
        state: Literal["onset", "cleared"],
        sample: int,
        desk: Desk,
        text: str | None = None,
    ) -> list[Message]:
        self.alert_state, news = desk.machine.technical(self.alert_state, event, state == "onset")
        if not news:
            return []
        said = text or TECHNICAL_TEXTS[event]
        inhibits = inhibited_kinds(desk.alarms, [event]) if state == "onset" else []
        return technical(self.stream, event, state, sample, said, desk, (), inhibits)
