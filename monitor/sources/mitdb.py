"""The MIT-BIH Arrhythmia Database, known by its records, not by their numbers alone."""

from __future__ import annotations

import re
from pathlib import Path

from monitor.errors import RecordError
from monitor.sources.record_timing import read_timing
from monitor.text_file import unmarked

PACED = frozenset({"102", "104", "107", "217"})  # which AAMI leaves out
FS_HZ = 360.0
N_FRAMES = 650_000  # of each of its records; no other database has such
MAX_LIST_BYTES = 1 << 20
# As its archive is called, and as a copy may be: mitdb, mitdb-1.0.0, mit-bih-arrhythmia-database.
_FOLDER = re.compile(r"(mitdb|mit[-_ ]?bih[-_ ]arrhythmia[-_ ]database)([-_ .]?[\d.]+)?", re.I)
# Its first and its last record, its paced ones, and one that no other database has.
_LISTED = PACED | {"100", "208", "234"}


def is_paced_mitdb(path: Path) -> bool:
    """Return whether a record is one of MIT-BIH's four with a pacemaker.

    Its name and its rate must be theirs; and its length, the list of records beside it, or the
    folder's name identify the database.

    Parameters
    ----------
    path : Path
        The record, without suffix.
    """
    if path.name not in PACED:
        return False
    try:
        timing = read_timing(path)
    except RecordError:
        return False
    if timing.fs_hz != FS_HZ:
        return False
    folder = path.absolute().parent
    return (
        timing.n_frames == N_FRAMES
        or any(_FOLDER.fullmatch(part) for part in folder.parts[-2:])
        or _listed(folder / "RECORDS") >= _LISTED
    )


def _listed(file: Path) -> set[str]:
    """Return the records that a database's list names; none where there is no list."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_LIST_BYTES)
    except OSError:
        return set()
    return set(unmarked(content).decode("ascii", errors="replace").split())
