"""The program as it is run: simulating, replaying, alerting; and what it finds on real records.

    python -m tools.bench_program                    # docs/program.md and docs/BENCH.md
    python -m tools.bench_program --only replay --only startup
    python -m tools.bench_program --only latency --patients 16 --seconds 60
    python -m tools.bench_program --quick            # 10 minutes of signal, once; writes nothing

Simulation, replay and start-up are real commands in processes of their own, after a short one that
does not count. What needs real records looks for them in --records (mitdb/ and ecg5000/) and says
so where they are missing.

Journal: the stages, started alone, judge a simulated record at full speed; this process is the
consumer, and measures the time in `Journal.commit`, as wall time and as CPU time of its thread,
from the first commit that holds progress to the last.

Latency: several simulated patients are replayed at real-time speed; by a threshold that every beat
exceeds, every beat is an alert. Its score tells when the block was sent that holds the last sample
that the beat needs; this process notes when the alert came. What else computes on the machine is
in these times.
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
from numpy.typing import NDArray

from model.ecg5000 import read_ecg5000
from monitor.delivery.subscriber import AlertSubscriber
from monitor.errors import RecordError
from monitor.journal.kept_beats import KeptBeat
from monitor.journal.writer import Journal, Progress
from monitor.offline.annotate import annotate_records
from monitor.offline.evaluation.beats_report import evaluate_beats, read_annotations
from monitor.offline.evaluation.ec57 import BEAT_SYMBOLS, TEST_START_S, compare_beats
from monitor.offline.evaluation.ecg5000_report import evaluate_training
from monitor.run.replay import Summary
from monitor.settings import ConsumerSettings
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.wfdb_record import WfdbRecord
from monitor.stages.consumer import run as run_consumer
from monitor.wire.codec import Encoded
from monitor.wire.messages import (
    Alert,
    BeatScored,
    Status,
    Technical,
)
from tools.figures import Values
from tools.measured import CommandFailed, Measured, run_measured
from tools.pages import PROGRAM, spread, table
from tools.parts import DATA, Found, NotMeasured, Plan, measure_parts, option

RECORD = "simulated"
FIRST_BEAT_WITHIN_S = 60.0
# The official pair of files, or the training file and a part of the test file.
ECG5000_PAIRS = (("ECG5000_TRAIN", "ECG5000_TEST"), ("ECG5000_TRAIN", "ECG5000_DEV"))
EVERY_BEAT = 1e-3  # a threshold below any loss
READY_WITHIN_S = 120.0
SILENT_S = 60.0  # then a stage has failed
LAST_ALERTS_S = 5.0  # after the last block

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
    """Write the simulated record; the replay needs it."""
    arguments = _simulate(bench)
    runs = [run_measured([*PROGRAM, *arguments], bench.folder) for _ in range(bench.times)]
    walls_s = [one.wall_s for one in runs]
    rows = [
        [f"writing {_length(bench)} of simulated signal, s", spread(walls_s, ".1f")],
        ["memory at its peak, MB", spread([one.peak_mb for one in runs], ".0f")],
    ]
    return _found(bench, arguments, rows, {"simulation.wall": walls_s})


def replay_part(bench: Bench) -> Found:
    """Replay the simulated record as fast as it goes."""
    arguments = ["replay", RECORD, "--speed", "max", "--no-live", "--json"]
    _make_record(bench)
    _replay([*arguments, "--duration", "60"], bench.folder)  # warm: files are in memory
    runs = [_replay(arguments, bench.folder) for _ in range(bench.times)]
    summaries = [_summary(measured) for measured in runs]
    factors = [one.real_time_factor for one in summaries]
    walls_s = [one.wall_s for one in runs]
    lost = [one.malformed + one.gaps + one.dropped + one.restarts for one in summaries]
    rows = [
        [f"{_length(bench)}, times real time while judging", spread(factors, ",.0f")],
        ["the whole command, s", spread(walls_s, ".1f")],
        ["CPU of all processes, s", spread([one.cpu_s for one in runs], ".1f")],
        ["peak memory, sum of the processes, MB", spread([one.peak_mb for one in runs], ",.0f")],
        ["beats", f"{summaries[-1].beats:,}"],
        ["episodes", f"{summaries[-1].alerts:,}"],
        ["messages malformed, gaps, dropped, restarts", spread(lost, ".0f")],
    ]
    return _found(
        bench,
        arguments,
        rows,
        {"replay.times_real_time": factors, "replay.wall": walls_s, "replay.lost": lost},
    )


def startup_part(bench: Bench) -> Found:
    """Start a replay and wait until a subscriber has the first beat's loss."""
    arguments = ["replay", RECORD, "--speed", "max", "--no-live", "--loop"]
    _make_record(bench)
    _, *times_s = [_first_beat_s(arguments, bench.folder) for _ in range(bench.times + 1)]
    rows = [["to the first scored beat at a subscriber, s", spread(times_s, ".2f")]]
    return _found(bench, arguments, rows, {"startup.first_beat": times_s})


def _found(
    bench: Bench,
    arguments: Sequence[str],
    rows: Sequence[Sequence[str]],
    figures: Values,
) -> Found:
    runs = f"{bench.times} run{'s' * (bench.times > 1)}"
    text = f"`{_shown(arguments)}`, {runs}.\n\n{table(['what', 'measured'], rows)}"
    return Found(text, figures if bench.is_whole("hours") else {})


def _simulate(bench: Bench) -> list[str]:
    return ["simulate", RECORD, "--hours", f"{bench.hours:g}", "--seed", "7", "--overwrite"]


def _make_record(bench: Bench) -> None:
    if not (bench.folder / f"{RECORD}.hea").exists():
        run_measured([*PROGRAM, *_simulate(bench)], bench.folder)


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


def detection_part(bench: Bench) -> Found:
    """Find the beats of MIT-BIH records and compare them with the cardiologists' (EC57)."""
    folder = bench.records / "mitdb"
    if not folder.is_dir():
        raise NotMeasured(f"{folder} is missing")
    out = bench.folder / "detected"
    for annotated in annotate_records([folder], out):
        if annotated.error is not None:
            raise RecordError(annotated.error)
    report = evaluate_beats(folder, out)
    gross = report.gross
    sensitivity, predictivity = 100 * gross.sensitivity, 100 * gross.positive_predictivity
    rows = [
        ["Se, %", f"{sensitivity:.2f}"],
        ["+P, %", f"{predictivity:.2f}"],
        ["missed", f"{gross.false_negatives}"],
        ["invented", f"{gross.false_positives}"],
    ]
    return Found(
        f"{len(report.records)} records of MIT-BIH, first lead, EC57 from 5:00; once, since it is "
        f"the same each time.\n\n{table(['what', 'measured'], rows)}",
        {"detection.sensitivity": [sensitivity], "detection.predictivity": [predictivity]},
    )


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
    shown = ["replay", str(record), "--learn", "5:00", "--speed", "max", "--json", "--no-live"]
    arguments = ["replay", str(record.absolute()), *shown[2:]]
    found = compare_alerts_with_record(_replay(arguments, bench.folder).output, record)
    rows = [
        ["V beats after 5:00 alerted, %", f"{100 * found.recall:.1f}"],
        ["of", f"{found.n_premature}"],
        ["false alerts an hour", f"{found.n_false / found.hours:.1f}"],
        ["of them beside no V beat", f"{found.n_false_apart / found.hours:.1f}"],
    ]
    return Found(
        f"`{_shown(shown)}`, once.\n\n{table(['what', 'measured'], rows)}",
        {
            "119.recall": [100 * found.recall],
            "119.false_per_hour": [found.n_false / found.hours],
        },
    )


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


# --- alerts


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
            said, reached = list(alerts), list(progress)
            wall_s, cpu_s = time.perf_counter(), time.thread_time()
            commit(journal, said, reached, beats)
            if not reached:
                return
            self.ended_s = time.perf_counter()
            self.began_s = wall_s if self.began_s is None else self.began_s
            self.n, self.alerts = self.n + 1, self.alerts + len(said)
            self.wall_s += self.ended_s - wall_s
            self.cpu_s += time.thread_time() - cpu_s

        with patch.object(Journal, "commit", timed):
            yield


def measure_journal(bench: Bench, folder: Path) -> Commits:
    """Have the simulated record judged at full speed, with this process as the consumer."""
    _make_record(bench)
    ends = _endpoints(folder)
    record = str(bench.folder / RECORD)
    stages = (
        ("segmenter", *_options(ends, "samples", "beats", "wave")),
        ("producer", record, "--speed", "max", *_options(ends, "samples")),
    )
    settings = ConsumerSettings(
        beats=ends["beats"],
        alerts=ends["alerts"],
        journal=str(folder / "journal.sqlite"),
        real_time=False,
    )
    commits = Commits()
    with started(*stages), commits.measured():
        threading.Thread(target=_stop_at_end, args=(ends["alerts"],), daemon=True).start()
        run_consumer(settings)  # until that thread has it stop
    if not commits.end_to_end_s:
        raise CommandFailed("nothing was journaled; is a stage failing?")
    return commits


def _stop_at_end(alerts: str) -> None:
    """Have this process's consumer leave when all patients have ended, or nothing more comes."""
    with AlertSubscriber(alerts, ("status",), after=None) as subscriber:
        while subscriber.silent_s < SILENT_S:
            message = subscriber.receive(1.0)
            patients = message.patients if isinstance(message, Status) else []
            if patients and all(one.state == "ended" for one in patients):
                break
    os.kill(os.getpid(), signal.SIGTERM)


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
    endpoint = _private_endpoint(folder)
    options = ("--no-live", "--threshold", str(EVERY_BEAT), "--alerts", endpoint)
    sent_ns, came_ns = {}, {}
    with AlertSubscriber(endpoint, ("alert", "beat")) as subscriber:
        command = [*PROGRAM, "replay", *records, *options]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            while process.poll() is None:
                message = subscriber.receive(1.0)
                if isinstance(message, BeatScored):
                    sent_ns[message.patient, message.sample] = message.sent_ns
                elif isinstance(message, Alert) and message.state != "cleared":
                    came_ns[message.patient, message.sample] = time.monotonic_ns()
        finally:
            process.terminate()
            process.wait()
    if process.returncode or not came_ns:
        raise CommandFailed(f"no alert came from {' '.join(command)}, code {process.returncode}")
    delays_ms = [(came_ns[beat] - sent_ns[beat]) / 1e6 for beat in came_ns if beat in sent_ns]
    return delays_ms, len(came_ns) - len(delays_ms)


def _endpoints(folder: Path) -> dict[str, str]:
    names = ("samples", "beats", "wave", "alerts")
    return {name: f"ipc://{folder / name[0]}" for name in names}


def _options(ends: dict[str, str], *names: str) -> tuple[str, ...]:
    return tuple(word for name in names for word in (f"--{name}", ends[name]))


def _folder(bench: Bench, run: str) -> Path:
    """Return a folder of a run's own."""
    folder = bench.folder / run
    folder.mkdir()
    return folder


@contextlib.contextmanager
def started(*stages: Sequence[str]) -> Iterator[None]:
    """Run stages in processes of their own, and end them."""
    running = [subprocess.Popen([*PROGRAM, *stage]) for stage in stages]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def journal_part(bench: Bench) -> Found:
    """Measure the journal's share of a replay."""
    runs = [measure_journal(bench, _folder(bench, f"j{n}")) for n in range(bench.times)]
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
    headline = bench.is_whole("patients", "seconds")
    return Found(
        f"{bench.patients} patients for {bench.seconds:g} s, every beat an alert, {bench.times} "
        f"times.\n\n{table(['what', 'measured'], rows)}",
        {"alerts.delay": high} if headline else {},
    )


# --- showing ------------------------------------------------------------------------------------


def _length(bench: Bench) -> str:
    return f"{bench.hours:g} h" if bench.hours >= 1 else f"{60 * bench.hours:g} min"


def _shown(arguments: Sequence[str]) -> str:
    return f"ecg-monitor {' '.join(arguments)}"


PARTS: dict[str, Callable[[Bench], Found]] = {
    "simulation": simulation_part,
    "replay": replay_part,
    "startup": startup_part,
    "detection": detection_part,
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
