"""What the program notes down of itself: Python's logging, one file a run.

A run's three stages append to the same file what they write to standard error, so that a traceback,
or what a library wrote before it crashed, is there when the process is gone. The file lies beside
the journal, or else in the state folder, or where `--log` says; one that stayed empty is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sys
import time
from collections.abc import Iterator
from logging.handlers import WatchedFileHandler
from pathlib import Path

import platformdirs

from monitor.errors import InvalidOption

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s[%(process)d] %(message)s"
DATE_FORMAT = "%Y-%m-%dT%H:%M:%S"
MAX_BYTES = 10_000_000  # a longer file is put aside, as `.1`, when a run begins
KEPT_FILES = 20  # in the state folder, beside those of runs that go on

OWN = logging.getLogger("monitor")


def state_folder() -> Path:
    """Return the folder of logs that have no journal to lie beside."""
    return platformdirs.user_state_path("ecg-monitor") / "log"


@contextlib.contextmanager
def run_log(
    given: Path | None, journal: Path | None, spare: Path, *, verbose: bool = False
) -> Iterator[Path]:
    """Note down a run; the value is the file, to which its stages append too.

    Parameters
    ----------
    given : Path or None
        Where a person wants it.
    journal : Path or None
        The journal that was named, to lie beside.
    spare : Path
        Where it lies when nobody said where, and neither of the usual places can be written.

    Raises
    ------
    InvalidOption
        If the file that was given cannot be written.
    """
    path = given or _usual_path(journal)
    try:
        note_to_file(path, verbose=verbose)
    except InvalidOption:
        if given is not None:
            raise
        path = spare
        note_to_file(path, verbose=verbose)
    try:
        yield path
    finally:
        stop_noting()
        _remove_unused(path)


def _usual_path(journal: Path | None) -> Path:
    if journal is not None:
        return journal.with_name(f"{journal.name}.log")
    began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return state_folder() / f"run-{began}-{os.getpid()}.log"


def note_to_file(path: Path, *, verbose: bool = False) -> None:
    """Have this process append to a file: warnings, or with `verbose` every step.

    Raises
    ------
    InvalidOption
        If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))  # for us alone
        handler = WatchedFileHandler(path)  # begins the file anew when it was removed
        if handler.stream is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(handler.stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        raise InvalidOption(
            f"the log {path} cannot be written ({error.strerror}); name another with --log"
        ) from error
    _note_with(handler, verbose=verbose)


def note_to_stderr(*, verbose: bool = False) -> None:
    """Have this process write to standard error: warnings, or with `verbose` every step."""
    _note_with(logging.StreamHandler(sys.stderr), verbose=verbose)


def _note_with(handler: logging.Handler, *, verbose: bool) -> None:
    formatter = logging.Formatter(FORMAT, DATE_FORMAT)
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.raiseExceptions = False  # a full disk is no reason to write over the live view
    OWN.addHandler(handler)
    OWN.propagate = False
    OWN.setLevel(logging.DEBUG if verbose else logging.WARNING)


def stop_noting() -> None:
    """Close what `note_to_file` and `note_to_stderr` opened."""
    for handler in list(OWN.handlers):
        OWN.removeHandler(handler)
        handler.close()
    OWN.propagate = True


def _remove_unused(path: Path) -> None:
    """Remove a log in which nothing stands, and the oldest of those in the state folder."""
    with contextlib.suppress(OSError):
        if path.is_file() and path.stat().st_size == 0:
            path.unlink()
    with contextlib.suppress(OSError):
        kept = sorted(state_folder().glob("run-*.log"), key=lambda one: one.stat().st_mtime)
        for old in kept[:-KEPT_FILES]:
            with contextlib.suppress(BlockingIOError), old.open("ab") as log:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails where its run goes on
                old.unlink()


def keep_traceback(error: BaseException) -> Path | None:
    """Append the traceback of an error that nobody expected; the file, or None if none can be."""
    files = [one for one in OWN.handlers if isinstance(one, WatchedFileHandler)]
    try:
        if not files:
            note_to_file(state_folder() / "errors.log")
            files = [one for one in OWN.handlers if isinstance(one, WatchedFileHandler)]
        OWN.critical("an error that nobody expected", exc_info=error)
    except InvalidOption:
        return None
    return Path(files[0].baseFilename)
