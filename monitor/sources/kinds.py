"""From a name to its source: files by their content, live ones by `SCHEME:REST`, `-` for a pipe.

What ships is in the two tables here, by name, and is imported when it is needed. What other
packages add are entry points, tried after ours:

    [project.entry-points."ecg_monitor.formats"]    NAME = "package.module:FORMAT"   a FileFormat
    [project.entry-points."ecg_monitor.live"]       SCHEME = "package.module:KIND"   a LiveKind
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from monitor.errors import RecordError
from monitor.sources.listing import listing
from monitor.sources.missing_record import shown, why_no_record
from monitor.sources.source import (
    HEAD_BYTES,
    FileFormat,
    LiveKind,
    LiveSource,
    RecordFile,
    SourceOptions,
)

FORMATS_GROUP, LIVE_GROUP = "ecg_monitor.formats", "ecg_monitor.live"
FORMATS = {  # in the order in which they are tried; a WFDB record is recognised by its header
    "WFDB": "monitor.sources.wfdb_record:FORMAT",
    "EDF/BDF": "monitor.sources.edf:FORMAT",
    "NumPy .npy": "monitor.sources.npy:FORMAT",
    "CSV/TSV": "monitor.sources.csv_file:FORMAT",
}
LIVE: Mapping[str, str] = {
    "brainflow": "monitor.sources.brainflow_board:LIVE",
    "lsl": "monitor.sources.lsl:LIVE",
    "polar": "monitor.sources.polar:LIVE",
    "push": "monitor.sources.push:LIVE",
    "serial": "monitor.sources.serial_lines:LIVE",
    "stdin": "monitor.sources.pipe:LIVE",
    "tcp": "monitor.sources.tcp_lines:LIVE",
    "ws": "monitor.sources.ws_lines:LIVE",
    "wss": "monitor.sources.ws_lines:SECURE",
}
PIPE = "-"  # standard input
PIPE_SCHEME = "stdin"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{1,30}):(.*)", re.DOTALL)  # one letter is a drive


def is_live(name: str) -> bool:
    """Return whether a name is that of a live source; nothing is opened or imported for it."""
    return _split(name) is not None


def cannot_wait(name: str) -> bool:
    """Return whether samples are lost where nobody takes them in time."""
    split = _split(name)
    return split is not None and not live_kind(split[0]).waits


def open_live(name: str, options: SourceOptions) -> LiveSource:
    """Open a live source.

    Raises
    ------
    RecordError
        If it is none, cannot be reached within `OPEN_S`, or the extra that it needs is missing.
    """
    split = _split(name)
    if split is None:
        raise RecordError(f"{name!r} is no live source; there are {listing(sorted(schemes()))}")
    scheme, rest = split
    return live_kind(scheme).open(rest, options)


def open_record(path: str | Path, options: SourceOptions | None = None) -> RecordFile:
    """Open a record on disk, whatever its format.

    Parameters
    ----------
    path : str or Path
        A file, or a WFDB record without suffix.

    Raises
    ------
    RecordError
        If there is none, it is of no format that can be read, malformed or shorter than a second,
        or has no such leads.
    """
    options = options or SourceOptions()
    if is_live(str(path)):
        raise RecordError(
            f"{path} is a live source, and a record is needed; keep it as one with "
            f"`ecg-monitor record {path} OUT`"
        )
    return recognised(Path(path)).open(Path(path), options)


def recognised(path: Path) -> FileFormat:
    """Return the format of what lies at a path.

    Raises
    ------
    RecordError
        If nothing does, or nothing that can be read.
    """
    head = _head(path)
    for found in formats():
        if found.recognises(path, head):
            return found
    raise RecordError(why_no_record(path, [one.name for one in formats()]))


def formats() -> Iterator[FileFormat]:
    """Yield all formats, ours first; one of another package that cannot be loaded is left out."""
    for place in FORMATS.values():
        found = _loaded(place)
        assert isinstance(found, FileFormat)
        yield found
    for point in _points(FORMATS_GROUP).values():
        try:
            foreign = point.load()
        except Exception:  # noqa: S112  whatever another package raises
            continue
        if isinstance(foreign, FileFormat):
            yield foreign


def schemes() -> list[str]:
    """Return the schemes of all live sources."""
    return list({**LIVE, **_points(LIVE_GROUP)})


def live_kind(scheme: str) -> LiveKind:
    """Return a kind of live source.

    Raises
    ------
    RecordError
        If it cannot be loaded.
    """
    point = _points(LIVE_GROUP).get(scheme)
    try:
        found = _loaded(LIVE[scheme]) if scheme in LIVE or point is None else point.load()
    except Exception as error:  # whatever another package raises
        raise RecordError(
            f"source {scheme}: its package cannot be loaded ({error}); install it anew"
        ) from error
    if not isinstance(found, LiveKind):
        raise RecordError(f"source {scheme}: its entry point is no LiveKind; ask its package")
    return found


def _split(name: str) -> tuple[str, str] | None:
    """Return scheme and rest of a live source's name; None if it is none."""
    if name == PIPE:
        return PIPE_SCHEME, ""
    match = _SCHEME.fullmatch(name)
    if match is None or match[1] not in schemes():
        return None
    return match[1], match[2]


def _loaded(place: str) -> object:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


@cache
def _points(group: str) -> dict[str, EntryPoint]:
    return {one.name: one for one in entry_points(group=group)}


def _head(path: Path) -> bytes:
    """Return the first bytes of a file; none where there is none."""
    if not path.is_file():
        return b""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise RecordError(f"{shown(path)} cannot be read: {error.strerror}") from error
