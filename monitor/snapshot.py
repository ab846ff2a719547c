"""The frozen state of the live view, and its pure update by the messages to the world.

No clock, no socket, no terminal: `apply(snapshot, message)` returns the next snapshot and shares
what did not change. Memory is bounded, whatever is received. Snapshots compare by identity: one
that is the same object has not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, get_args

from monitor.anomalous_beat import AnomalousBeat, anomalous_beat
from monitor.waveform import Waveform, add_wave
from monitor.wire import (
    MONITOR,
    Alert,
    BeatScored,
    Message,
    PatientStatus,
    StageHealth,
    StageName,
    Status,
    Technical,
    Wave,
)

MAX_BEATS = 120  # losses kept a patient
MAX_ROWS = 200  # rows of the alert list
MAX_PATIENTS = 1000
MAX_TECHNICAL = 8  # there are four kinds
MAX_TEXT = 200  # characters kept of any free text
MAX_FLAG = 32  # characters kept of a quality flag's name, of which every beat may have several

PatientState = Literal["waiting", "learning", "monitoring", "ended"]
_STAGES = get_args(StageName)  # in the order of the data's way
RowState = Literal["onset", "ongoing", "cleared", "acknowledged"]
RowPriority = Literal["high", "medium", "low", "technical"]


@dataclass(frozen=True)
class ScoredBeat:
    """One beat in the strip of losses."""

    sample: int
    loss: float | None
    anomalous: bool
    quality: tuple[str, ...] = ()
    is_learning: bool = False  # there was no threshold yet

    @property
    def is_withheld(self) -> bool:
        """Whether it could not be judged."""
        return self.loss is None and not self.is_learning


@dataclass(frozen=True)
class LastingTechnical:
    """A technical alert that lasts: the verdict is withheld."""

    event: str
    text: str = ""
    time_s: float | None = None  # none: it began before this view listened


@dataclass(frozen=True)
class AlertRow:
    """One line of the alert list: an episode, or a technical alert from onset to end."""

    patient: str
    journal: str  # where seq counts
    seq: int
    state: RowState
    priority: RowPriority
    time_s: float  # of the first message of it
    start_sample: int
    event: str = ""  # of a technical alert
    text: str = ""
    loss: float | None = None  # at the highest ratio
    ratio: float | None = None  # the highest so far
    n_beats: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it lasts."""
        return self.state != "cleared"


@dataclass(frozen=True, eq=False)
class PatientView:
    """All that the view shows of one patient."""

    patient: str
    record: str = ""
    lead: str = ""
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
    waveform: Waveform = field(default_factory=Waveform)
    beats: tuple[ScoredBeat, ...] = ()
    latest: AnomalousBeat | None = None
    episode: AlertRow | None = None  # that lasts
    technical: tuple[LastingTechnical, ...] = ()
    latched: bool = False  # a high alert was not acknowledged

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


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All that the live view shows."""

    patients: Mapping[str, PatientView] = field(default_factory=lambda: MappingProxyType({}))
    rows: tuple[AlertRow, ...] = ()  # oldest first
    stages: tuple[StageHealth, ...] = ()
    speed: float | None = None
    model: str = ""
    journal: str = ""  # where newest_seq counts
    newest_seq: int = 0
    selected: str | None = None  # none: the worst patient
    paused: bool = False
    notice: str = ""
    silent_s: float = 0.0  # since the last Status, where that is worrying
    n_refused: int = 0  # messages of patients beyond MAX_PATIENTS


def apply(snapshot: Snapshot, message: Message) -> Snapshot:
    """Return the snapshot after one message."""
    match message:
        case Wave():
            return _with_patient(snapshot, message.patient, lambda p: _add_wave(p, message))
        case BeatScored():
            return _with_patient(snapshot, message.patient, lambda p: _add_beat(p, message))
        case Alert(state="acknowledged"):
            return snapshot  # the next Status says so
        case Alert():
            return _apply_alert(snapshot, message)
        case Technical():
            return _apply_technical(snapshot, message)
        case Status():
            return _apply_status(snapshot, message)


def select(snapshot: Snapshot, step: int) -> Snapshot:
    """Select the patient `step` places further down the list, round its end."""
    names = [patient.patient for patient in worst_first(snapshot)]
    shown = selected(snapshot)
    if shown is None:
        return snapshot
    return replace(snapshot, selected=names[(names.index(shown.patient) + step) % len(names)])


def with_pause(snapshot: Snapshot, paused: bool) -> Snapshot:
    """Return the snapshot that says whether the replay is paused."""
    return snapshot if snapshot.paused == paused else replace(snapshot, paused=paused)


def with_notice(snapshot: Snapshot, notice: str) -> Snapshot:
    """Return the snapshot with a line for the user; empty takes it away."""
    return snapshot if snapshot.notice == notice else replace(snapshot, notice=notice[:MAX_TEXT])


def with_silence(snapshot: Snapshot, silent_s: float) -> Snapshot:
    """Return the snapshot that says that no Status came for so long; 0 takes it away.

    The caller knows the clock. While this is set, verdicts are shown as withheld: what is on the
    screen is old.
    """
    return snapshot if snapshot.silent_s == silent_s else replace(snapshot, silent_s=silent_s)


def selected(snapshot: Snapshot) -> PatientView | None:
    """Return the patient whose signal is shown: the selected, or else the worst one."""
    if snapshot.selected is not None:
        chosen = snapshot.patients.get(snapshot.selected)
        if chosen is not None:
            return chosen
    return min(snapshot.patients.values(), key=_order, default=None)


def worst_first(snapshot: Snapshot) -> list[PatientView]:
    """Return all patients, those in need of a look first, then by name."""
    return sorted(snapshot.patients.values(), key=_order)


def severity(patient: PatientView) -> int:
    """Rank how much a patient needs a look: 0 ended … 6 an open alert of high priority."""
    if patient.episode is not None and patient.episode.priority == "high":
        return 6
    if patient.technical:
        return 5  # the verdict is withheld: as bad as not knowing
    if patient.episode is not None:
        return 4 if patient.episode.priority == "medium" else 3
    return {"monitoring": 2, "learning": 1, "waiting": 1, "ended": 0}[patient.state]


def _order(patient: PatientView) -> tuple[int, str]:
    return -severity(patient), patient.patient


# --- one message ------------------------------------------------------------------------------


def _with_patient(
    snapshot: Snapshot, name: str, update: Callable[[PatientView], PatientView]
) -> Snapshot:
    """Return the snapshot with one patient updated; all others are shared."""
    known = snapshot.patients.get(name)
    if known is None and len(snapshot.patients) >= MAX_PATIENTS:
        return replace(snapshot, n_refused=snapshot.n_refused + 1)
    before = known or PatientView(name)
    after = update(before)
    if after is known:
        return snapshot
    return replace(snapshot, patients=MappingProxyType({**snapshot.patients, name: after}))


def _add_wave(patient: PatientView, wave: Wave) -> PatientView:
    """Append a stretch of signal."""
    if patient.fs_hz is None:
        return patient  # its place is not known before the first Status, a second at most
    return replace(patient, waveform=add_wave(patient.waveform, wave, patient.fs_hz))


def _add_beat(patient: PatientView, beat: BeatScored) -> PatientView:
    """Append a beat's loss; a beat told again after a restart counts once."""
    if patient.beats and beat.sample <= patient.beats[-1].sample:
        return patient
    scored = ScoredBeat(
        beat.sample,
        beat.loss,
        beat.anomalous,
        _bounded(beat.quality, MAX_FLAG),
        is_learning=beat.threshold is None,
    )
    return replace(
        patient,
        record=beat.record,
        lead=beat.lead,
        threshold=beat.threshold,
        beats=(*patient.beats[-(MAX_BEATS - 1) :], scored),
    )


def _bounded(texts: Sequence[str], length: int) -> tuple[str, ...]:
    return tuple(text[:length] for text in texts[:MAX_TECHNICAL])


def _apply_alert(snapshot: Snapshot, alert: Alert) -> Snapshot:
    """Open, raise or clear the episode's row."""
    place = _find_row(
        snapshot.rows,
        lambda row: (
            row.patient == alert.patient
            and row.journal == alert.journal[:MAX_TEXT]
            and row.priority != "technical"
            and row.start_sample == alert.episode_start_sample
        ),
    )
    before = None if place is None else snapshot.rows[place]
    if before is not None and alert.seq <= before.seq:
        return snapshot  # told again
    row = _alert_row(alert, before)
    snapshot = _with_row(snapshot, place, row)
    return _with_patient(snapshot, alert.patient, lambda p: _add_alert(p, alert, row))


def _alert_row(alert: Alert, before: AlertRow | None) -> AlertRow:
    """Return the episode's row: the newest state, the highest ratio so far."""
    highest = before is None or before.ratio is None or alert.ratio >= before.ratio
    return AlertRow(
        patient=alert.patient,
        journal=alert.journal[:MAX_TEXT],
        seq=alert.seq,
        state=alert.state,
        priority=alert.priority,
        time_s=alert.time_s if before is None else before.time_s,
        start_sample=alert.episode_start_sample,
        loss=alert.loss if highest or before is None else before.loss,
        ratio=alert.ratio if highest or before is None else before.ratio,
        n_beats=alert.episode_beats,
    )


def _add_alert(patient: PatientView, alert: Alert, row: AlertRow) -> PatientView:
    """Keep the beat that raised the alert; a clearing beat is a normal one."""
    if not row.is_open:
        return replace(patient, episode=None)
    return replace(
        patient, record=alert.record, lead=alert.lead, latest=anomalous_beat(alert), episode=row
    )


def _apply_technical(snapshot: Snapshot, technical: Technical) -> Snapshot:
    """Begin or end a technical alert, in the list and at its patient."""
    place = _find_row(
        snapshot.rows,
        lambda row: (
            row.patient == technical.patient
            and row.journal == technical.journal[:MAX_TEXT]
            and row.event == technical.event
            and (row.is_open or row.seq == technical.seq)
        ),
    )
    before = None if place is None else snapshot.rows[place]
    if before is not None and technical.seq <= before.seq:
        return snapshot  # told again
    row = AlertRow(
        patient=technical.patient,
        journal=technical.journal[:MAX_TEXT],
        seq=technical.seq,
        state=technical.state,
        priority="technical",
        time_s=technical.time_s if before is None else before.time_s,
        start_sample=technical.sample if before is None else before.start_sample,
        event=technical.event,
        text=technical.text[:MAX_TEXT],
    )
    snapshot = _with_row(snapshot, place, row)
    if technical.patient == MONITOR:
        return snapshot  # a row of the list, but no patient
    return _with_patient(snapshot, technical.patient, lambda p: _add_technical(p, row))


def _add_technical(patient: PatientView, row: AlertRow) -> PatientView:
    others = tuple(lasting for lasting in patient.technical if lasting.event != row.event)
    if row.is_open:
        others = (*others, LastingTechnical(row.event, row.text, row.time_s))
    return replace(patient, technical=others)


def _find_row(rows: tuple[AlertRow, ...], wanted: Callable[[AlertRow], bool]) -> int | None:
    """Return the place of the newest row wanted."""
    return next((i for i in range(len(rows) - 1, -1, -1) if wanted(rows[i])), None)


def _with_row(snapshot: Snapshot, place: int | None, row: AlertRow) -> Snapshot:
    """Put a row in its place, or at the end of the list, which forgets its oldest."""
    rows = snapshot.rows
    if place is None:
        rows = (*rows[-(MAX_ROWS - 1) :], row)
    else:
        rows = (*rows[:place], row, *rows[place + 1 :])
    newest_seq = _newest(snapshot, row.journal, row.seq)
    return replace(snapshot, rows=rows, journal=row.journal, newest_seq=newest_seq)


def _newest(snapshot: Snapshot, journal: str, seq: int) -> int:
    """Return the newest sequence number; a new journal counts from 1 again."""
    return max(snapshot.newest_seq, seq) if journal == snapshot.journal else seq


def _apply_status(snapshot: Snapshot, status: Status) -> Snapshot:
    """Take what the consumer says of all patients and stages: it is the truth."""
    patients = dict(snapshot.patients)
    n_refused = snapshot.n_refused
    for said in status.patients:
        known = patients.get(said.patient)
        if known is None and len(patients) >= MAX_PATIENTS:
            n_refused += 1
            continue
        patients[said.patient] = _add_status(known or PatientView(said.patient), said)
    return replace(
        snapshot,
        patients=MappingProxyType(patients),
        stages=tuple(sorted(status.stages, key=lambda stage: _STAGES.index(stage.stage))[:8]),
        speed=status.speed,
        model=status.model[:MAX_TEXT],
        journal=status.journal[:MAX_TEXT],
        newest_seq=_newest(snapshot, status.journal[:MAX_TEXT], status.newest_seq),
        silent_s=0.0,
        n_refused=n_refused,
    )


def _add_status(patient: PatientView, said: PatientStatus) -> PatientView:
    """Return the patient as its status says; a view that joins late learns what lasts."""
    known = {lasting.event: lasting for lasting in patient.technical}
    events = dict.fromkeys(_bounded(said.technical, MAX_TEXT))
    return replace(
        patient,
        record=said.record,
        lead=said.lead,
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
        latched=said.latched,
        technical=tuple(known.get(event) or LastingTechnical(event) for event in events),
    )
