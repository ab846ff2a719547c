"""CSV, TSV and other tables of text: a column for each lead, and perhaps one that says the time.

A file is read once, from its beginning, some thousand lines at a time, into a temporary file of
float32; windows are read from that. Positions count samples. Where the time steps further than one
sample, a gap of that length lies between: it is not spread over the others, nor are they moved.

Rate: what the file says in words, or the samples per second of its time column (gaps left out), or
`--fs`. Times are written with few decimals, so a rate that is whole within their accuracy is taken
as whole.
"""

from __future__ import annotations

import io
import math
import tempfile
import warnings as python_warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.sources.csv_layout import TIME_UNITS, Column, Layout, layout_of, number_of, time_of
from monitor.sources.given import SCALE_S, refuse_odd_scale, with_units
from monitor.sources.record_file import FileLead, LeadsOfFile, chosen_leads
from monitor.sources.source import HEAD_BYTES as RECOGNISED_BY
from monitor.sources.source import FileFormat, SourceOptions
from monitor.sources.units import millivolts_per
from monitor.sources.wfdb_header import MAX_DURATION_S
from monitor.text import counted

HEAD_BYTES = 1 << 16  # by which the layout is found
CHUNK_CHARACTERS = 1 << 18
HELD_BYTES = 1 << 21  # of samples, before they go to a file
MAX_LINE = 100_000  # characters
PLAUSIBLE_HZ = (50.0, 5000.0)  # of an ECG: tells seconds from milliseconds
FIRST_STEPS = 4096  # of the time, by which its regular step is found
JITTER = 0.5  # of a step, either way: a step beyond it is a gap
REGULAR = 0.99  # share of steps within it, where it can be said so
RATE_MISMATCH = 0.02  # between --fs and the time column
MAX_GAPS = 1_000_000
DAY_S = 86_400.0


class TableRows(NamedTuple):
    """Some lines of a file.

    Attributes
    ----------
    samples : np.ndarray, shape (n, leads), float64
        In the units of the file.
    times : np.ndarray, shape (n,), float64
        In the unit of the time column; empty without one.
    """

    samples: NDArray[np.float64]
    times: NDArray[np.float64]


@dataclass(frozen=True)
class Chosen:
    """Which columns are read.

    Attributes
    ----------
    leads : list of int
        Columns of the leads.
    time : int or None
        Column of the time.
    """

    leads: list[int]
    time: int | None
    is_clock: bool = False


class CsvRecord(LeadsOfFile):
    """Leads of a table of text. Make it with `open`."""

    def __init__(
        self,
        path: Path,
        leads: list[FileLead],
        channels: list[int],
        table: Table,
        timing: TableTiming,
        warnings: list[str],
    ) -> None:
        super().__init__(
            path,
            [one.name for one in leads],
            channels,
            timing.fs_hz,
            timing.n_samples(table.n_rows),
            warnings,
        )
        self._table = table
        self._rows, self._positions = timing.runs()

    @classmethod
    def open(cls, path: Path, options: SourceOptions) -> CsvRecord:
        """Read a file through.

        Raises
        ------
        RecordError
            If it is no table, a line of it is none of its rows, or its rate or unit is not known.
        """
        layout = _layout(path)
        columns = [one for one in enumerate(layout.columns) if one[1].kind in ("lead", "text")]
        time = _time_column(layout)
        said_hz = layout.fs_hz if options.fs_hz is None else options.fs_hz
        _refuse_what_says_nothing(path, layout, time, said_hz, options)
        leads = with_units(path, [_lead(one) for _, one in columns], options)
        numbers, warnings = chosen_leads(str(path), leads, options.leads)
        chosen = Chosen(
            [columns[number][0] for number in numbers],
            time,
            time is not None and layout.columns[time].kind == "clock",
        )
        scale = [leads[number].mv_per_unit or math.nan for number in numbers]
        table = Table(len(numbers))
        try:
            clock = None if time is None else Clock(path, layout.columns[time], said_hz)
            for rows in _parsed(path, layout, chosen, warnings):
                table.add(rows.samples, scale)
                if clock is not None:
                    clock.add(rows.times)
            timing = TableTiming(said_hz or 1.0, []) if clock is None else clock.timing()
            if clock is not None:
                warnings += clock.warnings
            if clock is None and said_hz is not None and layout.fs_hz and options.fs_hz:
                _refuse_other_rate(path, options.fs_hz, layout.fs_hz, "the file says")
            record = cls(path, [leads[n] for n in numbers], numbers, table, timing, warnings)
            first = record.read(0, min(record.n_samples, round(SCALE_S * record.fs_hz)))
            refuse_odd_scale(path, options, first)
            return record
        except BaseException:
            table.close()
            raise

    def close(self) -> None:
        """Give the temporary file back; the record cannot be read any more."""
        self._table.close()

    def _fill(self, start: int, window: NDArray[np.float32]) -> None:
        stop = start + window.shape[1]
        number = int(np.searchsorted(self._positions, start, side="right")) - 1
        for run in range(max(0, number), len(self._rows)):
            position, row = int(self._positions[run]), int(self._rows[run])
            if position >= stop:
                break
            is_last = run + 1 == len(self._rows)
            until = self._table.n_rows if is_last else int(self._rows[run + 1])
            first = max(start, position)
            last = min(stop, position + until - row)
            if first < last:
                place = slice(first - start, last - start)
                window[:, place] = self._table.rows(row + first - position, last - first).T


class Table:
    """Samples in millivolts, row after row, in memory while there are few, then in a file."""

    def __init__(self, n_leads: int) -> None:
        self._n_leads = n_leads
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(HELD_BYTES)  # noqa: SIM115
        self.n_rows = 0

    def add(self, samples: NDArray[np.float64], mv_per_unit: Sequence[float]) -> None:
        """Add rows, shape (n, leads), each lead in its unit."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is no number is missing
            content = (samples * mv_per_unit).astype("<f4").tobytes()
        try:
            self._file.write(content)
        except OSError as error:
            raise RecordError(
                f"the samples of a table do not fit into the temporary folder {_temporary()}: "
                f"{error.strerror}; set TMPDIR to a folder with room"
            ) from error
        self.n_rows += len(samples)

    def rows(self, first: int, n_rows: int) -> NDArray[np.float32]:
        """Return rows, shape (n, leads)."""
        size = 4 * self._n_leads
        self._file.seek(first * size)
        content = self._file.read(n_rows * size)
        return np.frombuffer(content, "<f4").reshape(-1, self._n_leads).astype(np.float32)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


@dataclass(frozen=True)
class TableTiming:
    """A rate, and the rows behind which samples are missing, with how many."""

    fs_hz: float
    gaps: list[tuple[int, int]]

    def n_samples(self, n_rows: int) -> int:
        """Return how many positions so many rows take."""
        return n_rows + sum(missing for _, missing in self.gaps)

    def runs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows at which stretches without a gap begin, and their positions."""
        rows = np.array([0, *(row for row, _ in self.gaps)], np.int64)
        missing = np.array([0, *(missing for _, missing in self.gaps)], np.int64)
        return rows, rows + np.cumsum(missing)


class Clock:
    """What a time column says: the rate, and where samples are missing."""

    def __init__(self, path: Path, column: Column, said_hz: float | None) -> None:
        self._path = path
        self._name = column.name
        self._unit_s = 1.0 if column.kind == "clock" else TIME_UNITS.get(column.units, 0.0)
        self._is_clock = column.kind == "clock"
        self._last_clock: float | None = None
        self._days = 0
        self._said_hz = said_hz
        self._last: float | None = None
        self._n_rows = 0
        self._step = self._limit = self._accuracy = 0.0
        self._regular_steps, self._regular_time = 0, 0.0
        self._gaps: list[tuple[int, float]] = []  # row behind it, and how long, in seconds
        self._first: NDArray[np.float64] | None = np.empty(0)
        self.warnings: list[str] = []

    def add(self, times: NDArray[np.float64]) -> None:
        """Take the times of further rows."""
        if self._is_clock:
            times = self._beyond_midnight(times)
        if self._first is not None:  # until enough is there to know the step
            self._first = np.concatenate([self._first, times])
            if len(self._first) <= FIRST_STEPS:
                return
            times, self._first = self._first, None
            self._learn(times)
        n_before = self._n_rows
        self._n_rows += len(times)
        if self._last is not None:
            times = np.concatenate([[self._last], times])
        self._take(np.diff(times), max(1, n_before))
        self._last = float(times[-1])

    def _beyond_midnight(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return times of a clock that begins anew at midnight as those of one that goes on."""
        before = times[:1] if self._last_clock is None else np.array([self._last_clock])
        steps = np.diff(np.concatenate([before, times]))
        is_midnight = (steps < -DAY_S / 2) & (times < DAY_S)
        days = self._days + np.cumsum(is_midnight)
        self._last_clock, self._days = float(times[-1]), int(days[-1])
        return times + DAY_S * days

    def _learn(self, times: NDArray[np.float64]) -> None:
        """Find the regular step, its unit and how exactly it is kept."""
        if np.isnan(times).any():
            raise RecordError(
                f"{self._path}: sample {int(np.flatnonzero(np.isnan(times))[0])} has no time in "
                f"column {self._name!r}; fill it in, or name the rate with --fs and leave the "
                "column out"
            )
        steps = np.diff(times)
        self._step = float(np.median(steps)) if len(steps) else 0.0
        if self._step <= 0:
            raise RecordError(
                f"{self._path}: the times in column {self._name!r} do not rise from sample to "
                "sample; leave the column out and name the rate with --fs"
            )
        if not self._unit_s:
            self._unit_s = self._guessed_unit_s()
        near = np.abs(steps - self._step) <= JITTER * self._step
        self._limit = (1 + JITTER) * self._step
        self._accuracy = float(np.abs(steps[near] - self._step).max()) if near.any() else 0.0
        if near.mean() < REGULAR:
            self._limit = max(self._limit, 2 * float(np.quantile(steps, REGULAR)))
            self.warnings.append(
                f"{self._path}: the times in column {self._name!r} are irregular; only steps over "
                f"{self._limit * self._unit_s * 1000:.3g} ms are taken for gaps"
            )

    def _guessed_unit_s(self) -> float:
        for unit_s in TIME_UNITS.values():
            if PLAUSIBLE_HZ[0] <= 1 / (self._step * unit_s) <= PLAUSIBLE_HZ[1]:
                return unit_s
        raise RecordError(
            f"{self._path}: the times in column {self._name!r} step by {self._step:g}, which is no "
            "sampling rate of an ECG in s, ms, us or ns; name its unit in the first line, such as "
            "time [s], or the rate with --fs"
        )

    def _take(self, steps: NDArray[np.float64], row: int) -> None:
        """Take the steps from each row to the next, the first of which leads to `row`."""
        if not (steps >= 0).all():  # NaN too
            bad = int(np.flatnonzero(~(steps >= 0))[0])
            raise RecordError(
                f"{self._path}: at sample {row + bad} the time in column {self._name!r} goes back "
                "or is missing; put the lines in order, or name the rate with --fs and leave the "
                "column out"
            )
        is_gap = steps > self._limit
        for number in np.flatnonzero(is_gap).tolist():
            self._gaps.append((row + number, float(steps[number]) * self._unit_s))
        if len(self._gaps) > MAX_GAPS:
            raise RecordError(
                f"{self._path}: over {MAX_GAPS} gaps in column {self._name!r}; name the rate with "
                "--fs and leave the column out"
            )
        self._regular_steps += int((~is_gap).sum())
        self._regular_time += float(steps[~is_gap].sum()) * self._unit_s

    def timing(self) -> TableTiming:
        """Return the rate and the gaps, when all times were taken."""
        if self._first is not None:
            times, self._first = self._first, None
            self._learn(times)
            self._take(np.diff(times), 1)
            self._n_rows = len(times)
        found_hz = self._regular_steps / self._regular_time
        whole = round(found_hz)  # or few decimals, so far as they are known
        error = 2 * self._accuracy * self._unit_s / self._regular_time + 1e-6
        for round_hz in (float(whole), round(found_hz, 1), round(found_hz, 3)):
            if round_hz and abs(found_hz / round_hz - 1) <= error:
                found_hz = round_hz
                break
        fs_hz = found_hz
        if self._said_hz is not None:
            _refuse_other_rate(self._path, self._said_hz, found_hz, "its times say")
            fs_hz = self._said_hz
        gaps = [(row, max(0, round(gap_s * fs_hz) - 1)) for row, gap_s in self._gaps]
        timing = TableTiming(fs_hz, gaps)
        if timing.n_samples(self._n_rows) > MAX_DURATION_S * fs_hz:
            raise RecordError(
                f"{self._path}: the times in column {self._name!r} span more than any record; give "
                "one in seconds"
            )
        return timing


def _refuse_other_rate(path: Path, said_hz: float, found_hz: float, who: str) -> None:
    if abs(found_hz / said_hz - 1) > RATE_MISMATCH:
        raise RecordError(
            f"{path}: {who} {found_hz:g} samples a second, not {said_hz:g}; leave --fs out, or "
            "leave out the column of times"
        )


def _refuse_what_says_nothing(
    path: Path, layout: Layout, time: int | None, said_hz: float | None, options: SourceOptions
) -> None:
    """Raise RecordError if the rate is not known; it says so of the unit in the same breath."""
    if time is not None or said_hz is not None:
        return
    voltages = [one for one in layout.columns if millivolts_per(one.units) is not None]
    needs_units = options.units is None and not voltages
    raise RecordError(
        f"{path} has no column of times and does not say its sampling rate"
        + (", nor the unit of its samples" if needs_units else "")
        + "; add --fs, such as --fs 250"
        + (", and --units mV (or uV, V, nV)" if needs_units else "")
    )


def _layout(path: Path) -> Layout:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            is_whole = not file.read(1)
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from error
    layout = layout_of(head, is_whole=is_whole)
    if layout is None:
        raise RecordError(f"{path} is no table of numbers")
    return layout


def _lead(column: Column) -> FileLead:
    refusal = "it holds text, not numbers" if column.kind == "text" else ""
    units = "text" if refusal else column.units
    return FileLead(_printable(column.name), units, millivolts_per(units), 1.0, refusal)


def _printable(name: str) -> str:
    text = "".join(one if one.isprintable() else "?" for one in name)
    return text[:100] or "ECG"


def _time_column(layout: Layout) -> int | None:
    """Return the column that says the time: the first of numbers, else the first of text.

    A unit in its name goes before none, since `timestamp` may be anything.
    """
    of_numbers = [n for n, one in enumerate(layout.columns) if one.kind == "time"]
    named = [n for n in of_numbers if layout.columns[n].units]
    clocks = [n for n, one in enumerate(layout.columns) if one.kind == "clock"]
    return next(iter([*named, *of_numbers, *clocks]), None)


def _parsed(path: Path, layout: Layout, chosen: Chosen, warnings: list[str]) -> Iterator[TableRows]:
    """Yield the rows of a file, some thousands at a time."""
    number = layout.first_line
    for text, is_last in _texts(path, layout):
        rows = _fast(text, layout, chosen) if not is_last else None
        if rows is None:
            rows = _slow(path, text, layout, chosen, number, warnings if is_last else None)
        number += text.count("\n")
        if len(rows.samples):
            yield rows


def _texts(path: Path, layout: Layout) -> Iterator[tuple[str, bool]]:
    """Yield whole lines, some thousands at a time, and whether they are the last."""
    try:
        with path.open(encoding=layout.encoding, errors="replace") as file:
            for _ in range(layout.first_line):
                file.readline(MAX_LINE)
            rest = ""
            while chunk := file.read(CHUNK_CHARACTERS):
                text = rest + chunk
                # The last two lines stay: they may be the file's last, of which one may be cut.
                stop = text.rfind("\n", 0, max(0, text.rfind("\n", 0, -1))) + 1
                if not stop and len(text) > MAX_LINE:
                    raise RecordError(f"{path} has a line of over {MAX_LINE} characters")
                rest = text[stop:]
                if stop:
                    yield text[:stop], False
            if rest:
                yield rest, True
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from error


def _fast(text: str, layout: Layout, chosen: Chosen) -> TableRows | None:
    """Read lines of plain numbers; None if something else is among them."""
    if chosen.is_clock or '"' in text or "'" in text:
        return None
    columns = [*chosen.leads, *([] if chosen.time is None else [chosen.time])]
    delimiter = None if layout.delimiter in ("", " ") else layout.delimiter
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("error")
            table = np.loadtxt(
                io.StringIO(layout.plain(text)),
                delimiter=delimiter,
                usecols=columns,
                comments=None,
                ndmin=2,
            )
    except (ValueError, UserWarning):
        return None
    # numpy leaves empty lines out, and takes what lies beyond the columns that it was asked for.
    if len(table) != text.count("\n") or np.isinf(table).any():
        return None
    if _cells(text, layout) != len(layout.columns) * len(table):
        return None
    n_leads = len(chosen.leads)
    return TableRows(table[:, :n_leads], table[:, n_leads:].ravel())


def _cells(text: str, layout: Layout) -> int:
    if layout.delimiter in ("", " "):
        return len(text.split())
    return text.count(layout.delimiter) + text.count("\n")


def _slow(
    path: Path,
    text: str,
    layout: Layout,
    chosen: Chosen,
    number: int,
    warnings: list[str] | None,
) -> TableRows:
    """Read lines one by one; whatever is wrong is said with the line's number.

    Parameters
    ----------
    warnings : list of str, optional
        Given for the end of the file, whose last line may be cut.
    """
    samples: list[list[float]] = []
    times: list[float] = []
    lines = text.split("\n")
    if warnings is not None and lines and lines[-1] and _is_cut(lines, layout):
        warnings.append(f"{path}: its last line is cut short and left out; copy it again")
        lines.pop()
    for place, line in enumerate(lines, start=number + 1):
        if not line.strip() or line.lstrip().startswith(("#", "%", "//")):
            continue
        cells = layout.split(line)
        where = f"{path}, line {place}"
        if len(cells) != len(layout.columns):
            raise RecordError(
                f"{where} has {counted(len(cells), 'column')}, the others have "
                f"{len(layout.columns)}; put it "
                "right or take it out"
            )
        samples.append([_number(where, layout, cells, column) for column in chosen.leads])
        if chosen.time is not None:
            times.append(_time(where, layout, cells, chosen))
    return TableRows(np.array(samples).reshape(-1, len(chosen.leads)), np.array(times))


def _number(where: str, layout: Layout, cells: list[str], column: int) -> float:
    value = number_of(layout.plain(cells[column]))
    if value is None:
        raise RecordError(
            f"{where}: {cells[column][:40]!r} in column {layout.columns[column].name!r} is no "
            "number; a missing sample is an empty cell or NaN"
        )
    return value


def _time(where: str, layout: Layout, cells: list[str], chosen: Chosen) -> float:
    assert chosen.time is not None
    cell = cells[chosen.time]
    value = time_of(cell) if chosen.is_clock else number_of(layout.plain(cell))
    if value is None or math.isnan(value):
        raise RecordError(
            f"{where}: {cell[:40]!r} in column {layout.columns[chosen.time].name!r} is no time"
        )
    return value


def _is_cut(lines: list[str], layout: Layout) -> bool:
    """Return whether the last line, without an end, is shorter than the others.

    A number of fewer decimals than the one above it may have lost some.
    """
    last = layout.split(lines[-1])
    if len(last) != len(layout.columns):
        return True
    before = layout.split(lines[-2]) if len(lines) > 1 else list(layout.cells[0])
    return (
        any(
            _decimals(layout.plain(now)) < _decimals(layout.plain(then))
            for now, then in zip(last, before, strict=False)
        )
        or last[-1].strip() == ""
    )


def _decimals(text: str) -> int:
    return len(text.strip().partition(".")[2])


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:
        return "(there is none)"


def _is_table(path: Path, head: bytes) -> bool:
    return layout_of(head, is_whole=len(head) < RECOGNISED_BY) is not None


FORMAT = FileFormat("CSV/TSV", _is_table, CsvRecord.open)
