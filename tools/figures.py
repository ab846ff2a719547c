"""The figures that the project is judged by: what each is, what is asked of it, what was measured.

Benchmarks hand in what they measured by name; it is kept in docs/figures.json, with command,
machine and day, and docs/BENCH.md is written from it: ratios first, then absolutes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from tools.pages import DOCS, machine, page_of, spread, table, today

KEPT, PAGE = "figures.json", "BENCH.md"


class Headline(NamedTuple):
    """What a figure is.

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


RATIOS = {
    "record.times_faster": Headline(
        "one record of 20 h, times faster than the published way, wall time", ".0f", 40, aim=100
    ),
    "record.times_less_cpu": Headline("the same, times less CPU time of all processes", ".0f"),
    "record.auc_gain": Headline(
        "AUC on an hour of it, ours less that of the published way", "+.4f", at_least=0
    ),
    "replay.times_real_time": Headline(
        "20 h replayed at --speed max, times real time while judging", ",.0f"
    ),
    "scoring.share_one_thread": Headline(
        "scoring, % of the matrix product's rate: one thread, the worst of 64 beats and more",
        ".0f", 35, aim=60,
    ),
    "scoring.share_two_threads": Headline("the same in two threads", ".0f", 35, aim=60),
    "archive.times_faster": Headline(
        "annotating an archive, two processes, times as fast as one", ".2f", 1.8
    ),
    "alerts.journal_share": Headline(
        "the journal's share of a replay of 20 h, % of wall time", ".1f", at_most=10
    ),
    "view.share": Headline(
        "live view of 2,000 patients, 160x48, 2 alerts a second, % of a core", ".1f", at_most=15
    ),
    "view.share_alarming": Headline("the same with 50 alerts a second", ".1f", at_most=15),
}  # fmt: skip
ABSOLUTES = {
    "ward.delay": Headline(
        "2,000 live patients over 120 s, 99th percentile of the delay, ms", ".0f", at_most=250
    ),
    "ward.lost": Headline(
        "the same, samples and scores dropped or not heard", ",.0f", at_most=0
    ),
    "ward.largest": Headline(
        "the largest ward kept up with in every run of 20 s or more, patients", ",.0f",
        2000, aim=10_000,
    ),
    "ward.memory": Headline(
        "memory of the three stages, 2,000 patients, 30 minutes, largest, MB", ".0f", at_most=1000
    ),
    "ward.memory_growth": Headline(
        "the same, growth from the second minute to the last, MB", "+.1f"
    ),
    "alerts.delay": Headline(
        "alert on the socket after its beat's last sample came, 99th percentile, ms", ".1f",
        at_most=50,
    ),
    "startup.first_beat": Headline(
        "from the command to the first scored beat at a subscriber, s", ".2f", at_most=3
    ),
    "startup.imports": Headline(
        "imports: CPU of the four processes in sum, under -X importtime, s", ".2f"
    ),
    "scoring.one_beat": Headline("the network on one beat alone, ms of CPU", ".2f", at_most=1.5),
    "record.memory": Headline(
        "one record of 20 h, memory: sum of the four processes' peaks, MB", ".0f", at_most=600
    ),
    "record.memory_growth": Headline(
        "60 h of one record, growth from a third of the run to its end, MB", "+.1f"
    ),
    "record.start_s": Headline("one record: CPU to start, s", ".1f"),
    "record.hour_s": Headline("and CPU for each hour of it, s", ".2f"),
    "replay.wall": Headline("20 h replayed at --speed max, the whole command, s", ".1f"),
    "replay.lost": Headline(
        "the same, malformed, gaps, dropped and restarts", ".0f", at_most=0
    ),
    "simulation.wall": Headline("writing 20 h of simulated signal, s", ".1f"),
    "detection.sensitivity": Headline("QRS Se, MIT-BIH, first lead, EC57 from 5:00, %", ".2f"),
    "detection.predictivity": Headline("the same, +P, %", ".2f"),
    "ecg5000.auc": Headline(
        "ECG5000, public training file and half of the test file, trained on normal beats, AUC",
        ".4f",
    ),
    "119.recall": Headline("record 119, V beats after 5:00 of learning alerted, %", ".1f"),
    "119.false_per_hour": Headline("the same, false alerts an hour", ".1f"),
}  # fmt: skip
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
    rows = []
    for name, headline in headlines.items():
        if name not in kept:
            continue
        of_it = kept[name]
        rows.append(
            [
                headline.what,
                spread(of_it.values, headline.form),
                str(len(of_it.values)),
                headline.asked(),
                headline.verdict(statistics.median(of_it.values)),
                f"`{of_it.command}`",
                of_it.day,
            ]
        )
    return table(["what", "measured", "runs", "asked for", "", "command", "day"], rows)


def show(measured: Values) -> str:
    """Return figures for a terminal: ratios first."""
    return "\n".join(
        f"{headline.what}: {spread(list(measured[name]), headline.form)}"
        + (f" ({headline.asked()}: {headline.verdict(statistics.median(measured[name]))})"
           if headline.asked() else "")
        for name, headline in HEADLINES.items()
        if name in measured
    )  # fmt: skip
