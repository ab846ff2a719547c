"""What the view says of each patient in a row, and the table of a ward, worst first."""

from __future__ import annotations

from rich.text import Text

from monitor.plain import clock, learning_text, what_is_kept_back
from monitor.text import counted, harmless
from monitor.view.alarms import ALARM_BARS, summary
from monitor.view.patient_view import AlertRow, PatientView, Standing
from monitor.view.plots import ANOMALY, DIM, WITHHELD, number
from monitor.view.screen_rows import (
    ALARM_BAR,
    ENDED_BAR,
    LEARNING_BAR,
    NAME,
    NAME_LENGTH,
    QUIET_BAR,
    TECHNICAL_BAR,
    blank,
    heading,
)
from monitor.view.selection import counts, listed
from monitor.view.snapshot import MAX_FOLLOWED, MAX_PATIENTS, Snapshot
from monitor.wire.messages import is_unreadable, joined_leads, named_leads

LATELY_S = 10.0  # a beat that is as new is drawn
TO_ACKNOWLEDGE = "HIGH ALERT to acknowledge"  # it may be over
# To a view that came later than the alert: a heartbeat names only the event.
_LATE_TEXTS = {
    "model_unfit": "this model does not fit, or every beat is anomalous: key r learns",
    "shed": "not monitored: the machine cannot keep up with all patients",
    "unserved": "not monitored: no worker of the ward serves this patient",
}
CALM: frozenset[Standing] = frozenset({"ended", "learning", "quiet"})
_STANDING_STYLES: dict[Standing, str] = {
    "high": ANOMALY,
    "unacknowledged": ANOMALY,
    "withheld": WITHHELD,
    "medium": ANOMALY,
    "low": ANOMALY,
    "quiet": "bold",
    "learning": "bold",
    "ended": "bold",
}


def is_withheld(snapshot: Snapshot, patient: PatientView) -> bool:
    """Whether nothing may be said of the heart: the signal or the word of it is missing."""
    events = (lasting.event for lasting in patient.technical)
    return is_unreadable(events) or snapshot.silent_s > 0


def heart_rate(snapshot: Snapshot, patient: PatientView) -> str:
    """Return the heart rate in whole beats a minute; dashes where none can be said."""
    rate = patient.heart_rate_bpm
    if rate is None or is_withheld(snapshot, patient) or not 0 < rate < 1000:
        return "--"
    return f"{rate:.0f}"


def verdict(snapshot: Snapshot, patient: PatientView) -> tuple[str, str, str]:
    """Return a patient's state letter, what to say of it, and the style of its row."""
    if snapshot.silent_s > 0:
        return "!", f"NO WORD FOR {snapshot.silent_s:.0f} s: what is shown is old", ALARM_BAR
    if patient.technical:
        events = ", ".join(event_name(lasting.event) for lasting in patient.technical)
        since = patient.technical[0].time_s
        began = "" if since is None else f" since {clock(since, 0)}"
        kept = what_is_kept_back(lasting.event for lasting in patient.technical)
        seen = f"  {TO_ACKNOWLEDGE}" if asks_for_beats(patient) else ""
        text = " ".join(harmless(t.text or _LATE_TEXTS.get(t.event, "")) for t in patient.technical)
        return (
            "T",
            f"{events.upper()}{began}{seen}{f'  {kept}' if kept else ''}  {text.strip()}".rstrip(),
            TECHNICAL_BAR,
        )
    episode = patient.episode
    if episode is not None:
        beats = counted(episode.n_beats, "beat")
        above = "score " if episode.is_score else "loss x"
        ratio = "" if episode.ratio is None else f"  {above}{number(episode.ratio)}"
        why = f"  {harmless(', '.join(episode.why))}" if episode.why else ""
        leads = f"  {leads_above(patient, episode)}" if leads_above(patient, episode) else ""
        about = f"{beats}{ratio}{why}{leads}{without(patient)}"
        said = f"ALERT {episode.priority} since {clock(episode.time_s, 0)}  {about}"
        return "A", said, ALARM_BAR
    letter, said, style = _state(patient, with_note=patient.has_news or snapshot.explaining)
    if asks_for_beats(patient):
        return "A", f"{TO_ACKNOWLEDGE}  {said}{without(patient)}", ALARM_BAR
    return letter, f"{said}{without(patient)}", style


def asks_for_beats(patient: PatientView) -> bool:
    """Tell whether a high alert of beats asks to be acknowledged; a named alarm says so itself."""
    return patient.latched and not any(alarm.latched for alarm in patient.alarms)


def _in_table(snapshot: Snapshot, patient: PatientView) -> tuple[str, str, str]:
    """Return a patient's state letter, named alarms and verdict, and the style of its row."""
    letter, said, style = verdict(snapshot, patient)
    if not patient.alarms or snapshot.silent_s > 0:
        return letter, said, style
    also = "" if letter == "M" else f"  {said}"
    return "A", f"{summary(patient)}{also}", ALARM_BARS[patient.alarms[0].priority]


def leads_above(patient: PatientView, row: AlertRow) -> str:
    """Return which leads an episode's worst beat stands out in, where the patient has several."""
    return harmless(joined_leads(row.leads), NAME_LENGTH) if len(patient.leads) > 1 else ""


def without(patient: PatientView) -> str:
    """Return which leads are not judged now, as the end of a phrase."""
    if not patient.left_out:
        return ""
    return f"  without {harmless(named_leads(patient.left_out), NAME_LENGTH)}"


def _state(patient: PatientView, *, with_note: bool) -> tuple[str, str, str]:
    """Return the same of a patient of whom nothing is open."""
    note = f"  {harmless(patient.note)}" if patient.note and with_note else ""
    if patient.state == "monitoring":
        alert = "no alert of beats" if patient.alarms else "no open alert"
        return "M", f"MONITORING  {alert}{_nothing_new(patient)}{note}", QUIET_BAR
    if patient.state == "ended":
        return "E", f"ENDED{note}", ENDED_BAR
    left = learning_text(patient.learning, before="  ")
    return "L", f"LEARNING{left}  no verdict yet{note}", LEARNING_BAR


def _nothing_new(patient: PatientView) -> str:
    """Return why anomalous beats of the last seconds raise no alert: their family is known."""
    since = patient.position - LATELY_S * (patient.fs_hz or 0.0)
    lately = [one.family for one in patient.beats if one.anomalous and one.sample >= since]
    for family in patient.families:
        if family.beats > 1 and family.number in lately[-1:]:
            said = "called normal" if family.word == "normal" else f"{family.beats:,} so far"
            return f": beats like #{family.number} again, {said}"
    return ""


def event_name(event: str) -> str:
    """Return a technical event in words."""
    return harmless(event).replace("_", " ")


def table_height(n_patients: int, free: int) -> int:
    """Return the rows of the table of patients, its heading among them; 0 without one.

    Of a few patients the signal has the screen; of a ward the table has more of it.
    """
    if n_patients < 2 or free < 10:
        return 0
    most = free // 4 if free >= 30 else free // 5
    if n_patients > MAX_FOLLOWED:
        most = 2 * free // 5
    return 1 + min(n_patients, max(3, most))


def patient_table(snapshot: Snapshot, shown: PatientView, width: int, n_rows: int) -> list[Text]:
    """Return the patients, worst first; the selected one is among them if the query leaves it."""
    if n_rows < 2:
        return []
    patients = listed(snapshot)
    place = next((i for i, patient in enumerate(patients) if patient is shown), 0)
    first = max(0, place - (n_rows - 2))
    visible = patients[first : first + n_rows - 1]
    title = Text("patients", "bold")
    if snapshot.query or snapshot.is_typing:
        title.append(f" /{harmless(snapshot.query)}", NAME).append(f" {len(patients):,} match", DIM)
    room = width - title.cell_len - 8
    return [
        heading(title, _counted(snapshot, room), width),
        *(_patient_row(snapshot, patient, patient is shown) for patient in visible),
        *blank(n_rows - 1 - len(visible)),
    ]


def _counted(snapshot: Snapshot, room: int) -> Text:
    """Return how many patients there are, and how many of each standing, the worst first."""
    text = Text(f"{len(snapshot.patients):,}", "bold").append(", worst first", DIM)
    for standing, n in counts(snapshot).items():
        text.append(f"  {n:,} ", _STANDING_STYLES[standing]).append(standing, DIM)
    if snapshot.n_refused:
        text.append(f"  more than {MAX_PATIENTS:,} are not shown", WITHHELD)
    text.truncate(max(room, 0), overflow="ellipsis")
    return text


def _patient_row(snapshot: Snapshot, patient: PatientView, is_shown: bool) -> Text:
    letter, said, style = _in_table(snapshot, patient)
    position_s = patient.position_s
    row = Text().append("▶" if is_shown else " ", NAME).append(f" {letter} ", style).append(" ")
    name = Text(harmless(patient.patient, NAME_LENGTH), NAME if is_shown else "")
    name.truncate(14, overflow="ellipsis", pad=True)
    row.append_text(name)
    row.append(f" HR {heart_rate(snapshot, patient):>3}")
    row.append(f"  {'--:--:--' if position_s is None else clock(position_s, 0)}")
    row.append(
        f"  {counted(patient.n_alerts, 'alert', '4d'):<11}  ", "" if patient.n_alerts else DIM
    )
    return row.append(said, DIM if patient.standing in CALM else "bold")
