"""The named alarms that stand, as the first rows of a patient: the most urgent in large letters."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from monitor.plain import alarm_name, clock, inhibited_text
from monitor.text import harmless
from monitor.view.large_letters import HEIGHT_ROWS, large
from monitor.view.patient_view import PatientView
from monitor.view.plots import WITHHELD
from monitor.view.screen_rows import ALARM_BAR, LOW_BAR, MEDIUM_BAR, NAME_LENGTH
from monitor.wire.messages import AlarmKind, AlarmStatus, Priority, joined_leads

ALARM_BARS: dict[Priority, str] = {"high": ALARM_BAR, "medium": MEDIUM_BAR, "low": LOW_BAR}
ROOM_FOR_WORDS = 25  # columns beside the large letters
_SHORT: dict[AlarmKind, str] = {  # where the whole name is too wide to be large
    "ventricular_fibrillation": "V fibrillation",
    "ventricular_tachycardia": "V tachycardia",
    "extreme_tachycardia": "extreme tachy",
    "extreme_bradycardia": "extreme brady",
    "ventricular_run": "V run",
    "irregular_rhythm": "irregular",
}


def alarm_rows(patient: PatientView, width: int, n_rows: int) -> list[Text]:
    """Return the alarms of a patient in n_rows rows at most, as few as they need; none: no rows.

    The most urgent one is large where there is room for that.
    """
    alarms = list(patient.alarms)
    if not alarms or n_rows < 1:
        return []
    rows: list[Text] = []
    if n_rows > HEIGHT_ROWS:
        rows = _large_rows(patient, alarms[0], width)
    if rows:
        alarms.pop(0)
    free = n_rows - len(rows)
    shown = alarms if len(alarms) <= free else alarms[: free - 1]
    rows += [_row(said(patient, alarm), alarm.priority, width) for alarm in shown]
    if rest := alarms[len(shown) :]:
        names = ", ".join(alarm_name(alarm.kind) for alarm in rest)
        also = names if rows else said(patient, rest.pop(0)) + f"  +{len(rest)}"
        rows.append(_row(f"{'also ' if rows else ''}{also}", alarms[len(shown)].priority, width))
    return rows


def said(patient: PatientView, alarm: AlarmStatus) -> str:
    """Return one alarm in words: name, priority, since when, for how long, what is asked."""
    asked = _asked(alarm)
    return (
        f"{alarm_name(alarm.kind).upper()}  {alarm.priority}  {_since(patient, alarm)}"
        f"{f'  {asked}' if asked else ''}"
    )


def summary(patient: PatientView) -> str:
    """Return all alarms of a patient in a few words, for a row of many patients."""
    return "; ".join(_in_brief(alarm) for alarm in patient.alarms)


def inhibited_row(patient: PatientView, width: int) -> list[Text]:
    """Return which named alarms cannot be raised now, and why, in a row; none: no row."""
    if not patient.inhibited:
        return []
    reason = ", ".join(_reasons(patient))
    row = Text(f"    {inhibited_text(patient.inhibited)}", WITHHELD)
    row.append(f"  ({reason})" if reason else "")
    row.truncate(width, overflow="ellipsis")
    return [row]


def _reasons(patient: PatientView) -> Iterator[str]:
    """Say what inhibits: the technical alerts that say so, or all where that was not heard.

    Where nothing lasts, it is what the signal showed: too little yet, or a loose electrode lately.
    """
    if not (patient.technical or patient.left_out):
        yield "a lead is not known yet, or was off"
    lasting = [one for one in patient.technical if one.inhibits] or patient.technical
    yield from (harmless(one.event).replace("_", " ") for one in lasting)
    if patient.left_out:
        yield f"without {harmless(joined_leads(patient.left_out), NAME_LENGTH)}"


def _in_brief(alarm: AlarmStatus) -> str:
    over = "" if alarm.lasts else " is over"
    asked = " to acknowledge" if alarm.latched else ""
    return f"{alarm_name(alarm.kind).upper()}{over} since {clock(alarm.since_s, 0)}{asked}"


def _since(patient: PatientView, alarm: AlarmStatus) -> str:
    since = f"since {clock(alarm.since_s, 0)}"
    if not alarm.lasts:
        return f"{since}, is over"
    lasted_s = None if patient.position_s is None else patient.position_s - alarm.since_s
    return since if lasted_s is None or lasted_s < 0 else f"{since} ({_duration(lasted_s)})"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return clock(seconds, 0).lstrip("0:")


def _asked(alarm: AlarmStatus) -> str:
    if alarm.latched:
        return "key a acknowledges"
    return "no acknowledgement due" if alarm.priority == "high" else ""


def _row(text: str, priority: Priority, width: int) -> Text:
    row = Text(f" A  {text}", ALARM_BARS[priority])
    row.truncate(width, overflow="ellipsis", pad=True)
    return row


def _large_rows(patient: PatientView, alarm: AlarmStatus, width: int) -> list[Text]:
    """Return an alarm in large letters, its words beside them; nothing where they do not fit."""
    name = alarm_name(alarm.kind)
    wide = max(0, width - 4 - ROOM_FOR_WORDS)
    letters = next(
        (
            drawn
            for drawn in map(large, (name, _SHORT.get(alarm.kind, name)))
            if len(drawn[0]) <= wide
        ),
        None,
    )
    if letters is None:
        return []
    words = (f"{alarm.priority} priority", _since(patient, alarm), _asked(alarm))
    rows: list[Text] = []
    for drawn, text in zip(letters, words, strict=True):
        row = Text(f" {'A' if not rows else ' '}  {drawn}  {text}", ALARM_BARS[alarm.priority])
        row.truncate(width, overflow="ellipsis", pad=True)
        rows.append(row)
    return rows
