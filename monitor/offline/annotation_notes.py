"""What `annotate` notes beside its files, so that a stopped run continues where it was.

    OUT/<record>.qrs, .alm          what people want
    OUT/.annotated/<record>.json    of what they were made, and their hashes; written last

A record is done where a note holds the same settings and the same files of the record, and its
annotations are still those that were written. Anything else, a damaged note too, is done again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from monitor.offline.address import Address
from monitor.offline.elsewhere import make_folder, read_whole, write_files
from monitor.offline.evaluation.beats_report import MAX_ANNOTATION_BYTES
from monitor.offline.output_files import named
from monitor.offline.store import Unreachable

FOLDER = ".annotated"
MAX_NOTE_BYTES = 1 << 16
FORMAT = 3  # rises when the same settings give other annotations


class Note(msgspec.Struct, frozen=True):
    """What was made of one record.

    Attributes
    ----------
    settings, source : str
        Digests of the settings, and of name, size and time of change of the record's files.
    files : dict
        Hash of each annotation file, by its extension.
    n_beats, n_withheld, n_anomalies, signal_s, leads, warnings
        As in `Annotated`.
    """

    settings: str
    source: str
    files: dict[str, str]
    n_beats: int
    n_withheld: int
    n_anomalies: int | None
    signal_s: float
    leads: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def settings_digest(settings: Mapping[str, str | int | float | Sequence[str | int] | None]) -> str:
    """Return the identity of settings."""
    return hashlib.sha256(msgspec.json.encode([FORMAT, sorted(settings.items())])).hexdigest()


def source_digest(files: Iterable[Path]) -> str:
    """Return what changes when a record's files do; OSError if one is missing."""
    states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(msgspec.json.encode(states)).hexdigest()


def hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the hash of each file's content."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def write_note(out: Path | Address, record: str, note: Note) -> None:
    """Keep a note of annotations that are in their places."""
    folder, content = out / FOLDER, msgspec.json.encode(note)
    if isinstance(folder, Address):
        make_folder(folder)
        write_files(folder, {f"{record}.json": content})
        return
    with named(folder / f"{record}.json"):
        folder.mkdir(exist_ok=True)
        beside = folder / f"{record}.new"
        beside.write_bytes(content)
        beside.replace(folder / f"{record}.json")


def valid_note(out: Path | Address, record: str, settings: str, source: str) -> Note | None:
    """Return the note of a record that is done, with these settings; None if it is not."""
    note = _read(out / FOLDER / f"{record}.json")
    if note is None or (note.settings, note.source) != (settings, source):
        return None
    try:
        found = hashes({name: _content(out / f"{record}.{name}") for name in note.files})
    except (OSError, ValueError, Unreachable):  # a name with a zero in it
        return None
    return note if found == note.files else None


def _read(file: Path | Address) -> Note | None:
    try:
        return msgspec.json.decode(_content(file, MAX_NOTE_BYTES), type=Note)
    except (OSError, Unreachable, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _content(file: Path | Address, most_bytes: int = MAX_ANNOTATION_BYTES) -> bytes:
    if isinstance(file, Address):
        return read_whole(file, most_bytes)
    with file.open("rb") as opened:
        return opened.read(most_bytes + 1)
