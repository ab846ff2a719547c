"""What the benchmarks' plots share: values of several runs, memory over time, what is asked."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from tools.figures import ABSOLUTES


def draw_runs(
    axes: Axes, of_each: Mapping[float, Sequence[float]], label: str, style: str = "o-"
) -> None:
    """Draw the values of several runs at each place: the median, a bar over all; NaN is none."""
    known = {at: [one for one in values if not math.isnan(one)] for at, values in of_each.items()}
    known = {at: values for at, values in known.items() if values}
    middle = [statistics.median(values) for values in known.values()]
    below = [m - min(values) for m, values in zip(middle, known.values(), strict=True)]
    above = [max(values) - m for m, values in zip(middle, known.values(), strict=True)]
    axes.errorbar(list(known), middle, yerr=[below, above], fmt=style, capsize=3, label=label)


def draw_most(axes: Axes, most: float, unit: str) -> None:
    """Draw a line at the most that a figure may be."""
    axes.axhline(most, color="grey", linestyle=":", label=f"{most:,.0f} {unit}")


def plot_memory(
    at: ArrayLike, of_each: Mapping[str, ArrayLike], headline: str, across: str, file: Path
) -> None:
    """Draw resident memory, in MB, over time, and the most that a headline allows."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in of_each.items():
        axes.plot(np.asarray(at), np.asarray(values), label=name)
    draw_most(axes, ABSOLUTES[headline].at_most or math.nan, "MB")
    axes.set(xlabel=across, ylabel="resident, MB", ylim=(0, None))
    save(figure, file)


def save(figure: Figure, file: Path) -> None:
    """Write a figure, its axes with grids and, where something is named, legends."""
    for axes in figure.axes:
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize="small")
    figure.savefig(file, dpi=120, metadata={"Software": None})
