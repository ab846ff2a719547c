"""Whether a database that is open still stands under its name: SQLite does not look.

It writes on into a file that was removed, moved or replaced, and all of that is gone when the last
process closes it. Its log (`-wal`) holds what is newest; who opens the database without it sees an
older one.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Literal

from monitor.journal.lock import real_path

Loss = Literal["", "removed", "replaced"]
Identity = tuple[int, int]


class OwnFiles:
    """The files of a database of ours, as they were when it was opened.

    Parameters
    ----------
    path : Path
        Of a database that is open, and has been written.
    """

    def __init__(self, path: Path) -> None:
        self._file = real_path(path)
        self._log = self._file.with_name(f"{self._file.name}-wal")
        self._index = self._file.with_name(f"{self._file.name}-shm")
        self._was, self._log_was = _identity(self._file), _identity(self._log)

    def loss(self) -> Loss:
        """Say what became of the file: removed or moved, or another lies there; 3 us.

        Without its log it counts as removed: its newest part was.
        """
        now = _identity(self._file)
        if now not in (None, self._was):
            return "replaced"
        has_log = self._log_was is None or _identity(self._log) == self._log_was
        return "removed" if now is None or not has_log else ""

    def write_again(self, database: sqlite3.Connection) -> None:
        """Write all that the open database holds under its name; it must be opened anew then.

        Raises
        ------
        OSError, sqlite3.Error
            If it cannot be written; then all is as it was.
        """
        copy = self._file.with_name(f"{self._file.name}-again")
        copy.unlink(missing_ok=True)
        try:
            copy.touch(mode=0o600)
            database.execute("VACUUM INTO ?", (str(copy),))
            with copy.open("rb") as written:
                os.fsync(written.fileno())
            for old in (self._log, self._index):  # not of the copy: it would be read into it
                old.unlink(missing_ok=True)
            copy.replace(self._file)
        finally:
            copy.unlink(missing_ok=True)


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
