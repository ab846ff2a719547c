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

from monitor.anomalous_beat import AnomalousBeat
from monitor.beat_plots import plot_beat
from monitor.plain import clock, milliseconds
from monitor.plots import (
    ANOMALY,
    DIM,
    MARK,
    RECONSTRUCTION,
    TRACE,
    WITHHELD,
    number,
    plot_losses,
    plot_signal,
    window_s,
)
from monitor.snapshot import (
    AlertRow,
    PatientView,
    Snapshot,
    selected,
    severity,
    worst_first,
)
from monitor.text import harmless
from monitor.wire import StageHealth

NAME_LENGTH = 24
STALE_S = 5.0  # stages speak once a second; five missed are no hiccup
VITALS_COLUMNS = 30
STAGE_COLUMNS = 72
WIDE_COLUMNS = 120
TALL_ROWS = 36
DISCLAIMER = "research software, not a medical device"

BAR = "#d7dde2 on #1c2730"
NAME = "bold #ffffff"
ALARM_BAR = "bold #ffffff on #b00020"
TECHNICAL_BAR = "bold #000000 on #ffb000"
LEARNING_BAR = "#ffffff on #1f4f7a"
QUIET_BAR = "#a8e6bd on #14301f"
ENDED_BAR = "#b0b8bf on #2a3138"

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
    return Rows(tuple(_fitted(row, width) for row in rows[:height]))


def _waiting(snapshot: Snapshot, width: int, height: int) -> list[Text]:
    """Return the screen before anything was heard."""
    title = _apart(Text(" ecg-monitor  waiting for the first signal"), Text(), width, BAR)
    footer = _footer(snapshot, width, height)
    return [
        title,
        *_blank(max(height - 2 - len(footer), 0)),
        _stage_line(snapshot.stages),
        *footer,
    ]


def _monitoring(snapshot: Snapshot, patient: PatientView, width: int, height: int) -> list[Text]:
    """Return the screen of a patient, or of several with one selected.

    The rows that matter most are kept when the terminal is small: title, verdict, signal, keys.
    """
    top = [_title(snapshot, patient, width), _verdict_row(snapshot, patient, width)]
    bottom = _footer(snapshot, width, height)
    if height >= 8:
        top.insert(1, _progress(snapshot, patient, width))
    is_tall = height >= TALL_ROWS and width >= 2 * STAGE_COLUMNS
    if height >= 16 and not is_tall:
        bottom.insert(0, _stage_line(snapshot.stages))
    free = height - len(top) - len(bottom)
    n_table = _table_height(len(snapshot.patients), free)
    n_signal, n_beat, n_alerts = _heights(free - n_table)
    middle = [
        *_patient_table(snapshot, patient, width, n_table),
        *_signal(snapshot, patient, width, n_signal),
        *_beat_and_losses(patient, width, n_beat),
        *_alerts(snapshot, patient, width, n_alerts, with_stages=is_tall),
    ]
    return [*top, *middle, *bottom]


def _table_height(n_patients: int, free: int) -> int:
    """Return the rows of the table of patients, its heading among them; 0 without one."""
    if n_patients < 2 or free < 10:
        return 0
    return 1 + min(n_patients, max(3, free // 4 if free >= 30 else free // 5))


def _heights(free: int) -> tuple[int, int, int]:
    """Share the free rows among the signal, the beat with the losses, and the alerts."""
    n_alerts = 0 if free < 7 else max(2, free // 4 if free >= 30 else (free + 1) // 5)
    n_beat = 0 if free < 14 else max(5, round(free * 0.3))
    return max(free - n_alerts - n_beat, 0), n_beat, n_alerts


# --- rows -------------------------------------------------------------------------------------


def _fitted(row: Text, width: int) -> Text:
    """Return the row cut or filled to the width; the terminal never wraps it."""
    row.truncate(width, overflow="ellipsis", pad=True)
    return Text().append_text(row)  # its own style becomes a span: Text.render draws only those


def _blank(n_rows: int) -> list[Text]:
    return [Text() for _ in range(n_rows)]


def _apart(left: Text, right: Text, width: int, style: str = "") -> Text:
    """Return one row with a part at either end; the left one gives way."""
    room = max(width - right.cell_len, 0)
    left = left.copy()
    left.truncate(room, overflow="ellipsis", pad=True)
    return Text(style=style).append_text(left).append_text(right)


def _heading(title: Text, right: Text, width: int) -> Text:
    """Return the line above a part of the screen."""
    line = Text("─ ", DIM).append_text(title).append(" ")
    n_line = width - line.cell_len - right.cell_len - 3
    if n_line < 1 or not right:
        return line.append("─" * max(width - line.cell_len, 0), DIM)
    return line.append("─" * n_line + " ", DIM).append_text(right).append(" ─", DIM)


def _beside(left: Sequence[Text], n_left: int, right: Sequence[Text], n_rows: int) -> list[Text]:
    """Return rows with two parts side by side, the left one n_left columns wide."""
    rows = []
    for i in range(n_rows):
        row = left[i].copy() if i < len(left) else Text()
        row.truncate(n_left, overflow="ellipsis", pad=True)
        rows.append(row.append_text(right[i]) if i < len(right) else row)
    return rows


def _title(snapshot: Snapshot, patient: PatientView, width: int) -> Text:
    """Return who is watched, and the heart rate."""
    left = Text(" ").append(harmless(patient.patient, NAME_LENGTH), NAME)
    if patient.record and patient.record != patient.patient:
        left.append(f"  record {harmless(patient.record, NAME_LENGTH)}")
    left.append(f"  lead {harmless(patient.lead, NAME_LENGTH)}")
    right = Text()
    if width >= 72:
        left.append("  ecg-monitor", DIM)
    if snapshot.paused:
        right.append(" PAUSED ", TECHNICAL_BAR).append("  ")
    if width >= 60:
        right.append_text(_quality(snapshot, patient))
    right.append("  HR ")
    right.append(f"{_heart_rate(snapshot, patient):>3}", f"bold {TRACE}").append(" /min ")
    return _apart(left, right, width, BAR)


def _is_withheld(snapshot: Snapshot, patient: PatientView) -> bool:
    """Whether nothing may be said of the heart: the signal or the word of it is missing."""
    return bool(patient.technical) or snapshot.silent_s > 0


def _heart_rate(snapshot: Snapshot, patient: PatientView) -> str:
    rate = patient.heart_rate_bpm
    if rate is None or _is_withheld(snapshot, patient) or not 0 < rate < 1000:
        return "--"
    return f"{rate:.0f}"


def _quality(snapshot: Snapshot, patient: PatientView) -> Text:
    """Return the signal quality of the latest beat."""
    if _is_withheld(snapshot, patient):
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
        return _apart(left, right, width)
    share = min(max(position_s / duration_s, 0.0), 1.0)
    tail = f" {clock(duration_s, 0)} {math.floor(share * 100):3d} %"
    n_bar = width - left.cell_len - 1 - len(tail) - right.cell_len
    if n_bar < 4:
        return _apart(left.append(f" {math.floor(share * 100)} %"), right, width)
    n_done = math.floor(share * n_bar)
    left.append(" ").append("━" * n_done, TRACE).append("╌" * (n_bar - n_done), DIM)
    return _apart(left.append(tail), right, width)


def _verdict(snapshot: Snapshot, patient: PatientView) -> tuple[str, str, str]:
    """Return a patient's state letter, what to say of it, and the style of its row."""
    if snapshot.silent_s > 0:
        return "!", f"NO WORD FOR {snapshot.silent_s:.0f} s: what is shown is old", ALARM_BAR
    if patient.technical:
        events = ", ".join(_event_name(lasting.event) for lasting in patient.technical)
        since = patient.technical[0].time_s
        began = "" if since is None else f" since {clock(since, 0)}"
        text = " ".join(harmless(t.text) for t in patient.technical if t.text)
        return "T", f"{events.upper()}{began}  verdict withheld  {text}".rstrip(), TECHNICAL_BAR
    episode = patient.episode
    if episode is not None:
        beats = f"{episode.n_beats} beat{'' if episode.n_beats == 1 else 's'}"
        ratio = "" if episode.ratio is None else f"  loss x{number(episode.ratio)}"
        said = f"ALERT {episode.priority} since {clock(episode.time_s, 0)}  {beats}{ratio}"
        return "A", said, ALARM_BAR
    note = f"  {harmless(patient.note)}" if patient.note else ""
    if patient.state == "monitoring":
        return "M", f"MONITORING  no open alert{note}", QUIET_BAR
    if patient.state == "ended":
        return "E", f"ENDED{note}", ENDED_BAR
    return "L", f"LEARNING  no verdict yet{note}", LEARNING_BAR


def _event_name(event: str) -> str:
    return harmless(event).replace("_", " ")


def _verdict_row(snapshot: Snapshot, patient: PatientView, width: int) -> Text:
    letter, said, style = _verdict(snapshot, patient)
    row = Text(f" {letter}  {said}", style)
    row.truncate(width, overflow="ellipsis", pad=True)
    return row


def _patient_table(snapshot: Snapshot, shown: PatientView, width: int, n_rows: int) -> list[Text]:
    """Return the patients, worst first; the selected one is always among them."""
    if n_rows < 2:
        return []
    patients = worst_first(snapshot)
    place = patients.index(shown)
    first = max(0, place - (n_rows - 2))
    listed = patients[first : first + n_rows - 1]
    counted = Text(f"{len(patients)} patients, worst first", DIM)
    return [
        _heading(Text("patients", "bold"), counted, width),
        *(_patient_row(snapshot, patient, patient is shown) for patient in listed),
    ]


def _patient_row(snapshot: Snapshot, patient: PatientView, is_shown: bool) -> Text:
    letter, said, style = _verdict(snapshot, patient)
    position_s = patient.position_s
    row = Text().append("▶" if is_shown else " ", NAME).append(f" {letter} ", style).append(" ")
    name = Text(harmless(patient.patient, NAME_LENGTH), NAME if is_shown else "")
    name.truncate(14, overflow="ellipsis", pad=True)
    row.append_text(name)
    row.append(f" HR {_heart_rate(snapshot, patient):>3}")
    row.append(f"  {'--:--:--' if position_s is None else clock(position_s, 0)}")
    row.append(f"  {patient.n_alerts:4d} alerts  ", "" if patient.n_alerts else DIM)
    return row.append(said, "bold" if severity(patient) > 2 else DIM)


def _signal(snapshot: Snapshot, patient: PatientView, width: int, n_rows: int) -> list[Text]:
    """Return the waveform, and where there is room the vital figures beside it."""
    if n_rows < 4:
        return _blank(n_rows)
    has_vitals = width >= WIDE_COLUMNS and n_rows >= 16
    n_columns = width - VITALS_COLUMNS if has_vitals else width
    title = Text("ECG ", "bold").append(harmless(patient.lead, NAME_LENGTH), MARK)
    legend = Text("A anomalous  ? not judged  ", DIM).append(f"{window_s(n_columns)} s", DIM)
    plot = plot_signal(patient, n_columns, n_rows - 1)
    if has_vitals:
        plot = _beside(plot, n_columns, _vitals(snapshot, patient), n_rows - 1)
    return [_heading(title, legend, width), *plot]


def _vitals(snapshot: Snapshot, patient: PatientView) -> list[Text]:
    """Return the heart rate in large digits, and the counts."""
    margin = "    "
    rate = _heart_rate(snapshot, patient)
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


def _beat_and_losses(patient: PatientView, width: int, n_rows: int) -> list[Text]:
    """Return the latest anomalous beat beside the losses."""
    if n_rows < 5:
        return _blank(n_rows)
    n_left = min(width * 47 // 100, 64) if width >= 60 else 0
    left = _latest_beat(patient, n_left - 1, n_rows) if n_left else []
    right = _losses(patient, width - n_left, n_rows)
    return _beside(left, n_left, right, n_rows)


def _why(latest: AnomalousBeat) -> str:
    """Return what the beat was found by, and the wave in which most of its loss arose."""
    named = [*latest.why, *([] if latest.worst_part is None else [latest.worst_part])]
    return f"{', '.join(named)} " if named else ""


def _latest_beat(patient: PatientView, width: int, n_rows: int) -> list[Text]:
    latest = patient.latest
    title = Text("latest anomalous beat", "bold")
    if latest is None:
        return [
            _heading(title, Text(), width),
            *_blank(n_rows // 2 - 1),
            Text("   none so far", DIM),
        ]
    caption = Text(" loss ").append(number(latest.loss), ANOMALY)
    caption.append(f"/{number(latest.threshold)} x{number(latest.ratio)} RR ")
    caption.append(f"{milliseconds(latest.rr_before_ms)}/{milliseconds(latest.rr_after_ms)} ms")
    if width >= 56:
        caption.append("  ━ beat", ANOMALY).append("  ╌ rebuilt", RECONSTRUCTION)
    return [
        _heading(title, Text(f"{_why(latest)}{clock(latest.time_s, 0)}", DIM), width),
        *plot_beat(latest, width, n_rows - 2),
        caption,
    ]


def _losses(patient: PatientView, width: int, n_rows: int) -> list[Text]:
    threshold = patient.threshold
    right = Text("threshold ", DIM).append(
        "--" if threshold is None else number(threshold), RECONSTRUCTION
    )
    return [
        _heading(Text("loss a beat", "bold"), right, width),
        *plot_losses(patient.beats, threshold, width, n_rows - 1),
    ]


def _alerts(
    snapshot: Snapshot, patient: PatientView, width: int, n_rows: int, with_stages: bool
) -> list[Text]:
    """Return the newest alerts, newest on top."""
    if n_rows < 2:
        return _blank(n_rows)
    counts = (
        f"{patient.n_beats:,} beats  {patient.n_anomalous:,} anomalous  {patient.n_alerts:,} alerts"
    )
    heading = _heading(Text("alerts", "bold"), Text(counts, DIM), width)
    newest = snapshot.rows[-(n_rows - 1) :][::-1]
    several = len(snapshot.patients) > 1
    listed = [_alert_row(row, several) for row in newest] or [Text("   none so far", DIM)]
    if not with_stages:
        return [heading, *listed, *_blank(n_rows - 1 - len(listed))]
    n_left = width - STAGE_COLUMNS
    return [heading, *_beside(listed, n_left, _stage_table(snapshot.stages), n_rows - 1)]


def _alert_row(row: AlertRow, with_patient: bool) -> Text:
    """Return one line of the alert list."""
    is_technical = row.priority == "technical"
    style = "" if not row.is_open else (WITHHELD if is_technical else ANOMALY)
    letter = ("T" if is_technical else "A") if row.is_open else " "
    state = row.state if not row.is_open else row.state.upper()
    text = Text(f" {letter} {clock(row.time_s, 1)}  {state:<8} {row.priority:<10}", style)
    if is_technical:
        text.append(_event_name(row.event)).append(f"  {harmless(row.text)}", DIM)
    elif row.loss is not None and row.ratio is not None:
        text.append(f"loss {number(row.loss):>6}  x{number(row.ratio):<5}")
        text.append(f" {row.n_beats:3d} beat{' ' if row.n_beats == 1 else 's'}")
    if with_patient:
        text.append(f"  {harmless(row.patient, NAME_LENGTH)}", NAME)
    return text


def _stage_line(stages: Sequence[StageHealth]) -> Text:
    """Return the health of all stages in one line; counters that are 0 are left out."""
    line = Text(" ")
    for stage in stages:
        is_silent = stage.age_s > STALE_S
        faults = _faults(stage)
        style = ANOMALY if is_silent else (WITHHELD if faults else DIM)
        sign = "x" if is_silent else ("!" if faults else "ok")
        n_messages = stage.messages_out if stage.stage == "producer" else stage.messages_in
        said = f"silent {stage.age_s:.0f} s" if is_silent else _count(n_messages)
        line.append(f"{stage.stage} {sign} {said}{faults}", style).append("   ")
    return line if stages else Text(" no stage has reported yet", DIM)


def _faults(stage: StageHealth) -> str:
    """Return the counters of what went wrong."""
    counters = [
        ("malformed", stage.malformed),
        ("gaps", stage.gaps),
        ("dropped", stage.dropped),
        ("restarts", stage.restarts),
    ]
    return "".join(f" {name} {_count(n)}" for name, n in counters if n)


def _stage_table(stages: Sequence[StageHealth]) -> list[Text]:
    """Return the health of the stages, one a row."""
    head = "stage            in      out malformed   gaps dropped restarts  heard"
    rows = [Text(head, DIM)]
    for stage in stages:
        is_silent = stage.age_s > STALE_S
        style = ANOMALY if is_silent else (WITHHELD if _faults(stage) else "")
        counts = f"{_count(stage.messages_in):>8} {_count(stage.messages_out):>8}"
        faults = f"{_count(stage.malformed):>9} {_count(stage.gaps):>6} {_count(stage.dropped):>7}"
        heard = f"{_count(stage.restarts):>8} {min(stage.age_s, 9999):>5.1f} s"
        rows.append(Text(f"{stage.stage:<10} {counts} {faults} {heard}", style))
    return rows


def _count(n: int) -> str:
    """Return a count in six characters or less."""
    if n < 10_000:
        return str(n)
    return f"{n / 1e3:.1f}k" if n < 1_000_000 else f"{n / 1e6:.1f}M" if n < 10**9 else "many"


def _footer(snapshot: Snapshot, width: int, height: int) -> list[Text]:
    """Return the keys, or what there is to say, and what this is not.

    One row where both fit, else two; of a tiny screen the keys alone.
    """
    disclaimer = Text(DISCLAIMER, DIM)
    if snapshot.notice:
        left = Text(f" {harmless(snapshot.notice)}", "bold")
        return [_apart(left.append(" "), disclaimer, width)] if width >= 60 else [left]
    roomy, tight = _keys(snapshot, "  "), _keys(snapshot, " ")
    for keys in (roomy, tight):
        if keys.cell_len + 1 + disclaimer.cell_len <= width:
            return [_apart(keys, disclaimer, width)]
    return [tight] if height < 12 else [tight, Text(" ").append_text(disclaimer)]


def _keys(snapshot: Snapshot, space: str) -> Text:
    keys = [("+/-", "threshold"), ("r", "relearn"), ("p", "resume" if snapshot.paused else "pause")]
    shown = selected(snapshot)
    if shown is not None and shown.latched:
        keys.insert(0, ("a", "ACKNOWLEDGE"))
    if len(snapshot.patients) > 1:
        keys.append(("↑↓", "patient"))
    text = Text()
    for place, (key, what) in enumerate([*keys, ("q", "quit")]):
        text.append(space if place else " ").append(key, "bold").append(f" {what}")
    return text
