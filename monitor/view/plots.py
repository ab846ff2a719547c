"""Plots of the live view: the signal and the losses.

Each takes numbers and a size in cells and returns that many rows of Rich text. Colour never says
anything alone: letters, dashes and places say it too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from monitor.text import harmless
from monitor.view.braille import DOTS_ACROSS, characters, curve, envelope
from monitor.view.patient_view import PatientView, ShownBeat
from monitor.view.waveform import MAX_WAVE_VALUES, Waveform

TRACE = "#35e06f"
ANOMALY = "bold #ff4d4d"
RECONSTRUCTION = "#ffb000"
WITHHELD = "#e0c000"
MARK = "#4fc3f7"
DIM = "#6b7680"

AXIS_COLUMNS = 6
MAX_WINDOW_S = 10
MIN_DOTS_A_SECOND = 24  # a QRS complex of 100 ms is then two to three dots wide
ERASED_CELLS = 2  # the gap that runs ahead of the newest sample
MIN_LEAD_ROWS = 3  # of a lead's trace: a top, a middle with the name, a bottom
MIN_SPAN_MV = 1.0  # a flat line's noise is not blown up to an ECG
SCALE_STEP_MV = 0.5  # the scale moves by steps, not with every beat
LOWEST_LOSS, HIGHEST_LOSS = 0.01, 1e5  # what lies outside is drawn at the edge
BARS = " ▁▂▃▄▅▆▇█"
Cell = tuple[str, str]  # a character and its style
# What is written over an R peak, and under a loss: of each kind the cell, and what it means.
MARKS: dict[str, tuple[Cell, str]] = {
    "normal": (("·", MARK), "normal"),
    "anomalous": (("A", ANOMALY), "anomalous"),
    "withheld": (("?", WITHHELD), "not judged"),
    "learning": (("L", DIM), "learnt"),
    "waiting": (("'", DIM), "waits"),
}
_NOTHING: Cell = (" ", "")
_LINE: Cell = ("╌", RECONSTRUCTION)
_CROSSED: Cell = ("╌", f"#000000 on {ANOMALY.removeprefix('bold ')}")
POINTS = " ⣀⣀⠤⠤⠒⠒⠉⠉"  # the height in a cell, in eighths


def window_s(width: int) -> int:
    """Return the seconds of signal that a plot of so many columns shows."""
    dots = max(width - AXIS_COLUMNS, 1) * DOTS_ACROSS
    return max(1, min(MAX_WINDOW_S, dots // MIN_DOTS_A_SECOND))


class ShownLead(NamedTuple):
    """A lead that is drawn."""

    name: str
    waveform: Waveform
    is_left_out: bool = False


def shown_leads(patient: PatientView, n_rows: int) -> list[ShownLead]:
    """Return the leads that have room in so many rows: of a few those that are judged."""
    first = patient.leads[0] if patient.leads else ""
    known = {first: patient.waveform, **patient.others}
    leads = [ShownLead(name, one, name in patient.left_out) for name, one in known.items()]
    n_shown = min(len(leads), max(1, (n_rows - 2) // MIN_LEAD_ROWS))
    kept = sorted(leads, key=lambda one: one.is_left_out)[:n_shown]
    return [one for one in leads if one in kept]


def plot_signal(
    patient: PatientView, leads: Sequence[ShownLead], width: int, n_rows: int
) -> list[Text]:
    """Draw the newest signal as a sweep: the trace stands still and is overwritten from the left.

    The first row marks R peaks (`MARKS`): a beat below the threshold, an anomalous one, one that
    could not be judged, one that is learnt from, one not scored yet. The last row has a tick a
    second. Leads stand one below the other, each with its own scale and, where there are several,
    its name; "?" behind a name says that the lead is left out.
    """
    n_columns = width - AXIS_COLUMNS
    if n_columns < 8 or n_rows < 3:
        return [Text(" " * width) for _ in range(n_rows)]
    wave = patient.waveform
    n_window = max(1, min(round(window_s(width) * wave.fs_hz), MAX_WAVE_VALUES))
    beats = _verdicts(patient)
    marks, styles = _marks(wave, beats, n_window, n_columns)
    rows = [Text(" " * AXIS_COLUMNS).append_text(marks)]
    n_each, n_more = divmod(n_rows - 2, len(leads))
    for place, lead in enumerate(leads):
        shown = [WITHHELD] * n_columns if lead.is_left_out else styles
        name = _axis_name(lead) if len(leads) > 1 else ""
        rows += _trace(lead.waveform, name, n_window, shown, n_each + (place < n_more))
    return [*rows, _time_axis(n_columns, n_window / wave.fs_hz)]


def _trace(
    wave: Waveform, name: str, n_window: int, styles: Sequence[str], n_rows: int
) -> list[Text]:
    """Draw one lead; a column for each style."""
    swept = _sweep(wave, n_window, len(styles))
    bottom, top = _scale(swept)
    dots = curve(envelope(swept, len(styles) * DOTS_ACROSS), bottom, top, n_rows)
    rows = []
    for place, characters_row in enumerate(characters(dots)):
        label = _axis_label(place, n_rows, bottom, top)
        row = Text(name, MARK) if name and place == n_rows // 2 else Text(label, DIM)
        rows.append(row.append_text(coloured(characters_row, styles)))
    return rows


def _axis_name(lead: ShownLead) -> str:
    """Return a lead's name as wide as the axis."""
    mark = "?" if lead.is_left_out else ""
    name = Text(harmless(lead.name))
    name.truncate(AXIS_COLUMNS - 1 - len(mark))
    return " " * max(0, AXIS_COLUMNS - 1 - name.cell_len - len(mark)) + f"{name.plain}{mark} "


def _sweep(wave: Waveform, n_window: int, n_columns: int) -> NDArray[np.float32]:
    """Return the window with every value at its place in the sweep; NaN where erased."""
    swept = np.full(n_window, np.nan, np.float32)
    n_erased = math.ceil(n_window * ERASED_CELLS / n_columns)
    newest = wave.values[-max(n_window - n_erased, 1) :]
    places = np.arange(wave.end_index - len(newest), wave.end_index) % n_window
    swept[places] = newest
    return swept


def _scale(swept: NDArray[np.float32]) -> tuple[float, float]:
    """Return the lower and upper edge in mV, in whole steps round the signal."""
    present = swept[~np.isnan(swept)]
    if len(present) == 0:
        return -MIN_SPAN_MV / 2, MIN_SPAN_MV / 2
    bottom = math.floor(float(present.min()) / SCALE_STEP_MV) * SCALE_STEP_MV
    top = math.ceil(float(present.max()) / SCALE_STEP_MV) * SCALE_STEP_MV
    return bottom, max(top, bottom + MIN_SPAN_MV)


def _verdicts(patient: PatientView) -> dict[int, ShownBeat | None]:
    """Return the beats by their R peak's index in the waveform; none is not scored yet."""
    wave = patient.waveform
    verdicts: dict[int, ShownBeat | None] = dict.fromkeys(wave.r_indices)
    if patient.fs_hz is None:
        return verdicts
    for beat in patient.beats:
        index = round(beat.sample * wave.fs_hz / patient.fs_hz)
        if wave.first_index <= index < wave.end_index:
            verdicts[index] = beat
    return dict(sorted(verdicts.items()))


def _marks(
    wave: Waveform, beats: dict[int, ShownBeat | None], n_window: int, n_columns: int
) -> tuple[Text, list[str]]:
    """Return the row of marks, and the style of the trace in each column."""
    styles = [TRACE] * n_columns
    marks = [_NOTHING] * n_columns
    n_erased = math.ceil(n_window * ERASED_CELLS / n_columns)
    oldest = wave.end_index - (n_window - n_erased)
    peaks = list(beats)
    for place, (index, beat) in enumerate(beats.items()):
        if index < oldest:
            continue
        marks[index % n_window * n_columns // n_window] = _mark(beat)
        if beat is None or not (beat.anomalous or beat.is_withheld):
            continue
        first, last = _reach(peaks, place, wave)
        for i in range(max(first, oldest), last):
            styles[i % n_window * n_columns // n_window] = ANOMALY if beat.anomalous else WITHHELD
    return _joined(marks), styles


def _reach(peaks: Sequence[int], place: int, wave: Waveform) -> tuple[int, int]:
    """Return where a beat begins and ends: half-way to its neighbours, 0.5 s at most."""
    most = round(0.5 * wave.fs_hz)
    peak = peaks[place]
    before = most if place == 0 else (peak - peaks[place - 1]) // 2
    after = most if place + 1 == len(peaks) else (peaks[place + 1] - peak) // 2
    return peak - min(before, most), min(peak + min(after, most), wave.end_index)


def _mark(beat: ShownBeat | None) -> Cell:
    """Return the letter of a beat and its style."""
    if beat is None:
        return MARKS["waiting"][0]
    if beat.anomalous:
        return MARKS["anomalous"][0]
    if beat.is_learning:
        return MARKS["learning"][0]
    return MARKS["withheld" if beat.is_withheld else "normal"][0]


def legend(room: int) -> Text:
    """Return what each mark means, in so many columns: in words, or else the marks alone."""
    for space in ("  ", " "):
        text = Text()
        for place, ((letter, style), meaning) in enumerate(MARKS.values()):
            text.append(space if place else "").append(letter, style).append(f" {meaning}", DIM)
        if text.cell_len <= room:
            return text
    return Text()


def _axis_label(place: int, n_rows: int, bottom: float, top: float) -> str:
    """Return the label left of a row of the plot: millivolts at the edges."""
    if place == 0:
        return f"{top:+5.1f} "
    return f"{bottom:+5.1f} " if place == n_rows - 1 else " " * AXIS_COLUMNS


def coloured(row: str, styles: Sequence[str]) -> Text:
    """Return the row in runs of equal style; blanks join any run, since runs cost time."""
    text = Text()
    start = 0
    style = ""
    for i, cell in enumerate(row):
        if cell == " " or styles[i] == style:
            continue
        text.append(row[start:i], style)
        start, style = i, styles[i]
    return text.append(row[start:], style)


def _time_axis(n_columns: int, duration_s: float) -> Text:
    """Return the row with a tick at every second of the sweep."""
    line = ["─"] * n_columns
    for second in range(math.ceil(duration_s)):
        line[int(second / duration_s * n_columns)] = "┴"
    line[0] = "└"
    return Text("mV ".rjust(AXIS_COLUMNS) + "".join(line), DIM)


def plot_losses(
    beats: Sequence[ShownBeat], threshold: float | None, width: int, n_rows: int
) -> list[Text]:
    """Draw the newest losses on a logarithmic scale, with the threshold as a dashed line.

    One column a beat, newest on the right: a point, or a bar where it is anomalous. The last row
    has "A" under an anomalous beat and "?" under one that could not be judged.
    """
    n_columns = width - AXIS_COLUMNS
    if n_columns < 4 or n_rows < 3:
        return [Text(" " * width) for _ in range(n_rows)]
    newest = list(beats[-n_columns:])
    losses = [beat.loss for beat in newest if beat.loss is not None]
    bottom, top = _loss_scale(losses, threshold)
    n_bars = n_rows - 1
    heights = [_bar_height(beat.loss, bottom, top, n_bars) for beat in newest]
    line_row = None if threshold is None else _row_of(threshold, bottom, top, n_bars)
    empty = n_columns - len(newest)
    rows = []
    for place in range(n_bars):
        is_line = place == line_row
        floor = (n_bars - 1 - place) * 8
        cells = [(_LINE if is_line else _NOTHING)] * empty
        cells += [
            _loss_cell(beat, height - floor, is_line)
            for beat, height in zip(newest, heights, strict=True)
        ]
        row = Text(_loss_label(place, n_bars, line_row, threshold, bottom, top), DIM)
        rows.append(row.append_text(_joined(cells)))
    letters = [_mark(beat) if beat.anomalous or beat.is_withheld else _NOTHING for beat in newest]
    return [*rows, Text(" " * (AXIS_COLUMNS + empty)).append_text(_joined(letters))]


def plot_times_above(
    beats: Sequence[ShownBeat], width: int, n_rows: int, *, with_line: bool = True
) -> list[Text]:
    """Draw as `plot_losses` how many times above its bound each beat is, with the bound, 1."""
    held = [replace(beat, loss=beat.times_above) for beat in beats[-width:]]
    return plot_losses(held, 1.0 if with_line else None, width, n_rows)


def _joined(cells: Sequence[Cell]) -> Text:
    """Return cells as one row of text."""
    return coloured("".join(cell for cell, _ in cells), [style for _, style in cells])


def _loss_scale(losses: Sequence[float], threshold: float | None) -> tuple[float, float]:
    """Return the edges of the logarithmic scale: somewhat more than what is shown."""
    shown = [*losses, *([] if threshold is None else [threshold])]
    within = [min(max(value, LOWEST_LOSS), HIGHEST_LOSS) for value in shown]
    return (min(within) / 2, max(within) * 1.5) if within else (1.0, 100.0)


def _level(value: float, bottom: float, top: float) -> float:
    """Return the place of a value on the logarithmic scale, 0 to 1."""
    within = min(max(value, bottom), top)
    return math.log(within / bottom) / math.log(top / bottom)


def _bar_height(loss: float | None, bottom: float, top: float, n_rows: int) -> int:
    """Return the height of a bar in eighths of a cell; a judged beat shows at least one."""
    return 0 if loss is None else max(1, round(_level(loss, bottom, top) * n_rows * 8))


def _row_of(value: float, bottom: float, top: float, n_rows: int) -> int:
    """Return the row, from the top, in which a value lies."""
    return n_rows - 1 - min(int(_level(value, bottom, top) * n_rows), n_rows - 1)


def _loss_cell(beat: ShownBeat, eighths: int, is_line: bool) -> Cell:
    """Return one cell of a beat, or of what is behind it."""
    if beat.anomalous and eighths > 8 and is_line:
        return _CROSSED  # a run of anomalous beats must not hide the threshold
    if beat.anomalous and eighths > 0:
        return BARS[min(eighths, 8)], ANOMALY
    if 0 < eighths <= 8:
        return POINTS[eighths], TRACE
    return _LINE if is_line else _NOTHING


def _loss_label(
    place: int,
    n_rows: int,
    line_row: int | None,
    threshold: float | None,
    bottom: float,
    top: float,
) -> str:
    """Return the label left of a row: the threshold, and the edges where they do not hide it."""
    if place == line_row and threshold is not None:
        return f"{number(threshold):>5} "
    if place == 0:
        return f"{number(top):>5} "
    return f"{number(bottom):>5} " if place == n_rows - 1 else " " * AXIS_COLUMNS


def number(value: float) -> str:
    """Return a loss in five characters or less."""
    if not math.isfinite(value):
        return "--"
    if abs(value) < 1000:
        return f"{value:.1f}"
    return f"{value:.0f}" if abs(value) < 1e5 else f"{value:.0e}".replace("e+", "e")
