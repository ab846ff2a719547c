"""Samples as lines of text: a pipe, a socket or a serial line, from any program and any board.

Two forms, of which the first line that says something decides:

    0.12 0.34                                  a sample, a number for each lead; the line before may
    0.13;                                      name the leads. Blanks, tabs, ; or , between them;
    0,15;0,36                                  where there is one of the others, a comma is decimal
    {"leads": {"II": 0.12, "V5": [0.3]}}       JSON: of each lead a sample, or as many of each;
                                               once, or again, "fs_hz", "units" and "position";
                                               a line of another rate than the first is no sample

A lead that is empty, `nan` or null has no sample. Lines that begin with # are passed over. A line
that is no sample is one sample that is missing in all leads, and is reported; after `MOST_BAD` of
them in a row this is no ECG. Any cut of the bytes gives the same samples.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.sources.lead_choice import LeadCandidate, choose_leads, different_names
from monitor.sources.listing import listing
from monitor.sources.source import LiveStream, SourceOptions
from monitor.sources.units import millivolts_per

MAX_LINE_BYTES = 1 << 20  # 10 s of 16 leads at 250 Hz as JSON take half
MAX_COLUMNS = 256
MAX_SHOWN = 60  # characters of a line in a message
MOST_BAD = 50
RATE_MISMATCH = 0.02  # of the rate: a sender may say what it measures
MOST_NOTICES = 3  # lines that are shown; behind them they are counted
FIRST_POSITION_MAX = (1 << 53) - 1

_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")
_MISSING = frozenset({"", "nan", "na", "null", "none", "-"})

Value = float | None


class JsonLine(msgspec.Struct):
    """A line of JSON: as many samples of each lead."""

    leads: Annotated[
        dict[Annotated[str, Meta(min_length=1, max_length=128)], Value | list[Value]],
        Meta(min_length=1, max_length=MAX_COLUMNS),
    ]
    fs_hz: float | None = None
    units: str | None = None
    position: Annotated[int, Meta(ge=0, le=FIRST_POSITION_MAX)] | None = None


class Piece(NamedTuple):
    """Samples in a row.

    Attributes
    ----------
    position : int or None
        Of the first, where the line says one.
    samples : np.ndarray, shape (leads, n), float32
        Millivolts of the chosen leads.
    """

    position: int | None
    samples: NDArray[np.float32]


class SampleLines:
    """Reads lines as they come.

    Parameters
    ----------
    where : str
        The source, for messages.
    options : SourceOptions
        Rate and unit of what does not say its own; which leads.
    may_begin_within : bool
        Whether the first line may be cut, as behind a serial line that was opened while the board
        sent: it is passed over.

    Attributes
    ----------
    stream : LiveStream or None
        Known from the line with names on, or from the first sample.
    """

    def __init__(
        self, where: str, options: SourceOptions, *, may_begin_within: bool = False
    ) -> None:
        self._where = where
        self._options = options
        self._rest = b""
        self._skip = may_begin_within
        self._names: list[str] = []
        self._chosen: list[int] = []
        self._scale = np.ones(1)
        self._json = msgspec.json.Decoder(JsonLine)
        self._line = 0
        self._bad = self._bad_in_a_row = 0
        self._told_names = False  # by the line before
        self._notices: list[str] = []
        self.stream: LiveStream | None = None
        self.warnings: tuple[str, ...] = ()

    def restart(self, *, cut: bool = False) -> None:
        """Forget a line that a lost connection cut; `cut`: the next may begin within one, too."""
        self._rest = b""
        self._skip = cut

    def take_notices(self) -> list[str]:
        """Return which lines were no samples, since asked last."""
        notices, self._notices = self._notices, []
        return notices

    def feed(self, text: bytes, *, ended: bool = False) -> list[Piece]:
        """Take in bytes; return the samples of the lines that are whole.

        Parameters
        ----------
        ended : bool
            Whether no more will come: what is left is a line.

        Raises
        ------
        RecordError
            If this is no ECG: too many lines in a row are no samples, or a line does not end.
        """
        lines = (self._rest + text).split(b"\n")
        self._rest = b"" if ended else lines.pop()
        if len(self._rest) > MAX_LINE_BYTES:
            raise RecordError(
                f"source {self._where}: no line ends within {MAX_LINE_BYTES} bytes; send a sample "
                "a line, as text"
            )
        if self._skip and lines:
            self._skip = False
            del lines[0]
        pieces: list[Piece] = []
        row: list[list[float]] = []
        for raw in lines:
            self._line += 1
            line = raw.strip(b" \r")
            if not line.strip() or line.startswith(b"#"):
                continue
            if line.startswith(b"{"):
                self._flush(row, pieces)
                pieces += self._of_json(line)
            else:
                row += self._of_numbers(line)
        self._flush(row, pieces)
        return pieces

    def _flush(self, row: list[list[float]], pieces: list[Piece]) -> None:
        if row:
            columns = np.array(row, np.float64).T[self._chosen]
            pieces.append(Piece(None, self._millivolts(columns, self._scale)))
            row.clear()

    def _millivolts(
        self, values: NDArray[np.float64], scale: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):
            samples = (values * scale).astype(np.float32)
        samples[~np.isfinite(samples)] = np.nan
        return samples

    def _of_numbers(self, line: bytes) -> list[list[float]]:
        """Return the sample of a line as a list of one, missing if it is none."""
        text = line.decode(errors="replace")
        fields = _fields(text)
        expected = len(self._names) if self._names else len(fields) - 1
        if fields[-1] == "" and len(fields) == expected + 1 > 1:  # a separator behind the last
            fields.pop()
        values = [_number(field) for field in fields]
        if self.stream is None:
            if any(value is None for value in values):
                return self._header(fields, text)
            self._open([f"ch{n}" for n in range(1, len(values) + 1)], None, None)
        if fields == self._names:
            if self._told_names:  # names and nothing else are no ECG
                self._count_bad(text, "names again, and no samples")
            self._told_names = True
            return []  # told again, behind a connection that was lost
        self._told_names = False
        if len(values) != len(self._names):
            return self._missing(text, f"{len(values)} numbers, not {len(self._names)}")
        numbers = [value for value in values if value is not None]
        if len(numbers) != len(values):
            return self._missing(text, "no number")
        self._bad_in_a_row = 0
        return [numbers]

    def _header(self, fields: Sequence[str], text: str) -> list[list[float]]:
        """Take the names of leads, once."""
        is_text = text.replace("\t", " ").isprintable() and "\N{REPLACEMENT CHARACTER}" not in text
        known = any(_number(field) is not None for field in fields if field)
        if self._names or known or not is_text:
            self._count_bad(text, "no number")
            return []
        self._names = different_names([field.strip("\"'")[:100] or "?" for field in fields])
        self._open(self._names, None, None)
        self._told_names = True
        return []

    def _of_json(self, line: bytes) -> list[Piece]:
        try:
            told = self._json.decode(line)
        except (msgspec.MsgspecError, RecursionError) as error:
            return self._missing_piece(line.decode(errors="replace"), str(error))
        columns = [one if isinstance(one, list) else [one] for one in told.leads.values()]
        if self.stream is None:
            self._open(list(told.leads), told.fs_hz, told.units)
        text = line.decode(errors="replace")
        if list(told.leads) != self._names:
            return self._missing_piece(text, f"other leads than {listing(self._names)}")
        if not columns[0] or len({len(one) for one in columns}) != 1:
            return self._missing_piece(text, "not as many samples of each lead")
        scale = self._scale if told.units is None else self._scale_of(told.units)
        if scale is None:
            return self._missing_piece(text, f"unit {told.units!r} is no voltage")
        if not self._is_rate(told.fs_hz):
            return self._missing_piece(
                text, f"{told.fs_hz:g} samples a second, not as before; start the monitor again"
            )
        values = np.array([[math.nan if one is None else one for one in row] for row in columns])
        self._bad_in_a_row = 0
        return [Piece(told.position, self._millivolts(values[self._chosen], scale))]

    def _scale_of(self, units: str) -> NDArray[np.float64] | None:
        """Return the millivolts of a unit that a line says; a person's word goes before it."""
        scale = millivolts_per(self._options.units or units)
        return None if scale is None else np.array(scale)

    def _is_rate(self, fs_hz: float | None) -> bool:
        """Tell whether a line that says a rate says that of the first: R peaks count samples."""
        if fs_hz is None or self.stream is None:
            return True
        return abs(fs_hz / self.stream.fs_hz - 1) <= RATE_MISMATCH

    def _missing_piece(self, text: str, why: str) -> list[Piece]:
        row = self._missing(text, why)
        pieces: list[Piece] = []
        self._flush(row, pieces)
        return pieces

    def _missing(self, text: str, why: str) -> list[list[float]]:
        self._count_bad(text, why)
        return [] if self.stream is None else [[math.nan] * len(self._names)]

    def _count_bad(self, text: str, why: str) -> None:
        self._bad += 1
        self._bad_in_a_row += 1
        shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
        if self._bad_in_a_row >= MOST_BAD:
            raise RecordError(
                f"source {self._where}: {MOST_BAD} lines in a row are no samples, the last is line "
                f"{self._line}, {shown!r}: {why}; send numbers, or JSON as docs/SOURCES.md shows"
            )
        if self._bad <= MOST_NOTICES:
            last = "; further such lines are not shown" if self._bad == MOST_NOTICES else ""
            self._notices.append(f"line {self._line} is no sample, {shown!r}: {why}{last}")

    def _open(self, names: list[str], fs_hz: float | None, units: str | None) -> None:
        """Learn what the lines hold, from the first sample."""
        if len(names) > MAX_COLUMNS:
            raise RecordError(f"source {self._where}: more than {MAX_COLUMNS} numbers a line")
        rate = self._options.fs_hz if fs_hz is None else fs_hz
        if rate is None:
            raise RecordError(
                f"source {self._where} does not say its sampling rate; give it: --fs 250"
            )
        unit = self._options.units or units or "mV"
        scale = millivolts_per(unit)
        if scale is None:
            raise RecordError(f"source {self._where}: unit {unit!r} is no voltage; give --units mV")
        candidates = [LeadCandidate(name, unit, is_voltage=True) for name in names]
        self._chosen = choose_leads(self._where, candidates, self._options.leads)
        self._names, self._scale = names, np.array(scale)
        left_out = [name for n, name in enumerate(names) if n not in self._chosen]
        if left_out:
            hint = (
                "" if self._options.leads else "; --lead names others, --lead all reads all leads"
            )
            self.warnings = (f"not read: {listing(left_out)}{hint}",)
        self.stream = LiveStream(tuple(names[n] for n in self._chosen), rate)


def _fields(text: str) -> list[str]:
    if ";" in text:
        return [_DECIMAL_COMMA.sub(".", one).strip() for one in text.split(";")]
    if "\t" in text:
        return [_DECIMAL_COMMA.sub(".", one).strip() for one in text.split("\t")]
    if "," in text and " " not in text.replace(", ", ","):
        return [one.strip() for one in text.split(",")]
    return [_DECIMAL_COMMA.sub(".", one) for one in text.split()]


def _number(field: str) -> float | None:
    """Return a number, NaN for what says that it is missing, None for what is neither."""
    if field.lower() in _MISSING:
        return math.nan
    try:
        return float(field)
    except ValueError:
        return None
