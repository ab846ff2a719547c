"""A run's private folder: made, locked, and removed by who holds its lock.

Whether the owner of a folder still lives is asked of its lock, not of a process number: that means
nothing to a container that shares the folder, and is another process's after a while. The lock lies
on the folder itself, so there is no moment in which the folder has no lock's file; and systemd's
cleaning of temporary folders passes over those that are locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from monitor.run.short_folder import base_folder

FOLDER_PREFIX = "ecgm-"  # short: a socket's path has about 100 bytes, and macOS takes half

MARK = "owner-holds-lock"  # a file in it: that it has no lock means something (in 0.1 it did not)


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """Make a private folder for one run's sockets, and remove it, and those of the killed."""
    base = base_folder()
    _remove_left_behind(base)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-", dir=base))
        lock = _locked(folder)
        if lock is not None:  # otherwise another run has just taken it for one left behind
            break
    (folder / MARK).touch()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_left_behind(base: Path) -> None:
    for mark in base.glob(f"{FOLDER_PREFIX}*/{MARK}"):
        folder = mark.parent
        lock = _locked(folder)  # another user's cannot be: it is not ours
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """Lock a folder; the descriptor that holds the lock, None if another has it or it is gone."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), folder.stat()):
            return lock
    except OSError:  # held; or removed meanwhile; or a file system without locks
        pass
    os.close(lock)
    return None
