"""A ward: how late it is, what it costs by its size, its memory in half an hour.

    python -m tools.bench_ward                       # docs/ward.md and plots; an hour
    python -m tools.bench_ward --only growth --patients 500 1000 --seconds 20 --times 1
    python -m tools.bench_ward --only memory         # or delay: its section alone
    python -m tools.bench_ward --quick               # a small ward, once; writes nothing

Each ward is one of `ecg-monitor bench ward`: live patients at 250 Hz in real time, through the
three processes of every run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from monitor.errors import MonitorError
from monitor.run.ward_bench import MAX_DELAY_MS, WARM_UP_S, Moment, WardResult, run_ward
from tools.figures import Values
from tools.pages import spread, table
from tools.parts import Found, Plan, measure_parts, option, say
from tools.plots import draw_most, draw_runs, plot_memory, save

PATIENTS = (250, 500, 1000, 1500, 2000, 2500, 3000, 4000)
STAGES = ("producer", "segmenter", "consumer")
STAGE_CORES = f"{', '.join(STAGES)}: cores"
LARGEST_S = 20.0  # shorter wards tell nothing of the largest
FIRST_S = 60.0  # of a run: buffers fill, every patient is known


@dataclass(frozen=True, kw_only=True)
class Wards(Plan):
    """How much is measured."""

    patients: tuple[int, ...] = option(PATIENTS, (20, 40), "wards of `growth`")
    seconds: float = option(30.0, 3.0, "of each ward of `growth`")
    steady: int = option(2000, 20, "patients of the other parts")
    shown_s: float = option(120.0, 3.0, "of the ward of `delay`")
    minutes: float = option(30.0, 0.1, "of the ward of `memory`")

    @property
    def finds_largest(self) -> bool:
        """Whether the growth part can tell the largest ward: enough, long, often enough."""
        return max(self.patients) > 2000 and self.seconds >= LARGEST_S and self.times > 1


# --- delay --------------------------------------------------------------------------------------


def delay_part(plan: Wards) -> Found:
    """Let the same ward live for some time, several times over."""
    runs = []
    for _ in range(plan.times):
        runs.append(run_ward(plan.steady, plan.shown_s))
        say(f"  {plan.steady} patients: p99 {runs[-1].delay_p99_ms} ms")
    rows = [
        [
            str(number),
            *(f"{known_ms(each):.0f}" for known_ms in (_median_ms, _p99_ms, _largest_ms)),
            f"{each.dropped:,}, {each.missed:,}",
            str(each.overloads),
            f"{each.beats_per_s:,.0f}",
            ", ".join(f"{each.cores[name]:.2f}" for name in STAGES),
            f"{_memory_mb(each):.0f}",
            "yes" if each.kept_up else "no",
        ]
        for number, each in enumerate(runs, 1)
    ]
    headings = ["run", "delay ms, median", "99th percentile", "largest", "dropped, not heard"]
    headings += ["overloads", "beats/s", STAGE_CORES, "MB, all three", "kept up with"]
    figures: Values = {
        "ward.delay": [_p99_ms(each) for each in runs],
        "ward.lost": [each.dropped + each.missed for each in runs],
    }
    return Found(
        f"{plan.steady:,} patients for {plan.shown_s:g} s after {WARM_UP_S:g} s to warm up: "
        f"`ecg-monitor bench ward --patients {plan.steady} --seconds {plan.shown_s:g}`.\n\n"
        + table(headings, rows),
        figures if plan.is_whole("steady", "shown_s") else {},
    )


def _median_ms(result: WardResult) -> float:
    return _or_nan(result.delay_median_ms)


def _p99_ms(result: WardResult) -> float:
    return _or_nan(result.delay_p99_ms)


def _largest_ms(result: WardResult) -> float:
    return _or_nan(result.delay_max_ms)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value  # none where no score arrived


def _memory_mb(result: WardResult) -> float:
    return sum(result.memory_mb[name] for name in STAGES)


def _us_a_beat(result: WardResult) -> float:
    return 1e6 * _cores(result) / result.beats_per_s if result.beats else float("nan")


def _cores(result: WardResult) -> float:
    return sum(result.cores[name] for name in STAGES)


# --- growth -------------------------------------------------------------------------------------


def growth_part(plan: Wards) -> Found:
    """Measure cost and delay against the number of patients; draw them."""
    runs: dict[int, list[WardResult]] = {n: [] for n in sorted(plan.patients)}
    for _ in range(plan.times):  # in turn, so that what else the machine does hits all alike
        for n in runs:
            try:
                runs[n].append(run_ward(n, plan.seconds))
            except MonitorError as error:  # past saturation a stage may fail; the others count
                say(f"  {n} patients: {error}")
                continue
            say(f"  {n} patients: p99 {runs[n][-1].delay_p99_ms} ms")
    runs = {n: of_n for n, of_n in runs.items() if of_n}
    rows = [
        [
            f"{n:,}",
            f"{sum(each.kept_up for each in of_n)} of {len(of_n)}",
            spread([_us_a_beat(each) for each in of_n], ".0f"),
            spread([each.beats_per_s for each in of_n], ",.0f"),
            spread([_median_ms(each) for each in of_n], ".0f"),
            spread([_p99_ms(each) for each in of_n], ".0f"),
            f"{max(each.dropped for each in of_n):,}",
            f"{sum(each.overloads > 0 for each in of_n)} of {len(of_n)}",
            ", ".join(f"{median(each.cores[name] for each in of_n):.2f}" for name in STAGES),
            spread([_memory_mb(each) for each in of_n], ".0f"),
        ]
        for n, of_n in runs.items()
    ]
    headings = ["patients", "kept up with", "us of CPU a beat", "beats/s", "delay ms, median"]
    headings += ["99th percentile", "dropped, most", "said overload", STAGE_CORES, "MB, all three"]
    if plan.out is not None:
        plot_growth(runs, plan.out / "ward.png")
    kept_up = [n for n, of_n in runs.items() if sum(one.kept_up for one in of_n) == plan.times]
    return Found(
        f"The largest of these that was kept up with in every run: {max(kept_up, default=0):,} "
        f"patients (99th percentile at most {MAX_DELAY_MS:g} ms, nothing dropped, every score "
        f"heard). {plan.seconds:g} s each after {WARM_UP_S:g} s to warm up, {plan.times} times in "
        "turn: medians, smallest and largest. Overload counts that was said while all started at "
        "once, too.\n\n"
        f"{table(headings, rows)}\n\n![CPU and delay against patients](ward.png)",
        {"ward.largest": [max(kept_up, default=0)]} if plan.finds_largest else {},
    )


def plot_growth(runs: dict[int, list[WardResult]], file: Path) -> None:
    """Draw cores and delays against patients: medians, and from the smallest to the largest."""

    def of_runs(value: Callable[[WardResult], float]) -> dict[float, list[float]]:
        return {n: [value(one) for one in of_n] for n, of_n in runs.items()}

    figure = Figure(figsize=(10, 4), layout="constrained")
    cpu, delay = figure.subplots(1, 2)
    draw_runs(cpu, of_runs(lambda one: one.cores["producer"]), "producer")
    draw_runs(cpu, of_runs(lambda one: one.cores["segmenter"]), "segmenter")
    draw_runs(cpu, of_runs(lambda one: one.cores["consumer"]), "consumer")
    draw_runs(cpu, of_runs(_cores), "all three", "k--o")
    draw_most(cpu, 2, "cores")
    cpu.set(xlabel="patients", ylabel="cores busy", ylim=(0, None), xlim=(0, None))
    draw_runs(delay, of_runs(_median_ms), "median")
    draw_runs(delay, of_runs(_p99_ms), "99th percentile")
    spoilt = [n for n, of_n in runs.items() if any(one.dropped or one.overloads for one in of_n)]
    for number, n in enumerate(spoilt):
        label = "overload said, or samples dropped" if number == 0 else ""
        delay.axvline(n, color="tab:red", alpha=0.3, label=label)
    delay.set(xlabel="patients", ylabel="ms from the last sample due to the score", xlim=(0, None))
    draw_most(delay, MAX_DELAY_MS, "ms")
    delay.set_yscale("log")
    delay.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    delay.yaxis.set_major_formatter("{x:,.0f}")
    delay.yaxis.set_minor_locator(NullLocator())
    save(figure, file)


# --- memory -------------------------------------------------------------------------------------


def memory_part(plan: Wards) -> Found:
    """Measure the memory of a ward's stages over time; draw it."""
    moments: list[Moment] = []
    run_ward(plan.steady, 60 * plan.minutes, tell=moments.append, tell_every_s=2.0)
    at_s = np.array([one.elapsed_s for one in moments])
    of_each = {name: np.array([one.memory_mb[name] for one in moments]) for name in STAGES}
    total = sum(of_each.values(), np.zeros(len(at_s)))
    settled = at_s >= min(FIRST_S, at_s[-1] / 3)
    if plan.out is not None:
        drawn = of_each | {"all three": total}
        plot_memory(at_s / 60, drawn, "ward.memory", "minutes", plan.out / "ward-memory.png")
    rows = [
        [name, f"{values.max():.0f}", f"{growth(values[settled]):+.1f}"]
        for name, values in (*of_each.items(), ("all three", total))
    ]
    headings = ["stage", "largest, MB", "growth after the first minute, MB"]
    return Found(
        f"{plan.steady:,} patients for {plan.minutes:g} minutes. Growth is the median of the last "
        "tenth less that of the first tenth, the first minute left out.\n\n"
        f"{table(headings, rows)}\n\n![Resident memory over time](ward-memory.png)",
        {"ward.memory": [total.max()], "ward.memory_growth": [growth(total[settled])]}
        if plan.is_whole("steady", "minutes")
        else {},
    )


def growth(values: NDArray[np.float64]) -> float:
    """Return the median of the last tenth less that of the first."""
    tenth = max(1, len(values) // 10)
    return float(np.median(values[-tenth:]) - np.median(values[:tenth]))


PARTS: dict[str, Callable[[Wards], Found]] = {
    "delay": delay_part,
    "growth": growth_part,
    "memory": memory_part,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return measure_parts("bench_ward", __doc__, ("ward.md", "A ward"), PARTS, Wards, arguments)


if __name__ == "__main__":
    sys.exit(main())
