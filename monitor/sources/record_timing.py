"""A record's sampling rate and length, from the first line of its header alone.

What compares annotations needs no signals: databases of annotations alone (nsr2db, chf2db) have
headers of 0 signals, and a signal line or a date that cannot be read does not matter.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from monitor.errors import RecordError
from monitor.sources.wfdb_header import (
    DEFAULT_FS_HZ,
    MAX_DURATION_S,
    MAX_FS_HZ,
    MAX_HEADER_BYTES,
    regular_file_size,
)
from monitor.text_file import unmarked

_RATE = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class RecordTiming:
    """Rate and length, as a record line gives them.

    Attributes
    ----------
    fs_hz : float
        Frames per second.
    n_frames : int or None
        Frames; None where the header does not say.
    """

    fs_hz: float
    n_frames: int | None


def read_timing(path: Path) -> RecordTiming:
    """Read the record line of the header at `path` (without suffix).

    Raises
    ------
    RecordError
        If there is no header, or its record line gives no sampling rate.
    """
    file = path.with_name(f"{path.name}.hea")
    where = f"header {file}"
    if regular_file_size(file, where) > MAX_HEADER_BYTES:
        raise RecordError(f"{where} is over a mebibyte; no header is")
    try:
        text = unmarked(file.read_bytes()).decode("utf-8", errors="replace")
    except OSError as error:
        raise RecordError(f"{where} cannot be read: {error.strerror}") from error
    lines = (line.split() for line in text.splitlines())
    fields = next((one for one in lines if one and not one[0].startswith("#")), [])
    if len(fields) < 2:
        raise RecordError(f"{where} has no record line (name, signals, rate, ...)")
    fs_hz = _rate(fields[2]) if len(fields) > 2 else DEFAULT_FS_HZ
    if not 0 < fs_hz <= MAX_FS_HZ:
        raise RecordError(f"{where}: sampling rate {fields[2][:60]!r} is not a number over 0")
    return RecordTiming(fs_hz, _length(fields[3], fs_hz) if len(fields) > 3 else None)


def _rate(text: str) -> float:
    match = _RATE.match(text)  # behind it may stand a counter's rate and its base
    return float(match[0]) if match and len(match[0]) < 40 else math.nan


def _length(text: str, fs_hz: float) -> int | None:
    match = _RATE.fullmatch(text)
    n_frames = float(match[0]) if match and len(match[0]) < 40 else 0.0
    return int(n_frames) if 1 <= n_frames <= MAX_DURATION_S * fs_hz else None
