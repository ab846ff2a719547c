"""How a text file lays out its samples: delimiter, decimals, columns, units, rate; from its head.

Known by name are the exports of Apple Health (lines of key and value, then one column, in the
decimals of its language) and of Polar Sensor Logger (`Phone timestamp;sensor timestamp [ns];…`).
Anything else is a table: rows of numbers, perhaps below lines that name them.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from monitor.sources.lead_choice import is_ecg_name
from monitor.sources.units import millivolts_per

DELIMITERS = (";", "\t", ",", "|", " ")
COMMENTS = ("#", "%", "//")
MISSING = frozenset(("", "nan", "na", "n/a", "null", "none", "-", "--", "nil", "inf", "-inf"))
LEAST_ROWS, SURE_ROWS = 2, 8
MAX_NAME, MAX_PREAMBLE = 200, 1000  # characters of a column's name, and of a line above, looked at
MAX_NUMBER = 60  # characters
FEW = 0.1  # of a column's cells may be wrong: it is read, and says so
TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_TIME_WORDS = {
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("msec", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("usec", "micros", "microsecond", "microseconds"), "us"),
    **dict.fromkeys(("nsec", "nanos", "nanosecond", "nanoseconds"), "ns"),
}
# Numbers never back into their digits: a line of 64,000 of them is one step, not two billion.
_NUMBER = re.compile(r"[-+]?(?:\d++\.?\d*+|\.\d++)(?:[eE][-+]?\d++)?", re.ASCII)
_COMMA_NUMBER = re.compile(r"[-+]?\d*+,\d++(?:[eE][-+]?\d++)?", re.ASCII)
_CLOCK = re.compile(r"\[?(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)\]?", re.ASCII)
_RATE = re.compile(r"(\d+(?:[.,]\d+)?)\s*(?:hertz|hz)\b", re.IGNORECASE)
_RATE_KEY = re.compile(r"\b(?:sampl\w*[ _-]?(?:rate|freq\w*)|fs|rate|abtastrate)\b", re.IGNORECASE)
_SAMPLED = re.compile(r"\bsampl\w*|\babtast\w*", re.IGNORECASE)  # "sampled at 250 Hz"
_OTHER_RATE = re.compile(  # what else is said in hertz, or called a rate
    r"filt|notch|pass\b|cut-?\s?off|mains|\bline\b|band|heart|herz|puls|resp|breath|baud|bit.?rate",
    re.IGNORECASE,
)
_STATEMENT_END = re.compile(r"[;,\t|](?=\s*[^\s\d])")  # not within `Rate;250 Hz` or `250,0 Hz`
_UNIT_IN_NAME = re.compile(r"(.*?)[\s_]*(?:[\[(]([^\])]*)[\])]|[\s_]([mMuµμnN]?[vVsS]))\s*")
_TIME_NAME = re.compile(
    r"time|stamp|elapsed|zeit|uhr|temps|tiempo|^date|^clock|^t$|^(?:sec|millis|micros|nanos)"
    r"|^(?:s|ms|us|ns)$"
)
_INDEX_NAME = re.compile(r"^(?:|#|n|nr|no|id|i|index|idx|row|sample ?#?|unnamed: ?\d+)$")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    units : str
        As the file says; of a time column `s`, `ms`, `us`, `ns`, or empty where it says none.
    kind : str
        "lead", "time" (numbers), "clock" (text), "index" or "text".
    """

    name: str
    units: str
    kind: str


@dataclass(frozen=True)
class Layout:
    """How the rows of a file are to be read.

    Attributes
    ----------
    delimiter : str
        Empty for one column; a space for any white space.
    first_line : int
        Number of the first line of samples, from 0.
    fs_hz : float or None
        Sampling rate, where the file says one in words.
    """

    encoding: str
    delimiter: str
    has_decimal_comma: bool
    first_line: int
    columns: tuple[Column, ...]
    fs_hz: float | None
    cells: tuple[tuple[str, ...], ...] = field(repr=False)  # of the first rows

    def split(self, line: str) -> list[str]:
        """Return the cells of a line."""
        return _split(line, self.delimiter)

    def plain(self, text: str) -> str:
        """Return a text with points for decimals."""
        return text.replace(",", ".") if self.has_decimal_comma else text


def encoding_of(head: bytes) -> str | None:
    """Return how the text of a file is encoded; None where it is no text."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\x00" in head or not head.strip():
        return None
    try:
        head[:-4].decode("utf-8")  # the last character may be cut
    except UnicodeDecodeError:
        control = sum(one < 32 and one not in b"\t\r\n" for one in head)
        return "latin-1" if control == 0 else None
    return "utf-8-sig"


def layout_of(head: bytes, *, is_whole: bool = False) -> Layout | None:
    """Return the layout of a file by its first bytes; None if it is no table of numbers.

    Parameters
    ----------
    is_whole : bool
        Whether this is all of the file; otherwise its last line may be cut, and is not looked at.
    """
    encoding = encoding_of(head)
    if encoding is None:
        return None
    text = head.decode(encoding, errors="ignore")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not is_whole:
        lines = lines[:-1]
    is_apple = _says_rate_and_unit(lines)
    best: Layout | None = None
    for delimiter in ("",) if is_apple else (*DELIMITERS, ""):
        found = _with_delimiter(lines, delimiter, encoding)
        if found is None:
            continue
        if all(one.kind != "text" for one in found.columns):
            return found
        best = best or found
    return best


def time_of(cell: str) -> float | None:
    """Return the seconds of a clock's text: `0:00.125`, `1:02:03.5`, ISO 8601; None of others."""
    plain = cell.strip().strip("'\"")
    match = _CLOCK.fullmatch(plain) if len(plain) <= MAX_NUMBER else None
    if match is not None:
        hours, minutes, seconds = match.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))
    try:
        if not 9 < len(plain) <= MAX_NUMBER:
            return None
        found = datetime.fromisoformat(plain.strip("[]"))
        # Without a zone: none has a summer time within the file, whatever this machine's is.
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def number_of(cell: str) -> float | None:
    """Return the number in a cell, NaN where it says that there is none; None of other text."""
    plain = cell.strip().strip("'\"")
    if plain.lower() in MISSING:
        return float("nan")
    return float(plain) if len(plain) <= MAX_NUMBER and _NUMBER.fullmatch(plain) else None


def _with_delimiter(lines: list[str], delimiter: str, encoding: str) -> Layout | None:
    """Return the layout of lines if a delimiter makes a table of them."""
    rows = [None if _is_comment(one) else _split(one, delimiter) for one in lines]
    first, table = _table(rows)
    n_columns = len(table[0]) if table else 0
    if len(table) < LEAST_ROWS or (delimiter and n_columns < 2):
        return None
    commas = any(_COMMA_NUMBER.fullmatch(cell.strip()) for row in table for cell in row)
    above = [row for row in rows[:first] if row is not None]
    preamble = [line[:MAX_PREAMBLE] for line in lines[:first] if line.strip()]
    header = above[-1] if above and len(above[-1]) == n_columns else None
    if not above:  # numpy.savetxt puts a sign of comment before the names
        commented = [_split(one.lstrip("#% "), delimiter) for one in lines[:first]]
        header = next((one for one in reversed(commented) if len(one) == n_columns > 1), None)
    if header is not None and delimiter == "" and ("," in header[0] or "=" in header[0]):
        header = None  # the last line of key and value
    units: Sequence[str] = ()
    if (
        header is not None
        and len(above) > 1
        and len(above[-2]) == n_columns
        and any(millivolts_per(cell.strip("'\" ")) for cell in header)
    ):
        units, header = header, above[-2]  # as rdsamp writes
    return Layout(
        encoding,
        delimiter,
        commas,
        first,
        _columns(header, units, table, preamble, has_comma=commas),
        _rate(preamble),
        tuple(tuple(row) for row in table),
    )


def _table(rows: Sequence[list[str] | None]) -> tuple[int, list[list[str]]]:
    """Return the number of the first row from which rows are alike and hold numbers, and those.

    A few of them are enough: what is wrong further down is said when it is read.
    """
    table: list[list[str]] = []
    first = 0
    for number, row in enumerate(rows):
        if row is None:
            continue
        is_row = any(map(_is_number, row)) or (
            bool(table) and all(one.strip().lower() in MISSING for one in row)
        )
        if is_row and (not table or len(row) == len(table[0])):
            first = first if table else number
            table.append(row)
        elif len(table) >= SURE_ROWS:
            break
        else:
            table = [row] if is_row else []
            first = number
    return first, table


def _columns(
    header: Sequence[str] | None,
    units: Sequence[str],
    table: Sequence[Sequence[str]],
    preamble: Sequence[str],
    *,
    has_comma: bool,
) -> tuple[Column, ...]:
    n_columns = len(table[0])
    said = _unit_said(preamble)
    columns: list[Column] = []
    for number in range(n_columns):
        name, unit = _name_and_unit(header[number] if header is not None else "")
        if units:
            unit = units[number].strip("'\" ")
        cells = [row[number].replace(",", ".") if has_comma else row[number] for row in table]
        kind = _kind(name.lower(), cells, is_first=number == 0, is_alone=n_columns == 1)
        if header is None and kind == "time" and number:
            kind = "lead"
        if kind == "lead":
            name = name or _lead_said(preamble) or f"signal {number}"
            unit = unit or said
        if kind == "time":
            unit = _TIME_WORDS.get(unit.lower(), unit.replace("µ", "u").lower())
            unit = unit if unit in TIME_UNITS else ""
        columns.append(Column(name, unit, kind))
    return tuple(columns)


def _kind(name: str, cells: Sequence[str], *, is_first: bool, is_alone: bool) -> str:
    values = [number_of(one) for one in cells]
    if sum(value is None for value in values) > FEW * len(values):
        n_times = sum(time_of(one) is not None for one in cells)
        return "clock" if n_times >= (1 - FEW) * len(cells) else "text"
    numbers = [value for value in values if value is not None]
    steps = [after - before for before, after in pairwise(numbers)]
    rises = bool(steps) and all(step > 0 for step in steps)
    if name and _TIME_NAME.search(name) and not is_ecg_name(name):
        return "time"
    counts = set(steps) == {1.0}
    if (is_first and not is_alone and counts) or (
        name and _INDEX_NAME.match(name) and (counts or not is_ecg_name(name))  # `I` is a lead, too
    ):
        return "index"
    is_even = rises and max(steps) < 3 * min(steps)
    if is_first and not name and not is_alone and is_even and len(steps) > 2:
        return "time"
    return "lead"


def _name_and_unit(cell: str) -> tuple[str, str]:
    """Return what `ecg [uV]`, `MLII (mV)`, `ecg_uv` or `time_ms` names, and its unit."""
    plain = cell.strip().strip("'\"").strip()[:MAX_NAME]
    match = _UNIT_IN_NAME.fullmatch(plain)
    if match is None:
        return plain, ""
    name, unit = match[1].strip(), (match[2] or match[3]).strip()
    is_unit = millivolts_per(unit) is not None or unit.lower() in (*TIME_UNITS, *_TIME_WORDS)
    if match[3] and not is_unit:  # `lead V` is a name
        return plain, ""
    if match[3] in ("V", "v", "s", "S"):  # `ECG V`, `leads`
        return plain, ""
    return name or plain, unit


def _says_rate_and_unit(lines: Sequence[str]) -> bool:
    """Return whether a file begins with lines of key and value, as Apple Health writes them."""
    above = [one for one in lines if not _is_comment(one) and not _is_number(one)][:40]
    above = [one[:MAX_PREAMBLE] for one in above]
    return _rate(above) is not None and bool(_unit_said(above))


def _rate(preamble: Sequence[str]) -> float | None:
    """Return the sampling rate that lines above a table say; None where they say several.

    A number of hertz that is called a sampling rate goes before one that is not called anything.
    """
    parts = [part for line in preamble for part in _STATEMENT_END.split(line)]
    said = [one for one in map(_rate_in, parts) if one is not None]
    named = {rate for rate, is_named in said if is_named}
    rates = named or {rate for rate, _ in said}
    return next(iter(rates)) if len(rates) == 1 else None


def _rate_in(statement: str) -> tuple[float, bool] | None:
    """Return a rate, and whether it is called a sampling rate; None of a filter, a heart."""
    key = _RATE_KEY.search(statement) or _SAMPLED.search(statement)
    if key is not None and not _OTHER_RATE.search(statement[: key.end()]):
        behind = statement[key.end() :]
        match = _RATE.search(behind)
        if match is None and key.re is _RATE_KEY:
            match = re.match(r"\W*(\d+(?:[.,]\d+)?)\s*\"?$", behind)
        if match is not None:
            return _hertz(match[1], is_named=True)
    match = _RATE.search(statement)
    if match is None or _OTHER_RATE.search(statement):
        return None
    return _hertz(match[1], is_named=key is not None)


def _hertz(number: str, *, is_named: bool) -> tuple[float, bool] | None:
    rate = float(number.replace(",", "."))
    return (rate, is_named) if rate > 0 else None


def _unit_said(preamble: Sequence[str]) -> str:
    """Return the voltage that a line above a table ends with."""
    for line in preamble:
        if _RATE.search(line):
            continue
        parts = re.split(r"[,;:=\t]", line)
        unit = parts[-1].strip().strip("'\"").strip()
        if len(parts) == 2 and unit not in ("V", "v") and millivolts_per(unit) is not None:
            return unit
    return ""


def _lead_said(preamble: Sequence[str]) -> str:
    """Return the lead that a line above a table ends with."""
    for line in preamble:
        parts = re.split(r"[,;:=\t]", line)
        name = parts[-1].strip().strip("'\"").strip()
        if len(parts) == 2 and 0 < len(name) <= 20 and is_ecg_name(name):
            return name
    return ""


def _is_comment(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith(COMMENTS)


def _is_number(cell: str) -> bool:
    plain = cell.strip().strip("'\"")
    return bool(_NUMBER.fullmatch(plain) or _COMMA_NUMBER.fullmatch(plain))


def _split(line: str, delimiter: str) -> list[str]:
    if not delimiter:
        return [line.strip().strip('"')]
    if delimiter == " ":
        return line.split()
    if '"' in line:
        return next(csv.reader([line], delimiter=delimiter))
    return line.rstrip("\r\n").split(delimiter)
