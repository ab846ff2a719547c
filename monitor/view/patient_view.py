"""All that the view keeps of one patient, and its pure update by the messages that name it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import msgspec

from monitor.view.anomalous_beat import AnomalousBeat, anomalous_beat
from monitor.view.waveform import Waveform, add_wave
from monitor.wire.messages import (
    ALARM_KINDS,
    MAX_FAMILIES,
    MAX_LEADS,
    AlarmKind,
    AlarmStatus,
    Alert,
    AlertKind,
    BeatScored,
    FamilyStatus,
    FamilyWord,
    LearningStatus,
    PatientStatus,
    Priority,
    Wave,
    began_s,
    measured,
)

MAX_BEATS = 120  # losses kept a patient
MAX_TECHNICAL = 8  # kept a patient; more do not last together
MAX_TEXT = 200  # characters kept of any free text
NOTE_S = 30.0  # so long what was learnt is news, unless an alert comes first
MAX_FLAG = 32  # characters kept of a quality flag's name, of which every beat may have several

LEFT_OUT = "lead_left_out"

PatientState = Literal["waiting", "learning", "monitoring", "ended"]
RowState = Literal["onset", "ongoing", "cleared", "acknowledged", "marked"]
RowPriority = Literal["high", "medium", "low", "technical"]
# How patients are counted and listed, the last ones first: those in need of a look.
Standing = Literal[
    "ended", "learning", "quiet", "low", "medium", "withheld", "unacknowledged", "high"
]
Drawn = Literal["loss", "loss over threshold", "score"]
STANDINGS: tuple[Standing, ...] = get_args(Standing)
_PRIORITIES: tuple[Priority, ...] = get_args(Priority)  # the most urgent first


@dataclass(frozen=True)
class ShownBeat:
    """One beat in the strip of losses."""

    sample: int
    loss: float | None
    anomalous: bool
    quality: tuple[str, ...] = ()
    is_learning: bool = False  # there was no threshold yet
    is_doubted: bool = False  # called anomalous by a model that does not fit
    threshold: float | None = None  # of the lead whose loss it is
    score: float | None = None  # where evidence judged it
    family: int | None = None  # of an anomalous one, where they are told apart

    @property
    def is_withheld(self) -> bool:
        """Whether it could not be judged."""
        return self.is_doubted or (self.loss is None and not self.is_learning)

    @property
    def times_above(self) -> float | None:
        """Its score where evidence judged it, otherwise its loss over the threshold."""
        if self.score is not None:
            return self.score
        return None if self.loss is None or not self.threshold else self.loss / self.threshold


@dataclass(frozen=True)
class LastingTechnical:
    """A technical alert that lasts: the verdict is withheld."""

    event: str
    text: str = ""
    time_s: float | None = None  # none: it began before this view listened
    inhibits: tuple[AlarmKind, ...] = ()  # as the alert said


@dataclass(frozen=True)
class AlertRow:
    """One line of the alert list: an episode, a named alarm or a technical alert, to its end."""

    patient: str
    journal: str  # where seq counts
    seq: int
    state: RowState
    priority: RowPriority
    time_s: float  # of the first message of it
    start_sample: int
    kind: AlertKind = "anomalous_beats"
    event: str = ""  # of a technical alert
    text: str = ""
    loss: float | None = None  # at the highest ratio
    ratio: float | None = None  # the highest so far
    is_score: bool = False  # the ratio is a score, by evidence
    n_beats: int = 0
    why: tuple[str, ...] = ()  # what made that beat anomalous
    leads: tuple[str, ...] = ()  # in which that beat stands out; of a technical alert: it is of
    inhibits: tuple[AlarmKind, ...] = ()  # of a technical alert: what cannot be raised meanwhile

    @property
    def is_open(self) -> bool:
        """Whether it lasts."""
        return self.state != "cleared"


@dataclass(frozen=True, eq=False)
class PatientView:
    """All that the view shows of one patient."""

    patient: str
    record: str = ""
    leads: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # leads that are not judged now
    fs_hz: float | None = None  # of the record; unknown before the first Status
    position: int = 0
    n_samples: int | None = None
    state: PatientState = "waiting"
    heart_rate_bpm: float | None = None
    lag_s: float | None = None
    threshold: float | None = None
    n_beats: int = 0
    n_anomalous: int = 0
    n_alerts: int = 0
    n_withheld: int = 0
    note: str = ""
    note_from: int = 0  # the position at which the note was new
    note_alerts: int = 0  # alerts before it was
    waveform: Waveform = field(default_factory=Waveform)  # of the first lead, with the R peaks
    others: Mapping[str, Waveform] = field(default_factory=dict)  # of further leads, by name
    beats: tuple[ShownBeat, ...] = ()
    latest: AnomalousBeat | None = None
    episode: AlertRow | None = None  # that lasts
    technical: tuple[LastingTechnical, ...] = ()
    latched: bool = False  # a high alert was not acknowledged
    learning: LearningStatus | None = None  # how far it is, while it lasts
    families: tuple[FamilyStatus, ...] = ()  # of anomalous beats that look alike
    alarms: tuple[AlarmStatus, ...] = ()  # named alarms that stand, the most urgent first
    inhibited: tuple[AlarmKind, ...] = ()  # named alarms that cannot be raised now
    standing: Standing = field(init=False)  # how much the patient needs a look
    # What patients are listed by, the smallest first: standing, worst alarm, loss over threshold,
    # name.
    urgency: tuple[int, tuple[int, ...], float, str] = field(init=False)

    def __post_init__(self) -> None:
        # Once a message, not ten times a second for each of thousands.
        standing = self._standing()
        ratio = None if self.episode is None else self.episode.ratio
        worst = _urgency(self.alarms[0]) if self.alarms else (len(_PRIORITIES),)
        urgency = -STANDINGS.index(standing), worst, -(ratio or 0.0), self.patient
        object.__setattr__(self, "standing", standing)
        object.__setattr__(self, "urgency", urgency)

    def _standing(self) -> Standing:
        priorities = {alarm.priority for alarm in self.alarms if alarm.lasts}
        if self.episode is not None and self.episode.priority != "technical":
            priorities.add(self.episode.priority)
        if "high" in priorities:
            return "high"
        if self.asks:
            return "unacknowledged"
        if self.technical:
            return "withheld"  # no verdict: as bad as not knowing
        if priorities:
            return "medium" if "medium" in priorities else "low"
        if self.state in ("monitoring", "ended"):
            return "quiet" if self.state == "monitoring" else "ended"
        return "learning"

    @property
    def has_news(self) -> bool:
        """Whether the note belongs to the state row: later it would only hide the signal's rows."""
        if self.state != "monitoring" or self.fs_hz is None:
            return True
        is_young = self.position - self.note_from < NOTE_S * self.fs_hz
        return is_young and self.n_alerts == self.note_alerts

    @property
    def drawn(self) -> Drawn:
        """What is drawn of each beat: its score where evidence judged any, else its loss.

        Of several leads the loss over the threshold, since each has a threshold of its own.
        """
        if any(beat.score is not None for beat in self.beats):
            return "score"
        return "loss over threshold" if len(self.leads) > 1 else "loss"

    @property
    def asks(self) -> bool:
        """Whether a high alert or a named alarm was not acknowledged."""
        return self.latched or any(alarm.latched for alarm in self.alarms)

    @property
    def calls(self) -> bool:
        """Whether a named alarm of high priority lasts that nobody has acknowledged."""
        return any(alarm.latched and alarm.lasts for alarm in self.alarms)

    def word_of(self, family: int | None) -> FamilyWord | None:
        """What a person said of a family; None where no such family is known."""
        return next((one.word for one in self.families if one.number == family), None)

    @property
    def position_s(self) -> float | None:
        """Seconds of the record judged so far."""
        return None if self.fs_hz is None else self.position / self.fs_hz

    @property
    def duration_s(self) -> float | None:
        """Seconds of the whole record; none where it has no end or is not known yet."""
        if self.fs_hz is None or self.n_samples is None:
            return None
        return self.n_samples / self.fs_hz


def add_stretch(patient: PatientView, wave: Wave) -> PatientView:
    """Append a stretch of signal."""
    fs_hz = patient.fs_hz or wave.record_fs_hz
    if fs_hz is None:
        return patient  # its place is not known before the first Status, a second at most
    others = {
        one.lead: add_wave(
            patient.others.get(one.lead) or Waveform(),
            msgspec.structs.replace(wave, values=one.values, r_samples=[]),
            fs_hz,
        )
        for one in wave.others
    }
    return replace(
        patient,
        waveform=add_wave(patient.waveform, wave, fs_hz),
        others=others if wave.values else patient.others,
    )


def add_beat(patient: PatientView, beat: BeatScored) -> PatientView:
    """Append a beat's loss; a beat told again after a restart counts once."""
    if patient.beats and beat.sample <= patient.beats[-1].sample:
        return patient
    is_unfit = any(lasting.event == "model_unfit" for lasting in patient.technical)
    scored = ShownBeat(
        beat.sample,
        beat.loss,
        beat.anomalous and not is_unfit,
        _bounded(beat.quality, MAX_FLAG),
        is_learning=beat.threshold is None,
        is_doubted=beat.anomalous and is_unfit,
        threshold=beat.threshold,
        score=beat.score if beat.weighed else None,
        family=beat.family,
    )
    # Of several leads a beat has the threshold of its worst; the patient's is that of the first.
    threshold = patient.threshold if len(patient.leads) > 1 else beat.threshold
    return replace(
        patient,
        record=beat.record,
        leads=patient.leads or (beat.lead,),
        threshold=threshold,
        beats=(*patient.beats[-(MAX_BEATS - 1) :], scored),
    )


def _bounded(texts: Sequence[str], length: int) -> tuple[str, ...]:
    return tuple(text[:length] for text in texts[:MAX_TECHNICAL])


def _urgency(alarm: AlarmStatus) -> tuple[int, ...]:
    """Return what named alarms are listed by: priority, whether it lasts, was seen; kind."""
    return (
        _PRIORITIES.index(alarm.priority),
        not alarm.lasts,
        not alarm.latched,
        ALARM_KINDS.index(alarm.kind),
    )


def add_alert(patient: PatientView, alert: Alert, row: AlertRow) -> PatientView:
    """Keep the beat that raised the alert, or the named alarm; a clearing beat is a normal one."""
    leads = patient.leads or (alert.lead,)
    if alert.kind != "anomalous_beats":
        alarms = _with_alarm(patient.alarms, alert, alert.kind)
        return replace(patient, record=alert.record, leads=leads, alarms=alarms)
    if not row.is_open:
        return replace(patient, episode=None)
    latest = patient.latest if measured(alert) is None else anomalous_beat(alert)
    return replace(patient, record=alert.record, leads=leads, latest=latest, episode=row)


def _with_alarm(
    alarms: tuple[AlarmStatus, ...], alert: Alert, kind: AlarmKind
) -> tuple[AlarmStatus, ...]:
    """Return the alarms that stand after one began or ended: before the next Status says so."""
    known = next((one for one in alarms if one.kind == kind), None)
    others = tuple(one for one in alarms if one.kind != kind)
    lasts = alert.state in ("onset", "ongoing")
    latched = alert.priority == "high" if known is None or not known.lasts else known.latched
    if not lasts:
        latched = known is not None and known.latched
    if not (lasts or latched):
        return others
    priority = alert.priority if lasts or known is None else known.priority
    since = alert.episode_start_sample, began_s(alert)
    alarm = AlarmStatus(kind, priority, *since, lasts=lasts, latched=latched)
    return tuple(sorted((*others, alarm), key=_urgency))


def see_alarm(patient: PatientView, alert: Alert) -> PatientView:
    """Take note that a person has seen a named alarm: one that is over stands no longer."""
    alarms = tuple(
        msgspec.structs.replace(one, latched=False) if one.kind == alert.kind else one
        for one in patient.alarms
        if one.lasts or one.kind != alert.kind
    )
    return replace(patient, alarms=tuple(sorted(alarms, key=_urgency)))


def add_technical(patient: PatientView, row: AlertRow) -> PatientView:
    """Begin or end a technical alert; a lead that is left out leaves the others judged."""
    if row.event == LEFT_OUT:
        kept = tuple(lead for lead in patient.left_out if lead not in row.leads)
        return replace(patient, left_out=kept + row.leads if row.is_open else kept)
    others = tuple(lasting for lasting in patient.technical if lasting.event != row.event)
    if row.is_open:
        others = (*others, LastingTechnical(row.event, row.text, row.time_s, row.inhibits))
        inhibited = dict.fromkeys((*patient.inhibited, *row.inhibits))
        return replace(patient, technical=others, inhibited=tuple(inhibited))
    return replace(patient, technical=others)  # what it inhibited the next Status says


def add_status(patient: PatientView, said: PatientStatus) -> PatientView:
    """Return the patient as its status says; a view that joins late learns what lasts."""
    known = {lasting.event: lasting for lasting in patient.technical}
    told = (event for event in said.technical if event != LEFT_OUT)
    events = dict.fromkeys(_bounded([*told], MAX_TEXT))
    is_known = (said.state, said.note[:MAX_TEXT]) == (patient.state, patient.note)
    # Not dataclasses.replace, which takes three times as long: this is done for all, each second.
    return PatientView(
        patient=patient.patient,
        record=said.record,
        leads=tuple(said.leads[:MAX_LEADS]) or (said.lead,),
        left_out=tuple(said.left_out[:MAX_LEADS]),
        fs_hz=said.fs_hz,
        position=said.position,
        n_samples=said.n_samples,
        state=said.state,
        heart_rate_bpm=said.heart_rate_bpm,
        lag_s=said.lag_s,
        threshold=said.threshold,
        n_beats=said.beats,
        n_anomalous=said.anomalous,
        n_alerts=said.alerts,
        n_withheld=said.withheld,
        note=said.note[:MAX_TEXT],
        note_from=patient.note_from if is_known else said.position,
        note_alerts=patient.note_alerts if is_known else said.alerts,
        waveform=patient.waveform,
        others=patient.others,
        beats=patient.beats,
        latest=patient.latest,
        episode=patient.episode,
        technical=tuple(known.get(event) or LastingTechnical(event) for event in events),
        latched=said.latched,
        learning=said.learning,
        families=_families(patient.families, said.families),
        alarms=tuple(sorted(said.alarms[: len(ALARM_KINDS)], key=_urgency)) if said.alarms else (),
        inhibited=tuple(said.inhibited[: len(ALARM_KINDS)]),
    )


def _families(
    known: tuple[FamilyStatus, ...], told: Sequence[FamilyStatus] | None
) -> tuple[FamilyStatus, ...]:
    """Return the families as told, a shape that is not told this time as it was known."""
    if told is None:
        return known
    shapes = {one.number: one.shape for one in known}
    return tuple(
        one if one.shape else msgspec.structs.replace(one, shape=shapes.get(one.number, []))
        for one in told[:MAX_FAMILIES]
    )
