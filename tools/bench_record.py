"""One long record: our whole system beside the published way, growth with hours, memory, imports.

    python -m tools.bench_record                     # docs/record.md and plots; some 10 minutes
    python -m tools.bench_record --quick             # 80 minutes of signal, once; writes nothing
    python -m tools.bench_record --only growth       # growth, memory, imports or published

The published way is NeuroKit2's segmentation, then an LSTM autoencoder of embedding 128 that is
given one beat a call. It is run on a slice of the same record, before each run of ours, and its
time for the whole record follows from that: segmentation by seconds of signal, scoring by beats.
CPU time is compared too, since it depends less on what else the machine does.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.config import AutoencoderConfig
from monitor.offline.evaluation.beats_report import read_annotations
from monitor.offline.evaluation.ecg5000_report import area_under_curve
from monitor.sources.wfdb_record import WfdbRecord
from segmenter.beat import BeatSpec
from tools.measured import Measured, on_one_core
from tools.pages import spread, table
from tools.parts import Found, Plan, measure_parts, option
from tools.plots import draw_runs, plot_memory, save
from tools.replays import RECORD, REPLAY, SEED, WARM_UP_S, make_record, replay, rules_without_alarms

if TYPE_CHECKING:  # where it is needed, it is imported in a process of its own
    import torch

LONG_RECORD, LONGER = "longer", 3  # times as long: the one whose memory is looked at
HOURS = (1.0, 2.0, 5.0, 10.0, 20.0)
SLICE_FROM_S, SLICE_S = 3600.0, 300.0  # what the published way is timed on
AUC_S = 3600.0  # and from there on, how well both rank the beats
TRAIN_S, TRAIN_STEPS = 1200.0, 1500  # of it, before; from normal beats alone, one a step
EMBEDDING = 128
BEAT_SAMPLES = 140
PROCESSES = {
    "parent": "monitor.run.replay",
    "producer": "monitor.stages.producer",
    "segmenter": "monitor.stages.segmenter",
    "consumer": "monitor.stages.consumer",
}

Beats = NDArray[np.float32]


# --- the published way --------------------------------------------------------------------------


@dataclass(frozen=True)
class Published:
    """What the published way took for a slice, in s of CPU, and how well it ranked the beats."""

    segment_s: float
    score_s: float
    n_beats: int
    auc: float | None
    n_anomalous: int | None = None  # beats that the AUC is of

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
    beats, _ = neurokit_beats(signal, fs_hz)
    segmented_s = time.process_time()
    _losses(network, beats)
    scored_s = time.process_time()
    auc = n_anomalous = None
    if trained:
        signal, fs_hz = read_signal(path, SLICE_FROM_S, SLICE_FROM_S + AUC_S)
        ranked, r_samples = neurokit_beats(signal, fs_hz)
        anomalous = _anomalous(path, r_samples + round(SLICE_FROM_S * fs_hz))
        auc = area_under_curve(_losses(network, ranked), anomalous)
        n_anomalous = int(anomalous.sum())
    return Published(segmented_s - began_s, scored_s - segmented_s, len(beats), auc, n_anomalous)


def _losses(network: torch.nn.Module, beats: Beats) -> NDArray[np.float32]:
    """Return the sums of absolute differences, one beat a call: shape (n,)."""
    import torch

    losses = []
    with torch.inference_mode():
        for beat in beats:
            given = torch.from_numpy(beat)[None]  # (1, length)
            losses.append(float((network(given) - given).abs().sum()))
    return np.array(losses, np.float32)


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

    from model.baselines import train_beat_by_beat

    assert isinstance(network, nn.Module)
    signal, fs_hz = read_signal(path, 0.0, TRAIN_S)
    beats, r_samples = neurokit_beats(signal, fs_hz)
    normal = beats[~_anomalous(path, r_samples)]
    train_beat_by_beat(network, nn.L1Loss(reduction="sum"), normal, TRAIN_STEPS, seed=0)


def run_ours_on_slice(path: str) -> float:
    """Return the AUC of our losses, as they are held against the threshold, on the same beats."""
    from model.checkpoint import load_shipped
    from model.scoring import Scorer
    from model.tracking import TrackState, score_tracked
    from segmenter.stream import Segmenter

    checkpoint = load_shipped()
    signal, fs_hz = read_signal(path, SLICE_FROM_S, SLICE_FROM_S + AUC_S)
    segmenter = Segmenter(fs_hz, BeatSpec.from_mapping(checkpoint.spec))
    beats = segmenter.update(signal).beats
    _, scored = score_tracked(
        Scorer(checkpoint.autoencoder),
        None,
        TrackState(),
        beats.values[:, 0],
        beats.rr_before_ms,
        beats.judgeable,
    )
    rows = beats.judgeable
    anomalous = _anomalous(path, beats.r_sample[rows] + round(SLICE_FROM_S * fs_hz))
    return area_under_curve(scored.weighted[rows], anomalous)


def read_signal(path: str, from_s: float, to_s: float) -> tuple[NDArray[np.float64], float]:
    """Return a stretch of a record's first lead in millivolts, shape (n,), and its rate."""
    with WfdbRecord.open(path, 0) as record:
        fs_hz = record.fs_hz
        stop = min(round(to_s * fs_hz), record.n_samples)
        return record.read(round(from_s * fs_hz), stop)[0].astype(np.float64), fs_hz


def _anomalous(path: str, r_samples: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether the annotation next to each R peak is another than N, shape (n,)."""
    annotated = read_annotations(Path(path), "ecg")
    nearest = np.searchsorted((annotated.samples[1:] + annotated.samples[:-1]) / 2, r_samples)
    return np.asarray(np.array(annotated.symbols)[nearest] != "N")


# --- ours ---------------------------------------------------------------------------------------


def growth_mb(sum_mb: Sequence[float]) -> float:
    """Return how much more is held near the end than after a third: the start is over."""
    tenth = max(1, len(sum_mb) // 10)
    first, last = sum_mb[3 * tenth : 4 * tenth], sum_mb[-2 * tenth : -tenth]
    return statistics.median(last) - statistics.median(first)


def replay_hours(folder: Path, hours: float) -> Measured:
    """Replay the first hours of the record."""
    return replay(folder, "--duration", f"{round(3600 * hours)}").measured


def imports(module: str) -> tuple[float, float]:
    """Import a process's module in a fresh interpreter; return CPU in s and memory in MB."""
    script = (
        f"import {module}, time; from pathlib import Path; print(time.process_time(), "
        "Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    command = [sys.executable, "-X", "importtime", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    cpu_s, peak_kb = map(float, done.stdout.split())
    return cpu_s, peak_kb / 1e3


# --- the parts, each a section of the page ------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Run(Plan):
    """Where and how much is measured."""

    hours: float = option(HOURS[-1], 4 / 3, "of the record")

    def described(self) -> str:
        """Return what is run, and how often."""
        return (
            f"A record of {self.hours:g} h, two leads, 250 Hz (`ecg-monitor simulate {RECORD} "
            f"--seed {SEED} --hours {self.hours:g}`), by `ecg-monitor {' '.join(REPLAY)}`: "
            f"{self.times} runs."
        )


def published_part(run: Run) -> Found:
    """Compare with the published way, each run of ours beside one of it."""
    path = str(make_record(run.folder, run.hours))
    replay_hours(run.folder, WARM_UP_S / 3600)
    # The published way judges one lead by its loss, and raises no alarm.
    off = str(rules_without_alarms(run.folder))
    same_work = ("--lead", "0", "--verdict", "loss", "--rules", off)
    ratios, cpu_ratios, all_ratios, alike, ours, theirs = [], [], [], [], [], []
    for number in range(run.times):
        published = on_one_core(run_published, path, number == 0)
        same, summary = replay(run.folder, *same_work)
        measured, _ = replay(run.folder)
        if number == 0:
            auc, n_anomalous = published.auc, published.n_anomalous
        published_s = published.of_record_s(summary.signal_s, summary.beats)
        ratios.append(published_s / same.wall_s)
        cpu_ratios.append(published_s / same.cpu_s)
        all_ratios.append(published_s / measured.wall_s)
        alike.append(same)
        ours.append(measured)
        theirs.append(published_s)
    our_auc = on_one_core(run_ours_on_slice, path)
    peaks_mb = [one.peak_mb for one in ours]
    assert auc is not None  # of the first run
    rows = [
        ["times faster at the same work, wall time of ours (two cores)", spread(ratios, ".0f")],
        ["times less CPU time", spread(cpu_ratios, ".0f")],
        ["times faster though both leads and named alarms are judged", spread(all_ratios, ".0f")],
        ["AUC, ours / published", f"{our_auc:.4f} / {auc:.4f}"],
        ["anomalous beats that it is of", str(n_anomalous)],
        ["ours, the same work: the whole command, s", spread([one.wall_s for one in alike], ".1f")],
        ["CPU of all processes, s", spread([one.cpu_s for one in alike], ".1f")],
        ["ours, leads and alarms: the whole command, s", spread([m.wall_s for m in ours], ".1f")],
        ["CPU of all processes, s", spread([one.cpu_s for one in ours], ".1f")],
        ["memory, sum of the peaks, MB", spread(peaks_mb, ".0f")],
        ["published, s, scaled up", spread(theirs, ",.0f")],
        ["beats of the record", f"{summary.beats:,}"],
    ]
    text = (
        f"{run.described()} The same work is the first lead's bare loss, without named alarms "
        "(`--lead 0 --verdict loss --rules off.toml`). The published way: NeuroKit2, then an "
        "autoencoder of embedding "
        f"{EMBEDDING}, one beat a call, one core; measured on {SLICE_S:g} s of the record "
        f"({published.n_beats} beats) before each run of ours and scaled to all of it. The AUC is "
        f"of {AUC_S / 60:g} minutes; that of the published way after {TRAIN_STEPS} training steps "
        "of one normal beat: more may better it. Ours is the checkpoint that ships, which learnt "
        "from other records of the same simulator, and of the beats that it judges.\n\n"
        + table(["what", "measured"], rows)
    )
    figures = {
        "record.times_faster": ratios,
        "record.times_less_cpu": cpu_ratios,
        "record.times_faster_all": all_ratios,
        "record.auc_gain": [our_auc - auc],
        "record.memory": peaks_mb,
    }
    return Found(text, figures if run.is_whole("hours") else {})


def growth_part(run: Run) -> Found:
    """Measure seconds against hours of record; draw them."""
    make_record(run.folder, run.hours)
    replay_hours(run.folder, WARM_UP_S / 3600)
    hours = [one for one in HOURS if one <= run.hours] or [run.hours]
    runs: dict[float, list[Measured]] = {one: [] for one in hours}
    for _ in range(run.times):  # in turn, so that what else the machine does hits all alike
        for one in hours:
            runs[one].append(replay_hours(run.folder, one))
    rows = [
        [
            f"{one:g}",
            f"{3600 * one / statistics.median(m.wall_s for m in runs[one]):,.0f}",
            spread([m.cpu_s for m in runs[one]], ".1f"),
            spread([m.wall_s for m in runs[one]], ".1f"),
            spread([m.peak_mb for m in runs[one]], ".0f"),
        ]
        for one in hours
    ]
    line, figures = "", {}
    if len(hours) > 1:
        fits = [
            np.polyfit(hours, [runs[one][n].cpu_s for one in hours], 1) for n in range(run.times)
        ]
        slopes, starts = ([float(fit[which]) for fit in fits] for which in (0, 1))
        line = (
            f"\n\nLines through the CPU times of each round: {spread(starts, '.1f')} s and "
            f"{spread(slopes, '.2f')} s an hour of record."
        )
        figures = {"record.start_s": starts, "record.hour_s": slopes}
    if run.out is not None:
        _plot_growth(runs, run.out / "growth.png")
    headings = ["hours of record", "times real time", "CPU, s", "wall, s", "memory, MB"]
    return Found(
        f"{run.described()} Its first hours by `--duration`; wall time and its ratio are of the "
        f"whole command.\n\n{table(headings, rows)}{line}\n\n"
        "![Seconds against hours of record](growth.png)",
        figures if run.is_whole("hours") else {},
    )


def memory_part(run: Run) -> Found:
    """Measure memory against time; draw it."""
    hours = LONGER * run.hours
    make_record(run.folder, hours, LONG_RECORD)
    at_s, sum_mb = zip(*replay(run.folder, record=LONG_RECORD).measured.held_mb, strict=True)
    if run.out is not None:
        of_all = {"all four processes (they leave at the end)": sum_mb}
        across = f"s of a replay of {hours:g} h"
        plot_memory(at_s, of_all, "record.memory", across, run.out / "memory.png")
    return Found(
        f"A record of {hours:g} h, replayed as the others, once: at full speed the first seconds, "
        "in which buffers of all sizes are met, are hours of a record. All four processes: at most "
        f"{max(sum_mb):.0f} MB at a time; {growth_mb(sum_mb):+.1f} MB from a third of the "
        "run to its end.\n\n![Resident memory against time](memory.png)",
        {"record.memory_growth": [growth_mb(sum_mb)]} if run.is_whole("hours") else {},
    )


def imports_part(run: Run) -> Found:
    """Measure what each process imports."""
    found = {
        name: [imports(module) for _ in range(run.times)] for name, module in PROCESSES.items()
    }
    rows = [
        [name, spread([cpu_s for cpu_s, _ in of_it], ".2f"), spread([mb for _, mb in of_it], ".0f")]
        for name, of_it in found.items()
    ]
    sums = [sum(cpu_s for cpu_s, _ in each) for each in zip(*found.values(), strict=True)]
    return Found(
        f"A fresh interpreter each, under -X importtime, {run.times} times.\n\n"
        + table(["process", "CPU, s", "memory, MB"], rows),
        {"startup.imports": sums},
    )


PARTS: dict[str, Callable[[Run], Found]] = {
    "published": published_part,
    "growth": growth_part,
    "memory": memory_part,
    "imports": imports_part,
}


def _plot_growth(runs: dict[float, list[Measured]], file: Path) -> None:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    hours = list(runs)
    cpu_s = {one: [run.cpu_s for run in of_one] for one, of_one in runs.items()}
    wall_s = {one: [run.wall_s for run in of_one] for one, of_one in runs.items()}
    draw_runs(axes, cpu_s, "CPU of all processes")
    draw_runs(axes, wall_s, "wall time of the command", "s--")
    axes.set(xlabel="hours of record", ylabel="seconds", xlim=(0, None), ylim=(0, None))
    axes.set_xticks(hours, [f"{one:g}" for one in hours])
    save(figure, file)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return measure_parts(
        "bench_record", __doc__, ("record.md", "One record"), PARTS, Run, arguments
    )


if __name__ == "__main__":
    sys.exit(main())
