"""A command that is run for each alert."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from monitor.delivery.sinks.sink import LIMIT_S, DeliveryFailed, Rejected
from monitor.errors import InvalidOption
from monitor.plain import json_line
from monitor.wire.messages import Alert, Technical

MAX_ERROR_BYTES = 4096  # looked at, of what a command wrote
OF_A_SHELL = "|&;<>"
TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: what mail programs end with to be asked again later


def _shell_operator(line: str) -> str:
    """Return what stands outside of quotes in a line and only a shell obeys; empty if nothing."""
    words = shlex.shlex(line, posix=False, punctuation_chars=OF_A_SHELL)
    words.whitespace_split = True
    words.commenters = ""
    with contextlib.suppress(ValueError):  # quotes behind a backslash, which split otherwise
        return next((one for one in words if set(one) <= set(OF_A_SHELL)), "")
    return ""


class Command:
    """A command that gets one alert as JSON on its standard input; no shell is involved.

    Exit code 75 asks for the same alert later, however long it takes; after any other but 0 the
    alert is tried a few times.
    """

    def __init__(self, line: str, limit_s: float = LIMIT_S) -> None:
        try:
            self._words = shlex.split(line)
        except ValueError as error:
            raise InvalidOption(
                f"--on-alert {line!r} cannot be split into words: {error}; check its quotes"
            ) from error
        if not any(self._words[:1]):  # none, or an empty one in quotes
            raise InvalidOption("--on-alert is empty; give a command, such as 'notify-send alert'")
        if operator := _shell_operator(line):
            raise InvalidOption(
                f"--on-alert {line!r}: {operator} is a shell's, and none is involved; write "
                "sh -c '…' around it, or name a script"
            )
        self._limit_s = limit_s
        self._process: subprocess.Popen[bytes] | None = None

    def __str__(self) -> str:
        return self._words[0]

    def close(self) -> None:
        """Kill the command that runs, with all it started."""
        process = self._process
        if process is not None:
            _kill_group(process)

    def send(self, message: Alert | Technical) -> None:
        """Run the command once; it is killed with all it started when it is not waited for."""
        line = json_line(message)
        # A file, no pipe: what the command leaves behind may hold it open, and write on.
        with _error_file() as errors:
            try:
                process = subprocess.Popen(
                    self._words,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    start_new_session=True,
                )
            except OSError as error:
                raise DeliveryFailed(error.strerror or str(error)) from error
            self._process = process
            with process, _killed_unless_done(process):
                try:
                    process.communicate(f"{line}\n".encode(), timeout=self._limit_s)
                except subprocess.TimeoutExpired as error:
                    reason = f"did not end within {self._limit_s:g} s"
                    raise Rejected(reason, _last_line(errors)) from error
                finally:
                    self._process = None
            if process.returncode:
                is_refusal = 0 < process.returncode != TRY_AGAIN  # below 0: it was killed
                kind = Rejected if is_refusal else DeliveryFailed
                raise kind(_how_it_ended(process.returncode), _last_line(errors))


def _error_file() -> IO[bytes]:
    """Return a file for what a command writes to standard error; where none can be, it is lost."""
    try:
        return tempfile.TemporaryFile()
    except OSError:  # a full disk keeps no alert from being handed on
        return Path(os.devnull).open("r+b")


def _how_it_ended(returncode: int) -> str:
    return f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"


def _last_line(errors: IO[bytes]) -> str:
    """Return the last line of what a command wrote to standard error: what matters, mostly."""
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - MAX_ERROR_BYTES))
    lines = errors.read(MAX_ERROR_BYTES).decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


@contextlib.contextmanager
def _killed_unless_done(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill the process's group if the block is left early: by its time limit, or by Ctrl-C."""
    try:
        yield
    except BaseException:
        _kill_group(process)
        process.wait()
        raise


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
