"""One long record: our whole system beside the published way, growth with hours, memory, imports.

    python -m tools.bench_record                     # a page, docs/record.md, and plots; minutes
    python -m tools.bench_record --quick             # 20 minutes of signal, once; writes nothing
    python -m tools.bench_record --only growth       # growth, memory, imports or published

The published way is NeuroKit2's segmentation, then an LSTM autoencoder of embedding 128 that is
given one beat a call. It is run on a slice of the same record, before each run of ours, and its
time for the whole record follows from that: segmentation by seconds of signal, scoring by beats.
CPU time is compared too, since it depends less on what else the machine does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from model.config import AutoencoderConfig
from monitor.evaluation.beats_report import read_annotations
from monitor.evaluation.ecg5000_report import area_under_curve
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.wfdb_record import WfdbRecord
from segmenter.beat import BeatSpec
from tools.bench import PROGRAM, ROOT, machine
from tools.bench_detectors import ONE_CORE
from tools.measured import Measured, run_measured, tree_memory_mb
from tools.pages import spread, table

RECORD, SEED = "simulated", 7
HOURS = (1.0, 2.0, 5.0, 10.0, 20.0)
SLICE_FROM_S, SLICE_S = 3600.0, 300.0  # what the published way is run on
TRAIN_S, TRAIN_STEPS = 1200.0, 1500  # of it, before; from normal beats alone, one a step
EMBEDDING = 128
BEAT_SAMPLES = 140
REPLAY = ("replay", RECORD, "--speed", "max", "--no-live", "--json")
PROCESSES = {
    "parent": "monitor.replay",
    "producer": "monitor.stages.producer",
    "segmenter": "monitor.stages.segmenter",
    "consumer": "monitor.stages.consumer",
}
MEMORY_EVERY_S = 0.25

Beats = NDArray[np.float32]
T = TypeVar("T")


# --- the published way --------------------------------------------------------------------------


@dataclass(frozen=True)
class Published:
    """What the published way took for a slice, in s of CPU, and how well it ranked the beats."""

    segment_s: float
    score_s: float
    n_beats: int
    auc: float | None

    def of_record_s(self, signal_s: float, n_beats: int) -> float:
        """Return what it would take for a whole record."""
        return self.segment_s / SLICE_S * signal_s + self.score_s / self.n_beats * n_beats


def run_published(path: str, trained: bool) -> Published:
    """Segment and score the slice; one core.

    Parameters
    ----------
    trained : bool
        Whether the autoencoder is trained before, which takes minutes: its time does not count
        and does not depend on it, its ranking does.
    """
    import torch

    from model.autoencoder import LstmAutoencoder

    torch.set_num_threads(1)
    config = AutoencoderConfig(BEAT_SAMPLES, EMBEDDING, reverse=False, samples_per_step=1)
    network = LstmAutoencoder(config).eval()
    if trained:
        _train(network, path)
    signal, fs_hz = read_signal(path, SLICE_FROM_S, SLICE_FROM_S + SLICE_S)
    neurokit_beats(signal[: round(30 * fs_hz)], fs_hz)  # warm
    began_s = time.process_time()
    beats, r_samples = neurokit_beats(signal, fs_hz)
    segmented_s = time.process_time()
    losses = []
    with torch.inference_mode():
        for beat in beats:
            given = torch.from_numpy(beat)[None]  # (1, length)
            losses.append(float((network(given) - given).abs().sum()))
    scored_s = time.process_time()
    auc = None
    if trained:
        anomalous = _anomalous(path, r_samples + round(SLICE_FROM_S * fs_hz))
        auc = area_under_curve(np.array(losses, np.float32), anomalous)
    return Published(segmented_s - began_s, scored_s - segmented_s, len(beats), auc)


def neurokit_beats(signal: NDArray[np.float64], fs_hz: float) -> tuple[Beats, NDArray[np.int64]]:
    """Cut beats as ECG5000's are, from one R peak that NeuroKit2 finds to the next.

    Returns
    -------
    beats : np.ndarray, shape (n, BEAT_SAMPLES), float32
        Resampled and standardised.
    r_samples : np.ndarray, shape (n,), int64
    """
    import neurokit2

    with warnings.catch_warnings(action="ignore"):
        cleaned = neurokit2.ecg_clean(signal, sampling_rate=round(fs_hz))
        _, found = neurokit2.ecg_peaks(cleaned, sampling_rate=round(fs_hz))
    peaks = np.asarray(found["ECG_R_Peaks"], np.int64)
    beats = [
        np.interp(np.linspace(first, last, BEAT_SAMPLES), np.arange(first, last + 1), between)
        for first, last in pairwise(peaks.tolist())
        for between in [signal[first : last + 1]]
    ]
    stacked = np.array(beats, np.float32)
    centred = stacked - stacked.mean(axis=1, keepdims=True)
    return centred / stacked.std(axis=1, ddof=1, keepdims=True), peaks[:-1]


def _train(network: object, path: str) -> None:
    from torch import nn

    from model.rivals import train_beat_by_beat

    assert isinstance(network, nn.Module)
    signal, fs_hz = read_signal(path, 0.0, TRAIN_S)
    beats, r_samples = neurokit_beats(signal, fs_hz)
    normal = beats[~_anomalous(path, r_samples)]
    train_beat_by_beat(network, nn.L1Loss(reduction="sum"), normal, TRAIN_STEPS, seed=0)


def run_ours_on_slice(path: str) -> float:
    """Return the AUC of our losses, as they are held against the threshold, on the same slice."""
    from model.checkpoint import load_shipped
    from model.scoring import Scorer
    from model.tracking import TrackState, score_tracked
    from segmenter.stream import Segmenter

    checkpoint = load_shipped()
    signal, fs_hz = read_signal(path, SLICE_FROM_S, SLICE_FROM_S + SLICE_S)
    segmenter = Segmenter(fs_hz, BeatSpec.from_mapping(checkpoint.spec))
    beats = segmenter.update(signal).beats
    _, scored = score_tracked(
        Scorer(checkpoint.autoencoder),
        None,
        TrackState(),
        beats.values,
        beats.rr_before_ms,
        beats.judgeable,
    )
    rows = beats.judgeable
    anomalous = _anomalous(path, beats.r_sample[rows] + round(SLICE_FROM_S * fs_hz))
    return area_under_curve(scored.weighted[rows], anomalous)


def read_signal(path: str, from_s: float, to_s: float) -> tuple[NDArray[np.float64], float]:
    """Return a stretch of a record's first lead in millivolts, and its rate."""
    with WfdbRecord.open(path) as record:
        fs_hz = record.fs_hz
        stop = min(round(to_s * fs_hz), record.n_samples)
        return record.read(round(from_s * fs_hz), stop).astype(np.float64), fs_hz


def _anomalous(path: str, r_samples: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether the annotation next to each R peak is another than N, shape (n,)."""
    annotated = read_annotations(Path(path), "ecg")
    nearest = np.searchsorted((annotated.samples[1:] + annotated.samples[:-1]) / 2, r_samples)
    return np.asarray(np.array(annotated.symbols)[nearest] != "N")


# --- ours ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memory:
    """Resident memory of the processes while they run."""

    at_s: list[float]
    sum_mb: list[float]

    def growth_mb(self) -> float:
        """Return how much more is held near the end than after a third: the start is over."""
        tenth = max(1, len(self.sum_mb) // 10)
        first, last = self.sum_mb[3 * tenth : 4 * tenth], self.sum_mb[-2 * tenth : -tenth]
        return statistics.median(last) - statistics.median(first)


def replay(folder: Path, hours: float | None = None) -> Measured:
    """Replay the record, or its first hours, with a private alert socket."""
    duration = [] if hours is None else ["--duration", f"{round(3600 * hours)}"]
    endpoint = f"ipc://{folder / 'alerts'}"
    return run_measured([*PROGRAM, *REPLAY, *duration, "--alerts", endpoint], folder)


def replay_memory(folder: Path) -> Memory:
    """Replay the record and look at the memory of all processes as it goes on."""
    command = [*PROGRAM, *REPLAY, "--alerts", f"ipc://{folder / 'alerts'}"]
    memory = Memory([], [])
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    began_s = time.monotonic()
    try:
        while process.poll() is None:
            sum_mb = tree_memory_mb(process.pid)
            if sum_mb > 0:
                memory.at_s.append(time.monotonic() - began_s)
                memory.sum_mb.append(sum_mb)
            time.sleep(MEMORY_EVERY_S)
    finally:
        process.terminate()
        process.wait()
    return memory


@dataclass(frozen=True)
class Imported:
    """What a process costs before it does anything."""

    cpu_s: float
    peak_mb: float
    heaviest: str


def imports(module: str, times: int) -> Imported:
    """Import a process's module in fresh interpreters."""
    script = (
        f"import {module}, time; from pathlib import Path; print(time.process_time(), "
        "Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-X", "importtime", "-c", script],
            capture_output=True,
            text=True,
            check=True,
        )
        for _ in range(times)
    ]
    figures = [[float(value) for value in run.stdout.split()] for run in runs]
    return Imported(
        cpu_s=statistics.median(cpu_s for cpu_s, _ in figures),
        peak_mb=statistics.median(peak for _, peak in figures) / 1e3,
        heaviest=heaviest(runs[-1].stderr),
    )


def heaviest(report: str, n: int = 3) -> str:
    """Return the libraries that took longest, with their ms, from what -X importtime wrote."""
    spent_ms: dict[str, float] = {}
    for line in report.splitlines():
        parts = [part.strip() for part in line.removeprefix("import time:").split("|")]
        if len(parts) == 3 and parts[0].isdigit():
            top = parts[2].split(".")[0]
            spent_ms[top] = spent_ms.get(top, 0.0) + int(parts[0]) / 1e3
    ranked = sorted(spent_ms.items(), key=lambda item: -item[1])[:n]
    return ", ".join(f"{name} {ms:.0f} ms" for name, ms in ranked)


# --- the parts, each a section of the page ------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """Where and how much is measured."""

    folder: Path
    out: Path | None  # None writes no plots
    hours: float
    times: int

    @property
    def path(self) -> str:
        """The record's path."""
        return str(self.folder / RECORD)


def published_section(run: Run) -> str:
    """Return the comparison with the published way."""
    import msgspec

    from monitor.replay import Summary

    ratios, cpu_ratios, ours, theirs = [], [], [], []
    for number in range(run.times):
        published = in_own_process(run_published, run.path, number == 0)
        measured = replay(run.folder)
        summary = msgspec.json.decode(measured.output.splitlines()[-1], type=Summary)
        if number == 0:
            auc = published.auc
        published_s = published.of_record_s(summary.signal_s, summary.beats)
        ratios.append(published_s / measured.wall_s)
        cpu_ratios.append(published_s / measured.cpu_s)
        ours.append(measured)
        theirs.append(published_s)
    our_auc = in_own_process(run_ours_on_slice, run.path)
    rows = [
        ["times faster, wall time of ours (two cores)", spread(ratios, ".0f")],
        ["times less CPU time", spread(cpu_ratios, ".0f")],
        ["AUC, ours / published", f"{our_auc:.4f} / {auc:.4f}"],
        ["ours: the whole command, s", spread([one.wall_s for one in ours], ".1f")],
        ["ours: CPU of all processes, s", spread([one.cpu_s for one in ours], ".1f")],
        ["ours: memory, sum of the peaks, MB", spread([one.peak_mb for one in ours], ".0f")],
        ["published, s, scaled up", spread(theirs, ",.0f")],
        ["beats of the record", f"{summary.beats:,}"],
    ]
    return (
        f"## Beside the published way\n\nNeuroKit2, then an autoencoder of embedding {EMBEDDING}, "
        f"one beat a call, one core: measured on {SLICE_S:g} s of the record ({published.n_beats} "
        f"beats) before each run of ours and scaled to all of it. Its AUC is that of {TRAIN_STEPS} "
        "training steps of one normal beat; more may better it. Ours is the checkpoint that "
        "ships, on the same slice.\n\n" + table(["what", "measured"], rows)
    )


def growth_section(run: Run) -> str:
    """Return seconds against hours of record; draw them."""
    hours = [one for one in HOURS if one <= run.hours] or [run.hours]
    runs: dict[float, list[Measured]] = {one: [] for one in hours}
    for _ in range(run.times):  # in turn, so that what else the machine does hits all alike
        for one in hours:
            runs[one].append(replay(run.folder, one))
    cpu_s = [statistics.median(m.cpu_s for m in runs[one]) for one in hours]
    wall_s = [statistics.median(m.wall_s for m in runs[one]) for one in hours]
    rows = [
        [
            f"{one:g}",
            spread([m.cpu_s for m in runs[one]], ".1f"),
            spread([m.wall_s for m in runs[one]], ".1f"),
            spread([m.peak_mb for m in runs[one]], ".0f"),
        ]
        for one in hours
    ]
    line = ""
    if len(hours) > 1:
        slope, start = np.polyfit(hours, cpu_s, 1)
        line = (
            f"\n\nA line through the CPU times: {start:.1f} s and {slope:.2f} s an hour of record."
        )
    if run.out is not None:
        _plot_growth(hours, cpu_s, wall_s, run.out / "growth.png")
    by_hours = table(["hours of record", "CPU, s", "wall, s", "memory, MB"], rows)
    return f"## Growth\n\n{by_hours}{line}\n\n![Seconds against hours of record](growth.png)"


def memory_section(run: Run) -> str:
    """Return memory against time; draw it."""
    memory = replay_memory(run.folder)
    if run.out is not None:
        _plot_memory(memory, run.hours, run.out / "memory.png")
    return (
        f"## Memory\n\nAll four processes over {run.hours:g} h of record: at most "
        f"{max(memory.sum_mb):.0f} MB at a time; {memory.growth_mb():+.1f} MB from a third of the "
        "run to its end.\n\n![Resident memory against time](memory.png)"
    )


def imports_section(run: Run) -> str:
    """Return what each process imports."""
    rows = []
    for name, module in PROCESSES.items():
        found = imports(module, run.times)
        rows.append([name, f"{found.cpu_s:.2f}", f"{found.peak_mb:.0f}", found.heaviest])
    by_process = table(["process", "CPU, s", "memory, MB", "heaviest"], rows)
    return f"## Imports\n\nA fresh interpreter each, under -X importtime.\n\n{by_process}"


def in_own_process(measure: Callable[..., T], *arguments: object) -> T:
    """Run a measurement on one core, in a process that has done nothing before."""
    os.environ.update(ONE_CORE)
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(measure, *arguments).result()


SECTIONS: dict[str, Callable[[Run], str]] = {
    "published": published_section,
    "growth": growth_section,
    "memory": memory_section,
    "imports": imports_section,
}


def _plot_growth(
    hours: Sequence[float], cpu_s: Sequence[float], wall_s: Sequence[float], file: Path
) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(hours, cpu_s, "o-", label="CPU of all processes")
    axes.plot(hours, wall_s, "s--", label="the whole command")
    axes.set(xlabel="hours of record", ylabel="s", xlim=(0, None), ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=120, metadata={"Software": None})


def _plot_memory(memory: Memory, hours: float, file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(memory.at_s, memory.sum_mb)
    axes.set(xlabel=f"s of a replay of {hours:g} h", ylabel="MB, all processes", ylim=(0, None))
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=120, metadata={"Software": None})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_record", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(SECTIONS), help="repeatable")
    parser.add_argument("--quick", action="store_true", help="20 minutes, once; writes nothing")
    parser.add_argument("--hours", type=float, default=HOURS[-1])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder of page and plots")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ecgm-bench-") as folder:
        run = Run(
            folder=Path(folder),
            out=None if options.quick else options.out,
            hours=4 / 3 if options.quick else options.hours,
            times=1 if options.quick else options.times,
        )
        write_record(Path(run.path), SimulationSettings(hours=run.hours, seed=SEED))
        sections = []
        for name in options.only or SECTIONS:
            sys.stderr.write(f"measuring: {name}\n")
            sections.append(SECTIONS[name](run))
    page = (
        f"# One record\n\n    python -m tools.bench_record\n\n{machine()}.\n\n"
        f"A simulated record of {run.hours:g} h, two leads, 250 Hz (`ecg-monitor simulate "
        f"{RECORD} --hours {run.hours:g} --seed {SEED}`), through "
        f"`ecg-monitor {' '.join(REPLAY)}`: medians, smallest and largest of {run.times} runs.\n\n"
        + "\n\n".join(sections)
        + "\n"
    )
    print(page)
    if not (options.quick or options.only):
        (options.out / "record.md").write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
