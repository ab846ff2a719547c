"""One writer a journal: a lock that a run's parent takes and its stages inherit.

The lock belongs to the open file that parent and stages share, so it is free only when all of
them have gone: who resumes a run whose parent was killed does not begin while an orphaned stage
still writes. It lies on a file of its own, as closing any handle of the journal's file would drop
SQLite's own locks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from monitor.errors import JournalFailed

WAIT_S = 30.0  # for the stages of a killed run, which may just be loading torch, to leave
LOOK_AGAIN_S = 0.05


def lock_path(journal: Path) -> Path:
    """Return the file that is locked while a run writes the journal."""
    return journal.with_name(f"{journal.name}-lock")


@contextlib.contextmanager
def locked(journal: Path, wait_s: float = WAIT_S) -> Iterator[int]:
    """Hold the journal's lock; the value is the descriptor that the run's processes inherit.

    Raises
    ------
    JournalFailed
        If another run still holds it after `wait_s`, or the file cannot be made.
    """
    try:
        held = os.open(lock_path(journal), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise JournalFailed(
            f"journal {journal} cannot be opened ({error.strerror}); name another file"
        ) from error
    try:
        _wait_for(held, journal, time.monotonic() + wait_s)
        yield held
    finally:
        os.close(held)


def _wait_for(held: int, journal: Path, deadline_s: float) -> None:
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:  # nothing tells when a lock becomes free, other than asking again
            if time.monotonic() >= deadline_s:
                raise JournalFailed(
                    f"{journal} is in use by another process; stop that one or name another file"
                ) from error
            time.sleep(LOOK_AGAIN_S)
        else:
            return
