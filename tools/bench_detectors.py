"""Our QRS detector beside others on the same records in one run: quality, speed, memory, delay.

    python -m tools.bench_detectors --records ../shared/data/mitdb    # docs/detectors.md
    python -m tools.bench_detectors --quick                           # 2 records; writes nothing

Each detector runs in a process of its own, on one core, one after the other; let nothing else
compute meanwhile. Ours gets the record as a stream, in chunks of a second, gaps included; the
others get it whole, as they are made for, gaps bridged by lines since they cannot take NaN.
"""

from __future__ import annotations

import importlib.util
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from wfdb import rdheader

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
from segmenter.beat import BeatSpec
from segmenter.stream import Segmenter
from tools.measured import on_one_core, peak_mb
from tools.pages import table
from tools.parts import DATA, Found, NotMeasured, Plan, measure_parts, option, say

Signal = NDArray[np.float64]  # (n,), or (leads, n) for what takes all; millivolts

CHUNK_S = 1.0
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
ALL_LEADS = "ours, all leads"  # the one that takes more than one
BATCH = "whole record"  # the delay of a detector that needs the end


@dataclass(frozen=True, kw_only=True)
class Compared(Plan):
    """What is compared on what."""

    records: Path = option(DATA / "mitdb", DATA / "mitdb", "folder of records with .atr")  # noqa: RUF009
    limit: int = option(0, 2, "only the first N records; 0: all")
    lead: str = option("", "", "name or index; the first lead by default")
    start: float = option(TEST_START_S, TEST_START_S, "test period's start, s")


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
    """Run our segmenter as on a live stream, of one lead or of all."""
    leads = np.atleast_2d(signal)
    segmenter = Segmenter(fs_hz, BeatSpec(), len(leads))
    chunk = round(CHUNK_S * fs_hz)
    starts = range(0, leads.shape[1], chunk)
    found = [segmenter.update(leads[:, at : at + chunk]).beats for at in starts]
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
    ALL_LEADS: ("segmenter", ours),
    "gqrs (wfdb)": ("wfdb", gqrs),
    "xqrs (wfdb)": ("wfdb", xqrs),
    "sleepecg": ("sleepecg", sleepecg),
    "NeuroKit": ("neurokit2", partial(neurokit, method="neurokit")),
    "Pan-Tompkins (NeuroKit)": ("neurokit2", partial(neurokit, method="pantompkins1985")),
}
PRESENT = [name for name, (module, _) in DETECTORS.items() if importlib.util.find_spec(module)]


# --- measuring ----------------------------------------------------------------------------------


def measure(name: str, records: Sequence[str], lead: str, start_s: float) -> Result:
    """Run one detector on records in this process; time is that of the detection alone."""
    detect = DETECTORS[name][1]
    comparisons, delays_ms, spent_s, signal_s, n_failed = [], [np.empty(0)], 0.0, 0.0, 0
    with warnings.catch_warnings(action="ignore"):  # theirs; what they find is what counts
        read = _all_leads if name == ALL_LEADS else partial(_signal, lead=lead)
        detect(*read(records[0], until_s=WARM_UP_S))
        before_mb = peak_mb()
        for path in records:
            signal, fs_hz = read(path)
            began_s = time.perf_counter()
            try:
                found = detect(signal, fs_hz)
            except Exception as error:  # one detector's trouble must not end the comparison
                say(f"{name}: {type(error).__name__}: {error}")
                found = Detections(np.empty(0, np.int64))
                n_failed += 1
            spent_s += time.perf_counter() - began_s
            n_samples = signal.shape[-1]
            signal_s += n_samples / fs_hz
            comparisons.append(_compared(path, found.r_sample, fs_hz, n_samples, start_s))
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


def _compared(
    path: str, r_sample: NDArray[np.int64], fs_hz: float, n_samples: int, start_s: float
) -> BeatComparison:
    """Compare with the reference annotations, by EC57: within 150 ms."""
    reference = read_annotations(Path(path), "atr")
    scale = fs_hz / (reference.fs_hz or fs_hz)  # a lead may be faster than the frames
    samples = np.round(reference.samples * scale).astype(np.int64)
    return compare_beats(samples, reference.symbols, r_sample, fs_hz, n_samples, start_s=start_s)


def _signal(path: str, lead: str, until_s: float | None = None) -> tuple[Signal, float]:
    with WfdbRecord.open(path, lead or 0) as record:
        stop = record.n_samples
        if until_s is not None:
            stop = min(stop, round(until_s * record.fs_hz))
        return record.read(0, stop)[0].astype(np.float64), record.fs_hz


def _all_leads(path: str, until_s: float | None = None) -> tuple[Signal, float]:
    leads = [_signal(path, str(lead), until_s) for lead in range(rdheader(path).n_sig)]
    return np.stack([signal for signal, _ in leads]), leads[0][1]


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
    ours = results[0].score
    figures = {
        "detection.sensitivity": [100 * ours.sensitivity],
        "detection.predictivity": [100 * ours.positive_predictivity],
    }
    return Found(
        f"{len(paths)} records of {plan.records.name}, lead {plan.lead or 0}, EC57 from "
        f"{plan.start:g} s, one core each; once.\n\n"
        f"{table(HEADINGS, [cells(result) for result in results])}\n\n"
        "Errors are detection minus reference. Memory is that of the whole process, imports\n"
        "included, and how much the records added. Time is that of the detection alone, with ours\n"
        "of cutting the beats too. Delay is signal time from the R peak until a beat is reported.",
        figures if plan.is_whole("records", "limit", "lead", "start") else {},
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    page, parts = ("detectors.md", "QRS detectors"), {"side-by-side": compare}
    libraries = sorted({DETECTORS[name][0] for name in PRESENT} - {"segmenter"} | {"numpy"})
    return measure_parts("bench_detectors", __doc__, page, parts, Compared, arguments, libraries)


if __name__ == "__main__":
    sys.exit(main())
