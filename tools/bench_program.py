"""The program as it is run: simulating, replaying, starting up; and what it finds on real records.

    python -m tools.bench_program                    # docs/program.md and docs/BENCH.md
    python -m tools.bench_program --only replay --only startup
    python -m tools.bench_program --quick            # 10 minutes of signal, once; writes nothing

Simulation, replay and start-up are real commands in processes of their own, after a short one that
does not count. What needs real records looks for them in --records (mitdb/ and ecg5000/) and says
so where they are missing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from model.ecg5000 import read_ecg5000
from monitor.delivery.subscriber import AlertSubscriber
from monitor.errors import RecordError
from monitor.offline.annotate import annotate_records
from monitor.offline.evaluation.beats_report import evaluate_beats, read_annotations
from monitor.offline.evaluation.ec57 import BEAT_SYMBOLS, TEST_START_S, compare_beats
from monitor.offline.evaluation.ecg5000_report import evaluate_training
from monitor.run.replay import Summary
from monitor.sources.wfdb_record import WfdbRecord
from monitor.wire.messages import Alert, BeatScored, Technical
from tools.figures import Values
from tools.measured import CommandFailed, Measured, run_measured
from tools.pages import DOCS, PROGRAM, spread, table
from tools.parts import Found, NotMeasured, measure_parts

PROCESSES = ("parent", "producer", "segmenter", "consumer")  # in the order of their start
RECORD = "simulated"
QUICK_HOURS, FULL_HOURS = 1 / 6, 20.0  # chf07 is 20 h long
FIRST_BEAT_WITHIN_S = 60.0
# The official pair of files, or the training file and a part of the test file.
ECG5000_PAIRS = (("ECG5000_TRAIN", "ECG5000_TEST"), ("ECG5000_TRAIN", "ECG5000_DEV"))

Line = Alert | Technical | Summary  # what `replay --json` prints


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
        ["CPU of each, s, of the last run", by_process(runs[-1].cpus_s, ".1f")],
        ["peak memory, sum of the processes, MB", spread([one.peak_mb for one in runs], ",.0f")],
        ["peak memory of each, MB, of the last run", by_process(runs[-1].peaks_mb, ",.0f")],
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
    return Found(text, figures)


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


# --- showing ------------------------------------------------------------------------------------


def by_process(values: Sequence[float], form: str) -> str:
    """Return each process's value by its name; one alone is the largest: no more is known."""
    names: Sequence[str] = PROCESSES
    if len(values) != len(PROCESSES):
        names = ["largest"] if len(values) == 1 else [f"process {i}" for i in range(len(values))]
    return ", ".join(f"{name} {value:{form}}" for name, value in zip(names, values, strict=True))


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
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_program", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="10 minutes, once; writes nothing")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="repeatable")
    parser.add_argument("--times", type=int, default=3, help="runs of what is timed")
    parser.add_argument(
        "--records", type=Path, default=Path("../shared/data"), help="folder of real records"
    )
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of page and figures")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ecgm-bench-") as folder:
        bench = Bench(
            folder=Path(folder),
            records=options.records,
            hours=QUICK_HOURS if options.quick else FULL_HOURS,
            times=1 if options.quick else options.times,
            quick=options.quick,
        )
        return measure_parts(
            "bench_program",
            ("program.md", "The program"),
            PARTS,
            bench,
            only=options.only,
            out=None if options.quick else options.out,
            arguments=arguments,
        )


if __name__ == "__main__":
    sys.exit(main())
