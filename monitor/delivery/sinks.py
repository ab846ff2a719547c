"""Alerts handed on to a command or a web address, by a subscriber.

A subscriber is a process of its own: what waits here, waits here alone, and the monitor neither
blocks nor forgets. Each alert is tried some times, each time within a limit; what fails all the
same is shown with its error once, then counted; the alert stays in the journal and in the
subscriber's inbox.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shlex
import signal
import subprocess
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from monitor.errors import InvalidOption
from monitor.plain import json_line
from monitor.wire.messages import Alert, Message, Technical

LIMIT_S = 10.0  # for one try
TRIES = 3
MAX_ERROR_BYTES = 4096  # looked at, of what a command wrote
MAX_LEFT_BEHIND = 4  # tries that a server still trickles answers to


class DeliveryFailed(Exception):
    """One try failed; the text describes how, `detail` what the command wrote, if anything."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.detail = detail


class Target(Protocol):
    """Where alerts are handed on to."""

    def send(self, line: str) -> None:
        """Hand on one alert as JSON; DeliveryFailed if that could not be done in time."""
        ...


class Command:
    """A command that gets one alert as JSON on its standard input; no shell is involved."""

    def __init__(self, line: str, limit_s: float = LIMIT_S) -> None:
        try:
            self._words = shlex.split(line)
        except ValueError as error:
            raise InvalidOption(
                f"--on-alert {line!r} cannot be split into words: {error}; check its quotes"
            ) from error
        if not self._words:
            raise InvalidOption("--on-alert is empty; give a command, such as 'notify-send alert'")
        self._limit_s = limit_s

    def __str__(self) -> str:
        return self._words[0]

    def send(self, line: str) -> None:
        """Run the command once; it is killed with all it started when it is not waited for."""
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
            with process, _killed_unless_done(process):
                try:
                    process.communicate(f"{line}\n".encode(), timeout=self._limit_s)
                except subprocess.TimeoutExpired as error:
                    reason = f"did not end within {self._limit_s:g} s"
                    raise DeliveryFailed(reason, _last_line(errors)) from error
            if process.returncode:
                raise DeliveryFailed(_how_it_ended(process.returncode), _last_line(errors))


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
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


class Webhook:
    """A web address that gets one alert as the JSON body of a POST; redirects are failures."""

    def __init__(self, url: str, limit_s: float = LIMIT_S) -> None:
        try:
            parts = urllib.parse.urlsplit(url)
        except ValueError as error:
            raise InvalidOption(
                f"--webhook {url!r} is not an address: {error}; write https://host/path"
            ) from error
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable():
            raise InvalidOption(
                f"--webhook {url!r} is not an http or https address; write https://host/path"
            )
        self._url = url
        self._name = parts.hostname  # a token may be in the path
        self._limit_s = limit_s
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._silent = f"no answer in {limit_s:g} s"
        self._left_behind: list[threading.Thread] = []

    def __str__(self) -> str:
        return self._name

    def send(self, line: str) -> None:
        """Post once; a server that trickles its answer is given up after the limit, too."""
        self._left_behind = [one for one in self._left_behind if one.is_alive()]
        if len(self._left_behind) >= MAX_LEFT_BEHIND:
            raise DeliveryFailed(f"{MAX_LEFT_BEHIND} earlier tries still wait for an answer")
        outcome: list[str] = []
        # A socket's time limit is for each of its reads: the thread is left behind instead.
        thread = threading.Thread(target=self._post, args=(line, outcome), daemon=True)
        thread.start()
        thread.join(self._limit_s)
        if not outcome:
            self._left_behind.append(thread)
            raise DeliveryFailed(self._silent)
        if outcome[0]:
            raise DeliveryFailed(outcome[0])

    def _post(self, line: str, outcome: list[str]) -> None:
        request = urllib.request.Request(  # noqa: S310  http or https only, see above
            self._url, line.encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with self._opener.open(request, timeout=self._limit_s):
                outcome.append("")
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            is_silent = isinstance(reason, TimeoutError)
            outcome.append(self._silent if is_silent else str(reason) or type(error).__name__)
        except http.client.HTTPException as error:
            outcome.append(f"no proper answer ({type(error).__name__})")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *given: object) -> None:
        return None


class Delivery:
    """Hands alerts on, one after the other, and counts.

    A target's first failure of a kind is reported with its error. Further ones are counted; the
    count is reported at 10, 100, 1,000 and so on, when the target takes alerts again, and at the
    end.

    Parameters
    ----------
    targets : sequence of Target
    notice : callable
        Shows a person what failed.
    """

    def __init__(self, targets: Sequence[Target], notice: Callable[[str], None]) -> None:
        self._targets = targets
        self._notice = notice
        self._troubles = [_Trouble() for _ in targets]
        self.delivered = 0
        self.failed = 0

    def finish(self) -> None:
        """Report how many failures were counted since the last report."""
        for target, trouble in zip(self._targets, self._troubles, strict=True):
            if trouble.untold:
                self._tell_count(target, trouble)

    def take(self, message: Message) -> None:
        """Hand on an alert or a technical alert; anything else is passed over."""
        if isinstance(message, Alert | Technical):
            for target, trouble in zip(self._targets, self._troubles, strict=True):
                self._deliver(target, trouble, json_line(message), message)

    def _deliver(
        self, target: Target, trouble: _Trouble, line: str, message: Alert | Technical
    ) -> None:
        failure = DeliveryFailed("")
        for _ in range(TRIES):
            try:
                target.send(line)
            except DeliveryFailed as error:
                failure = error
            else:
                self.delivered += 1
                trouble.delivered += 1
                if trouble.untold:
                    self._tell_count(target, trouble)
                return
        self.failed += 1
        trouble.failed += 1
        reason = str(failure)
        if reason not in trouble.told:
            trouble.told.add(reason)
            detail = f": {failure.detail}" if failure.detail else ""
            self._notice(
                f"{target}: alert {message.id} could not be handed on ({reason}{detail}); "
                "further failures of this kind are counted"
            )
            return
        trouble.untold += 1
        if trouble.failed >= trouble.tell_at:
            self._tell_count(target, trouble)

    def _tell_count(self, target: Target, trouble: _Trouble) -> None:
        trouble.untold = 0
        while trouble.tell_at <= trouble.failed:
            trouble.tell_at *= 10
        self._notice(
            f"{target}: {trouble.failed} alerts could not be handed on, {trouble.delivered} were"
        )


@dataclass
class _Trouble:
    """What a target failed at so far."""

    failed: int = 0
    delivered: int = 0
    untold: int = 0  # failures since the last word on them
    tell_at: int = 10
    told: set[str] = field(default_factory=set)  # kinds of failures
