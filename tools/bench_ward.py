"""A ward: how late it is, what it costs by its size, past saturation, its memory in half an hour.

    python -m tools.bench_ward                       # docs/ward.md and plots; an hour
    python -m tools.bench_ward --only growth --patients 500 1000 --seconds 20 --times 1
    python -m tools.bench_ward --only recovery       # or delay, steps, memory: its section alone
    python -m tools.bench_ward --quick               # a small ward, once; writes nothing

Each ward is one of `ecg-monitor bench ward`: live patients at 250 Hz in real time, through the
three processes of every run. For `recovery` other processes take both cores from it for a while:
the same as a load past saturation, at a size that is kept up with before and after.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from monitor.detection.engine import Engine
from monitor.errors import MonitorError
from monitor.journal.buffer import JournalBuffer
from monitor.journal.writer import Journal
from monitor.run.ward_bench import (
    MAX_DELAY_MS,
    WARM_UP_S,
    Moment,
    WardResult,
    run_ward,
    ward_settings,
)
from monitor.stages.consumer import COMMIT_S, load_model, numbered, utc_now
from monitor.stages.host import Counters
from monitor.stages.playback import Pacer, open_playbacks
from monitor.stages.segmenter import SampleSegmenter
from monitor.wire.codec import all_encoded, decode_bundle, encode_bundle, in_bundles
from monitor.wire.messages import BeatsMessage
from segmenter.beat import BeatSpec
from tools.figures import ABSOLUTES
from tools.pages import DOCS, spread, table
from tools.parts import Found, measure_parts, say
from tools.plots import draw_most, draw_runs

PATIENTS = (250, 500, 1000, 1500, 2000, 2500, 3000, 4000)
STAGES = ("producer", "segmenter", "consumer")
STEADY, SHOWN_S, MINUTES, LARGEST_S = 2000, 120.0, 30.0, 20.0  # of the headlines
STEPS_PATIENTS = (500, 1000, 2000, 4000)
BUSY = "while True: pass"
FIRST_S = 60.0  # of a run: buffers fill, every patient is known


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes
    ----------
    out : Path or None
        Folder of the plots; None draws none.
    patients : tuple of int
        Wards whose cost is measured.
    seconds : float
        How long each of them lives.
    times : int
        How often each of them is run.
    steady : int
        Patients of the ward of `delay`, `recovery` and `memory`.
    shown_s : float
        How long the ward of `delay` lives.
    minutes : float
        How long the ward of `memory` lives.
    calm_s, busy_s : float
        Of `recovery`: how long the ward has the machine for itself before, and how long not.
    of_steps : tuple of int
        Wards of `steps`.
    """

    out: Path | None
    patients: tuple[int, ...]
    seconds: float
    times: int
    steady: int
    shown_s: float
    minutes: float
    calm_s: float
    busy_s: float
    of_steps: tuple[int, ...] = STEPS_PATIENTS

    @property
    def finds_largest(self) -> bool:
        """Whether the growth part can tell the largest ward: enough, long, often enough."""
        return self.patients[-1] > STEADY and self.seconds >= LARGEST_S and self.times > 1


QUICK = Plan(
    None,
    (20, 40),
    3.0,
    1,
    steady=20,
    shown_s=3.0,
    minutes=0.1,
    calm_s=2.0,
    busy_s=2.0,
    of_steps=(20,),
)


# --- delay --------------------------------------------------------------------------------------


def delay_part(plan: Plan) -> Found:
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
    headings = [
        "run",
        "delay ms, median",
        "99th percentile",
        "largest",
        "dropped, not heard",
        "overloads",
        "beats/s",
        f"{', '.join(STAGES)}: cores",
        "MB, all three",
        "kept up with",
    ]
    return Found(
        f"{plan.steady:,} patients for {plan.shown_s:g} s after {WARM_UP_S:g} s to warm up: "
        f"`ecg-monitor bench ward --patients {plan.steady} --seconds {plan.shown_s:g}`.\n\n"
        + table(headings, rows),
        {
            "ward.delay": [_p99_ms(each) for each in runs],
            "ward.lost": [each.dropped + each.missed for each in runs],
        }
        if plan.steady == STEADY
        else {},
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


def _cores_of(stage: str, result: WardResult) -> float:
    return result.cores[stage]


def _cores(result: WardResult) -> float:
    return sum(result.cores[name] for name in STAGES)


# --- growth -------------------------------------------------------------------------------------


def growth_part(plan: Plan) -> Found:
    """Measure cost and delay against the number of patients; draw them."""
    runs: dict[int, list[WardResult]] = {n: [] for n in plan.patients}
    for _ in range(plan.times):  # in turn, so that what else the machine does hits all alike
        for n in plan.patients:
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
    headings = [
        "patients",
        "kept up with",
        "us of CPU a beat",
        "beats/s",
        "delay ms, median",
        "99th percentile",
        "dropped, most",
        "said overload",
        f"{', '.join(STAGES)}: cores",
        "MB, all three",
    ]
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
    figure = Figure(figsize=(10, 4), layout="constrained")
    cpu, delay = figure.subplots(1, 2)
    for name in STAGES:
        draw_runs(cpu, _of_runs(runs, partial(_cores_of, name)), name)
    draw_runs(cpu, _of_runs(runs, _cores), "all three", "k--o")
    cpu.axhline(2, color="grey", linestyle=":", label="two cores")
    cpu.set(ylabel="cores busy", ylim=(0, None))
    draw_runs(delay, _of_runs(runs, _median_ms), "median")
    draw_runs(delay, _of_runs(runs, _p99_ms), "99th percentile")
    delay.axhline(MAX_DELAY_MS, color="grey", linestyle=":", label=f"{MAX_DELAY_MS:g} ms")
    spoilt = [n for n, of_n in runs.items() if any(one.dropped or one.overloads for one in of_n)]
    for number, n in enumerate(spoilt):
        label = "overload said, or samples dropped" if number == 0 else ""
        delay.axvline(n, color="tab:red", alpha=0.3, label=label)
    delay.set(ylabel="ms from the last sample due to the score")
    scale_delay(delay)
    for axes in (cpu, delay):
        axes.set(xlabel="patients", xlim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(file, dpi=120, metadata={"Software": None})


def _of_runs(
    runs: dict[int, list[WardResult]], value: Callable[[WardResult], float]
) -> dict[float, list[float]]:
    return {n: [value(one) for one in of_n] for n, of_n in runs.items()}


def scale_delay(axes: Axes) -> None:
    """Draw delays on a scale of ratios, with ticks that read as milliseconds."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_minor_locator(NullLocator())


# --- steps --------------------------------------------------------------------------------------


class Stopwatch:
    """CPU time of this process, by what it was spent on."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = {}

    @contextlib.contextmanager
    def on(self, step: str) -> Iterator[None]:
        """Count what the block takes to a step."""
        began_s = time.process_time()
        yield
        took_s = time.process_time() - began_s
        self.spent_s[step] = self.spent_s.get(step, 0.0) + took_s


def steps_part(plan: Plan) -> Found:
    """Measure where the CPU time of each beat goes: all stages' work in one process, in order."""
    rows = []
    for patients in plan.of_steps:
        cores, beats_per_s = measure_steps(patients, plan.seconds)
        sum_cores = sum(cores.values())
        rows.append(
            [
                f"{patients:,} ({beats_per_s:,.0f})",
                *(f"{share:.3f}" for share in cores.values()),
                f"{sum_cores:.2f}",
                f"{1e6 * sum_cores / beats_per_s:.0f}",
            ]
        )
    headings = ["patients (beats/s)", *cores, "sum, cores", "us a beat"]
    return Found(
        "CPU time by step, in cores (1: a core busy all the time), of all three "
        "stages' work done in one process, in the order of a run, "
        f"{plan.seconds:g} s of signal in steps of {1e3 * STEP_S:g} ms. Sockets, and what two "
        "processes cost one another, come on top.\n\n" + table(headings, rows),
        {},
    )


STEP_S = 0.05


def measure_steps(patients: int, seconds: float) -> tuple[dict[str, float], float]:
    """Return the cores that each step takes of a ward, and its beats a second."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ecgw-")))
        told, _, of_consumer = ward_settings(folder, patients, seed=1)
        playbacks = open_playbacks(told)
        pacer = Pacer(playbacks, told.speed, 0.0)
        checkpoint = load_model(of_consumer)
        journal = stack.enter_context(Journal(Path(of_consumer.journal)))
        learner = stack.enter_context(ThreadPoolExecutor(1))
        engine = Engine(checkpoint, of_consumer, journal, learner, utc_now)
        streams = [playback.stream() for playback in playbacks]
        engine.expect(streams)
        spec = BeatSpec.from_mapping(checkpoint.spec)
        stage = SampleSegmenter(spec, streams, [], Counters("segmenter", 0))
        buffer = JournalBuffer(journal)
        watch, n_beats, commit_due_s = Stopwatch(), 0, 0.0
        for step in range(1, round((WARM_UP_S + seconds) / STEP_S) + 1):
            now_s = step * STEP_S
            if now_s <= WARM_UP_S:  # detectors learn their levels
                watch, n_beats = Stopwatch(), 0
            with watch.on("producer"):
                sent = [encode_bundle(one) for one in in_bundles(pacer.take_due(now_s, None))]
            with watch.on("decode samples"):
                samples = [message for frames in sent for message in decode_bundle(frames)]
            with watch.on("segmenter"):
                found = stage.step(samples, now_s).messages
            with watch.on("encode beats"):
                sent = [encode_bundle(one) for one in in_bundles(found)]
            with watch.on("decode beats"):
                beats = [message for frames in sent for message in decode_bundle(frames)]
                held = [one for one in beats if isinstance(one, BeatsMessage)]
                for message in held:
                    engine.admission.check(message)
                    engine.admission.hole_before(message)
            with watch.on("judge"):
                result = engine.step(held, round(1e9 * now_s))
                outgoing = all_encoded(result.messages)
                buffer.add(numbered(outgoing), result.progress, result.kept)
            with watch.on("journal"):
                if result.alerts or now_s >= commit_due_s:
                    commit_due_s = now_s + COMMIT_S
                    buffer.commit(now_s)
                    engine.committed()
            n_beats += sum(len(message.beats) for message in held)
    return {name: spent / seconds for name, spent in watch.spent_s.items()}, n_beats / seconds


# --- recovery -----------------------------------------------------------------------------------


@dataclass
class Course:
    """What was heard of a ward, a moment at a time."""

    moments: list[Moment] = field(default_factory=list)

    @property
    def elapsed_s(self) -> NDArray[np.float64]:
        """When the moments were: shape (n,)."""
        return np.array([one.elapsed_s for one in self.moments])

    def p99_ms(self, from_s: float, to_s: float) -> float:
        """Return the 99th percentile of the delays between two times; NaN if there are none."""
        delays = [one.delays_ms for one in self.moments if from_s < one.elapsed_s <= to_s]
        joined = np.concatenate([np.zeros(0), *delays])
        return float(np.quantile(joined, 0.99)) if len(joined) else float("nan")

    def overloaded_s(self) -> tuple[float, float] | None:
        """Return when overload was said and when it was last heard of; None if never."""
        times = [one.elapsed_s for one in self.moments if one.overloaded]
        return (times[0], times[-1]) if times else None

    def in_time_from_s(self, after_s: float) -> float:
        """Return from when on, after a time, every second's 99th percentile was in time.

        Infinity if the last one was late.
        """
        late = [
            one.elapsed_s
            for one in self.moments
            if one.elapsed_s > after_s
            and (not len(one.delays_ms) or np.quantile(one.delays_ms, 0.99) > MAX_DELAY_MS)
        ]
        after = max(late, default=after_s)
        return after if after < self.moments[-1].elapsed_s else math.inf


@contextlib.contextmanager
def busy_neighbours(n: int) -> Iterator[None]:
    """Have other processes compute."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(n)]
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


def recovery_part(plan: Plan) -> Found:
    """Measure what a ward does while others take its cores, and afterwards; draw it."""
    course = Course()
    from_s, to_s = plan.calm_s, plan.calm_s + plan.busy_s
    end_s = to_s + 3 * plan.calm_s
    with contextlib.ExitStack() as neighbours:

        def look(moment: Moment) -> None:
            course.moments.append(moment)
            if moment.elapsed_s >= to_s:
                neighbours.close()
            elif moment.elapsed_s >= from_s and not started:
                started.append(True)
                neighbours.enter_context(busy_neighbours(NEIGHBOURS))

        started: list[bool] = []
        result = run_ward(plan.steady, end_s, tell=look)
    said = course.overloaded_s()
    if plan.out is not None:
        plot_recovery(course, from_s, to_s, plan.out / "ward-recovery.png")
    dropped = course.moments[-1].dropped
    rows = [
        ["99th percentile before, ms", f"{course.p99_ms(0.0, from_s):.0f}"],
        [f"the same in the {plan.busy_s:g} s without cores", f"{course.p99_ms(from_s, to_s):,.0f}"],
        ["the same in the last third", f"{course.p99_ms(end_s - plan.calm_s, end_s):.0f}"],
        ["overload said after, s", "never" if said is None else f"{said[0] - from_s:.0f}"],
        ["overload over, s after the cores were free", _over(course, to_s)],
        ["in time again after, s (inf: never)", f"{course.in_time_from_s(to_s) - to_s:.0f}"],
        ["scores and samples shed (these at both ends of a hole)", f"{dropped:,}"],
        ["alerts told", f"{result.alerts:,}"],
    ]
    return Found(
        f"{plan.steady:,} patients; after {from_s:g} s {NEIGHBOURS} processes that "
        f"compute without end take both cores for {plan.busy_s:g} s.\n\n"
        f"{table(['what', 'measured'], rows)}\n\n![Delay over time](ward-recovery.png)",
        {},
    )


def _over(course: Course, to_s: float) -> str:
    said = course.overloaded_s()
    if said is None:
        return "-"
    return "never" if course.moments[-1].overloaded else f"{said[1] - to_s:.0f}"


NEIGHBOURS = 12


def plot_recovery(course: Course, from_s: float, to_s: float, file: Path) -> None:
    """Draw delays and what was shed over time."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    delay, shed = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    at_s = course.elapsed_s
    for share, label in ((0.5, "median"), (0.99, "99th percentile")):
        # A second without a score breaks the line.
        delay.plot(at_s, [_quantile_ms(one, share) for one in course.moments], label=label)
    delay.axhline(MAX_DELAY_MS, color="grey", linestyle=":", label=f"{MAX_DELAY_MS:g} ms")
    delay.axvspan(from_s, to_s, color="grey", alpha=0.2, label="cores taken")
    said = course.overloaded_s()
    if said is not None:
        delay.axvspan(*said, ymax=0.04, color="tab:red", label="overload")
    delay.set(ylabel="delay, ms, of each second")
    scale_delay(delay)
    delay.legend(loc="upper right", fontsize="small")
    shed.plot(at_s, [one.dropped / 1e6 for one in course.moments])
    shed.set(ylabel="shed so far,\nmillions", xlabel="s")
    for axes in (delay, shed):
        axes.grid(alpha=0.3)
    figure.savefig(file, dpi=120, metadata={"Software": None})


def _quantile_ms(moment: Moment, share: float) -> float:
    return float(np.quantile(moment.delays_ms, share)) if len(moment.delays_ms) else np.nan


# --- memory -------------------------------------------------------------------------------------


def memory_part(plan: Plan) -> Found:
    """Measure the memory of a ward's stages over time; draw it."""
    course = Course()
    run_ward(plan.steady, 60 * plan.minutes, tell=course.moments.append, tell_every_s=2.0)
    at_s = course.elapsed_s
    of_each = {name: np.array([one.memory_mb[name] for one in course.moments]) for name in STAGES}
    total = sum(of_each.values(), np.zeros(len(at_s)))
    settled = at_s >= min(FIRST_S, at_s[-1] / 3)
    if plan.out is not None:
        plot_memory(at_s, of_each, total, plan.out / "ward-memory.png")
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
        if (plan.steady, plan.minutes) == (STEADY, MINUTES)
        else {},
    )


def growth(values: NDArray[np.float64]) -> float:
    """Return the median of the last tenth less that of the first."""
    tenth = max(1, len(values) // 10)
    return float(np.median(values[-tenth:]) - np.median(values[:tenth]))


def plot_memory(
    at_s: NDArray[np.float64],
    of_each: dict[str, NDArray[np.float64]],
    total: NDArray[np.float64],
    file: Path,
) -> None:
    """Draw memory over time."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in of_each.items():
        axes.plot(at_s / 60, values, label=name)
    axes.plot(at_s / 60, total, "k", label="all three")
    draw_most(axes, ABSOLUTES["ward.memory"], "MB")
    axes.set(xlabel="minutes", ylabel="resident, MB", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=120, metadata={"Software": None})


# --- the page -----------------------------------------------------------------------------------

PARTS: dict[str, Callable[[Plan], Found]] = {
    "delay": delay_part,
    "growth": growth_part,
    "steps": steps_part,
    "recovery": recovery_part,
    "memory": memory_part,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_ward", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", action="append", choices=list(PARTS), help="repeatable")
    parser.add_argument("--quick", action="store_true", help="a small ward, once; writes nothing")
    parser.add_argument("--patients", type=int, nargs="+", default=PATIENTS, help="of `growth`")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each ward of `growth`")
    parser.add_argument("--times", type=int, default=3, help="of `delay` and `growth`")
    parser.add_argument("--steady", type=int, default=STEADY, help="patients of the other parts")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of `memory`")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of page and plots")
    options = parser.parse_args(arguments)
    plan = QUICK
    if not options.quick:
        plan = Plan(
            out=options.out,
            patients=tuple(sorted(options.patients)),
            seconds=options.seconds,
            times=options.times,
            steady=options.steady,
            shown_s=SHOWN_S,
            minutes=options.minutes,
            calm_s=20.0,
            busy_s=20.0,
        )
    return measure_parts(
        "bench_ward",
        ("ward.md", "A ward"),
        PARTS,
        plan,
        only=options.only,
        out=plan.out,
        arguments=arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
