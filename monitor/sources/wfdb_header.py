"""WFDB headers, checked before anything trusts them: strict, bounded, no signal is read.

Grammar as in WFDB's header(5). Where the format is lenient in ways that readers understand
differently (numbers with trailing junk, `fs` that is negative and silently becomes 250, units in
another character set), the header is refused instead of guessed at.
"""

from __future__ import annotations

import codecs
import datetime
import math
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path

from monitor.errors import RecordError

MAX_HEADER_BYTES = 1 << 20
MAX_SIGNALS = 256
MAX_SEGMENTS = 50_000  # the longest records of MIMIC-III have some thousands
MAX_FS_HZ = 10_000.0
MAX_FRAME_SAMPLES = 1 << 16  # samples a frame, all signals together
MAX_DURATION_S = 366 * 86_400  # a year: longer than any record, short enough to end
MAX_NAME_LENGTH = 128  # as in monitor.wire.messages
MAX_INTEGER_DIGITS = 15
GAIN_RANGE = (1e-6, 1e12)  # ADC units per physical unit, either sign
DEFAULT_FS_HZ = 250.0  # header(5)
DEFAULT_GAIN = 200.0  # header(5): also what a gain of 0, "uncalibrated", stands for

# Bytes a sample; formats that pack several samples hold this on average.
BYTES_PER_SAMPLE = {
    "8": Fraction(1),
    "16": Fraction(2),
    "24": Fraction(3),
    "32": Fraction(4),
    "61": Fraction(2),
    "80": Fraction(1),
    "160": Fraction(2),
    "212": Fraction(3, 2),
    "310": Fraction(4, 3),
    "311": Fraction(4, 3),
}
FLAC_FORMATS = frozenset({"508", "516", "524"})
NULL_FORMAT = "0"  # a signal without a file, in the layout header of a variable-layout record

_MILLIVOLTS = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6}

_ASCII_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_RECORD_NAME = re.compile(r"([-\w]+)(?:/(\d+))?", re.ASCII)
_FS = re.compile(r"(\d+\.?\d*|\.\d+)(?:/-?\d*\.?\d*(?:\(-?\d*\.?\d*\))?)?", re.ASCII)
_COUNT = re.compile(r"\d+", re.ASCII)
_INTEGER = re.compile(r"-?\d+", re.ASCII)
_TIME = re.compile(r"(?:(?:([01]?\d|2[0-3]):)?([0-5]?\d):)?[0-5]?\d(?:\.\d{1,6})?", re.ASCII)
_CHALLENGE_DATE = re.compile(r"[0-3]?\d-[A-Z][a-z]{2}-\d{4}", re.ASCII)  # of the CinC challenges
_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)
_FILE_NAME = re.compile(r"[-\w]+(?:\.\w*)?", re.ASCII)
_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?", re.ASCII)
_GAIN = re.compile(
    r"(-?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(?:\((-?\d+)\))?(?:/((?:[-\w^?%/]|[^\x00-\x7f])*))?",
    re.ASCII,
)
_UNSIGNED = (0, 4)  # ADC resolution and block size, of the numbers that follow the units
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
        Frames by which this signal lags in its file.
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
        return _MILLIVOLTS.get(self.units.lower())


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
    """

    path: Path
    n_signals: int
    fs_hz: float
    n_frames: int | None
    signals: tuple[SignalHeader, ...]
    segments: tuple[Segment, ...]

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
        raise RecordError(f"{where} is empty; fetch it again")
    n_segments, n_signals, fs_hz, n_frames = _parse_record_line(lines[0], where)
    n_expected = n_signals if n_segments is None else n_segments
    kind = "signal" if n_segments is None else "segment"
    if len(lines) - 1 != n_expected:
        raise RecordError(
            f"{where} announces {n_expected} {kind}s and describes {len(lines) - 1}; correct it"
        )
    signals: tuple[SignalHeader, ...] = ()
    segments: tuple[Segment, ...] = ()
    if n_segments is None:
        signals = tuple(_parse_signal_line(line, i, where) for i, line in enumerate(lines[1:]))
        _check_frame(signals, where)
    else:
        segments = tuple(_parse_segment_line(line, where) for line in lines[1:])
        _check_segment_lengths(segments, n_frames, fs_hz, where)
        n_frames = sum(segment.n_frames for segment in segments)
    return RecordHeader(path, n_signals, fs_hz, n_frames, signals, segments)


def check_signal_files(header: RecordHeader) -> int:
    """Check that the signal files hold what the header says, without reading them.

    Returns
    -------
    int
        Frames of the record.

    Raises
    ------
    RecordError
        If a file is missing, is no regular file or is too short, or the length is not said.
    """
    where = f"header {header.path}.hea"
    for file_name, group in groupby(header.signals, key=lambda signal: signal.file_name):
        signals = list(group)
        if signals[0].fmt == NULL_FORMAT:
            raise RecordError(f"{where} names signals without a file; fetch the record again")
        file = header.path.with_name(file_name)
        n_bytes = regular_file_size(file, f"signal file {file}")
        if signals[0].fmt in FLAC_FORMATS:
            continue  # the length of a FLAC stream is known to its decoder alone
        frame_samples = sum(signal.samples_per_frame for signal in signals)
        if not header.n_frames:
            # header(5) takes the length from the file then; wfdb cannot read that in windows.
            held = _frames_held(signals[0], frame_samples, n_bytes)
            raise RecordError(
                f"{where} lacks the number of samples; {file_name} holds {held} a signal: write "
                "that after the sampling rate"
            )
        expected = _expected_bytes(signals[0], frame_samples * header.n_frames)
        if n_bytes < expected:
            raise RecordError(
                f"signal file {file} is truncated: the header asks for {expected} bytes, "
                f"it has {n_bytes}; fetch it again"
            )
    if not header.n_frames:
        raise RecordError(f"{where} lacks the number of samples; write it after the sampling rate")
    return header.n_frames


def regular_file_size(file: Path, what: str) -> int:
    """Return a regular file's size in bytes; RecordError if it is another kind (pipes hang)."""
    try:
        status = file.stat()
    except (OSError, ValueError) as error:
        raise RecordError(f"{what} cannot be read: {_reason(error)}") from error
    if not stat.S_ISREG(status.st_mode):
        raise RecordError(
            f"{what} is a folder, a device or a pipe, not a file; name another record"
        )
    if not os.access(file, os.R_OK):
        raise RecordError(f"{what} cannot be read: permission denied; change its permissions")
    return status.st_size


def _read_text(file: Path) -> str:
    n_bytes = regular_file_size(file, f"header {file}")
    if n_bytes > MAX_HEADER_BYTES:
        raise RecordError(
            f"header {file} has {n_bytes} bytes, more than the largest header (a mebibyte); name "
            "another record"
        )
    try:
        raw = file.read_bytes().removeprefix(codecs.BOM_UTF8)  # wfdb passes over it, too
    except OSError as error:
        raise RecordError(f"header {file} cannot be read: {_reason(error)}") from error
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # older headers; only comments, units and names may use it
    return text.replace("\r\n", "\n")


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "not a valid path"


def _meaningful_lines(text: str, where: str) -> list[str]:
    """Return the lines that are neither empty nor comments, without characters that hide.

    ASCII control characters are refused in comments too: to wfdb, some of them end a line.
    """
    lines = [line.strip() for line in text.split("\n")]
    kept = [line for line in lines if line and not line.startswith("#")]
    for character in _ASCII_CONTROL.findall(text) + [c for line in kept for c in line]:
        if character != "\t" and not character.isprintable():
            raise RecordError(
                f"{where} holds the control character {character!r}, so it is not a header; fetch "
                "it again"
            )
    return kept


def _quote(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _bounded_integer(text: str, what: str, where: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS:
        raise RecordError(f"{where}: {what} {_quote(text)} is too large; correct it")
    return int(text)


def _parse_record_line(line: str, where: str) -> tuple[int | None, int, float, int | None]:
    """Return the number of segments, of signals, frames per second, and frames."""
    fields = line.split()
    name = _RECORD_NAME.fullmatch(fields[0])
    if name is None or len(fields) < 2:
        raise RecordError(
            f"{where}: {_quote(line)} is not a record line (name, signals, rate, ...)"
        )
    n_segments = None
    if name[2] is not None:
        n_segments = _bounded_integer(name[2], "number of segments", where)
        if not 1 <= n_segments <= MAX_SEGMENTS:
            raise RecordError(
                f"{where}: {n_segments} segments are out of range; 1 to {MAX_SEGMENTS} can be read"
            )
    if not _COUNT.fullmatch(fields[1]):
        raise RecordError(f"{where}: number of signals {_quote(fields[1])} is not a whole number")
    n_signals = _bounded_integer(fields[1], "number of signals", where)
    if not 1 <= n_signals <= MAX_SIGNALS:
        raise RecordError(
            f"{where}: {n_signals} signals are out of range; 1 to {MAX_SIGNALS} can be read"
        )
    fs_hz = _parse_fs(fields[2], where) if len(fields) > 2 else DEFAULT_FS_HZ
    n_frames = _parse_n_frames(fields[3], fs_hz, where) if len(fields) > 3 else None
    _check_start(fields[4:6], where)
    return n_segments, n_signals, fs_hz, n_frames


def _check_start(fields: list[str], where: str) -> None:
    """Check start time and date: they are not used here, but wfdb fails on some."""
    if fields and _CHALLENGE_DATE.fullmatch(fields[0]):
        return
    if fields and not _TIME.fullmatch(fields[0]):
        raise RecordError(f"{where}: {_quote(fields[0])} is not a start time; write hh:mm:ss")
    if len(fields) > 1 and not _is_date(fields[1]):
        raise RecordError(f"{where}: {_quote(fields[1])} is not a date; write dd/mm/yyyy")


def _is_date(text: str) -> bool:
    match = _DATE.fullmatch(text)
    if match is None:
        return False
    try:
        datetime.date(int(match[3]), int(match[2]), int(match[1]))
    except ValueError:
        return False
    return True


def _parse_fs(text: str, where: str) -> float:
    match = _FS.fullmatch(text)
    fs_hz = float(match[1]) if match and len(match[1]) <= 2 * MAX_INTEGER_DIGITS else math.nan
    if not 0 < fs_hz <= MAX_FS_HZ:
        raise RecordError(
            f"{where}: sampling rate {_quote(text)} is not a number over 0 and "
            f"up to {MAX_FS_HZ:.0f} Hz"
        )
    return fs_hz


def _parse_n_frames(text: str, fs_hz: float, where: str) -> int | None:
    if not _COUNT.fullmatch(text):
        raise RecordError(f"{where}: number of samples {_quote(text)} is not a whole number")
    n_frames = _bounded_integer(text, "number of samples", where)
    _check_duration(n_frames, fs_hz, where)
    return n_frames


def _check_duration(n_frames: int, fs_hz: float, where: str) -> None:
    if n_frames > MAX_DURATION_S * fs_hz:
        raise RecordError(
            f"{where} claims {n_frames} samples, {n_frames / fs_hz / 86_400:.0f} days; "
            "a record is at most a year long"
        )


def _parse_signal_line(line: str, index: int, where: str) -> SignalHeader:
    where = f"{where}, signal {index}"
    fields = line.split(maxsplit=2)
    if len(fields) < 2:
        raise RecordError(f"{where}: {_quote(line)} is not a signal line (file, format, gain, ...)")
    file_name, format_field = fields[:2]
    match = _FORMAT.fullmatch(format_field)
    if match is None:
        raise RecordError(
            f"{where}: format {_quote(format_field)} is malformed; write a number, such as 16 or "
            "212"
        )
    fmt = match[1]
    known = fmt in BYTES_PER_SAMPLE or fmt in FLAC_FORMATS
    if not known and not (fmt == NULL_FORMAT and file_name == "~"):
        raise RecordError(
            f"{where}: signal format {_quote(fmt)} is unknown; known are "
            f"{', '.join([*BYTES_PER_SAMPLE, *sorted(FLAC_FORMATS)])}"
        )
    if file_name != "~" and not _FILE_NAME.fullmatch(file_name):
        raise RecordError(
            f"{where}: file name {_quote(file_name)} is not a plain name in the record's folder"
        )
    gain, baseline, units, rest = _parse_gain(fields[2] if len(fields) > 2 else "", where)
    numbers, name = _split_description(rest, where)
    # ADC resolution, ADC zero, initial value, checksum, block size
    adc_zero = numbers[1] if len(numbers) > 1 else None
    if baseline is None:
        baseline = adc_zero or 0
    return SignalHeader(
        file_name=file_name,
        fmt=fmt,
        samples_per_frame=_bounded_integer(match[2] or "1", "samples per frame", where),
        skew=_bounded_integer(match[3] or "0", "skew", where),
        byte_offset=_bounded_integer(match[4] or "0", "byte offset", where),
        gain=gain,
        baseline=baseline,
        units=units,
        init_value=numbers[2] if len(numbers) > 2 else 0,
        name=_lead_name(name, index, where),
    )


def _parse_gain(rest: str, where: str) -> tuple[float, int | None, str, str]:
    """Return gain, baseline, units, and what follows them on the line."""
    if not rest:
        return DEFAULT_GAIN, None, "mV", ""
    field, _, after = rest.partition(" ") if " " in rest else rest.partition("\t")
    field, _, tail = field.partition("\t")
    after = f"{tail} {after}".strip()
    match = _GAIN.fullmatch(field)
    if match is None or len(field) > 80:
        raise RecordError(
            f"{where}: gain {_quote(field)} is malformed; write units per mV, such as 200(0)/mV"
        )
    gain = float(match[1]) or DEFAULT_GAIN
    if not GAIN_RANGE[0] <= abs(gain) <= GAIN_RANGE[1]:
        raise RecordError(
            f"{where}: gain {_quote(match[1])} is out of range; use {GAIN_RANGE[0]:g} to "
            f"{GAIN_RANGE[1]:g} units per mV"
        )
    baseline = None
    if match[2] is not None:
        baseline = _bounded_integer(match[2], "baseline", where)
    return gain, baseline, match[3] or "mV", after


def _split_description(rest: str, where: str) -> tuple[list[int], str]:
    """Return up to five whole numbers and the description after them."""
    numbers: list[int] = []
    while rest and len(numbers) < 5:
        field = rest.split(maxsplit=1)[0]
        pattern = _COUNT if len(numbers) in _UNSIGNED else _INTEGER
        if not pattern.fullmatch(field):
            if not _LETTER.match(field):
                raise RecordError(f"{where}: {_quote(field)} is not a whole number")
            break  # the description; the numbers are optional
        numbers.append(_bounded_integer(field, "number", where))
        rest = rest[len(field) :].lstrip()
    return numbers, rest


def _lead_name(name: str, index: int, where: str) -> str:
    if len(name) > MAX_NAME_LENGTH:
        raise RecordError(
            f"{where}: lead name {_quote(name)} is longer than {MAX_NAME_LENGTH} characters; "
            "shorten it"
        )
    return " ".join(name.split()) or f"signal {index}"


def _check_frame(signals: tuple[SignalHeader, ...], where: str) -> None:
    """Check what the signals of one file must share, and that a frame is of sane size."""
    files = [signal.file_name for signal in signals if signal.file_name != "~"]
    if len([key for key, _ in groupby(files)]) != len(set(files)):
        raise RecordError(f"{where}: the signals of one file must follow each other")
    for file_name, group in groupby(signals, key=lambda signal: signal.file_name):
        members = list(group)
        if file_name != "~" and len({(s.fmt, s.byte_offset) for s in members}) > 1:
            raise RecordError(
                f"{where}: the signals of {file_name} differ in format or offset; correct it"
            )
    for signal in signals:
        if signal.samples_per_frame < 1:
            raise RecordError(f"{where}: a signal has 0 samples per frame; use 1 or more")
        if signal.skew > MAX_FRAME_SAMPLES:
            raise RecordError(f"{where}: a skew of {signal.skew} frames is too large; correct it")
    if sum(signal.samples_per_frame for signal in signals) > MAX_FRAME_SAMPLES:
        raise RecordError(
            f"{where}: more than {MAX_FRAME_SAMPLES} samples a frame; such records are not "
            "supported"
        )


def _parse_segment_line(line: str, where: str) -> Segment:
    fields = line.split()
    if len(fields) != 2 or not _COUNT.fullmatch(fields[1]):
        raise RecordError(f"{where}: {_quote(line)} is not a segment line (name, samples)")
    name, length = fields
    if name != "~" and not re.fullmatch(r"[-\w]+", name, re.ASCII):
        raise RecordError(
            f"{where}: segment name {_quote(name)} is not a plain name in the record's folder"
        )
    return Segment(
        name=None if name == "~" else name,
        n_frames=_bounded_integer(length, "segment length", where),
    )


def _check_segment_lengths(
    segments: tuple[Segment, ...], n_frames: int | None, fs_hz: float, where: str
) -> None:
    total = sum(segment.n_frames for segment in segments)
    if n_frames is not None and n_frames != total:
        raise RecordError(
            f"{where} announces {n_frames} samples, its segments add up to {total}; correct it"
        )
    _check_duration(total, fs_hz, where)
    if any(segment.n_frames == 0 for segment in segments[1:]):
        raise RecordError(f"{where}: only the first segment, the layout, may have length 0")


def _expected_bytes(signal: SignalHeader, n_samples: int) -> int:
    return signal.byte_offset + math.ceil(n_samples * BYTES_PER_SAMPLE[signal.fmt])


def _frames_held(signal: SignalHeader, frame_samples: int, n_bytes: int) -> int:
    n_samples = max(0, n_bytes - signal.byte_offset) / BYTES_PER_SAMPLE[signal.fmt]
    return int(n_samples) // frame_samples


def header_names(folder: Path) -> Iterator[str]:
    """Yield the names of the headers in a folder, sorted, without suffix."""
    try:
        files = sorted(folder.glob("*.hea"))
    except OSError as error:
        raise RecordError(f"folder {folder} cannot be read: {_reason(error)}") from error
    for file in files:
        if file.is_file():
            yield file.stem
