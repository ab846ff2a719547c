"""What browsers are told of patients, and its making from the view's state. Pure."""

from __future__ import annotations

import msgspec

from monitor.plain import alarm_name, clock, standing_text
from monitor.text import counted, harmless
from monitor.view.patient_view import AlertRow, Drawn, PatientView, ShownBeat
from monitor.view.patients import TO_ACKNOWLEDGE, asks_for_beats, event_name, heart_rate, verdict
from monitor.view.plots import HIGHEST_LOSS, LOWEST_LOSS
from monitor.view.snapshot import Snapshot
from monitor.wire.messages import is_unreadable

MAX_SAID = 240  # characters of one line
MAX_NAME = 128
SHOWN_ROWS = 60  # alerts of a patient's page


class Tile(msgspec.Struct, frozen=True):
    """One patient among all."""

    id: int
    name: str  # as it is shown
    key: str  # as it is asked for
    record: str
    standing: str
    rank: str  # high, medium, low, technical, calm, learning, ended: its colour and word
    said: str  # what stands, in words
    alarms: list[str]  # named alarms, the most urgent first
    asks: bool  # for an acknowledgement
    heart_rate: str
    quality: str
    position: str
    n_alerts: int
    leads: list[str]
    unreadable: bool


class AlertLine(msgspec.Struct, frozen=True):
    """One line of a patient's alerts."""

    time: str
    state: str
    priority: str
    what: str
    is_open: bool


class BeatLoss(msgspec.Struct, frozen=True):
    """One beat among the losses."""

    time_s: float
    value: float | None  # as the page's `drawn` says, within what a logarithmic scale shows
    state: str  # good, anomalous, withheld, learning


class ShownFamily(msgspec.Struct, frozen=True):
    """Anomalous beats that look alike."""

    number: int
    beats: int
    per_minute: int
    word: str
    shape: list[int]


class Latest(msgspec.Struct, frozen=True):
    """The latest anomalous beat over its reconstruction, standardised."""

    time: str
    lead: str
    loss: float
    threshold: float
    ratio: float
    score: float | None  # where evidence judged it
    rr_before_ms: float | None
    rr_after_ms: float | None
    why: list[str]
    shares: dict[str, float]
    family: int | None
    beat: list[float | None]
    reconstruction: list[float | None]


class PatientPage(msgspec.Struct, frozen=True, tag_field="type", tag="page"):
    """All of one patient."""

    id: int
    state: str
    note: str
    figures: dict[str, str]
    threshold: float | None  # drawn across the losses
    drawn: Drawn  # of each beat
    beats: list[BeatLoss]
    latest: Latest | None
    families: list[ShownFamily]
    rows: list[AlertLine]
    left_out: list[str]


def tile(snapshot: Snapshot, patient: PatientView, number: int) -> Tile:
    """Return a patient's tile."""
    _, said, _ = verdict(snapshot, patient)
    if asks_for_beats(patient) and TO_ACKNOWLEDGE not in said:
        said = f"{TO_ACKNOWLEDGE}  {said}"  # why it is coloured so, whatever came later
    return Tile(
        id=number,
        name=harmless(patient.patient, MAX_NAME),
        key=patient.patient,
        record=harmless(patient.record, MAX_NAME),
        standing=patient.standing,
        rank=_rank(patient),
        said=_apart(said),
        alarms=[_apart(standing_text(alarm)) for alarm in patient.alarms],
        asks=patient.asks,
        heart_rate=heart_rate(snapshot, patient),
        quality=_quality(patient),
        position="" if patient.position_s is None else clock(patient.position_s, 0),
        n_alerts=patient.n_alerts,
        leads=[harmless(lead, MAX_NAME) for lead in patient.leads],
        unreadable=is_unreadable(one.event for one in patient.technical),
    )


def _rank(patient: PatientView) -> str:
    """Return the colour's name; a high alert that nobody acknowledged stays high."""
    names = {"unacknowledged": "high", "withheld": "technical", "quiet": "calm"}
    return names.get(patient.standing, patient.standing)


def _quality(patient: PatientView) -> str:
    """Return what may be said of the signal, in a few words."""
    if patient.technical:
        return ", ".join(event_name(one.event) for one in patient.technical)[:MAX_SAID]
    without = f", without {', '.join(map(harmless, patient.left_out))}" if patient.left_out else ""
    if not patient.beats:
        return f"signal --{without}"
    flags = harmless(", ".join(patient.beats[-1].quality).lower())
    return f"signal {flags or 'good'}{without}"


def page(snapshot: Snapshot, patient: PatientView, number: int) -> PatientPage:
    """Return all that is shown of one patient, without the signal."""
    drawn = patient.drawn
    share = 100 * patient.n_anomalous / patient.n_beats if patient.n_beats else 0.0
    return PatientPage(
        id=number,
        state=patient.state,
        note=harmless(patient.note, MAX_SAID),
        figures={
            "threshold": "--" if patient.threshold is None else f"{patient.threshold:.1f}",
            "beats": f"{patient.n_beats:,}",
            "anomalous": f"{patient.n_anomalous:,} ({share:.1f} %)",
            "alerts": f"{patient.n_alerts:,}",
            "without verdict": f"{patient.n_withheld:,}",
            "lag": "--" if patient.lag_s is None else f"{patient.lag_s:.2f} s",
            "model": harmless(snapshot.model, 12) or "--",
        },
        threshold=patient.threshold if drawn == "loss" or patient.threshold is None else 1.0,
        drawn=drawn,
        beats=[_loss(beat, drawn, patient.fs_hz) for beat in patient.beats],
        latest=_latest(patient),
        families=[
            ShownFamily(one.number, one.beats, one.per_minute, one.word, one.shape)
            for one in patient.families
        ],
        rows=_rows(snapshot, patient),
        left_out=[harmless(lead) for lead in patient.left_out],
    )


def _loss(beat: ShownBeat, drawn: Drawn, fs_hz: float | None) -> BeatLoss:
    value = beat.loss if drawn == "loss" else beat.times_above
    if value is not None:
        value = min(max(value, LOWEST_LOSS), HIGHEST_LOSS)
    state = "anomalous" if beat.anomalous else "good"
    if beat.is_withheld:
        state = "withheld"
    elif beat.is_learning:
        state = "learning"
    return BeatLoss(beat.sample / fs_hz if fs_hz else 0.0, value, state)


def _latest(patient: PatientView) -> Latest | None:
    beat = patient.latest
    if beat is None:
        return None
    return Latest(
        time=clock(beat.time_s, 1),
        lead=harmless(beat.lead, MAX_NAME),
        loss=beat.loss,
        threshold=beat.threshold,
        ratio=beat.ratio,
        score=beat.score,
        rr_before_ms=beat.rr_before_ms,
        rr_after_ms=beat.rr_after_ms,
        why=[harmless(one) for one in beat.why],
        shares=beat.shares,
        family=beat.family,
        beat=_numbers(beat.beat.tolist()),
        reconstruction=_numbers(beat.reconstruction.tolist()),
    )


def _numbers(values: list[float]) -> list[float | None]:
    return [round(value, 3) if value == value else None for value in values]


def _rows(snapshot: Snapshot, patient: PatientView) -> list[AlertLine]:
    """Return the patient's newest alerts, newest first."""
    mine = [row for row in snapshot.rows if row.patient == patient.patient]
    return [_row(row) for row in mine[: -SHOWN_ROWS - 1 : -1]]


def _row(row: AlertRow) -> AlertLine:
    if row.priority == "technical":
        what = f"{event_name(row.event)}  {harmless(row.text)}"
    elif row.kind != "anomalous_beats":
        what = f"{alarm_name(row.kind)}  {harmless(row.text)}"
    else:
        above = "score " if row.is_score else "loss x"
        ratio = "" if row.ratio is None else f"{above}{row.ratio:.1f}  "
        beats = counted(row.n_beats, "beat")
        leads = f"  {harmless(', '.join(row.leads))}" if row.leads else ""
        why = f"  {harmless(', '.join(row.why))}" if row.why else ""
        what = f"{ratio}{beats}{why}{leads}"
    return AlertLine(
        clock(row.time_s, 1), row.state, row.priority, _apart(what.strip()), row.is_open
    )


def _apart(text: str) -> str:
    """Return a line whose parts are two spaces apart, which a browser would show as one."""
    return " · ".join(part for part in text.split("  ") if part)[:MAX_SAID]
