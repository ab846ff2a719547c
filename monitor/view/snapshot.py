"""The frozen state of the live view, and its pure update by the messages to the world.

No clock, no socket, no terminal: `apply(snapshot, message)` returns the next snapshot and shares
what did not change. Memory is bounded, whatever is received. Snapshots compare by identity: one
that is the same object has not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from types import MappingProxyType
from typing import get_args

from monitor.view.anomalous_beat import MAX_WHY
from monitor.view.patient_view import (
    LEFT_OUT,
    MAX_TEXT,
    AlertRow,
    PatientView,
    add_alert,
    add_beat,
    add_status,
    add_stretch,
    add_technical,
    see_alarm,
)
from monitor.view.waveform import Waveform
from monitor.wire.messages import (
    ALARM_KINDS,
    MAX_LEADS,
    MONITOR,
    Alert,
    BeatScored,
    Message,
    StageHealth,
    StageName,
    Status,
    Technical,
    Wave,
    measured,
)

MAX_ROWS = 200  # rows of the alert list
MAX_PATIENTS = 10_000
MAX_WITH_BEAT = 256  # patients whose latest anomalous beat is kept, 80 KB each at most
MAX_FOLLOWED = 16  # of more patients, the signal and the beats of the shown one alone are kept
_STAGES = get_args(StageName)  # in the order of the data's way


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
    with_beat: tuple[str, ...] = ()  # patients with a latest anomalous beat, newest last
    selected: str | None = None  # whom a person chose; none: the worst patient
    settled: str | None = None  # the worst of a moment ago, where none is chosen
    followed: str | None = None  # the only patient whose signal and beats are kept; none: all
    query: str = ""  # what is searched for among the names; empty: all are listed
    is_typing: bool = False  # keys go into the query
    held_order: tuple[str, ...] = ()  # of the list, while a person moves in it; empty: worst first
    explaining: bool = False  # the latest anomalous beat has the screen
    paused: bool = False
    notice: str = ""
    silent_s: float = 0.0  # since the last Status, where that is worrying
    n_refused: int = 0  # messages of patients beyond MAX_PATIENTS
    faults: tuple[str, ...] = ()  # of the monitor itself, for people; none: all is well

    @cached_property
    def worst_first(self) -> tuple[PatientView, ...]:
        """All patients, those in need of a look first."""
        return tuple(sorted(self.patients.values(), key=attrgetter("urgency")))


def apply(snapshot: Snapshot, message: Message) -> Snapshot:
    """Return the snapshot after one message."""
    match message:
        case Wave() | BeatScored() if snapshot.followed not in (None, message.patient):
            return snapshot
        case Wave():
            return _with_patient(snapshot, message.patient, lambda p: add_stretch(p, message))
        case BeatScored():
            return _with_patient(snapshot, message.patient, lambda p: add_beat(p, message))
        case Alert(state="acknowledged") if message.kind != "anomalous_beats":
            return _with_patient(snapshot, message.patient, lambda p: see_alarm(p, message))
        case Alert(state="acknowledged" | "marked"):
            return snapshot  # the next Status says so
        case Alert():
            return _apply_alert(snapshot, message)
        case Technical():
            return _apply_technical(snapshot, message)
        case Status():
            return _apply_status(snapshot, message)


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


def follow(snapshot: Snapshot, name: str | None) -> Snapshot:
    """Return the snapshot that keeps the signal and beats of one patient alone; None is of all.

    What was kept of others goes: it would grow old, and be drawn as new when they are shown.
    """
    if snapshot.followed == name:
        return snapshot
    patients = {
        patient.patient: _without_signal(patient)
        if name is not None and patient.patient != name
        else patient
        for patient in snapshot.patients.values()
    }
    return replace(snapshot, followed=name, patients=MappingProxyType(patients))


def _without_signal(patient: PatientView) -> PatientView:
    if not patient.beats and not len(patient.waveform.values):
        return patient
    return replace(patient, beats=(), waveform=Waveform(), others={})


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


def _apply_alert(snapshot: Snapshot, alert: Alert) -> Snapshot:
    """Open, raise or clear the episode's row."""
    place = _find_row(
        snapshot.rows,
        lambda row: (
            row.patient == alert.patient
            and row.journal == alert.journal[:MAX_TEXT]
            and row.priority != "technical"
            and row.kind == alert.kind
            and row.start_sample == alert.episode_start_sample
        ),
    )
    before = _open_episode(snapshot, alert) if place is None else snapshot.rows[place]
    if before is not None and alert.seq <= before.seq:
        return snapshot  # told again
    row = _alert_row(alert, before)
    snapshot = _with_row(snapshot, place, row)
    snapshot = _with_patient(snapshot, alert.patient, lambda p: add_alert(p, alert, row))
    has_beat = row.is_open and alert.kind == "anomalous_beats"
    return _with_beat(snapshot, alert.patient) if has_beat else snapshot


def _open_episode(snapshot: Snapshot, alert: Alert) -> AlertRow | None:
    """Return the alert's episode where the list has forgotten its row."""
    if alert.kind != "anomalous_beats":
        return None
    patient = snapshot.patients.get(alert.patient)
    episode = None if patient is None else patient.episode
    if episode is None or episode.start_sample != alert.episode_start_sample:
        return None
    return episode if episode.journal == alert.journal[:MAX_TEXT] else None


def _with_beat(snapshot: Snapshot, name: str) -> Snapshot:
    """Note that a patient has a latest anomalous beat; of too many the oldest is forgotten."""
    if name not in snapshot.patients:
        return snapshot
    names = (*(other for other in snapshot.with_beat if other != name), name)
    for forgotten in names[:-MAX_WITH_BEAT]:
        snapshot = _with_patient(snapshot, forgotten, lambda p: replace(p, latest=None))
    return replace(snapshot, with_beat=names[-MAX_WITH_BEAT:])


def _alert_row(alert: Alert, before: AlertRow | None) -> AlertRow:
    """Return the episode's row: the newest state, the highest ratio so far."""
    of_beat = measured(alert)
    above = None if of_beat is None else of_beat.times_above
    highest = before is None or before.ratio is None or (above or 0.0) >= before.ratio
    return AlertRow(
        patient=alert.patient,
        journal=alert.journal[:MAX_TEXT],
        seq=alert.seq,
        state=alert.state,
        priority=alert.priority,
        time_s=alert.time_s if before is None else before.time_s,
        start_sample=alert.episode_start_sample,
        kind=alert.kind,
        text="" if of_beat is not None else alert.text[:MAX_TEXT],
        loss=alert.loss if highest or before is None else before.loss,
        ratio=above if highest or before is None else before.ratio,
        is_score=(of_beat is not None and of_beat.score is not None)
        if highest or before is None
        else before.is_score,
        n_beats=alert.episode_beats,
        why=_why(alert, before, is_worst=highest),
        leads=_leads_above(alert, before, is_worst=highest),
    )


def _why(alert: Alert, before: AlertRow | None, *, is_worst: bool) -> tuple[str, ...]:
    """Return what made the episode's worst beat anomalous; its end does not say."""
    if before is None or (is_worst and alert.why):
        return tuple(alert.why[:MAX_WHY])
    return before.why


def _leads_above(alert: Alert, before: AlertRow | None, *, is_worst: bool) -> tuple[str, ...]:
    """Return which leads the episode's worst beat stands out in; its end does not say."""
    if before is None or (is_worst and alert.leads):
        return tuple(alert.leads[:MAX_LEADS])
    return before.leads


def _apply_technical(snapshot: Snapshot, technical: Technical) -> Snapshot:
    """Begin or end a technical alert, in the list and at its patient."""
    leads = (technical.lead,)
    place = _find_row(
        snapshot.rows,
        lambda row: (
            row.patient == technical.patient
            and row.journal == technical.journal[:MAX_TEXT]
            and row.event == technical.event
            and (row.event != LEFT_OUT or row.leads == leads)
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
        leads=leads,
        inhibits=tuple(technical.inhibits[: len(ALARM_KINDS)]),
    )
    snapshot = _with_row(snapshot, place, row)
    if technical.patient == MONITOR:
        return snapshot  # a row of the list, but no patient
    return _with_patient(snapshot, technical.patient, lambda p: add_technical(p, row))


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
    patients = _with_room(dict(snapshot.patients), status)
    n_refused = snapshot.n_refused
    for said in status.patients:
        known = patients.get(said.patient)
        if known is None and len(patients) >= MAX_PATIENTS:
            n_refused += 1
            continue
        patients[said.patient] = add_status(known or PatientView(said.patient), said)
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
        faults=tuple(_faults(status)),
    )


def _with_room(patients: dict[str, PatientView], status: Status) -> dict[str, PatientView]:
    """Forget patients who have ended, those who came first, as far as others need their room."""
    here = {said.patient for said in status.patients}
    n_over = len(patients) + len(here - patients.keys()) - MAX_PATIENTS
    if n_over > 0:
        ended = [
            name for name, one in patients.items() if one.state == "ended" and name not in here
        ]
        for name in ended[:n_over]:
            del patients[name]
    return patients


def _faults(status: Status) -> Iterator[str]:
    """Say what is wrong with the journal, and what was refused at the alert socket."""
    if status.journal_failing:
        yield f"journal failing: {status.journal_failing[:MAX_TEXT]}"
    if status.refused_clients:
        yield f"clients refused: {status.refused_clients}"
    if status.limited_requests:
        yield f"requests over the limit: {status.limited_requests}"
