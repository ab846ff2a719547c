"""The EC57 report of a folder of detections: per record, gross and average; as table, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import wfdb
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from monitor.errors import InvalidOption, RecordError
from monitor.offline.evaluation.ec57 import (
    MATCH_WINDOW_S,
    TEST_START_S,
    BeatComparison,
    BeatScore,
    beats_and_flutter,
    compare_beats,
    score,
)
from monitor.offline.input_files import annotated
from monitor.sources.missing_record import where_records_are
from monitor.sources.record_timing import read_timing
from monitor.sources.wfdb_header import regular_file_size
from monitor.text import harmless

MAX_ANNOTATION_BYTES = 64 << 20  # some ten million beats
MAX_PATH_SHOWN = 500
COUNTS = ("true_positives", "false_negatives", "false_positives")
RATES = ("sensitivity", "positive_predictivity", "f1")
ERRORS = ("error_median_ms", "error_mean_ms", "error_median_abs_ms", "error_p95_abs_ms")
FIGURES = (*COUNTS, *RATES, *ERRORS)
_HEADINGS = ("TP", "FN", "FP", "Se %", "+P %", "F1 %", "median", "mean", "|median|", "|95 %|")


@dataclass(frozen=True)
class Annotations:
    """One WFDB annotation file.

    Attributes
    ----------
    samples : np.ndarray, shape (n,), int64
        In order of time, at fs_hz.
    symbols : list of str, length n
    fs_hz : float or None
        None where neither the file nor a header beside it holds it.
    """

    samples: NDArray[np.int64]
    symbols: list[str]
    fs_hz: float | None


@dataclass(frozen=True)
class BeatsReport:
    """How well the beats of a folder of records were detected.

    Attributes
    ----------
    records : dict of str to BeatScore
        By record name, sorted.
    gross : BeatScore
        Over the beats of all records whose reference has any: long records and fast hearts weigh
        more.
    average : dict of str to float
        Mean over the same records of each of their RATES and ERRORS; records that do not define one
        are left out of it.
    not_detected : tuple of str
        Records with a reference but no detections; they are in no figure.
    failed : dict of str to str
        Records that could not be compared, and why; they are in no figure.
    without_reference : tuple of str
        Records whose reference has no beat at all: there is nothing to compare with, and they are
        in neither gross nor average.
    """

    records: dict[str, BeatScore]
    gross: BeatScore
    average: dict[str, float]
    not_detected: tuple[str, ...]
    without_reference: tuple[str, ...]
    start_s: float
    failed: dict[str, str] = field(default_factory=dict)


def evaluate_beats(
    ref_dir: str | Path,
    det_dir: str | Path,
    ref_ext: str = "atr",
    det_ext: str = "qrs",
    start_s: float = TEST_START_S,
) -> BeatsReport:
    """Compare the detections in one folder with the reference annotations in another.

    Parameters
    ----------
    ref_dir, det_dir : str or Path
        Folders of `<record>.<ref_ext>` and `<record>.<det_ext>`; the records' headers, which say
        where they end, are sought in `ref_dir`.
    start_s : float
        Start of the test period; EC57 wants 300 s.

    Raises
    ------
    InvalidOption
        If an extension or the start is malformed, or the folders have no record in common.
    RecordError
        If no record can be compared; the text gives the reason of the first.
    """
    ref_names = annotated(Path(ref_dir), ref_ext)
    det_names = annotated(Path(det_dir), det_ext)
    if not (math.isfinite(start_s) and start_s >= 0):
        raise InvalidOption(f"--start {start_s:g} s is not a time in a record; give 0 s or more")
    common = sorted(ref_names & det_names)
    if not common:
        raise InvalidOption(
            f"no record has both a .{ref_ext} in {ref_dir} and a .{det_ext} in {det_dir}"
            f"{_hint(Path(ref_dir), ref_ext, ref_names)}{_hint(Path(det_dir), det_ext, det_names)}"
        )
    comparisons: dict[str, BeatComparison] = {}
    failed: dict[str, str] = {}
    for name in common:
        try:
            comparisons[name] = _compare(
                Path(ref_dir) / name, Path(det_dir) / name, ref_ext, det_ext, start_s
            )
        except RecordError as error:
            failed[name] = str(error)
    if not comparisons:
        others = f" (and {len(failed) - 1} other records fail, too)" if len(failed) > 1 else ""
        raise RecordError(f"{failed[common[0]]}{others}")
    return make_report(comparisons, start_s, tuple(sorted(ref_names - det_names)), failed)


def _hint(folder: Path, extension: str, names: set[str]) -> str:
    return "" if names else f"; {where_records_are(folder, f'.{extension}')}"


def make_report(
    comparisons: Mapping[str, BeatComparison],
    start_s: float = TEST_START_S,
    not_detected: tuple[str, ...] = (),
    failed: Mapping[str, str] | None = None,
) -> BeatsReport:
    """Make the report of comparisons by record name."""
    records = {name: score([comparison]) for name, comparison in comparisons.items()}
    counted = [name for name, one in comparisons.items() if one.reference_has_beats]
    scores = [records[name] for name in counted]
    return BeatsReport(
        records=records,
        gross=score(comparisons[name] for name in counted),
        average={name: _mean(scores, name) for name in (*RATES, *ERRORS)},
        not_detected=not_detected,
        without_reference=tuple(name for name in comparisons if name not in counted),
        start_s=start_s,
        failed=dict(failed or {}),
    )


def read_annotations(path: Path, extension: str) -> Annotations:
    """Read a WFDB annotation file; RecordError if it is missing, too large or another file."""
    file = path.with_name(f"{path.name}.{extension}")
    what = f"annotation file {harmless(str(file), MAX_PATH_SHOWN)}"
    n_bytes = regular_file_size(file, what)
    if n_bytes > MAX_ANNOTATION_BYTES:
        raise RecordError(
            f"{what} has {n_bytes:,} bytes, too many for one record; check the suffix"
        )
    try:
        annotation = wfdb.rdann(str(path.absolute()), extension)
        samples = np.asarray(annotation.sample, np.int64)
        symbols = [str(symbol) for symbol in annotation.symbol]
        fs_hz = None if annotation.fs is None else float(annotation.fs)
    except Exception as error:  # wfdb raises whatever its parser meets
        raise RecordError(
            f"{what} cannot be decoded as WFDB annotations; check the suffix or write it again"
        ) from error
    if fs_hz is not None and not 0 < fs_hz < math.inf:
        raise RecordError(f"{what} gives an impossible sampling rate of {fs_hz} Hz; write it again")
    if np.any(np.diff(samples) < 0) or np.any(samples < 0):
        raise RecordError(f"{what} is not in order of time; sort its annotations")
    return Annotations(samples, symbols, fs_hz)


def to_table(report: BeatsReport) -> Table:
    """Return the report as a Rich table."""
    table = Table(
        title=f"Beats against reference, EC57, from {report.start_s:g} s, "
        f"{1e3 * MATCH_WINDOW_S:g} ms",
        caption="errors in ms, detection minus reference",
    )
    table.add_column("record")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    for name, record in report.records.items():
        table.add_row(Text(harmless(name)), *_cells(figures(record)))
    table.add_section()
    table.add_row("gross", *_cells(figures(report.gross)), style="bold")
    table.add_row("average", *_cells(report.average), style="bold")
    return table


def to_json(report: BeatsReport) -> str:
    """Return the report as JSON; null where a figure is not defined."""
    document = {
        "protocol": "EC57",
        "start_s": report.start_s,
        "window_s": MATCH_WINDOW_S,
        "records": {name: _plain(figures(record)) for name, record in report.records.items()},
        "gross": _plain(figures(report.gross)),
        "average": _plain(report.average),
        "not_detected": list(report.not_detected),
        "failed": report.failed,
        "without_reference": list(report.without_reference),
    }
    return json.dumps(document, indent=2, allow_nan=False)


def to_csv(report: BeatsReport) -> str:
    """Return the report as CSV; empty where a figure is not defined."""
    rows = {name: figures(record) for name, record in report.records.items()}
    rows |= {"gross": figures(report.gross), "average": report.average}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["record", *FIGURES])
    for name, row in rows.items():
        plain = _plain(row)
        writer.writerow([name, *("" if plain.get(key) is None else plain[key] for key in FIGURES)])
    return text.getvalue()


def figures(record: BeatScore) -> dict[str, float]:
    """Return a score's counts, rates and errors by name, in the order of FIGURES."""
    return {name: getattr(record, name) for name in FIGURES}


def _compare(
    reference_path: Path, detected_path: Path, ref_ext: str, det_ext: str, start_s: float
) -> BeatComparison:
    reference = read_annotations(reference_path, ref_ext)
    detected = read_annotations(detected_path, det_ext)
    fs_hz, n_samples = _timing(reference_path, reference.fs_hz, ref_ext)
    beats, _ = beats_and_flutter(detected.samples, detected.symbols)
    if detected.fs_hz not in (None, fs_hz):  # as WFDB does: annotations go to the record's samples
        beats = np.floor(beats * (fs_hz / detected.fs_hz) + 0.5).astype(np.int64)
    return compare_beats(
        reference.samples, reference.symbols, beats, fs_hz, n_samples, start_s=start_s
    )


def _timing(path: Path, annotated_hz: float | None, ref_ext: str) -> tuple[float, int | None]:
    """Return the samples a second that annotations count in, and where the record ends, if known.

    The annotations' own rate goes before the header's; with it, a header that cannot be read is
    as one that is not there.
    """
    timing = None
    if path.with_name(f"{path.name}.hea").exists():
        try:
            timing = read_timing(path)
        except RecordError:
            if annotated_hz is None:
                raise
    if timing is None:
        if annotated_hz is None:
            raise RecordError(f"no sampling rate of {path}; put its .hea beside the .{ref_ext}")
        return annotated_hz, None
    fs_hz = annotated_hz or timing.fs_hz
    if timing.n_frames is None:
        return fs_hz, None
    return fs_hz, round(timing.n_frames * fs_hz / timing.fs_hz)


def _mean(scores: list[BeatScore], name: str) -> float:
    values = [value for value in (getattr(s, name) for s in scores) if not math.isnan(value)]
    return sum(values) / len(values) if values else math.nan


def _plain(row: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else _rounded(value) for name, value in row.items()}


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else round(value, 6)


def _cells(row: Mapping[str, float]) -> list[str]:
    return [_cell(name, row.get(name)) for name in FIGURES]


def _cell(name: str, value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    if name in COUNTS:
        return str(value)
    if name in RATES:
        return f"{100 * value:.2f}"
    return f"{value:.1f}" if "abs" in name else f"{value:+.1f}"
