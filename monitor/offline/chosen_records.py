"""Which records of a folder an evaluation was asked for."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from monitor.errors import InvalidOption
from monitor.offline.workers import Shard
from monitor.sources.missing_record import where_records_are
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
