"""Our QRS detector beside others on the same records in one run: quality, speed, memory, delay.

    python -m tools.bench_detectors --records ../shared/data/mitdb    # docs/detectors.md, a plot
    python -m tools.bench_detectors --quick                           # 2 records; writes nothing

Each detector runs in a process of its own, on one core, one after the other; let nothing else
compute meanwhile. Quality by EC57 (150 ms, from 5:00). Ours gets the record as a stream, in chunks
of a second, gaps included; the others get it whole, as they are made for, gaps bridged by lines
since they cannot take NaN. Time is that of the detection alone (with ours, of cutting the beats
too), after a warm-up. Detectors that are not installed are named as absent.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.errors import MonitorError
from monitor.offline.evaluation.beats_report import read_annotations
from monitor.offline.evaluation.ec57 import (
    TEST_START_S,
    BeatComparison,
    BeatScore,
    compare_beats,
    score,
)
from monitor.sources.wfdb_record import WfdbRecord, list_records
from segmenter.bank import SegmenterBank
from segmenter.beat import BeatSpec
from segmenter.stream import Segmenter
from tools.measured import on_one_core
from tools.pages import DOCS, table
from tools.parts import Found, NotMeasured, measure_parts, say

CHUNK_S = 1.0
BANK_S = 60.0  # signal of each patient of the bank
WARM_UP_S = 30.0  # compiled code is loaded and caches are filled before the clock runs
HEADINGS = (
    "detector",
    "Se %",
    "+P %",
    "F1 %",
    "FN",
    "FP",
    "error ms (median, 95 % absolute)",
    "x real time",
    "memory MB (grown by)",
    "delay ms (median, 99 %)",
)
BATCH = "whole record"  # the delay of what needs the end before it says anything


@dataclass(frozen=True)
class Detections:
    """Beats of one record; the delay of each where the detector is a streaming one."""

    r_sample: NDArray[np.int64]
    delay_ms: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Detector:
    """A detector, and the module without which it is absent."""

    name: str
    module: str
    detect: Callable[[NDArray[np.float64], float], Detections]


@dataclass(frozen=True)
class Result:
    """What one detector did on all records; no score where it is absent or failed.

    Attributes
    ----------
    peak_mb, grown_mb : float
        Largest resident memory of the process, and by how much the records raised it.
    n_failed : int
        Records on which it raised an error; their beats count as missed.
    """

    name: str
    score: BeatScore | None = None
    real_time_factor: float = 0.0
    peak_mb: float = 0.0
    grown_mb: float = 0.0
    delay_ms: tuple[float, float] | None = None
    n_failed: int = 0
    absent: str | None = None


# --- the detectors, each imported where it is used ----------------------------------------------


def ours(signal: NDArray[np.float64], fs_hz: float) -> Detections:
    """Run our segmenter as on a live stream."""
    segmenter = Segmenter(fs_hz, BeatSpec())
    chunk = round(CHUNK_S * fs_hz)
    found = [segmenter.update(signal[at : at + chunk]).beats for at in range(0, len(signal), chunk)]
    found.append(segmenter.flush().beats)
    return Detections(
        np.concatenate([beats.r_sample for beats in found]),
        np.concatenate([beats.delay_ms for beats in found]).astype(np.float64),
    )


def gqrs(signal: NDArray[np.float64], fs_hz: float) -> Detections:
    """Run wfdb-python's gqrs."""
    from wfdb.processing import gqrs_detect

    return _batch(gqrs_detect(sig=bridged(signal), fs=fs_hz))


def xqrs(signal: NDArray[np.float64], fs_hz: float) -> Detections:
    """Run wfdb-python's xqrs."""
    from wfdb.processing import xqrs_detect

    return _batch(xqrs_detect(bridged(signal), fs_hz, verbose=False))


def sleepecg(signal: NDArray[np.float64], fs_hz: float) -> Detections:
    """Run sleepecg's detector, written in C."""
    from sleepecg.heartbeats import detect_heartbeats

    return _batch(detect_heartbeats(bridged(signal), fs_hz))


def neurokit(signal: NDArray[np.float64], fs_hz: float) -> Detections:
    """Run NeuroKit's default."""
    return _neurokit(signal, fs_hz, "neurokit")


def neurokit_pan_tompkins(signal: NDArray[np.float64], fs_hz: float) -> Detections:
    """Run NeuroKit's Pan-Tompkins."""
    return _neurokit(signal, fs_hz, "pantompkins1985")


def _neurokit(signal: NDArray[np.float64], fs_hz: float, method: str) -> Detections:
    import neurokit2

    cleaned = neurokit2.ecg_clean(bridged(signal), sampling_rate=round(fs_hz), method=method)
    _, found = neurokit2.ecg_peaks(cleaned, sampling_rate=round(fs_hz), method=method)
    return _batch(found["ECG_R_Peaks"])


def _batch(samples: object) -> Detections:
    return Detections(np.unique(np.asarray(samples, np.int64)))


def bridged(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the signal with straight lines over its gaps."""
    missing = np.isnan(signal)
    if not missing.any() or missing.all():
        return np.where(missing, 0.0, signal)
    at = np.arange(len(signal))
    return np.interp(at, at[~missing], signal[~missing])


DETECTORS = {
    detector.name: detector
    for detector in (
        Detector("ours, 1 s chunks", "segmenter", ours),
        Detector("gqrs (wfdb)", "wfdb", gqrs),
        Detector("xqrs (wfdb)", "wfdb", xqrs),
        Detector("sleepecg", "sleepecg", sleepecg),
        Detector("NeuroKit", "neurokit2", neurokit),
        Detector("Pan-Tompkins (NeuroKit)", "neurokit2", neurokit_pan_tompkins),
    )
}


# --- measuring ----------------------------------------------------------------------------------


def run(name: str, records: Sequence[str], lead: str | None, start_s: float) -> Result:
    """Run one detector on records, in a fresh process of its own."""
    if importlib.util.find_spec(DETECTORS[name].module) is None:
        return Result(name, absent=f"{DETECTORS[name].module} is not installed")
    return on_one_core(measure, name, records, lead, start_s)


def measure(name: str, records: Sequence[str], lead: str | None, start_s: float) -> Result:
    """Run one detector on records in this process."""
    with warnings.catch_warnings(action="ignore"):  # theirs; what they find is what counts
        return _measured(name, records, lead, start_s)


def _measured(name: str, records: Sequence[str], lead: str | None, start_s: float) -> Result:
    detector = DETECTORS[name]
    _warm_up(detector, records[0], lead)
    before_mb = peak_mb()
    comparisons: list[BeatComparison] = []
    delays_ms: list[NDArray[np.float64]] = []
    spent_s = signal_s = 0.0
    n_failed = 0
    for path in records:
        signal, fs_hz = _signal(path, lead)
        began = time.perf_counter()
        found = _detect(detector, signal, fs_hz)
        spent_s += time.perf_counter() - began
        signal_s += len(signal) / fs_hz
        n_failed += found is None
        found = found or Detections(np.empty(0, np.int64))
        comparisons.append(_compared(path, found, fs_hz, len(signal), start_s))
        if found.delay_ms is not None:
            delays_ms.append(found.delay_ms)
    return Result(
        name=name,
        score=score(comparisons),
        real_time_factor=signal_s / spent_s,
        peak_mb=peak_mb(),
        grown_mb=peak_mb() - before_mb,
        delay_ms=_quantiles(delays_ms),
        n_failed=n_failed,
    )


def _signal(
    path: str, lead: str | None, until_s: float | None = None
) -> tuple[NDArray[np.float64], float]:
    with WfdbRecord.open(path, lead) as record:
        stop = record.n_samples
        if until_s is not None:
            stop = min(stop, round(until_s * record.fs_hz))
        return record.read(0, stop).astype(np.float64), record.fs_hz


def _warm_up(detector: Detector, path: str, lead: str | None) -> None:
    _detect(detector, *_signal(path, lead, WARM_UP_S))


def _detect(detector: Detector, signal: NDArray[np.float64], fs_hz: float) -> Detections | None:
    try:
        return detector.detect(signal, fs_hz)
    except Exception as error:  # one detector's trouble must not end the comparison
        sys.stderr.write(f"{detector.name}: {type(error).__name__}: {error}\n")
        return None


def _compared(
    path: str, found: Detections, fs_hz: float, n_samples: int, start_s: float
) -> BeatComparison:
    reference = read_annotations(Path(path), "atr")
    scale = fs_hz / (reference.fs_hz or fs_hz)  # a lead may be faster than the record's frames
    return compare_beats(
        np.round(reference.samples * scale).astype(np.int64),
        reference.symbols,
        found.r_sample,
        fs_hz,
        n_samples,
        start_s=start_s,
    )


def _quantiles(delays_ms: list[NDArray[np.float64]]) -> tuple[float, float] | None:
    if not sum(map(len, delays_ms)):
        return None
    median, p99 = np.percentile(np.concatenate(delays_ms), [50, 99])
    return float(median), float(p99)


def peak_mb() -> float:
    """Return the largest resident memory of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss counts the parent's memory in a forked child
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


@dataclass(frozen=True)
class BankSpeed:
    """How fast many patients are segmented side by side.

    Attributes
    ----------
    samples_per_s : float
        Of signal, of all patients, in a second of one core; cutting included.
    """

    rows: int
    fs_hz: float
    samples_per_s: float
    peak_mb: float

    def __str__(self) -> str:
        live = self.samples_per_s / self.fs_hz
        return (
            f"Ours as a bank of {self.rows} patients, fed in chunks of {CHUNK_S:g} s: "
            f"{self.samples_per_s / 1e6:.1f} million samples a second on one core, as many as "
            f"{live:,.0f} patients send at {self.fs_hz:g} Hz; {self.peak_mb:.0f} MB."
        )


def measure_bank(rows: int, records: Sequence[str], lead: str | None) -> BankSpeed:
    """Feed a bank with stretches of the records, each patient another one."""
    signals = [_signal(path, lead) for path in records]
    fs_hz = signals[0][1]
    signals = [(signal, rate) for signal, rate in signals if rate == fs_hz]
    n, chunk = round(BANK_S * fs_hz), round(CHUNK_S * fs_hz)
    leads = np.empty((rows, n), np.float32)
    for row in range(rows):
        signal = signals[row % len(signals)][0]
        leads[row] = np.resize(np.roll(signal, -row // len(signals) * n), n)
    bank = SegmenterBank(rows, fs_hz, BeatSpec())
    warm = round(WARM_UP_S / 2 * fs_hz) // chunk * chunk
    bank.update(leads[:, :warm])
    began = time.perf_counter()
    for at in range(warm, n, chunk):
        bank.update(leads[:, at : at + chunk])
    spent_s = time.perf_counter() - began
    return BankSpeed(rows, fs_hz, rows * (n - warm) / spent_s, peak_mb())


# --- showing ------------------------------------------------------------------------------------


def cells(result: Result) -> list[str]:
    """Return a result's row, in the order of HEADINGS."""
    found = result.score
    if found is None:
        return [result.name, f"absent: {result.absent}", *[""] * (len(HEADINGS) - 2)]
    name = f"{result.name} ({result.n_failed} failed)" if result.n_failed else result.name
    delay = BATCH
    if result.delay_ms is not None:
        delay = f"{result.delay_ms[0]:.0f}, {result.delay_ms[1]:.0f}"
    return [
        name,
        f"{100 * found.sensitivity:.2f}",
        f"{100 * found.positive_predictivity:.2f}",
        f"{100 * found.f1:.2f}",
        str(found.false_negatives),
        str(found.false_positives),
        f"{found.error_median_ms:+.1f}, {found.error_p95_abs_ms:.1f}",
        f"{result.real_time_factor:,.0f}",
        f"{result.peak_mb:.0f} ({result.grown_mb:.0f})",
        delay,
    ]


def to_markdown(results: Sequence[Result], bank: BankSpeed | None, what: str) -> str:
    """Return the results as a section: what was measured, the table, the plot."""
    together = "" if bank is None else f"{bank}\n\n"
    return (
        f"{what}\n\n{table(HEADINGS, [cells(result) for result in results])}\n\n"
        "Errors are detection minus reference. Memory is that of the whole process, imports\n"
        "included, and how much the records added. Delay is signal time from the R peak until a\n"
        f"beat is reported.\n\n{together}"
        "![Sensitivity and positive predictivity; speed](detectors.png)"
    )


def plot(results: Sequence[Result], file: Path) -> None:
    """Draw quality and speed of the detectors."""
    from matplotlib.figure import Figure

    shown = [(r.name, r.score, r.real_time_factor) for r in results if r.score is not None]
    figure = Figure(figsize=(10, 4), layout="constrained")
    quality, speed = figure.subplots(1, 2)
    for i, (name, found, factor) in enumerate(shown):
        x, y = 100 * found.positive_predictivity, 100 * found.sensitivity
        quality.plot(x, y, "o", color=f"C{i}", label=name)
        speed.barh(i, factor, color=f"C{i}")
    quality.set(xlabel="positive predictivity, %", ylabel="sensitivity, %", title="EC57, gross")
    quality.grid(alpha=0.3)
    quality.legend(fontsize="small")
    speed.set(xscale="log", xlabel="times real time, one core", title="speed")
    speed.set_xlim(left=1)
    speed.set_yticks(range(len(shown)), [name for name, _, _ in shown])
    speed.invert_yaxis()
    figure.savefig(file, dpi=120, metadata={"Software": None})


@dataclass(frozen=True)
class Plan:
    """What is compared on what; `out` is the folder of the plot, None draws none."""

    folder: Path
    limit: int | None
    lead: str | None
    start_s: float
    names: Sequence[str]
    bank: int
    out: Path | None


def compare(plan: Plan) -> Found:
    """Run the detectors, one after the other."""
    if not plan.folder.is_dir():
        raise NotMeasured(f"{plan.folder} is missing; see --records")
    records = _with_reference(plan.folder)[: plan.limit]
    results = []
    for name in plan.names:
        results.append(run(name, records, plan.lead, plan.start_s))
        say(f"  {name}: done")
    bank = on_one_core(measure_bank, plan.bank, records, plan.lead) if plan.bank > 0 else None
    if plan.out is not None:
        plot(results, plan.out / "detectors.png")
    what = (
        f"{len(records)} records of {plan.folder.name}, lead {plan.lead or 0}, test period from "
        f"{plan.start_s:g} s, one core each; once."
    )
    return Found(to_markdown(results, bank, what), {})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_detectors", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--records",
        type=Path,
        default=Path("../shared/data/mitdb"),
        help="folder of records with .atr",
    )
    parser.add_argument("--limit", type=int, help="only the first N records")
    parser.add_argument("--lead", help="name or index; the first lead by default")
    parser.add_argument("--start", type=float, default=TEST_START_S, help="test period's start, s")
    parser.add_argument("--only", action="append", choices=list(DETECTORS), help="repeatable")
    parser.add_argument("--bank", type=int, default=500, help="patients side by side; 0: none")
    parser.add_argument("--quick", action="store_true", help="2 records; writes nothing")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of page and plot")
    options = parser.parse_args(arguments)
    plan = Plan(
        folder=options.records,
        limit=2 if options.quick else options.limit,
        lead=options.lead,
        start_s=options.start,
        names=options.only or list(DETECTORS),
        bank=50 if options.quick else options.bank,
        out=None if options.quick else options.out,
    )
    return measure_parts(
        "bench_detectors",
        ("detectors.md", "QRS detectors"),
        {"side-by-side": compare},
        plan,
        only=None,
        out=plan.out,
        arguments=arguments,
        libraries=_libraries(),
    )


def _libraries() -> list[str]:
    """Return the packages of the detectors that are here."""
    modules = sorted({detector.module for detector in DETECTORS.values()} - {"segmenter"})
    return [module for module in [*modules, "numpy"] if importlib.util.find_spec(module)]


def _with_reference(folder: Path) -> list[str]:
    """Return the paths of the records in a folder that have reference annotations."""
    paths = [str(folder / name) for name in list_records(folder)]
    found = [path for path in paths if Path(f"{path}.atr").is_file()]
    if not found:
        raise MonitorError(f"no record with reference annotations (.atr) in {folder}")
    return found


if __name__ == "__main__":
    sys.exit(main())
