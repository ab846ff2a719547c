"""Anomalous beats that look alike, as a part of the screen: small beats, counts, what was said."""

from __future__ import annotations

import numpy as np
from rich.text import Text

from monitor.view.braille import DOTS_ACROSS, characters, curve, envelope
from monitor.view.patient_view import PatientView
from monitor.view.plots import ANOMALY, DIM, MARK, TRACE, Cell
from monitor.view.screen_rows import NAME, blank, heading
from monitor.wire.messages import FamilyStatus, FamilyWord

FAMILY_ROWS = 5  # a heading, the beats, what is said of each
BEAT_COLUMNS, APART = 18, 2
_SHAPE_PEAK = 110.0  # of -100 to 100, and a little room
WORD_MARKS: dict[FamilyWord, tuple[Cell, str]] = {
    "normal": (("N", TRACE), "normal"),
    "always": (("X", ANOMALY), "always alerts"),
}
WORD_KEYS: dict[str, FamilyWord] = {"n": "normal", "x": "always"}


def families_text(patient: PatientView) -> Text:
    """Return how many families there are, how often each came, and what was said of it."""
    text = Text(f"families {len(patient.families)}:", "bold")
    for one in patient.families:
        text.append(f" {_count(one)}", DIM).append_text(_word(one))
    return text


def families_rows(patient: PatientView, width: int) -> list[Text]:
    """Return the families side by side, the most frequent first, in FAMILY_ROWS rows.

    The one that the latest alert named, of which keys speak, is pointed at.
    """
    shown = patient.families[: max(1, width // (BEAT_COLUMNS + APART))]
    title = Text("families ", "bold").append(f"{len(patient.families)}", "bold")
    title.append(" of anomalous beats", DIM)
    rows = [heading(title, _legend(), width), *blank(FAMILY_ROWS - 1)]
    latest = None if patient.latest is None else patient.latest.family
    for one in shown:
        drawn = [*_drawn(one, FAMILY_ROWS - 2), _caption(one, is_latest=one.number == latest)]
        for row, part in zip(rows[1:], drawn, strict=True):
            part.truncate(BEAT_COLUMNS, pad=True)
            row.append(" " * APART).append_text(part)
    return rows


def _legend() -> Text:
    text = Text("▶", NAME).append(" latest alert's", DIM)
    for (letter, style), meaning in WORD_MARKS.values():
        text.append(f"  {letter}", style).append(f" {meaning}", DIM)
    return text


def _drawn(family: FamilyStatus, n_rows: int) -> list[Text]:
    values = np.array(family.shape, np.float32)
    dots = envelope(values, BEAT_COLUMNS * DOTS_ACROSS)
    drawn = characters(curve(dots, -_SHAPE_PEAK, _SHAPE_PEAK, n_rows))
    style = TRACE if family.word == "normal" else ANOMALY
    return [Text(row, style) for row in drawn]


def _caption(family: FamilyStatus, *, is_latest: bool) -> Text:
    caption = Text("▶" if is_latest else "", NAME).append(f"#{family.number} ", MARK)
    caption.append(_count(family), "bold")
    return caption.append_text(_word(family)).append(f" {family.per_minute}/min", DIM)


def _count(family: FamilyStatus) -> str:
    """Return how often it came, in at most six characters."""
    beats = family.beats
    return f"{beats}x" if beats < 100_000 else f"{beats // 1000}kx"


def _word(family: FamilyStatus) -> Text:
    mark = WORD_MARKS.get(family.word)
    return Text() if mark is None else Text(mark[0][0], mark[0][1])
