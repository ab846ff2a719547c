"""What the benchmarks' plots share: values of several runs, and what is asked of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from tools.figures import Headline


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


def draw_most(axes: Axes, headline: Headline, unit: str) -> None:
    """Draw a line at the most that a figure may be."""
    most = headline.at_most
    assert most is not None
    axes.axhline(most, color="grey", linestyle=":", label=f"{most:,.0f} {unit}")
