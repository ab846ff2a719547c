"""Our QRS detector beside others on the same records in one run: quality, speed, memory, delay.

    python -m tools.bench_detectors --records ../shared/data/mitdb    # docs/detectors.md, a plot
    python -m tools.bench_detectors --quick                           # 2 records; writes nothing

Each detector runs in a process of its own, on one core, one after the other; let nothing else
compute meanwhile. Quality by EC57 (150 ms, from 5:00). Ours gets the record as a stream, in chunks
of a second, gaps included; the others get it whole, as they are made for, gaps bridged by lines
since they cannot take NaN. Time is that of the detection alone (with ours, of cutting the beats
too), after a warm-up. Of those that are not installed nothing is shown.
"""

from __future__ import annotations

import importlib.util
import resource
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from monitor.errors import MonitorError
from monitor.offline.evaluation.beats_report import read_annotations
from monitor.offline.evaluation.ec57 import TEST_START_S, BeatScore, compare_beats, score
from monitor.sources.wfdb_record import WfdbRecord, list_records
from segmenter.bank import SegmenterBank
from segmenter.beat import BeatSpec
from segmenter.stream import Segmenter
from tools.measured import on_one_core
from tools.pages import table
from tools.parts import DATA, Found, NotMeasured, Plan, measure_parts, option, say
from tools.plots import save

Signal = NDArray[np.float64]  # (n,), millivolts

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


@dataclass(frozen=True, kw_only=True)
class Compared(Plan):
    """What is compared on what."""

    records: Path = option(DATA / "mitdb", DATA / "mitdb", "folder of records with .atr")  # noqa: RUF009
    limit: int = option(0, 2, "only the first N records; 0: all")
    lead: str = option("", "", "name or index; the first lead by default")
    start: float = option(TEST_START_S, TEST_START_S, "test period's start, s")
    bank: int = option(500, 50, "patients side by side; 0: none")


@dataclass(frozen=True)
class Detections:
    """Beats of one record; the delay of each where the detector is a streaming one."""

    r_sample: NDArray[np.int64]
    delay_ms: Signal | None = None


@dataclass(frozen=True)
class Result:
    """What one detector did on all records.

    Attributes
    ----------
    peak_mb, grown_mb : float
        Largest resident memory of the process, and by how much the records raised it.
    n_failed : int
        Records on which it raised an error; their beats count as missed.
    """

    name: str
    score: BeatScore
    real_time_factor: float
    peak_mb: float
    grown_mb: float
    delay_ms: tuple[float, float] | None = None
    n_failed: int = 0


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


def neurokit(signal: NDArray[np.float64], fs_hz: float, method: str) -> Detections:
    """Run one of NeuroKit's."""
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


# By name: the module without which it is absent, and how it is run.
DETECTORS: dict[str, tuple[str, Callable[[Signal, float], Detections]]] = {
    "ours, 1 s chunks": ("segmenter", ours),
    "gqrs (wfdb)": ("wfdb", gqrs),
    "xqrs (wfdb)": ("wfdb", xqrs),
    "sleepecg": ("sleepecg", sleepecg),
    "NeuroKit": ("neurokit2", partial(neurokit, method="neurokit")),
    "Pan-Tompkins (NeuroKit)": ("neurokit2", partial(neurokit, method="pantompkins1985")),
}
PRESENT = [name for name, (module, _) in DETECTORS.items() if importlib.util.find_spec(module)]


# --- measuring ----------------------------------------------------------------------------------


def measure(name: str, records: Sequence[str], lead: str, start_s: float) -> Result:
    """Run one detector on records in this process."""
    detect = DETECTORS[name][1]
    comparisons, delays_ms, spent_s, signal_s, n_failed = [], [np.empty(0)], 0.0, 0.0, 0
    with warnings.catch_warnings(action="ignore"):  # theirs; what they find is what counts
        detect(*_signal(records[0], lead, WARM_UP_S))
        before_mb = peak_mb()
        for path in records:
            signal, fs_hz = _signal(path, lead)
            began = time.perf_counter()
            try:
                found = detect(signal, fs_hz)
            except Exception as error:  # one detector's trouble must not end the comparison
                say(f"{name}: {type(error).__name__}: {error}")
                found = Detections(np.empty(0, np.int64))
                n_failed += 1
            spent_s += time.perf_counter() - began
            signal_s += len(signal) / fs_hz
            reference = read_annotations(Path(path), "atr")
            scale = fs_hz / (reference.fs_hz or fs_hz)  # a lead may be faster than the frames
            comparisons.append(
                compare_beats(
                    np.round(reference.samples * scale).astype(np.int64),
                    reference.symbols,
                    found.r_sample,
                    fs_hz,
                    len(signal),
                    start_s=start_s,
                )
            )
            if found.delay_ms is not None:
                delays_ms.append(found.delay_ms)
    joined = np.concatenate(delays_ms)
    return Result(
        name=name,
        score=score(comparisons),
        real_time_factor=signal_s / spent_s,
        peak_mb=peak_mb(),
        grown_mb=peak_mb() - before_mb,
        delay_ms=tuple(np.percentile(joined, [50, 99])) if len(joined) else None,
        n_failed=n_failed,
    )


def _signal(path: str, lead: str, until_s: float | None = None) -> tuple[Signal, float]:
    with WfdbRecord.open(path, lead or None) as record:
        stop = record.n_samples
        if until_s is not None:
            stop = min(stop, round(until_s * record.fs_hz))
        return record.read(0, stop).astype(np.float64), record.fs_hz


def peak_mb() -> float:
    """Return the largest resident memory of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss counts the parent's memory in a forked child
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


def measure_bank(rows: int, records: Sequence[str], lead: str) -> str:
    """Feed a bank with stretches of the records, each patient another one; how fast it is."""
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
    samples_per_s = rows * (n - warm) / spent_s
    return (
        f"Ours as a bank of {rows} patients, fed in chunks of {CHUNK_S:g} s: "
        f"{samples_per_s / 1e6:.1f} million samples a second on one core, as many as "
        f"{samples_per_s / fs_hz:,.0f} patients send at {fs_hz:g} Hz; {peak_mb():.0f} MB."
    )


# --- showing ------------------------------------------------------------------------------------


def cells(result: Result) -> list[str]:
    """Return a result's row, in the order of HEADINGS."""
    found = result.score
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


def plot(results: Sequence[Result], file: Path) -> None:
    """Draw quality and speed of the detectors."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    quality, speed = figure.subplots(1, 2)
    for i, one in enumerate(results):
        x, y = 100 * one.score.positive_predictivity, 100 * one.score.sensitivity
        quality.plot(x, y, "o", color=f"C{i}", label=one.name)
        speed.barh(i, one.real_time_factor, color=f"C{i}")
    quality.set(xlabel="positive predictivity, %", ylabel="sensitivity, %", title="EC57, gross")
    speed.set(xscale="log", xlabel="times real time, one core", title="speed")
    speed.set_xlim(left=1)
    speed.set_yticks(range(len(results)), [one.name for one in results])
    speed.invert_yaxis()
    save(figure, file)


def compare(plan: Compared) -> Found:
    """Run the detectors, one after the other, each in a fresh process of its own."""
    if not plan.records.is_dir():
        raise NotMeasured(f"{plan.records} is missing; see --records")
    paths = [str(plan.records / name) for name in list_records(plan.records)]
    paths = [path for path in paths if Path(f"{path}.atr").is_file()][: plan.limit or None]
    if not paths:
        raise MonitorError(f"no record with reference annotations (.atr) in {plan.records}")
    results = []
    for name in PRESENT:
        results.append(on_one_core(measure, name, paths, plan.lead, plan.start))
        say(f"  {name}: done")
    bank = on_one_core(measure_bank, plan.bank, paths, plan.lead) if plan.bank > 0 else ""
    if plan.out is not None:
        plot(results, plan.out / "detectors.png")
    return Found(
        f"{len(paths)} records of {plan.records.name}, lead {plan.lead or 0}, test period from "
        f"{plan.start:g} s, one core each; once.\n\n"
        f"{table(HEADINGS, [cells(result) for result in results])}\n\n"
        "Errors are detection minus reference. Memory is that of the whole process, imports\n"
        "included, and how much the records added. Delay is signal time from the R peak until a\n"
        f"beat is reported.\n\n{bank}\n\n"
        "![Sensitivity and positive predictivity; speed](detectors.png)",
        {},
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    page, parts = ("detectors.md", "QRS detectors"), {"side-by-side": compare}
    libraries = sorted({DETECTORS[name][0] for name in PRESENT} - {"segmenter"} | {"numpy"})
    return measure_parts("bench_detectors", __doc__, page, parts, Compared, arguments, libraries)


if __name__ == "__main__":
    sys.exit(main())
