"""The program as it is run: simulating, replaying, alerting; and what it finds on real records.

    python -m tools.bench_program                    # docs/program.md and docs/BENCH.md
    python -m tools.bench_program --only replay --only startup
    python -m tools.bench_program --only latency --patients 16 --seconds 60
    python -m tools.bench_program --quick            # 10 minutes of signal, once; writes nothing

What needs real records looks for them in --records (mitdb/ and ecg5000/) and says so where they
are missing. docs/PERFORMANCE.md explains how journal and latency are measured.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import numpy as np

from model.ecg5000 import read_ecg5000
from monitor.delivery.subscriber import AlertSubscriber
from monitor.journal.kept_beats import KeptBeat
from monitor.journal.writer import Journal, Progress
from monitor.offline.evaluation.beats_report import read_annotations
from monitor.offline.evaluation.ec57 import TEST_START_S, compare_beats
from monitor.offline.evaluation.ecg5000_report import evaluate_training
from monitor.run.replay import Summary
from monitor.settings import ConsumerSettings
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.wfdb_record import WfdbRecord
from monitor.stages.consumer import run as run_consumer
from monitor.wire.codec import Encoded
from monitor.wire.messages import Alert, BeatScored, Status, Technical
from tools.figures import Values
from tools.measured import CommandFailed, run_measured
from tools.pages import PROGRAM, spread, table
from tools.parts import DATA, Found, NotMeasured, Plan, measure_parts, option
from tools.replays import RECORD, REPLAY, SEED, WARM_UP_S, make_record, private_endpoint, replay

FIRST_BEAT_WITHIN_S = 60.0
# The official pair of files, or the training file and a part of the test file.
ECG5000_PAIRS = (("ECG5000_TRAIN", "ECG5000_TEST"), ("ECG5000_TRAIN", "ECG5000_DEV"))
EVERY_BEAT = 1e-3  # a threshold below any loss
SILENT_S = 60.0  # then a stage has failed

Line = Alert | Technical | Summary  # what `replay --json` prints


@dataclass(frozen=True, kw_only=True)
class Bench(Plan):
    """How much is measured, and where real records lie."""

    records: Path = option(DATA, DATA, "folder of real records")  # noqa: RUF009
    hours: float = option(20.0, 1 / 6, "of the simulated record; chf07 is 20 h long")
    patients: int = option(16, 2, "of `latency`")
    seconds: float = option(60.0, 15.0, "of each patient of `latency`")


# --- the simulated record -----------------------------------------------------------------------


def simulation_part(bench: Bench) -> Found:
    """Write the simulated record."""
    command = ("simulate", RECORD, "--hours", f"{bench.hours:g}", "--seed", f"{SEED}")
    runs = [
        run_measured([*PROGRAM, *command, "--overwrite"], bench.folder) for _ in range(bench.times)
    ]
    walls_s = [one.wall_s for one in runs]
    rows = [
        [f"writing {_length(bench)} of simulated signal, s", spread(walls_s, ".1f")],
        ["memory at its peak, MB", spread([one.peak_mb for one in runs], ".0f")],
    ]
    return _found(bench, command, rows, {"simulation.wall": walls_s})


def replay_part(bench: Bench) -> Found:
    """Replay the simulated record as fast as it goes."""
    make_record(bench.folder, bench.hours)
    replay(bench.folder, "--duration", f"{WARM_UP_S}")
    runs = [replay(bench.folder) for _ in range(bench.times)]
    factors = [one.summary.real_time_factor for one in runs]
    walls_s = [one.measured.wall_s for one in runs]
    lost: list[float] = [
        one.summary.malformed + one.summary.gaps + one.summary.dropped + one.summary.restarts
        for one in runs
    ]
    peaks_mb = [one.measured.peak_mb for one in runs]
    rows = [
        [f"{_length(bench)}, times real time while judging", spread(factors, ",.0f")],
        ["the whole command, s", spread(walls_s, ".1f")],
        ["CPU of all processes, s", spread([one.measured.cpu_s for one in runs], ".1f")],
        ["peak memory, sum of the processes, MB", spread(peaks_mb, ",.0f")],
        ["beats", f"{runs[-1].summary.beats:,}"],
        ["episodes", f"{runs[-1].summary.alerts:,}"],
        ["messages malformed, gaps, dropped, restarts", spread(lost, ".0f")],
    ]
    figures: Values = {
        "replay.times_real_time": factors,
        "replay.wall": walls_s,
        "replay.lost": lost,
    }
    return _found(bench, REPLAY, rows, figures)


def startup_part(bench: Bench) -> Found:
    """Start a replay and wait until a subscriber has the first beat's loss."""
    make_record(bench.folder, bench.hours)
    command = ("replay", RECORD, "--speed", "max", "--no-live", "--loop")
    _, *times_s = [_first_beat_s(command, bench.folder) for _ in range(bench.times + 1)]
    rows = [["to the first scored beat at a subscriber, s", spread(times_s, ".2f")]]
    return _found(bench, command, rows, {"startup.first_beat": times_s})


def _found(
    bench: Bench, command: Sequence[str], rows: Sequence[Sequence[str]], figures: Values
) -> Found:
    runs = f"{bench.times} run{'s' * (bench.times > 1)}"
    text = f"`ecg-monitor {' '.join(command)}`, {runs}.\n\n{table(['what', 'measured'], rows)}"
    return Found(text, figures if bench.is_whole("hours") else {})


def _length(bench: Bench) -> str:
    return f"{bench.hours:g} h" if bench.hours >= 1 else f"{60 * bench.hours:g} min"


def _first_beat_s(command: Sequence[str], folder: Path) -> float:
    began_s = time.perf_counter()
    with (
        AlertSubscriber(private_endpoint(folder), ["beat"]) as subscriber,
        started((*command, "--alerts", private_endpoint(folder)), folder=folder),
    ):
        while (spent_s := time.perf_counter() - began_s) < FIRST_BEAT_WITHIN_S:
            beat = subscriber.receive(1.0)
            if isinstance(beat, BeatScored) and beat.loss is not None:
                return spent_s
    raise CommandFailed(f"no beat was scored within {FIRST_BEAT_WITHIN_S:g} s")


@contextlib.contextmanager
def started(*commands: Sequence[str], folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run commands of the program in processes of their own, and end them."""
    running = [
        subprocess.Popen([*PROGRAM, *command], cwd=folder, stdout=subprocess.DEVNULL)
        for command in commands
    ]
    try:
        yield running
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


# --- real records -------------------------------------------------------------------------------


def ecg5000_part(bench: Bench) -> Found:
    """Train on 85 % of ECG5000's normal beats and tell the others from the anomalous ones."""
    folder = bench.records / "ecg5000"
    pairs = [[folder / f"{name}.txt" for name in pair] for pair in ECG5000_PAIRS]
    present = [pair for pair in pairs if all(file.is_file() for file in pair)]
    if not present:
        raise NotMeasured(f"{folder} has no such files")
    if bench.quick:
        raise NotMeasured("--quick trains nothing")
    report = evaluate_training([read_ecg5000(file) for file in present[0]], "pooled")
    files = " and ".join(file.stem for file in present[0])
    return Found(f"{files}, pooled: AUC {report.auc:.4f}.", {"ecg5000.auc": [report.auc]})


def record_119_part(bench: Bench) -> Found:
    """Learn record 119 for five minutes and look which premature beats are alerted after them."""
    record = bench.records / "mitdb" / "119"
    if not record.with_suffix(".hea").is_file():
        raise NotMeasured(f"{record} is missing")
    learn = ("--learn", "5:00")
    lines = replay(bench.folder, *learn, record=str(record.absolute())).measured.output.splitlines()
    found = compare_alerts([msgspec.json.decode(line, type=Line) for line in lines], record)
    rows = [
        ["V beats after 5:00 alerted, %", f"{100 * found.recall:.1f}"],
        ["of", f"{found.n_premature}"],
        ["false alerts an hour", f"{found.false_per_hour:.1f}"],
    ]
    command = " ".join(("replay", str(record), *REPLAY[2:], *learn))
    return Found(
        f"`ecg-monitor {command}`, once.\n\n{table(['what', 'measured'], rows)}",
        {"119.recall": [100 * found.recall], "119.false_per_hour": [found.false_per_hour]},
    )


@dataclass(frozen=True)
class Alerted:
    """How the alerts of a record agree with its annotated premature ventricular beats."""

    n_premature: int
    recall: float  # share of them that an alert speaks of; NaN without any
    false_per_hour: float


def compare_alerts(lines: Iterable[Line], record: Path, start_s: float = TEST_START_S) -> Alerted:
    """Match alerted beats with premature ventricular ones, each with one, within 150 ms (EC57).

    Parameters
    ----------
    lines : iterable
        What a replay printed; onset and ongoing alerts speak of one beat each, cleared ones of
        none.
    record : Path
        With reference annotations, `.atr`, in which V is a premature ventricular beat.
    start_s : float
        From where on alerts and beats count.
    """
    alerted = [one.sample for one in lines if isinstance(one, Alert) and _is_of_beat(one)]
    reference = read_annotations(record, "atr")
    premature = reference.samples[np.array(reference.symbols) == "V"]
    with WfdbRecord.open(record) as source:
        fs_hz, n_samples = source.fs_hz, source.n_samples
    compared = compare_beats(
        premature,
        ["V"] * len(premature),
        np.unique(np.asarray(alerted, np.int64)),
        fs_hz,
        n_samples,
        start_s=start_s,
    )
    n_alerted = len(compared.matched_reference)
    n_premature = n_alerted + len(compared.missed)
    hours = (n_samples / fs_hz - start_s) / 3600
    recall = n_alerted / n_premature if n_premature else float("nan")
    return Alerted(n_premature, recall, len(compared.extra) / hours)


def _is_of_beat(alert: Alert) -> bool:
    return alert.kind == "anomalous_beats" and alert.state != "cleared"


# --- alerts -------------------------------------------------------------------------------------


@dataclass
class Commits:
    """What was spent in `Journal.commit`."""

    n: int = 0
    alerts: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    began_s: float | None = None  # of the first commit that held progress
    ended_s: float = 0.0  # of the last

    @property
    def end_to_end_s(self) -> float:
        """From the first commit that held progress to the last."""
        return 0.0 if self.began_s is None else self.ended_s - self.began_s

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Measure every commit of the block."""
        commit = Journal.commit

        def timed(
            journal: Journal,
            alerts: Iterable[Encoded[Alert | Technical]],
            progress: Iterable[Progress[Any]],
            beats: Iterable[KeptBeat],
        ) -> None:
            given, reached = list(alerts), list(progress)
            wall_s, cpu_s = time.perf_counter(), time.thread_time()
            commit(journal, given, reached, beats)
            if not reached:
                return
            self.ended_s = time.perf_counter()
            self.began_s = wall_s if self.began_s is None else self.began_s
            self.n, self.alerts = self.n + 1, self.alerts + len(given)
            self.wall_s += self.ended_s - wall_s
            self.cpu_s += time.thread_time() - cpu_s

        with patch.object(Journal, "commit", timed):
            yield


def measure_journal(record: Path, folder: Path) -> Commits:
    """Have a record judged at full speed, with this process as the consumer."""
    ends = {name: f"ipc://{folder / name[0]}" for name in ("samples", "beats", "wave", "alerts")}
    segmenter = ("segmenter", *_options(ends, "samples", "beats", "wave"))
    producer = ("producer", str(record), "--speed", "max", *_options(ends, "samples"))
    settings = ConsumerSettings(
        beats=ends["beats"],
        alerts=ends["alerts"],
        journal=str(folder / "journal.sqlite"),
        real_time=False,
    )
    commits = Commits()
    with started(segmenter, producer, folder=folder), commits.measured():
        threading.Thread(target=_stop_at_end, args=(ends["alerts"],), daemon=True).start()
        run_consumer(settings)  # until that thread has it stop
    if not commits.end_to_end_s:
        raise CommandFailed("nothing was journaled; is a stage failing?")
    return commits


def _options(ends: dict[str, str], *names: str) -> tuple[str, ...]:
    return tuple(word for name in names for word in (f"--{name}", ends[name]))


def _stop_at_end(alerts: str) -> None:
    """Have this process's consumer leave when all patients have ended, or nothing more comes."""
    with AlertSubscriber(alerts, ("status",), after=None) as subscriber:
        while subscriber.silent_s < SILENT_S:
            message = subscriber.receive(1.0)
            patients = message.patients if isinstance(message, Status) else []
            if patients and all(one.state == "ended" for one in patients):
                break
    os.kill(os.getpid(), signal.SIGTERM)


def journal_part(bench: Bench) -> Found:
    """Measure the journal's share of a replay."""
    record = make_record(bench.folder, bench.hours)
    runs = [measure_journal(record, _folder(bench, f"j{n}")) for n in range(bench.times)]
    shares = [100 * one.wall_s / one.end_to_end_s for one in runs]
    rows = [
        ["share of the wall time, %", spread(shares, ".1f")],
        ["of the first commit to the last, s", spread([one.end_to_end_s for one in runs], ".2f")],
        ["in commits, s", spread([one.wall_s for one in runs], ".2f")],
        ["the same, CPU, s", spread([one.cpu_s for one in runs], ".2f")],
        ["commits", spread([one.n for one in runs], ",.0f")],
        ["alerts", spread([one.alerts for one in runs], ",.0f")],
    ]
    return Found(
        f"A simulated record of {bench.hours:g} h at full speed, {bench.times} times.\n\n"
        + table(["what", "measured"], rows),
        {"alerts.journal_share": shares} if bench.is_whole("hours") else {},
    )


def measure_latency(bench: Bench, folder: Path) -> tuple[list[float], int]:
    """Replay several patients at real-time speed, every beat an alert.

    Returns
    -------
    delays_ms : list of float
        From when the last block that a beat needs was sent to when its alert arrived here.
    unmatched : int
        Alerts of beats whose score did not arrive.
    """
    records = [f"sim{n}" for n in range(bench.patients)]
    for seed, record in enumerate(records):
        write_record(folder / record, SimulationSettings(hours=bench.seconds / 3600, seed=seed))
    endpoint = private_endpoint(folder)
    options = ("--no-live", "--threshold", f"{EVERY_BEAT}", "--alerts", endpoint)
    sent_ns, came_ns = {}, {}
    with (
        AlertSubscriber(endpoint, ("alert", "beat")) as subscriber,
        started(("replay", *records, *options), folder=folder) as (process,),
    ):
        while process.poll() is None:
            message = subscriber.receive(1.0)
            if isinstance(message, BeatScored):
                sent_ns[message.patient, message.sample] = message.sent_ns
            elif isinstance(message, Alert) and _is_of_beat(message):
                came_ns[message.patient, message.sample] = time.monotonic_ns()
    if process.returncode or not came_ns:
        raise CommandFailed(f"no alert came from the replay, exit code {process.returncode}")
    delays_ms = [(came_ns[beat] - sent_ns[beat]) / 1e6 for beat in came_ns if beat in sent_ns]
    return delays_ms, len(came_ns) - len(delays_ms)


def latency_part(bench: Bench) -> Found:
    """Measure how long alerts are under way."""
    runs = [measure_latency(bench, _folder(bench, f"l{n}")) for n in range(bench.times)]
    middle, high, highest = (
        [float(np.percentile(delays_ms, of)) for delays_ms, _ in runs] for of in (50, 99, 100)
    )
    rows = [
        ["median, ms", spread(middle, ".1f")],
        ["99th percentile, ms", spread(high, ".1f")],
        ["largest, ms", spread(highest, ".1f")],
        ["alerts", spread([len(delays_ms) for delays_ms, _ in runs], ",.0f")],
        ["without a score", spread([unmatched for _, unmatched in runs], ",.0f")],
    ]
    return Found(
        f"{bench.patients} patients for {bench.seconds:g} s, every beat an alert, {bench.times} "
        f"times.\n\n{table(['what', 'measured'], rows)}",
        {"alerts.delay": high} if bench.is_whole("patients", "seconds") else {},
    )


def _folder(bench: Bench, run: str) -> Path:
    """Return a folder of a run's own."""
    folder = bench.folder / run
    folder.mkdir()
    return folder


PARTS: dict[str, Callable[[Bench], Found]] = {
    "simulation": simulation_part,
    "replay": replay_part,
    "startup": startup_part,
    "ecg5000": ecg5000_part,
    "record-119": record_119_part,
    "latency": latency_part,
    "journal": journal_part,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    page = ("program.md", "The program")
    return measure_parts("bench_program", __doc__, page, PARTS, Bench, arguments)


if __name__ == "__main__":
    sys.exit(main())
