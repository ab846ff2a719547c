"""One writer a journal, whatever the file is called: a lock for the run, and one for its writer.

The run's lock belongs to an open file that parent and stages share, so it is free only when all of
them have gone: who resumes a run whose parent was killed does not begin while an orphaned stage
still writes. It lies on a file of its own, as closing any handle of the journal's file would drop
SQLite's own locks (POSIX locks are a process's, not a handle's). The file stands beside the
journal's real name, so symbolic links and relative paths lead to the same one.

The writer's lock lies on the journal itself, so other names of the same file (a bind mount) lead
to it too: a lock of the open file description (`F_OFD_SETLK`, Linux), on a byte that SQLite does
not use, which is held until the file is closed. Hard links are refused: SQLite keeps what is
newest in a log that it names after the name that the file was opened by.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from monitor.errors import JournalFailed

WAIT_S = 30.0  # for the stages of a killed run, which may just be loading torch, to leave
WRITER_WAIT_S = 1.0  # for a writer that was killed to be gone
LOOK_AGAIN_S = 0.05
_FAR_BYTE = 1 << 40  # SQLite locks bytes from 1 << 30 on
_HELD_BY_OTHERS = (errno.EACCES, errno.EAGAIN)


def real_path(journal: Path) -> Path:
    """Return the name that all symbolic links and relative paths to a file lead to."""
    return Path(os.path.realpath(journal))


def lock_path(journal: Path) -> Path:
    """Return the file that is locked while a run writes the journal."""
    real = real_path(journal)
    return real.with_name(f"{real.name}-lock")


def read_mark(journal: Path) -> tuple[str, int] | None:
    """Return the identity and the newest number that were noted beside a journal; None if none."""
    try:
        identity, newest = lock_path(journal).read_text("ascii").split()
        return identity, int(newest)
    except (OSError, ValueError):
        return None


class Mark:
    """Which number is the newest, noted beside the journal, in the file of the run's lock.

    An older copy that is put in the journal's place shows by it: SQLite's file alone looks whole.
    The note is written after the commit and is never ahead of the journal.
    """

    def __init__(self, journal: Path) -> None:
        self._file = os.open(lock_path(journal), os.O_RDWR | os.O_CREAT, 0o600)

    def close(self) -> None:
        """Close the file; locks of others on it stay."""
        os.close(self._file)

    def write(self, identity: str, newest: int) -> None:
        """Note the newest number, in the place of what was noted: about 2 us, and no more space."""
        os.pwrite(self._file, f"{identity} {newest:020d}\n".encode(), 0)

    def keep(self) -> None:
        """Have the disk keep what was written."""
        os.fsync(self._file)


def require_one_name(journal: Path) -> None:
    """Raise JournalFailed if it has hard links, or is a folder; none yet is right."""
    try:
        found = journal.stat()
    except OSError:  # who opens it says why
        return
    if stat.S_ISDIR(found.st_mode):  # its links are its folders
        raise JournalFailed(f"journal {journal} is a folder; name a file")
    n_names = found.st_nlink
    if n_names > 1:
        raise JournalFailed(
            f"{journal} is one of {n_names} names (hard links) of the same file, and what is "
            "newest may lie beside another of them; remove the other names, or name a copy (`cp`)"
        )


@contextlib.contextmanager
def writing(journal: Path, wait_s: float = WRITER_WAIT_S) -> Iterator[None]:
    """Hold the writer's lock on a file that exists, whatever its name.

    Raises
    ------
    JournalFailed
        If another process writes the file, or it has hard links.
    OSError
        If it cannot be opened.
    """
    require_one_name(journal)
    held = os.open(journal, os.O_RDWR)
    try:
        _wait_for(lambda: _lock_far_byte(held), journal, time.monotonic() + wait_s)
        yield
    finally:
        os.close(held)


def _lock_far_byte(held: int) -> None:
    """Lock a byte of a file for this open file description; BlockingIOError if another has it."""
    set_lock = getattr(fcntl, "F_OFD_SETLK", None)
    if set_lock is None:  # not on macOS: there the run's lock alone
        return
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _FAR_BYTE, 1, 0)
    try:
        fcntl.fcntl(held, set_lock, asked)
    except OSError as error:
        if error.errno in _HELD_BY_OTHERS:
            raise BlockingIOError(*error.args) from error
        # a file system without such locks


@contextlib.contextmanager
def locked(journal: Path, wait_s: float = WAIT_S) -> Iterator[int]:
    """Hold the journal's lock; the value is the descriptor that the run's processes inherit.

    Raises
    ------
    JournalFailed
        If another run still holds it after `wait_s`, there is no place for the file, or the journal
        has hard links.
    """
    require_one_name(journal)
    try:
        held = os.open(lock_path(journal), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise JournalFailed(
            f"journal {journal} cannot be opened ({error.strerror}); name another file"
        ) from error
    try:
        exclusively = fcntl.LOCK_EX | fcntl.LOCK_NB
        deadline_s = time.monotonic() + wait_s
        _wait_for(lambda: fcntl.flock(held, exclusively), journal, deadline_s)
        yield held
    finally:
        os.close(held)


def _wait_for(lock: Callable[[], None], journal: Path, deadline_s: float) -> None:
    while True:
        try:
            lock()
        except OSError as error:  # nothing tells when a lock becomes free, other than asking again
            if time.monotonic() >= deadline_s:
                raise JournalFailed(
                    f"{journal} is in use by another process; stop that one or name another file"
                ) from error
            time.sleep(LOOK_AGAIN_S)
        else:
            return
