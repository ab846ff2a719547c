"""An anomalous beat explained in a terminal's cells: reconstruction, loss along it, neighbours.

Each function takes a size in cells and returns Rich rows; colour never says anything alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from monitor.view.anomalous_beat import AnomalousBeat
from monitor.view.braille import DOTS_ACROSS, characters, curve, envelope
from monitor.view.plots import ANOMALY, BARS, DIM, MARK, RECONSTRUCTION, coloured, number

DASH_DOTS = 2  # dots of a dash, and of the gap behind it
GAP_COLUMNS = 2  # between plots side by side
MIN_PLOT_COLUMNS = 16  # a beat drawn narrower shows nothing
MIN_NEIGHBOUR_ROWS = 4  # of the plots of neighbours; on a tall screen a quarter of the rows


def plot_beat(latest: AnomalousBeat, width: int, n_rows: int) -> list[Text]:
    """Draw a beat as a line, and over it its reconstruction as dashes."""
    return _plot_pair(latest.beat, ANOMALY, latest.reconstruction, RECONSTRUCTION, width, n_rows)


def _plot_pair(
    line: NDArray[np.float32],
    line_style: str,
    dashed: NDArray[np.float32],
    dashed_style: str,
    width: int,
    n_rows: int,
) -> list[Text]:
    """Draw two curves on one scale, the second dashed over the first."""
    if width < 1 or n_rows < 1:
        return []
    if len(line) == 0 or len(dashed) == 0:
        return [Text(" " * width) for _ in range(n_rows)]
    both = np.concatenate([line, dashed])
    bottom, top = float(both.min()), float(both.max())
    top = max(top, bottom + 1e-3)
    n_dots = width * DOTS_ACROSS
    line_dots = curve(envelope(line, n_dots), bottom, top, n_rows)
    dashed_dots = curve(envelope(dashed, n_dots), bottom, top, n_rows)
    dashed_dots &= np.arange(n_dots) // DASH_DOTS % 2 == 0
    line_rows, both_rows = characters(line_dots), characters(line_dots | dashed_dots)
    return [
        coloured(shown, [line_style if cell != " " else dashed_style for cell in alone])
        for alone, shown in zip(line_rows, both_rows, strict=True)
    ]


def plot_errors(latest: AnomalousBeat, width: int) -> Text:
    """Draw in one row how far off each stretch of the beat is, column by column."""
    errors = latest.errors
    if width < 1 or not len(errors):
        return Text(" " * max(width, 0))
    highest = envelope(errors, width)[1]
    scale = max(float(highest.max()), 1e-6)
    bars = "".join(BARS[round(float(value) / scale * (len(BARS) - 1))] for value in highest)
    return Text(bars, ANOMALY)


def share_text(latest: AnomalousBeat) -> Text:
    """Return what the beat was found by, and the shares of its loss by wave."""
    text = Text(", ".join(latest.why) or "loss", "bold").append("  the loss arose in", DIM)
    for wave, share in latest.shares.items():
        style = ANOMALY if wave == latest.worst_part else ""
        text.append(f"  {wave} ").append(f"{100 * share:.0f} %", style)
    return text if latest.shares else Text(", ".join(latest.why), "bold")


def plot_neighbours(latest: AnomalousBeat, width: int, n_rows: int) -> list[Text]:
    """Draw the nearest learnt beats side by side, the anomalous one dashed over each.

    The last row tells how far off each is. As many as have room.
    """
    if n_rows < 2 or width < 1 or not latest.neighbours:
        return []
    fits = (width + GAP_COLUMNS) // (MIN_PLOT_COLUMNS + GAP_COLUMNS)
    shown = latest.neighbours[: max(fits, 1)]
    n_columns = max((width + GAP_COLUMNS) // len(shown) - GAP_COLUMNS, 1)
    rows = [Text() for _ in range(n_rows)]
    for place, near in enumerate(shown):
        drawn = _plot_pair(near.values, MARK, latest.beat, ANOMALY, n_columns, n_rows - 1)
        caption = Text(f" distance {number(near.distance)}", DIM)
        caption.truncate(n_columns, pad=True)
        for row, cells in zip(rows, [*drawn, caption], strict=True):
            row.append(" " * (GAP_COLUMNS if place else 0)).append_text(cells)
    return rows


def plot_explained(latest: AnomalousBeat, width: int, n_rows: int) -> list[Text]:
    """Draw all that explains a beat in at most so many rows, the beat itself first.

    The beat over its reconstruction takes what the rest leaves; where there is little room, the
    neighbours give way, then the row of the loss.
    """
    n_plot = max(MIN_NEIGHBOUR_ROWS, n_rows // 4)
    n_neighbours = 2 + n_plot if latest.neighbours and n_rows >= 12 else 0
    n_words = 2 if n_rows >= 6 else 0
    rows = plot_beat(latest, width, n_rows - n_neighbours - n_words)
    if n_words:
        rows += [plot_errors(latest, width), share_text(latest)]
    if n_neighbours:
        rows.append(Text("nearest beats of the learnt normal, this one dashed over each", DIM))
        rows += plot_neighbours(latest, width, n_plot + 1)
    return rows
