"""Alerts handed on to a command or a web address, by a subscriber.

A subscriber is a process of its own: what waits here, waits here alone, and the monitor neither
blocks nor forgets. Each alert is tried some times, each time within a limit; what fails all the
same is counted and reported, and the alert stays in the journal and in the subscriber's inbox.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shlex
import signal
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from monitor.errors import InvalidOption
from monitor.plain import json_line
from monitor.wire.messages import Alert, Message, Technical

LIMIT_S = 10.0  # for one try
TRIES = 3
MAX_LEFT_BEHIND = 4  # tries that a server still trickles answers to


class DeliveryFailed(Exception):
    """One try failed; the text describes how."""


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
        try:
            process = subprocess.Popen(
                self._words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise DeliveryFailed(error.strerror or str(error)) from error
        with process, _killed_unless_done(process):
            try:
                process.communicate(f"{line}\n".encode(), timeout=self._limit_s)
            except subprocess.TimeoutExpired as error:
                raise DeliveryFailed(f"did not end within {self._limit_s:g} s") from error
        if process.returncode:
            raise DeliveryFailed(f"exit code {process.returncode}")


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

    Parameters
    ----------
    targets : sequence of Target
    notice : callable
        Tells a person what failed.
    """

    def __init__(self, targets: Sequence[Target], notice: Callable[[str], None]) -> None:
        self._targets = targets
        self._notice = notice
        self.delivered = 0
        self.failed = 0

    def take(self, message: Message) -> None:
        """Hand on an alert or a technical alert; anything else is passed over."""
        if isinstance(message, Alert | Technical):
            for target in self._targets:
                self._deliver(target, json_line(message), message)

    def _deliver(self, target: Target, line: str, message: Alert | Technical) -> None:
        reason = ""
        for _ in range(TRIES):
            try:
                target.send(line)
            except DeliveryFailed as error:
                reason = str(error)
            else:
                self.delivered += 1
                return
        self.failed += 1
        self._notice(
            f"{target}: alert {message.id} could not be handed on ({reason}); "
            f"{self.failed} failed, {self.delivered} delivered"
        )
