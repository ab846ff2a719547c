"""Alerts for what speaks FHIR R4: posted to a server, or as lines of a file."""

from __future__ import annotations

import json
import os
import urllib.parse
from pathlib import Path
from typing import IO

from monitor.delivery.sinks.fhir_resources import identity, resource
from monitor.delivery.sinks.http_post import HttpPost, checked_host
from monitor.delivery.sinks.sink import LIMIT_S, DeliveryFailed, SinkOptions
from monitor.errors import InvalidOption
from monitor.wire.messages import Alert, Technical

MAX_LINE_BYTES = 1 << 16  # looked at, of a file's last line
_OURS = b'{"resourceType":'


def open_fhir(
    text: str, options: SinkOptions | None = None, limit_s: float = LIMIT_S
) -> FhirServer | FhirFile:
    """Open a server's base address, or a file.

    Raises
    ------
    InvalidOption
        If it is neither.
    """
    if "://" in text:
        return FhirServer(text, options, limit_s)
    return FhirFile(Path(text))


class FhirServer:
    """A server, by its base address: each alert is created once, however often it is posted.

    `If-None-Exist` names the alert's identity, so a server that knows conditional create answers a
    repetition with what it has.
    """

    def __init__(
        self, base: str, options: SinkOptions | None = None, limit_s: float = LIMIT_S
    ) -> None:
        checked_host(base, "--fhir")
        parts = urllib.parse.urlsplit(base)
        if parts.query or parts.fragment:
            raise InvalidOption(
                f"--fhir {base[:100]}: give the server's base address, such as "
                "https://host/fhir, without ? and #"
            )
        options = options or SinkOptions()
        self._posts = {
            kind: HttpPost(f"{base.rstrip('/')}/{kind}", "--fhir", options, limit_s)
            for kind in ("DetectedIssue", "Observation")
        }

    def __str__(self) -> str:
        return self._posts["Observation"].host

    def close(self) -> None:
        """Do nothing: a try that waits for its answer ends with the process."""

    def send(self, message: Alert | Technical) -> None:
        """Post once."""
        found = resource(message)
        system, value = identity(message)
        query = urllib.parse.urlencode({"identifier": f"{system}|{value}"})
        headers = {"Content-Type": "application/fhir+json", "If-None-Exist": query}
        self._posts[found["resourceType"]].post(json.dumps(found).encode(), headers)


class FhirFile:
    """A file of one resource a line (NDJSON), to which each alert is appended.

    Raises
    ------
    InvalidOption
        If it cannot be written, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "rb+") as file:
                begins = file.read(len(_OURS))
                if begins and not _OURS.startswith(begins[: len(_OURS)]):
                    raise InvalidOption(
                        f"--fhir {path} holds something else than FHIR resources, a line each; "
                        "give another file"
                    )
                _end_last_line(file)
        except OSError as error:
            raise InvalidOption(f"--fhir {path} cannot be written: {error.strerror}") from error

    def __str__(self) -> str:
        return self._path.name

    def close(self) -> None:
        """Do nothing: the file is open only while a line is written."""

    def send(self, message: Alert | Technical) -> None:
        """Append a line, and return once it is on the disk."""
        line = json.dumps(resource(message), separators=(",", ":")).encode() + b"\n"
        try:
            with self._path.open("ab", buffering=0) as file:
                before = file.tell()
                try:
                    if file.write(line) != len(line):
                        raise OSError(0, "the disk takes no whole line")
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(before)  # half a line is no resource
                    raise
        except OSError as error:
            raise DeliveryFailed(error.strerror or str(error)) from error


def _end_last_line(file: IO[bytes]) -> None:
    """Remove the beginning of a line that a process left which was killed; it comes again."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - MAX_LINE_BYTES))
    tail = file.read().rpartition(b"\n")[2]
    if not tail:
        return
    try:
        json.loads(tail)
    except ValueError:
        if _OURS.startswith(tail[: len(_OURS)]):
            file.truncate(size - len(tail))
    else:
        file.write(b"\n")
