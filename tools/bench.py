"""Measure the figures of the README on this machine and write them to docs/BENCH.md.

    python -m tools.bench
    python -m tools.bench --only replay --only startup
    python -m tools.bench --quick      # 10 minutes of signal, once; no training; writes no page

Simulation, replay and start-up are real commands in processes of their own. What needs real
records looks for them in --records (mitdb/ and ecg5000/) and says so where they are missing.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from model.ecg5000 import read_ecg5000
from model.errors import ModelError
from monitor.annotate import annotate_records
from monitor.errors import MonitorError, RecordError
from monitor.evaluation.beats_report import evaluate_beats, read_annotations
from monitor.evaluation.ec57 import BEAT_SYMBOLS, TEST_START_S, compare_beats
from monitor.evaluation.ecg5000_report import evaluate_training
from monitor.replay import Summary
from monitor.sources.wfdb_record import WfdbRecord
from monitor.subscriber import AlertSubscriber
from monitor.wire import Alert, BeatScored, Technical
from segmenter.errors import SegmenterError
from tools.measured import CommandFailed, Measured, run_measured
from tools.pages import spread

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = (sys.executable, "-m", "monitor")
PROCESSES = ("parent", "producer", "segmenter", "consumer")  # in the order of their start
RECORD = "simulated"
QUICK_HOURS, FULL_HOURS = 1 / 6, 20.0  # chf07 is 20 h long
FIRST_BEAT_WITHIN_S = 60.0
# The official pair of files, or the training file and a part of the test file.
ECG5000_PAIRS = (("ECG5000_TRAIN", "ECG5000_TEST"), ("ECG5000_TRAIN", "ECG5000_DEV"))

Line = Alert | Technical | Summary  # what `replay --json` prints


@dataclass(frozen=True)
class Figure:
    """One measured figure, and the command that measures it again."""

    name: str
    value: str
    command: str
    failed: bool = False


@dataclass(frozen=True)
class Bench:
    """What is measured where.

    Attributes
    ----------
    folder : Path
        A private folder, in which commands run.
    records : Path
        Folder of real records.
    hours : float
        Length of the simulated record.
    times : int
        How often a command whose time counts is run.
    quick : bool
        Whether what takes minutes is left out.
    """

    folder: Path
    records: Path
    hours: float
    times: int
    quick: bool


# --- the simulated record -----------------------------------------------------------------------


def measure_simulation(bench: Bench) -> list[Figure]:
    """Write the simulated record; the replay needs it."""
    arguments = ["simulate", RECORD, "--hours", f"{bench.hours:g}", "--seed", "7", "--overwrite"]
    measured = run_measured([*PROGRAM, *arguments], bench.folder)
    value = f"{measured.wall_s:.1f} s, {measured.peak_mb:.0f} MB at its peak"
    return [Figure(f"writing {_length(bench)} of simulated signal", value, _shown(arguments))]


def measure_replay(bench: Bench) -> list[Figure]:
    """Replay the simulated record as fast as it goes."""
    arguments = ["replay", RECORD, "--speed", "max", "--no-live", "--json"]
    _make_record(bench)
    runs = [_replay(arguments, bench.folder) for _ in range(bench.times)]
    factors = [_summary(measured).real_time_factor for measured in runs]
    last = _summary(runs[-1])
    values = {
        f"replay of {_length(bench)}, times real time": spread(factors, ",.0f"),
        "the same, the whole command, s": spread([one.wall_s for one in runs], ".1f"),
        "peak memory, sum of the processes, MB": spread([one.peak_mb for one in runs], ",.0f"),
        "peak memory of each, MB": by_process(runs[-1].peaks_mb),
        "beats, alerts": f"{last.beats:,}, {last.alerts:,} episodes",
        "messages malformed, gaps, dropped, restarts": (
            f"{last.malformed}, {last.gaps}, {last.dropped}, {last.restarts}"
        ),
    }
    return [Figure(name, value, _shown(arguments)) for name, value in values.items()]


def measure_startup(bench: Bench) -> list[Figure]:
    """Start a replay and wait until a subscriber has the first beat's loss."""
    arguments = ["replay", RECORD, "--speed", "max", "--no-live", "--loop"]
    _make_record(bench)
    times_s = [_first_beat_s(arguments, bench.folder) for _ in range(bench.times)]
    name = "from the command to the first scored beat at a subscriber, s"
    return [Figure(name, spread(times_s, ".2f"), _shown(arguments))]


def _make_record(bench: Bench) -> None:
    if not (bench.folder / f"{RECORD}.hea").exists():
        measure_simulation(bench)


def _first_beat_s(arguments: Sequence[str], folder: Path) -> float:
    endpoint = _private_endpoint(folder)
    command = [*PROGRAM, *arguments, "--alerts", endpoint]
    with AlertSubscriber(endpoint, ["beat"]) as subscriber:
        began_s = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            _wait_for_scored_beat(subscriber)
            return time.perf_counter() - began_s
        finally:
            process.terminate()
            process.wait()


def _wait_for_scored_beat(subscriber: AlertSubscriber) -> None:
    deadline_s = time.monotonic() + FIRST_BEAT_WITHIN_S
    while (remaining_s := deadline_s - time.monotonic()) > 0:
        beat = subscriber.receive(remaining_s)
        if isinstance(beat, BeatScored) and beat.loss is not None:
            return
    raise CommandFailed(f"no beat was scored within {FIRST_BEAT_WITHIN_S:g} s")


def _replay(arguments: Sequence[str], folder: Path) -> Measured:
    """Run a replay whose alert socket is nobody else's."""
    return run_measured([*PROGRAM, *arguments, "--alerts", _private_endpoint(folder)], folder)


def _private_endpoint(folder: Path) -> str:
    return f"ipc://{folder / 'alerts'}"


def _summary(measured: Measured) -> Summary:
    return msgspec.json.decode(measured.output.splitlines()[-1], type=Summary)


# --- real records -------------------------------------------------------------------------------


def measure_detection(bench: Bench) -> list[Figure]:
    """Find the beats of MIT-BIH records and compare them with the cardiologists' (EC57)."""
    name = "QRS Se / +P, first lead, EC57, %"
    folder = bench.records / "mitdb"
    command = _again(bench, "detection")
    if not folder.is_dir():
        return [Figure(name, _missing(folder), command)]
    out = bench.folder / "detected"
    for annotated in annotate_records([folder], out):
        if annotated.error is not None:
            raise RecordError(annotated.error)
    report = evaluate_beats(folder, out)
    gross = report.gross
    value = (
        f"{100 * gross.sensitivity:.2f} / {100 * gross.positive_predictivity:.2f} "
        f"(missed {gross.false_negatives}, invented {gross.false_positives}, "
        f"{len(report.records)} records)"
    )
    return [Figure(name, value, command)]


def measure_ecg5000(bench: Bench) -> list[Figure]:
    """Train on 85 % of ECG5000's normal beats and tell the others from the anomalous ones."""
    name = "ECG5000, pooled, AUC"
    command = _again(bench, "ecg5000")
    folder = bench.records / "ecg5000"
    pairs = [[folder / f"{name}.txt" for name in pair] for pair in ECG5000_PAIRS]
    present = [pair for pair in pairs if all(file.is_file() for file in pair)]
    if not present:
        return [Figure(name, _missing(folder), command)]
    if bench.quick:
        return [Figure(name, "left out by --quick", command)]
    report = evaluate_training([read_ecg5000(file) for file in present[0]], "pooled")
    value = f"{report.auc:.4f} ({' and '.join(file.stem for file in present[0])})"
    return [Figure(name, value, command)]


def measure_119(bench: Bench) -> list[Figure]:
    """Learn record 119 for five minutes and look which premature beats are alerted after them."""
    record = bench.records / "mitdb" / "119"
    shown = ["replay", str(record), "--learn", "5:00", "--speed", "max", "--json", "--no-live"]
    name = "record 119, V beats after 5:00 alerted"
    if not record.with_suffix(".hea").is_file():
        return [Figure(name, _missing(record), _shown(shown))]
    arguments = ["replay", str(record.absolute()), *shown[2:]]
    found = compare_alerts_with_record(_replay(arguments, bench.folder).output, record)
    values = {
        name: f"{100 * found.recall:.1f} % ({found.n_alerted} of {found.n_premature})",
        "the same, false alerts an hour": f"{found.n_false / found.hours:.1f}",
        "the same, those beside no V beat": f"{found.n_false_apart / found.hours:.1f}",
    }
    return [Figure(name, value, _shown(shown)) for name, value in values.items()]


@dataclass(frozen=True)
class Alerted:
    """How the alerts of a record agree with its annotated beats."""

    n_premature: int
    n_alerted: int
    n_false: int
    n_false_apart: int  # beside no premature beat
    hours: float

    @property
    def recall(self) -> float:
        """Share of the premature beats that an alert speaks of; NaN without any."""
        return self.n_alerted / self.n_premature if self.n_premature else float("nan")


def compare_alerts(
    lines: Iterable[Line],
    samples: NDArray[np.int64],
    symbols: Sequence[str],
    fs_hz: float,
    n_samples: int,
    start_s: float = TEST_START_S,
) -> Alerted:
    """Match alerted beats with premature ventricular ones, each with one, within 150 ms (EC57).

    Parameters
    ----------
    lines : iterable
        What a replay said; onset and ongoing alerts speak of one beat each, cleared ones of none.
    samples : np.ndarray, shape (n,), int64
        Annotations in order of time.
    symbols : sequence of str, length n
        Their WFDB symbols; V is a premature ventricular beat.
    n_samples : int
        Length of the record.
    start_s : float
        From where on alerts and beats count.
    """
    alerted = [one.sample for one in lines if isinstance(one, Alert) and one.state != "cleared"]
    beats = np.isin(symbols, list(BEAT_SYMBOLS))
    beat_samples, premature = samples[beats], np.array(symbols)[beats] == "V"
    compared = compare_beats(
        beat_samples[premature],
        ["V"] * int(premature.sum()),
        np.unique(np.asarray(alerted, np.int64)),
        fs_hz,
        n_samples,
        start_s=start_s,
    )
    n_alerted = len(compared.matched_reference)
    return Alerted(
        n_premature=n_alerted + len(compared.missed),
        n_alerted=n_alerted,
        n_false=len(compared.extra),
        n_false_apart=int((~_beside(compared.extra, beat_samples, premature)).sum()),
        hours=(n_samples / fs_hz - start_s) / 3600,
    )


def _beside(
    extra: NDArray[np.int64], beats: NDArray[np.int64], premature: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return whether the beat nearest to each alert is, precedes or follows a premature one."""
    if not len(beats):
        return np.zeros(len(extra), np.bool_)
    nearest = np.abs(extra[:, None] - beats).argmin(axis=1)  # (extra, beats) -> (extra,)
    padded = np.pad(premature, 1)
    return np.asarray((padded[:-2] | padded[1:-1] | padded[2:])[nearest])


def compare_alerts_with_record(output: str, record: Path) -> Alerted:
    """Compare the JSON lines of a replay with the annotations of its record."""
    decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)
    reference = read_annotations(record, "atr")
    with WfdbRecord.open(record) as source:
        return compare_alerts(
            map(decoder.decode, output.splitlines()),
            reference.samples,
            reference.symbols,
            source.fs_hz,
            source.n_samples,
        )


# --- showing ------------------------------------------------------------------------------------


def by_process(peaks_mb: Sequence[float]) -> str:
    """Return each process's peak by its name; one alone is the largest, where no more is known."""
    names: Sequence[str] = PROCESSES
    if len(peaks_mb) != len(PROCESSES):
        names = (
            ["largest"] if len(peaks_mb) == 1 else [f"process {i}" for i in range(len(peaks_mb))]
        )
    return ", ".join(f"{name} {peak:,.0f}" for name, peak in zip(names, peaks_mb, strict=True))


def machine() -> str:
    """Return what the figures depend on: processor, memory, system, versions."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "pyzmq"))
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory_gb:.0f} GB; "
        f"{platform.system()} {platform.machine()}; Python {platform.python_version()}, {libraries}"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown processor"


def page(figures: Sequence[Figure], on: str, day: str) -> str:
    """Return the figures as a page."""
    rows = [f"| {one.name} | {one.value} | `{one.command}` |" for one in figures]
    table = "\n".join(["| what | measured | command |", "| --- | --- | --- |", *rows])
    return (
        f"# Measured\n\n{on}. {day}. All of it again: `make bench`.\n\n{table}\n\n"
        f"The record `{RECORD}` is the one of the first command. Replays used a private alert "
        "socket.\n"
        "Times real time counts from the stages' readiness to the last heartbeat. Memory is the "
        "largest\nresident size of each process; pages that processes share count in each.\n"
    )


def _length(bench: Bench) -> str:
    return f"{bench.hours:g} h" if bench.hours >= 1 else f"{60 * bench.hours:g} min"


def _shown(arguments: Sequence[str]) -> str:
    return f"ecg-monitor {' '.join(arguments)}"


def _again(bench: Bench, part: str) -> str:
    return f"python -m tools.bench --only {part} --records {bench.records}"


def _missing(path: Path) -> str:
    return f"not measured: {path} is missing"


PARTS: dict[str, Callable[[Bench], list[Figure]]] = {
    "simulation": measure_simulation,
    "replay": measure_replay,
    "startup": measure_startup,
    "detection": measure_detection,
    "ecg5000": measure_ecg5000,
    "119": measure_119,
}


def measure(bench: Bench, parts: Iterable[str]) -> list[Figure]:
    """Measure some parts, one after the other; what fails is said and does not end the rest."""
    figures: list[Figure] = []
    for part in parts:
        sys.stderr.write(f"measuring: {part}\n")
        try:
            figures += PARTS[part](bench)
        except (CommandFailed, MonitorError, ModelError, SegmenterError) as error:
            figures.append(Figure(part, f"failed: {error}", _again(bench, part), failed=True))
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10 minutes, once; writes no page")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="repeatable")
    parser.add_argument(
        "--records", type=Path, default=Path("../shared/data"), help="folder of real records"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "BENCH.md", help="the page")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ecgm-bench-") as folder:
        bench = Bench(
            folder=Path(folder),
            records=options.records,
            hours=QUICK_HOURS if options.quick else FULL_HOURS,
            times=1 if options.quick else 3,
            quick=options.quick,
        )
        figures = measure(bench, options.only or PARTS)
    print(machine())
    for one in figures:
        print(f"{one.name}: {one.value}\n    {one.command}")
    if not (options.quick or options.only):
        options.out.write_text(page(figures, machine(), f"{datetime.now(UTC):%Y-%m-%d}"))
    return 1 if any(one.failed for one in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
