"""Which records were asked for, where a folder stands for those in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from monitor.errors import InvalidOption, RecordError
from monitor.offline.workers import Shard
from monitor.sources.missing_record import folders_below, where_records_are
from monitor.sources.wfdb_record import list_records
from monitor.text import other_names


def chosen_records(folder: Path, wanted: Collection[str], shard: Shard | None = None) -> list[str]:
    """Return the names of a folder's records in order, of those wanted; none is all.

    Of a shard, its part of them.

    Raises
    ------
    InvalidOption
        If the folder has no records, or lacks one that is wanted.
    """
    there = list_records(folder)
    if not there:
        raise InvalidOption(where_records_are(folder))
    unknown = set(wanted) - set(there)
    if unknown:
        name = min(unknown)
        raise InvalidOption(f"{folder} has no record {name}; {other_names(name, there)}")
    names = [name for name in there if not wanted or name in wanted]
    return names if shard is None else shard.part(names)


def with_those_of_folders(records: Iterable[str | Path]) -> tuple[list[str], dict[str, str]]:
    """Put the records of a folder in the folder's place.

    A folder that holds none itself stands for those of its folders. Returned with them is why a
    folder gives none, by its name.
    """
    names: list[str] = []
    failed: dict[str, str] = {}
    for record in records:
        if not Path(record).is_dir():
            names.append(str(record))
            continue
        try:
            names += records_of(Path(record))
        except RecordError as error:
            failed[str(record)] = str(error)
    return names, failed


def records_of(folder: Path) -> list[str]:
    """Return the records of a folder, or, where it holds none itself, of the folders in it.

    Raises
    ------
    RecordError
        If there are none.
    """
    names = [str(folder / name) for name in list_records(folder)]
    if not names:
        names = [str(one / name) for one in folders_below(folder) for name in list_records(one)]
    if not names:
        raise RecordError(where_records_are(folder))
    return names
