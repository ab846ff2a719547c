"""Why a name is no record, and which name is meant, from the files that lie there."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from monitor.errors import RecordError
from monitor.sources.listing import listing
from monitor.sources.wfdb_header import header_names, read_header

HEADER = ".hea"
FILE_SUFFIXES = (".edf", ".bdf", ".csv", ".tsv", ".npy")  # of what is probably a record
MAX_FOLDERS = 1000  # looked into, to find out where records lie
MAX_HEADERS = 200  # read, to find out whose file it is


def why_no_record(path: Path, formats: Sequence[str] = ("WFDB",)) -> str:
    """Return why there is no record at `path`, and what to name instead.

    Parameters
    ----------
    path : Path
        As a person named it, perhaps with a suffix; there is no header of this name.
    formats : sequence of str
        What was looked for.
    """
    if path.is_dir():
        return _of_folder(path)
    if path.exists():
        return _of_file(path, formats)
    scheme, colon, _ = path.parts[0].partition(":") if path.parts else ("", "", "")
    if colon and len(scheme) > 1:  # one letter is a drive
        return (
            f"{path} is neither a file nor a live source ({scheme}: is unknown); "
            "`ecg-monitor sources` lists those"
        )
    if not path.parent.is_dir():
        return f"record {shown(path)}: there is no folder {shown(path.parent)}"
    alike = sorted(one.name for one in path.parent.glob(f"{glob.escape(path.name)}.*"))
    if alike:
        return f"no record {shown(path)}: there is {listing(alike)}, but no {path.name}{HEADER}"
    names = list(header_names(path.parent))
    held = listing(names) if names else "no records"
    return f"record {shown(path)} does not exist; {shown(path.parent)} holds {held}"


def where_records_are(folder: Path, suffix: str = HEADER) -> str:
    """Return, of a folder that holds no file of a suffix, which of its folders does."""
    kind = "records" if suffix == HEADER else f"{suffix} files"
    first = next(folders_below(folder, suffix), None)
    if first is None:
        return f"{shown(folder)} holds no {kind} (*{suffix}), nor do its folders"
    return f"{shown(folder)} holds no {kind} itself; its folder {shown(first)} does: name that"


def folders_below(folder: Path, suffix: str = HEADER) -> Iterator[Path]:
    """Yield the folders in a folder, at any depth, that hold files of a suffix; in order."""
    walk = os.walk(folder)  # it does not follow links
    next(walk, None)
    for name, folders, files in walk:
        folders.sort()
        if any(file.endswith(suffix) for file in files):
            yield Path(name)


def shown(path: Path) -> str:
    """Return a path as a person would name it from here."""
    try:
        near = path.absolute().relative_to(Path.cwd())
    except (ValueError, OSError):  # elsewhere, or the folder we are in is gone
        return str(path)
    return str(near)


def _of_folder(folder: Path) -> str:
    names = list(header_names(folder))
    if names:
        return (
            f"{shown(folder)} is a folder; it holds {listing(names)}: name one, such as "
            f"{shown(folder / names[0])}"
        )
    files = sorted(one.name for one in folder.iterdir() if one.suffix.lower() in FILE_SUFFIXES)
    if files:
        return (
            f"{shown(folder)} is a folder that holds no WFDB records; it holds {listing(files)}: "
            f"name one, such as {shown(folder / files[0])}"
        )
    first = next(islice(folders_below(folder), 1), None)
    if first is None:
        return f"{shown(folder)} is a folder that holds no records (*{HEADER})"
    name = next(header_names(first))
    return (
        f"{shown(folder)} is a folder that holds no records itself, its folder {shown(first)} "
        f"does: name one, such as {shown(first / name)}"
    )


def _of_file(path: Path, formats: Sequence[str]) -> str:
    owner = path.with_suffix("") if path.suffix else path
    if path.suffix and owner.with_name(f"{owner.name}{HEADER}").exists():
        return f"{shown(path)} is a file of record {owner.name}: name the record, {shown(owner)}"
    for name in islice(header_names(path.parent), MAX_HEADERS):
        if path.name in _signal_files(path.with_name(name)):
            record = path.with_name(name)
            return f"{shown(path)} is a file of record {name}: name the record, {shown(record)}"
    return (
        f"{shown(path)} is in no format that can be read ({listing(formats)}), nor is there a "
        f"header {owner.name}{HEADER} beside it; docs/SOURCES.md says what each format must hold"
    )


def _signal_files(record: Path) -> set[str]:
    try:
        return {signal.file_name for signal in read_header(record).signals}
    except RecordError:
        return set()
