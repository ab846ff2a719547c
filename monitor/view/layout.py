"""Snapshot to Rich renderable: no socket, no clock, no markup.

The screen is built of rows of exactly the asked width, so that it never wraps and never scrolls.
What others named (patients, records, notes) goes through `harmless` and into `Text`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

from monitor.plain import alarm_words, clock
from monitor.text import counted, harmless
from monitor.view.alarms import alarm_rows, inhibited_row
from monitor.view.beats import beat_and_losses, explanation
from monitor.view.families import WORD_KEYS, families_rows, families_text
from monitor.view.patient_view import AlertRow, PatientView
from monitor.view.patients import (
    event_name,
    heart_rate,
    is_withheld,
    leads_above,
    patient_table,
    table_height,
    verdict,
)
from monitor.view.plots import (
    ANOMALY,
    DIM,
    MARK,
    TRACE,
    WITHHELD,
    ShownLead,
    legend,
    number,
    plot_signal,
    shown_leads,
    window_s,
)
from monitor.view.screen_rows import (
    BAR,
    NAME,
    NAME_LENGTH,
    TECHNICAL_BAR,
    apart,
    beside,
    blank,
    fitted,
    heading,
    in_rows,
    wrapped,
)
from monitor.view.selection import selected
from monitor.view.snapshot import Snapshot
from monitor.view.stages import stage_line, stage_table
from monitor.wire.messages import named_leads

VITALS_COLUMNS = 30
STAGE_COLUMNS = 72
WIDE_COLUMNS = 120
TALL_ROWS = 36
ROOMY_ROWS = 20  # from here on a long verdict may take up to three
ALL_ALARMS = 12  # rows: three of the large one
TINY_HEIGHT = 12  # below, the last row is of keys alone
_BRIEF = {"fewer alerts": "fewer", "more alerts": "more"}  # of keys, where they have little room
SHORT_DISCLAIMER = "research, not a medical device"
DISCLAIMER = "research software, not a medical device"

# Digits of three by five, drawn two columns wide to look square.
_DIGITS = {
    "0": ("###", "# #", "# #", "# #", "###"),
    "1": ("  #", "  #", "  #", "  #", "  #"),
    "2": ("###", "  #", "###", "#  ", "###"),
    "3": ("###", "  #", "###", "  #", "###"),
    "4": ("# #", "# #", "###", "  #", "  #"),
    "5": ("###", "#  ", "###", "  #", "###"),
    "6": ("###", "#  ", "###", "# #", "###"),
    "7": ("###", "  #", "  #", "  #", "  #"),
    "8": ("###", "# #", "###", "# #", "###"),
    "9": ("###", "# #", "###", "  #", "###"),
    "-": ("   ", "   ", "###", "   ", "   "),
}


@dataclass(frozen=True)
class Rows:
    """Rows that fit already: written as they are, which takes half the time of a Group's wrapping.

    Attributes
    ----------
    rows : tuple of Text
        Each as wide as the screen.
    """

    rows: tuple[Text, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for place, row in enumerate(self.rows):
            if place:
                yield Segment.line()
            yield from row.render(console)


def render(snapshot: Snapshot, width: int, height: int) -> Rows:
    """Return the screen of a snapshot, width columns by height rows at most."""
    if width < 1 or height < 1:
        return Rows(())
    patient = selected(snapshot)
    if patient is None:
        rows = _waiting(snapshot, width, height)
    else:
        rows = _monitoring(snapshot, patient, width, height)
    return Rows(tuple(fitted(row, width) for row in rows[:height]))


def _waiting(snapshot: Snapshot, width: int, height: int) -> list[Text]:
    """Return the screen before anything was heard."""
    title = apart(Text(" ecg-monitor  waiting for the first signal"), Text(), width, BAR)
    footer = _footer(snapshot, width, height)
    return [
        title,
        *blank(max(height - 2 - len(footer), 0)),
        stage_line(snapshot.stages, snapshot.faults),
        *footer,
    ]


def _monitoring(snapshot: Snapshot, patient: PatientView, width: int, height: int) -> list[Text]:
    """Return the screen of a patient, or of several with one selected.

    The rows that matter most are kept when the terminal is small: title, verdict, signal, keys.
    """
    n_verdict, n_alarms = (3, 5) if height >= ROOMY_ROWS else (1, 1)
    alarms = alarm_rows(patient, width, ALL_ALARMS if height >= TALL_ROWS else n_alarms)
    top = [_title(snapshot, patient, width), *alarms]
    bottom = _footer(snapshot, width, height)
    if height >= 8:
        top.append(_progress(snapshot, patient, width))
    top += _verdict_rows(snapshot, patient, width, n_verdict)
    if height >= TINY_HEIGHT:
        top += inhibited_row(patient, width)
    is_tall = height >= TALL_ROWS and width >= 2 * STAGE_COLUMNS
    if height >= 16 and not is_tall:
        bottom.insert(0, stage_line(snapshot.stages, snapshot.faults))
    free = height - len(top) - len(bottom)
    n_table = table_height(len(snapshot.patients), free)
    table = patient_table(snapshot, patient, width, n_table)
    if snapshot.explaining:
        return [*top, *table, *explanation(patient, width, free - n_table), *bottom]
    has_families = bool(patient.families) and height >= TALL_ROWS
    families = families_rows(patient, width) if has_families else []
    n_signal, n_beat, n_alerts = _heights(free - n_table - len(families))
    middle = [
        *table,
        *_signal(snapshot, patient, width, n_signal),
        *beat_and_losses(patient, width, n_beat),
        *families,
        *_alerts(snapshot, patient, width, n_alerts, is_tall, with_families=not families),
    ]
    return [*top, *middle, *bottom]


def _heights(free: int) -> tuple[int, int, int]:
    """Share the free rows among the signal, the beat with the losses, and the alerts."""
    n_alerts = 0 if free < 7 else max(2, free // 4 if free >= 30 else (free + 1) // 5)
    n_beat = 0 if free < 14 else max(5, round(free * 0.3))
    return max(free - n_alerts - n_beat, 0), n_beat, n_alerts


# --- rows -------------------------------------------------------------------------------------


def _title(snapshot: Snapshot, patient: PatientView, width: int) -> Text:
    """Return who is watched, and the heart rate."""
    left = Text(" ").append(harmless(patient.patient, NAME_LENGTH), NAME)
    if patient.record and patient.record != patient.patient:
        left.append(f"  record {harmless(patient.record, NAME_LENGTH)}")
    left.append(f"  {harmless(named_leads(patient.leads), NAME_LENGTH)}")
    right = Text()
    if width >= 72:
        left.append("  ecg-monitor", DIM)
    if snapshot.paused:
        right.append(" PAUSED ", TECHNICAL_BAR).append("  ")
    if width >= 60:
        right.append_text(_quality(snapshot, patient))
    right.append("  HR ")
    right.append(f"{heart_rate(snapshot, patient):>3}", f"bold {TRACE}").append(" /min ")
    return apart(left, right, width, BAR)


def _quality(snapshot: Snapshot, patient: PatientView) -> Text:
    """Return the signal quality of the latest beat."""
    if is_withheld(snapshot, patient):
        return Text("signal withheld", WITHHELD)
    flags = patient.beats[-1].quality if patient.beats else ()
    if flags:
        return Text(f"signal {harmless(', '.join(flags).lower(), NAME_LENGTH)}", WITHHELD)
    return Text("signal good" if patient.beats else "signal --")


def _progress(snapshot: Snapshot, patient: PatientView, width: int) -> Text:
    """Return how far in the record, how fast, and how late."""
    position_s, duration_s = patient.position_s, patient.duration_s
    speed = (
        "--"
        if snapshot.speed is None
        else f"{snapshot.speed:.{0 if snapshot.speed >= 10 else 1}f}x"
    )
    lag = "--" if patient.lag_s is None else f"{patient.lag_s:.2f} s"
    right = Text(f"  speed {speed}  lag {lag} ")
    left = Text(" ").append("--:--:--" if position_s is None else clock(position_s, 0), "bold")
    if position_s is None or duration_s is None or duration_s <= 0:
        return apart(left, right, width)
    share = min(max(position_s / duration_s, 0.0), 1.0)
    tail = f" {clock(duration_s, 0)} {math.floor(share * 100):3d} %"
    n_bar = width - left.cell_len - 1 - len(tail) - right.cell_len
    if n_bar < 4:
        return apart(left.append(f" {math.floor(share * 100)} %"), right, width)
    n_done = math.floor(share * n_bar)
    left.append(" ").append("━" * n_done, TRACE).append("╌" * (n_bar - n_done), DIM)
    return apart(left.append(tail), right, width)


def _verdict_rows(snapshot: Snapshot, patient: PatientView, width: int, n_rows: int) -> list[Text]:
    """Return the verdict in a row, or in as many as it needs, at most n_rows."""
    letter, said, style = verdict(snapshot, patient)
    parts = wrapped(said, width - 5, n_rows)
    rows = []
    for part in parts:
        row = Text(f" {letter}  {part}" if part is parts[0] else f"    {part}", style)
        row.truncate(width, overflow="ellipsis", pad=True)
        rows.append(row)
    return rows


def _signal(snapshot: Snapshot, patient: PatientView, width: int, n_rows: int) -> list[Text]:
    """Return the waveform, and where there is room the vital figures beside it."""
    if n_rows < 4:
        return blank(n_rows)
    has_vitals = width >= WIDE_COLUMNS and n_rows >= 16
    n_columns = width - VITALS_COLUMNS if has_vitals else width
    shown = shown_leads(patient, n_rows - 1)
    title = Text("ECG ", "bold").append(_named(shown, len(patient.leads)), MARK)
    seconds = f"{window_s(n_columns)} s"
    right = legend(width - title.cell_len - len(seconds) - 9)
    right.append(f"  {seconds}" if right else seconds, DIM)
    plot = plot_signal(patient, shown, n_columns, n_rows - 1)
    if has_vitals:
        plot = beside(plot, n_columns, _vitals(snapshot, patient), n_rows - 1)
    return [heading(title, right, width), *plot]


def _named(shown: Sequence[ShownLead], n_leads: int) -> str:
    """Return the leads that are drawn, "?" behind one that is left out, and of how many."""
    names = ", ".join(
        f"{harmless(one.name, NAME_LENGTH)}{'?' if one.is_left_out else ''}" for one in shown
    )
    return names if len(shown) >= n_leads else f"{names} of {n_leads} leads"


def _vitals(snapshot: Snapshot, patient: PatientView) -> list[Text]:
    """Return the heart rate in large digits, and the counts."""
    margin = "    "
    rate = heart_rate(snapshot, patient)
    rows = [Text(f"{margin}HR /min", DIM)]
    for line in range(5):
        pixels = " ".join(_DIGITS[digit][line] for digit in rate.rjust(3)[-3:].replace(" ", ""))
        rows.append(Text(margin + "".join(p * 2 for p in pixels).replace("#", "█"), TRACE))
    share = 100 * patient.n_anomalous / patient.n_beats if patient.n_beats else 0.0
    figures = [
        ("threshold", "--" if patient.threshold is None else number(patient.threshold)),
        ("beats", f"{patient.n_beats:,}"),
        ("anomalous", f"{patient.n_anomalous:,}  {share:.1f} %"),
        ("alerts", f"{patient.n_alerts:,}"),
        ("withheld", f"{patient.n_withheld:,}"),
        ("model", harmless(snapshot.model, 12) or "--"),
    ]
    rows.append(Text())
    rows += [Text(f"{margin}{name:<10}", DIM).append(value, "bold") for name, value in figures]
    return rows


def _alerts(
    snapshot: Snapshot,
    patient: PatientView,
    width: int,
    n_rows: int,
    with_stages: bool,
    *,
    with_families: bool,
) -> list[Text]:
    """Return the newest alerts, newest on top; above them the families, where only here is room."""
    if n_rows < 2:
        return blank(n_rows)
    counts = (
        f"{counted(patient.n_beats, 'beat', ',')}  {patient.n_anomalous:,} anomalous  "
        f"{counted(patient.n_alerts, 'alert', ',')}"
    )
    title = Text("alerts", "bold")
    if patient.families and with_families:
        families = families_text(patient)
        families.truncate(max(width - len(counts) - 18, 0), overflow="ellipsis")
        title.append("  ").append_text(families)
    above = heading(title, Text(counts, DIM), width)
    newest = snapshot.rows[-(n_rows - 1) :][::-1]
    several = len(snapshot.patients) > 1
    room = width - STAGE_COLUMNS if with_stages else width
    owners = [snapshot.patients.get(row.patient) for row in newest]
    has_leads = any(one is not None and len(one.leads) > 1 for one in owners)
    is_brief = (room if has_leads else width) < WIDE_COLUMNS
    listed = [
        _alert_row(row, owner, several, is_brief) for row, owner in zip(newest, owners, strict=True)
    ] or [Text("   none so far", DIM)]
    if not with_stages:
        return [above, *listed, *blank(n_rows - 1 - len(listed))]
    stages = stage_table(snapshot.stages, snapshot.faults)
    for row in listed:
        row.truncate(room - 1, overflow="ellipsis")  # or its end touches the table
    return [above, *beside(listed, room, stages, n_rows - 1)]


def _alert_row(
    row: AlertRow, patient: PatientView | None, with_patient: bool, is_brief: bool
) -> Text:
    """Return one line of the alert list; a brief one leaves out the loss, and keeps the reason."""
    is_technical = row.priority == "technical"
    style = "" if not row.is_open else (WITHHELD if is_technical else ANOMALY)
    letter = ("T" if is_technical else "A") if row.is_open else " "
    state = row.state if not row.is_open else row.state.upper()
    text = Text(f" {letter} {clock(row.time_s, 1)}  {state:<8} {row.priority:<10}", style)
    if with_patient:
        text.append(f"{harmless(row.patient, NAME_LENGTH)}  ", NAME)
    if is_technical:
        text.append(event_name(row.event)).append(f"  {harmless(row.text)}", DIM)
    elif row.kind != "anomalous_beats":
        text.append(alarm_words(row.kind, row.text))
    elif row.loss is not None and row.ratio is not None:
        text.append("" if is_brief else f"loss {number(row.loss):>6}  ")
        text.append(f"x{number(row.ratio):<5}")
        text.append(f" {counted(row.n_beats, 'beat', '3d'):<9}  ")
        text.append(harmless(", ".join(row.why)), DIM)
        if patient is not None and leads_above(patient, row):
            text.append(f"  {leads_above(patient, row)}", MARK)
    return text


def _footer(snapshot: Snapshot, width: int, height: int) -> list[Text]:
    """Return the keys, or what there is to say, and what this is not.

    One row where both fit, else two, or three where the keys need two. Of a tiny screen the keys
    alone, as many as one row takes.
    """
    is_tiny = height < TINY_HEIGHT
    if snapshot.is_typing or snapshot.notice:
        left = _query(snapshot) if snapshot.is_typing else Text(harmless(snapshot.notice), "bold")
        rows = [Text(" ").append_text(left).append(" ")]
    else:
        rows = _key_row(snapshot, width) if is_tiny else _key_rows(snapshot, width)
    if is_tiny:
        return rows
    for disclaimer in (DISCLAIMER, SHORT_DISCLAIMER):
        if _leaves_room(rows, disclaimer, width):
            return [apart(rows[0], Text(disclaimer, DIM), width)]
    return [*rows, Text(f" {DISCLAIMER}", DIM)]


def _leaves_room(rows: list[Text], disclaimer: str, width: int) -> bool:
    """Tell whether what this is not fits behind the keys."""
    return len(rows) == 1 and rows[0].cell_len + 1 + len(disclaimer) <= width


def _key_rows(snapshot: Snapshot, width: int) -> list[Text]:
    """Return all keys: as wide as fits one row, or else in as few rows as there can be."""
    keys = _keys(snapshot)
    wide, full = in_rows(keys, "  ", width), in_rows(keys, " ", width)
    brief = in_rows(_in_brief(keys), " ", width)
    fitting = [
        rows
        for disclaimer in (DISCLAIMER, SHORT_DISCLAIMER)
        for rows in (wide, full, brief)
        if _leaves_room(rows, disclaimer, width)
    ]
    return fitting[0] if fitting else min(full, brief, key=len)


def _key_row(snapshot: Snapshot, width: int) -> list[Text]:
    """Return one row of keys: the last one leaves, those before it give way to it."""
    keys = _in_brief(_keys(snapshot))
    while len(keys) > 1 and len(in_rows(keys, " ", width)) > 1:
        del keys[-2]
    return in_rows(keys, " ", width)


def _in_brief(keys: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(key, _BRIEF.get(what, what)) for key, what in keys]


def _query(snapshot: Snapshot) -> Text:
    return Text(f"/{harmless(snapshot.query)}▏", "bold").append("  enter keep  esc all", DIM)


def _keys(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Return the keys that do something now, and what."""
    shown = selected(snapshot)
    keys = [("+", "fewer alerts"), ("-", "more alerts"), ("r", "learn")]
    keys.append(("p", "go on" if snapshot.paused else "pause"))
    if shown is not None and shown.latest is not None:
        keys.append(("e", "explain"))
        word = shown.word_of(shown.latest.family)
        if word is not None:
            keys += [(key, "undo" if said == word else said) for key, said in WORD_KEYS.items()]
    if shown is not None and shown.asks:
        keys.insert(0, ("a", "ACKNOWLEDGE"))
    if len(snapshot.patients) > 1:
        keys += [("↑↓", "patient"), ("/", "search")]
    if snapshot.query or snapshot.selected is not None or snapshot.explaining:
        keys.append(("esc", "back"))
    return [*keys, ("q", "quit")]
