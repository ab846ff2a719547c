"""The losses of a training as curves on the terminal: epochs -> rows of Rich text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from monitor.view.braille import DOTS_ACROSS, characters, curve, envelope

if TYPE_CHECKING:
    from model.training import Epoch

TRAINING_STYLE, VALIDATION_STYLE = "#4fc3f7", "bold #35e06f"
LABEL_COLUMNS = 8
MIN_COLUMNS, MIN_ROWS = 10, 2


def training_chart(history: Sequence[Epoch], width: int, n_rows: int) -> list[Text]:
    """Draw training and validation losses over all the epochs there may be, on a scale of ratios.

    Parameters
    ----------
    history : sequence of Epoch
        Trained so far.
    width, n_rows : int
        Cells of the drawing, legend and scale included.

    Returns
    -------
    list of Text
        `n_rows` rows; none where there is no room or no loss to draw.
    """
    n_columns, n_plot_rows = width - LABEL_COLUMNS, n_rows - 1
    if not history or n_columns < MIN_COLUMNS or n_plot_rows < MIN_ROWS:
        return []
    training = _logarithms([epoch.training_loss for epoch in history], history[0].of)
    validation = _logarithms([epoch.validation_loss for epoch in history], history[0].of)
    both = np.concatenate((training, validation))
    both = both[np.isfinite(both)]
    if not len(both):
        return []
    bottom, top = float(both.min()), float(both.max())
    top = max(top, bottom + 0.1)
    n_dots = n_columns * DOTS_ACROSS
    drawn = [
        characters(curve(envelope(values, n_dots), bottom, top, n_plot_rows))
        for values in (training, validation)
    ]
    rows = [_overlaid(*cells) for cells in zip(*drawn, strict=True)]
    labels = ["" for _ in rows]
    labels[0], labels[-1] = f"{math.exp(top):.1f}", f"{math.exp(bottom):.1f}"
    scale = [Text(f"{label:>{LABEL_COLUMNS - 1}} ") for label in labels]
    plot = [label + row for label, row in zip(scale, rows, strict=True)]
    return [*plot, _legend()]


def _logarithms(losses: list[float], n_epochs: int) -> NDArray[np.float32]:
    """Return the logarithms of the losses, shape (n_epochs,); NaN where there is none yet."""
    values = np.full(max(n_epochs, len(losses)), np.nan, np.float32)
    values[: len(losses)] = np.log(np.maximum(losses, 1e-6))
    return values


def _overlaid(training: str, validation: str) -> Text:
    """Return one row; where both curves pass through a cell, the validation's is seen."""
    row = Text()
    for below, above in zip(training, validation, strict=True):
        row.append(*((above, VALIDATION_STYLE) if above != " " else (below, TRAINING_STYLE)))
    return row


def _legend() -> Text:
    legend = Text(" " * LABEL_COLUMNS)
    legend.append("── validation", VALIDATION_STYLE)
    legend.append("   ")
    legend.append("── training", TRAINING_STYLE)
    return legend.append("   (reconstruction loss)")
