"""Who leads the run in a journal: a lock of one process, which those it starts do not share.

Beside the run's own lock (`monitor.journal.lock`), which is free only when all processes of a run
have gone. That one may stay held for some seconds after a run was killed, until its stages have
noticed, and is worth waiting for. This one is free at once, so who finds it held need not wait:
another monitor is at work.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from monitor.errors import JournalFailed
from monitor.journal.lock import WAIT_S, lock_path, locked, require_one_name

LEAVES_S = 1.0  # for a monitor that is just ending
LOOK_AGAIN_S = 0.05


def leader_path(journal: Path) -> Path:
    """Return the file that the process which leads a run has locked."""
    lock = lock_path(journal)
    return lock.with_name(f"{lock.name}-leader")


def is_led(journal: Path) -> bool:
    """Tell whether a monitor leads a run in a journal now."""
    try:
        held = os.open(leader_path(journal), os.O_RDWR)
    except OSError:  # nobody ever did, or who may not command it asks
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(held)


@contextlib.contextmanager
def led(
    journal: Path, tell: Callable[[str], None], leaves_s: float = LEAVES_S, wait_s: float = WAIT_S
) -> Iterator[int]:
    """Lead a run in a journal; the value is the lock's descriptor that its processes inherit.

    Parameters
    ----------
    tell : callable
        Told when processes of a run that was killed have not left after `leaves_s`.

    Raises
    ------
    JournalFailed
        If another monitor leads a run in it, or processes of one that was killed do not leave in
        `wait_s`, or there is no place for the lock, or the journal is a folder or has hard links.
    """
    require_one_name(journal)  # before anything lies beside it
    with contextlib.ExitStack() as stack:
        stack.enter_context(_leading(journal, leaves_s))
        yield stack.enter_context(_locked_in_time(journal, tell, leaves_s, wait_s))


@contextlib.contextmanager
def _locked_in_time(
    journal: Path, tell: Callable[[str], None], leaves_s: float, wait_s: float
) -> Iterator[int]:
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(locked(journal, leaves_s))
        except JournalFailed:
            tell(f"{journal}: waiting for the processes of a run that was killed to leave")
            lock = stack.enter_context(locked(journal, wait_s))
        yield lock


@contextlib.contextmanager
def _leading(journal: Path, leaves_s: float) -> Iterator[None]:
    path = leader_path(journal)
    try:
        held = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise JournalFailed(
            f"{journal}: cannot be opened ({error.strerror}); name another file"
        ) from error
    try:
        _lock(held, journal, time.monotonic() + leaves_s)
        os.ftruncate(held, 0)
        os.write(held, f"{os.getpid()}\n".encode())  # for people; nobody decides by it
        yield
    finally:
        os.close(held)


def _lock(held: int, journal: Path, deadline_s: float) -> None:
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() < deadline_s:
                time.sleep(LOOK_AGAIN_S)
                continue
            pid = os.pread(held, 20, 0).decode(errors="replace").strip()
            who = f"another monitor (process {pid})" if pid.isdecimal() else "another monitor"
            raise JournalFailed(
                f"{journal} is in use by {who}; stop that one or name another file"
            ) from error
        else:
            return
