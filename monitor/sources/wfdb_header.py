"""WFDB headers, checked before anything trusts them: bounded, no signal is read.

Grammar as in WFDB's header(5), all that it allows; `tests/monitor/sources/test_header_5.py` goes
through the page line by line. Two rules where it leaves room:

- What nobody here uses never decides whether a record is read: counter frequency, start time and
  date, ADC resolution, checksum, block size, and lines beyond the announced number.
- What is used must be written as the page says. A number with trailing junk, which the C library
  cuts off, or `fs` that is negative, which wfdb-python 4.3.1 takes for 250, is refused instead of
  guessed at.

One thing that the page allows is refused: a signal file outside the record's folder.
"""

from __future__ import annotations

import codecs
import math
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from monitor.errors import RecordError
from monitor.sources.units import millivolts_per
from monitor.sources.wfdb_formats import (
    DIFFERENCE_FORMAT,
    FLAC_BITS,
    FORMATS,
    NULL_FORMAT,
    samples_held,
)

MAX_HEADER_BYTES = 1 << 20
MAX_SIGNALS = 256
MAX_SEGMENTS = 50_000  # the longest records of MIMIC-III have some thousands
MAX_FS_HZ = 10_000.0
MAX_FRAME_SAMPLES = 1 << 16  # samples a frame, all signals together
MAX_DURATION_S = 366 * 86_400  # a year: longer than any record, short enough to end
MAX_NAME_LENGTH = 128  # as in monitor.wire.messages
MAX_FIELD_LENGTH = 80  # of a number or the gain field: header(5) allows 80 a file name
MAX_INTEGER_DIGITS = 15
MAX_SHORT_S = 1.0  # a file that lacks more was not copied whole; published files lack samples
GAIN_RANGE = (1e-6, 1e12)  # ADC units per physical unit, either sign
DEFAULT_FS_HZ = 250.0  # header(5)
DEFAULT_GAIN = 200.0  # header(5): also what a gain of 0, "uncalibrated", stands for

# Case matters: NV, as in the UCD sleep apnea database, is no nanovolt, and MV no megavolt.
_MISSPELT = frozenset(("mv", "nv"))

_ASCII_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_NUMBER_TEXT = r"[-+]?(?:\d++\.?\d*+|\.\d++)(?:[eE][-+]?\d+)?"  # never backs into digits
_NUMBER = re.compile(_NUMBER_TEXT, re.ASCII)
_WHOLE = re.compile(r"([-+]?\d+)(?:\.0*)?", re.ASCII)
RECORD_NAME = re.compile(r"[-\w]{1,100}", re.ASCII)  # of records that are written here
_RECORD_NAME = re.compile(r"([-\w]+)(?:/(\d+))?", re.ASCII)
_SEGMENT_NAME = re.compile(r"[-\w]+", re.ASCII)
_FILE_NAME = re.compile(r"(?!\.)[-.\w~+=@,]+", re.ASCII)
_FORMAT = re.compile(r"(\d+)((?:[x:+]\d+)*)", re.ASCII)
_MODIFIER = re.compile(r"([x:+])(\d+)", re.ASCII)
_GAIN = re.compile(rf"({_NUMBER_TEXT})?(?:\(([^()/]*)\))?(?:/(\S*))?", re.ASCII)
_LETTER = re.compile(r"[A-Za-z]")


@dataclass(frozen=True)
class SignalHeader:
    """One signal line.

    Attributes
    ----------
    gain : float
        ADC units per physical unit.
    baseline : int
        ADC value of 0 physical units.
    skew : int
        Frames by which this signal lags in its file. The header counts samples of the signal; the
        C library makes frames of them, half a frame rounded up, and so do we.
    init_value : int
        What the differences of format 8 begin at; the ADC zero where the header has no such field.
    """

    file_name: str
    fmt: str
    samples_per_frame: int
    skew: int
    byte_offset: int
    gain: float
    baseline: int
    units: str
    init_value: int
    name: str

    @property
    def millivolts_per_unit(self) -> float | None:
        """Millivolts of one physical unit; None where it is not a voltage."""
        found = millivolts_per(self.units)
        return 1.0 if found is None and self.has_doubtful_units else found

    @property
    def has_doubtful_units(self) -> bool:
        """Whether only the case of the units is that of a voltage; it is then taken for mV."""
        return millivolts_per(self.units) is None and self.units.lower() in _MISSPELT


@dataclass(frozen=True)
class Segment:
    """One segment line; no name is a gap (`~`)."""

    name: str | None
    n_frames: int


@dataclass(frozen=True)
class RecordHeader:
    """A record line with its signal lines or its segment lines; one of the two is empty.

    Attributes
    ----------
    path : Path
        The record without suffix.
    n_signals : int
        As the record line says; the signal lines of a multi-segment record are in its segments.
    fs_hz : float
        Frames per second.
    n_frames : int or None
        Frames; None where the header does not say.
    warnings : tuple of str
        What the header says wrong and is read all the same.
    """

    path: Path
    n_signals: int
    fs_hz: float
    n_frames: int | None
    signals: tuple[SignalHeader, ...]
    segments: tuple[Segment, ...]
    warnings: tuple[str, ...] = ()

    @property
    def frame_samples(self) -> int:
        """Samples of all signals in one frame."""
        return sum(signal.samples_per_frame for signal in self.signals)


def read_header(path: Path) -> RecordHeader:
    """Read and check the header of the record at `path` (without suffix).

    Raises
    ------
    RecordError
        If it is missing, unreadable, malformed or absurd.
    """
    file = path.with_name(f"{path.name}.hea")
    return parse_header(_read_text(file), path)


def parse_header(text: str, path: Path) -> RecordHeader:
    """Parse a header's text; `path` (without suffix) says where it came from."""
    where = f"header {path}.hea"
    lines = _meaningful_lines(text, where)
    if not lines:
        raise RecordError(f"{where} is empty")
    n_segments, n_signals, fs_hz, n_frames = _parse_record_line(lines[0], where)
    n_expected = n_signals if n_segments is None else n_segments
    kind = "signal" if n_segments is None else "segment"
    described = lines[1 : 1 + n_expected]  # header(5): extra lines are not read
    if len(described) < n_expected:
        raise RecordError(
            f"{where} announces {n_expected} {kind}s and describes {len(described)}; "
            "correct the number or fetch the header again"
        )
    signals: tuple[SignalHeader, ...] = ()
    segments: tuple[Segment, ...] = ()
    warnings: list[str] = []
    if n_segments is None:
        signals = tuple(_parse_signal_line(line, i, where) for i, line in enumerate(described))
        _check_frame(signals, where)
    else:
        segments = tuple(_parse_segment_line(line, where) for line in described)
        total = _segments_length(segments, fs_hz, where)
        if n_frames and n_frames != total:
            warnings.append(
                f"{where} announces {n_frames} samples and its segments add up to {total}, "
                "which are read"
            )
        n_frames = total
    return RecordHeader(path, n_signals, fs_hz, n_frames, signals, segments, tuple(warnings))


def check_signal_files(header: RecordHeader) -> None:
    """Check that all signal files hold what the header says, without reading them.

    A second may be missing: published files are some samples shorter than their headers say.

    Raises
    ------
    RecordError
        If a file is missing, is no regular file or is too short.
    """
    for signal in {signal.file_name: signal for signal in header.signals}.values():
        if signal.fmt == NULL_FORMAT:
            continue
        held = frames_in_file(header, signal)
        if held is None or header.n_frames is None:
            continue
        if held < header.n_frames - MAX_SHORT_S * header.fs_hz:
            file = header.path.with_name(signal.file_name)
            raise RecordError(
                f"signal file {file} is truncated: the header asks for {header.n_frames} samples "
                f"a signal, it holds {held}; fetch it again"
            )


def frames_in_file(header: RecordHeader, signal: SignalHeader) -> int | None:
    """Return the frames that the signal's file holds; None where only a decoder knows (FLAC).

    Raises
    ------
    RecordError
        If the file is missing or is no regular file.
    """
    file = header.path.with_name(signal.file_name)
    n_bytes = regular_file_size(file, f"signal file {file}")
    if signal.fmt in FLAC_BITS:
        return None
    sharing = sum(s.samples_per_frame for s in header.signals if s.file_name == signal.file_name)
    return samples_held(signal.fmt, n_bytes - signal.byte_offset) // sharing


def regular_file_size(file: Path, what: str) -> int:
    """Return a regular file's size in bytes; RecordError where it is none (a pipe would hang)."""
    try:
        status = file.stat()
    except (OSError, ValueError) as error:
        raise RecordError(f"{what} cannot be read: {_reason(error)}") from error
    if not stat.S_ISREG(status.st_mode):
        raise RecordError(f"{what} is not a regular file")
    if not os.access(file, os.R_OK):
        raise RecordError(f"{what} cannot be read: permission denied")
    return status.st_size


def _read_text(file: Path) -> str:
    n_bytes = regular_file_size(file, f"header {file}")
    if n_bytes > MAX_HEADER_BYTES:
        raise RecordError(f"header {file} has {n_bytes} bytes; no header is over a mebibyte")
    try:
        raw = file.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise RecordError(f"header {file} cannot be read: {_reason(error)}") from error
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # older headers; only comments, units and names may use it
    return text


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "not a valid path"


def _meaningful_lines(text: str, where: str) -> list[str]:
    """Return the lines that are neither empty nor comments, without characters that hide.

    ASCII control characters are refused in comments too: to wfdb, some of them end a line.
    """
    text = text.replace("\r\n", "\n")
    lines = [line.strip() for line in text.split("\n")]
    kept = [line for line in lines if line and not line.startswith("#")]
    for character in _ASCII_CONTROL.findall(text) + [c for line in kept for c in line]:
        if character != "\t" and not character.isprintable():
            raise RecordError(f"{where} holds the control character {character!r}; not a header")
    return kept


def _quote(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _whole(text: str, what: str, where: str) -> int:
    """Return a whole number, which may have a sign and be written with a fraction of zeros."""
    match = _WHOLE.fullmatch(text)
    if match is None:
        raise RecordError(f"{where}: {what} {_quote(text)} is not a whole number")
    if len(text) > MAX_INTEGER_DIGITS:
        raise RecordError(f"{where}: {what} {_quote(text)} is absurd")
    return int(match[1])


def _parse_record_line(line: str, where: str) -> tuple[int | None, int, float, int | None]:
    """Return the number of segments, of signals, frames per second, and frames."""
    fields = line.split()
    name = _RECORD_NAME.fullmatch(fields[0])
    if name is None or len(fields) < 2:
        raise RecordError(f"{where}: {_quote(line)} is no record line (name, signals, rate, ...)")
    n_segments = None
    if name[2] is not None:
        n_segments = _whole(name[2], "number of segments", where)
        if not 1 <= n_segments <= MAX_SEGMENTS:
            raise RecordError(f"{where}: {n_segments} segments; 1 to {MAX_SEGMENTS} can be read")
    n_signals = _whole(fields[1], "number of signals", where)
    if not 1 <= n_signals <= MAX_SIGNALS:
        raise RecordError(f"{where}: {n_signals} signals; 1 to {MAX_SIGNALS} can be read")
    fs_hz = _parse_fs(fields[2], where) if len(fields) > 2 else DEFAULT_FS_HZ
    n_frames = _parse_n_frames(fields[3], fs_hz, where) if len(fields) > 3 else None
    return n_segments, n_signals, fs_hz, n_frames  # start time and date are used by nobody


def _parse_fs(text: str, where: str) -> float:
    """Return the frames a second, without the counter frequency and its base that may follow."""
    number = text.partition("/")[0]
    fs_hz = _number(number)
    if not 0 < fs_hz <= MAX_FS_HZ:
        raise RecordError(
            f"{where}: sampling rate {_quote(text)} is not a number over 0 and "
            f"up to {MAX_FS_HZ:.0f} Hz"
        )
    return fs_hz


def _number(text: str) -> float:
    """Return a number as scanf(3) reads them; NaN where it is none."""
    known = len(text) <= MAX_FIELD_LENGTH and _NUMBER.fullmatch(text)
    return float(text) if known else math.nan


def _parse_n_frames(text: str, fs_hz: float, where: str) -> int | None:
    n_frames = _whole(text, "number of samples", where)
    if n_frames < 0:
        raise RecordError(f"{where}: number of samples {_quote(text)} is below 0")
    _check_duration(n_frames, fs_hz, where)
    return n_frames or None  # header(5): 0 is unspecified


def _check_duration(n_frames: int, fs_hz: float, where: str) -> None:
    if n_frames > MAX_DURATION_S * fs_hz:
        raise RecordError(
            f"{where} claims {n_frames} samples, {n_frames / fs_hz / 86_400:.0f} days; "
            "no record is longer than a year"
        )


def _parse_signal_line(line: str, index: int, where: str) -> SignalHeader:
    where = f"{where}, signal {index}"
    fields = line.split(maxsplit=2)
    if len(fields) < 2:
        raise RecordError(f"{where}: {_quote(line)} is no signal line (file, format, gain, ...)")
    file_name, format_field = fields[:2]
    match = _FORMAT.fullmatch(format_field)
    if match is None:
        raise RecordError(f"{where}: format {_quote(format_field)} is malformed")
    fmt = match[1]
    if fmt not in FORMATS and fmt != NULL_FORMAT:
        raise RecordError(
            f"{where}: signal format {_quote(fmt)} is unknown; known are {', '.join(FORMATS)}"
        )
    if not _FILE_NAME.fullmatch(file_name):
        raise RecordError(
            f"{where}: file name {_quote(file_name)} is not a plain name in the record's folder"
        )
    modifiers = dict(_MODIFIER.findall(match[2]))
    samples_per_frame = _whole(modifiers.get("x", "1"), "samples per frame", where)
    skew_samples = _whole(modifiers.get(":", "0"), "skew", where)
    gain, baseline, units, rest = _parse_gain(fields[2] if len(fields) > 2 else "", where)
    # ADC resolution, ADC zero, initial value, checksum, block size; only two of them are used
    numbers, name = _split_description(rest, where)
    adc_zero = init_value = 0
    if len(numbers) > 1 and (baseline is None or fmt == DIFFERENCE_FORMAT):
        adc_zero = _whole(numbers[1], "ADC zero", where)
    if fmt == DIFFERENCE_FORMAT:
        init_value = _whole(numbers[2], "initial value", where) if len(numbers) > 2 else adc_zero
    return SignalHeader(
        file_name=file_name,
        fmt=fmt,
        samples_per_frame=samples_per_frame,
        skew=(2 * skew_samples + samples_per_frame) // (2 * max(1, samples_per_frame)),
        byte_offset=_whole(modifiers.get("+", "0"), "byte offset", where),
        gain=gain,
        baseline=adc_zero if baseline is None else baseline,
        units=units,
        init_value=init_value,
        name=_lead_name(name, index, where),
    )


def _parse_gain(rest: str, where: str) -> tuple[float, int | None, str, str]:
    """Return gain, baseline, units, and what follows them on the line."""
    if not rest:
        return DEFAULT_GAIN, None, "mV", ""
    field, *after = rest.split(maxsplit=1)
    match = _GAIN.fullmatch(field) if len(field) <= MAX_FIELD_LENGTH else None
    if match is None:
        raise RecordError(
            f"{where}: gain {_quote(field)} is malformed; it is a number, a baseline in brackets, "
            "and units after a slash"
        )
    gain = float(match[1] or 0) or DEFAULT_GAIN
    if not GAIN_RANGE[0] <= abs(gain) <= GAIN_RANGE[1]:
        raise RecordError(f"{where}: gain {_quote(match[1])} is absurd")
    baseline = None if match[2] is None else _whole(match[2], "baseline", where)
    return gain, baseline, match[3] or "mV", after[0] if after else ""


def _split_description(rest: str, where: str) -> tuple[list[str], str]:
    """Return up to five numbers, as they are written, and the description after them."""
    numbers: list[str] = []
    while rest and len(numbers) < 5:
        field = rest.split(maxsplit=1)[0]
        if not _NUMBER.fullmatch(field):
            if not _LETTER.match(field):
                raise RecordError(f"{where}: {_quote(field)} is not a whole number")
            break  # the description; the numbers are optional
        numbers.append(field)
        rest = rest[len(field) :].lstrip()
    return numbers, rest


def _lead_name(name: str, index: int, where: str) -> str:
    if len(name) > MAX_NAME_LENGTH:
        raise RecordError(f"{where}: lead name {_quote(name)} is over {MAX_NAME_LENGTH} characters")
    return " ".join(name.split()) or f"signal {index}"


def _check_frame(signals: tuple[SignalHeader, ...], where: str) -> None:
    """Check what the signals of one file must share, and that a frame is of sane size."""
    files = [signal.file_name for signal in signals if signal.file_name != "~"]
    if len([key for key, _ in groupby(files)]) != len(set(files)):
        raise RecordError(f"{where}: the signals of one file must follow each other")
    for file_name, group in groupby(signals, key=lambda signal: signal.file_name):
        members = list(group)
        if len({(s.fmt, s.byte_offset) for s in members}) > 1 and file_name != "~":
            raise RecordError(f"{where}: the signals of {file_name} differ in format or offset")
    for signal in signals:
        if signal.samples_per_frame < 1:
            raise RecordError(f"{where}: a signal has 0 samples per frame")
        if signal.skew > MAX_FRAME_SAMPLES:
            raise RecordError(f"{where}: a skew of {signal.skew} frames is absurd")
    if sum(signal.samples_per_frame for signal in signals) > MAX_FRAME_SAMPLES:
        raise RecordError(f"{where}: more than {MAX_FRAME_SAMPLES} samples a frame")


def _parse_segment_line(line: str, where: str) -> Segment:
    fields = line.split()
    if len(fields) < 2:
        raise RecordError(f"{where}: {_quote(line)} is no segment line (name, samples)")
    name, length = fields[:2]
    if name != "~" and not _SEGMENT_NAME.fullmatch(name):
        raise RecordError(
            f"{where}: segment name {_quote(name)} is not a plain name in the record's folder"
        )
    n_frames = _whole(length, "segment length", where)
    if n_frames < 0:
        raise RecordError(f"{where}: {_quote(line)} is no segment line (name, samples)")
    return Segment(None if name == "~" else name, n_frames)


def _segments_length(segments: tuple[Segment, ...], fs_hz: float, where: str) -> int:
    """Return the frames of all segments together."""
    total = sum(segment.n_frames for segment in segments)
    _check_duration(total, fs_hz, where)
    if any(segment.n_frames == 0 for segment in segments[1:]):
        raise RecordError(f"{where}: only the first segment, the layout, may have length 0")
    return total


def header_names(folder: Path) -> Iterator[str]:
    """Yield the names of the headers in a folder, sorted, without suffix."""
    try:
        files = sorted(folder.glob("*.hea"))
    except OSError as error:
        raise RecordError(f"folder {folder} cannot be read: {_reason(error)}") from error
    for file in files:
        if file.is_file():
            yield file.stem
