"""The figures that the project is judged by: what each is, what is asked of it, what was measured.

Benchmarks hand in what they measured by name; it is kept in docs/figures.json, with command,
machine and day, and docs/BENCH.md is written from it: ratios first, then absolutes.
"""

from __future__ import annotations

import math
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tools.pages import DOCS, machine, page_of, spread, table, today

KEPT, PAGE = "figures.json", "BENCH.md"


class Headline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a figure is; headlines.toml holds all of them.

    Attributes
    ----------
    what : str
        For people, with the unit.
    form : str
        How a value is written.
    at_least, at_most, aim : float or None
        What is asked for, and what is aimed at beyond it.
    """

    what: str
    form: str
    at_least: float | None = None
    at_most: float | None = None
    aim: float | None = None

    def asked(self) -> str:
        """Return what is asked for."""
        if self.at_least is not None:
            bound = f"at least {self.at_least:{self.form}}"
        elif self.at_most is not None:
            bound = f"at most {self.at_most:{self.form}}"
        else:
            return ""
        return bound if self.aim is None else f"{bound}, aim {self.aim:{self.form}}"

    def verdict(self, median: float) -> str:
        """Return whether a median is what is asked for."""
        if self.at_least is None and self.at_most is None:
            return ""
        high_enough = self.at_least is None or median >= self.at_least
        low_enough = self.at_most is None or median <= self.at_most
        if not (high_enough and low_enough):  # NaN is neither
            return "missed"
        return "aim met" if self.aim is not None and median >= self.aim else "met"


RATIOS, ABSOLUTES = msgspec.convert(
    tuple(tomllib.loads(Path(__file__).with_name("headlines.toml").read_text()).values()),
    tuple[dict[str, Headline], dict[str, Headline]],
)
HEADLINES = RATIOS | ABSOLUTES


class Kept(msgspec.Struct, frozen=True):
    """A figure as it was measured: one value a run."""

    values: list[float]
    command: str
    machine: str
    day: str


Values = Mapping[str, Sequence[float]]  # values by the name of their headline


def keep(measured: Values, command: str, docs: Path = DOCS) -> None:
    """Keep figures in place of those of the same names, and write the page.

    Raises
    ------
    KeyError
        If a name is no headline's.
    ValueError
        If a run gave no value; nothing is written.
    """
    for name, values in measured.items():
        if not values or not all(map(math.isfinite, values)):
            raise ValueError(f"{name}: a run gave no value: {[*values]}")
    kept = read(docs / KEPT)
    on, day = machine(), today()
    for name, values in measured.items():
        HEADLINES[name]  # raises
        kept[name] = Kept([float(one) for one in values], command, on, day)
    in_order = {name: kept[name] for name in HEADLINES if name in kept}
    text = msgspec.json.format(msgspec.json.encode(in_order), indent=1)
    (docs / KEPT).write_bytes(text + b"\n")
    (docs / PAGE).write_text(page(in_order))


def read(file: Path) -> dict[str, Kept]:
    """Return the figures that were kept; none if there is no file."""
    if not file.exists():
        return {}
    return msgspec.json.decode(file.read_bytes(), type=dict[str, Kept])


def page(kept: Mapping[str, Kept]) -> str:
    """Return the figures as a page."""
    machines = sorted({one.machine for one in kept.values()})
    named = f"{machines[0]}." if len(machines) == 1 else "\n".join(f"- {one}" for one in machines)
    missing = [name for name in HEADLINES if name not in kept]
    return page_of(
        "Measured",
        {
            "How": f"{named}\n\nAll of it again: `make bench`. Medians; in brackets the smallest "
            "and the largest of the runs. What is asked for is asked of the median.",
            "Ratios": rows_of(RATIOS, kept),
            "Absolutes": rows_of(ABSOLUTES, kept),
            **({"Not measured": ", ".join(missing)} if missing else {}),
        },
    )


def rows_of(headlines: Mapping[str, Headline], kept: Mapping[str, Kept]) -> str:
    """Return the table of those headlines that were measured."""
    rows = [
        [
            headline.what,
            spread(kept[name].values, headline.form),
            str(len(kept[name].values)),
            headline.asked(),
            headline.verdict(statistics.median(kept[name].values)),
            f"`{kept[name].command}`",
            kept[name].day,
        ]
        for name, headline in headlines.items()
        if name in kept
    ]
    return table(["what", "measured", "runs", "asked for", "", "command", "day"], rows)


def show(measured: Values) -> str:
    """Return figures for a terminal: ratios first."""
    lines = []
    for name, headline in HEADLINES.items():
        if name in measured:
            line = f"{headline.what}: {spread(measured[name], headline.form)}"
            verdict = headline.verdict(statistics.median(measured[name]))
            lines.append(f"{line} ({headline.asked()}: {verdict})" if verdict else line)
    return "\n".join(lines)
