"""Rows of the screen, and what they are made of: cut to their width, beside or below each other."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from monitor.view.plots import DIM

NAME_LENGTH = 24
BAR = "#d7dde2 on #1c2730"
NAME = "bold #ffffff"
ALARM_BAR = "bold #ffffff on #b00020"
MEDIUM_BAR = "bold #000000 on #ffe14d"
LOW_BAR = "bold #000000 on #6fd3e7"
TECHNICAL_BAR = "bold #000000 on #ffb000"
LEARNING_BAR = "#ffffff on #1f4f7a"
QUIET_BAR = "#a8e6bd on #14301f"
ENDED_BAR = "#b0b8bf on #2a3138"


def fitted(row: Text, width: int) -> Text:
    """Return the row cut or filled to the width; the terminal never wraps it."""
    row.truncate(width, overflow="ellipsis", pad=True)
    return Text().append_text(row)  # its own style becomes a span: Text.render draws only those


def blank(n_rows: int) -> list[Text]:
    """Return so many empty rows."""
    return [Text() for _ in range(n_rows)]


def apart(left: Text, right: Text, width: int, style: str = "") -> Text:
    """Return one row with a part at either end; the left one gives way."""
    room = max(width - right.cell_len, 0)
    left = left.copy()
    left.truncate(room, overflow="ellipsis", pad=True)
    return Text(style=style).append_text(left).append_text(right)


def heading(title: Text, right: Text, width: int) -> Text:
    """Return the line above a part of the screen."""
    line = Text("─ ", DIM).append_text(title).append(" ")
    n_line = width - line.cell_len - right.cell_len - 3
    if n_line < 1 or not right:
        return line.append("─" * max(width - line.cell_len, 0), DIM)
    return line.append("─" * n_line + " ", DIM).append_text(right).append(" ─", DIM)


def wrapped(said: str, width: int, most: int) -> list[str]:
    """Return a text in as few rows as it needs, at most so many; cut where words end."""
    if cell_len(said) <= width or most <= 1:
        return [said]
    room = len(set_cell_size(said, max(width, 0)).rstrip())
    end = said.rfind(" ", 0, room + 1)
    if end <= 0:
        return [said]
    return [said[:end].rstrip(), *wrapped(said[end:].lstrip(), width, most - 1)]


def in_rows(keys: Sequence[tuple[str, str]], space: str, width: int) -> list[Text]:
    """Return keys and what they do, in as many rows as they need; none is cut in two."""
    rows = [Text()]
    for key, what in keys:
        n_needed = cell_len(key) + 1 + cell_len(what)
        if rows[-1] and rows[-1].cell_len + len(space) + n_needed > width:
            rows.append(Text())
        rows[-1].append(space if rows[-1] else " ").append(key, "bold").append(f" {what}")
    return rows


def beside(left: Sequence[Text], n_left: int, right: Sequence[Text], n_rows: int) -> list[Text]:
    """Return rows with two parts side by side, the left one n_left columns wide."""
    rows = []
    for i in range(n_rows):
        row = left[i].copy() if i < len(left) else Text()
        row.truncate(n_left, overflow="ellipsis", pad=True)
        rows.append(row.append_text(right[i]) if i < len(right) else row)
    return rows
