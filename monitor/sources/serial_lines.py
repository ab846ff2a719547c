"""Lines on a serial line: `ecg-monitor replay serial:/dev/ttyUSB0@115200 --fs 250`.

By termios, which Linux and macOS have. Nothing is sent to the board.
"""

from __future__ import annotations

import os
import select
import termios
import tty
from functools import partial
from pathlib import Path

from monitor.errors import RecordError
from monitor.sources.inbox import Received, SampleInbox
from monitor.sources.line_connection import LineConnection, receive_lines
from monitor.sources.source import LiveKind, LiveSource, SourceOptions

BAUD = 115_200  # what most boards are set to
READ_BYTES = 4096
PORTS = ("ttyUSB*", "ttyACM*", "tty.usb*", "rfcomm*")


class SerialLine:
    """A serial device, raw, as long as it is plugged in."""

    def __init__(self, path: str, baud: int) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            tty.setraw(self._descriptor, termios.TCSANOW)
            settings = termios.tcgetattr(self._descriptor)
            settings[4] = settings[5] = getattr(termios, f"B{baud}")
            termios.tcsetattr(self._descriptor, termios.TCSANOW, settings)
        except termios.error as error:
            os.close(self._descriptor)
            raise OSError(*error.args) from error

    def read(self, wait_s: float) -> bytes:
        """Return what came."""
        if not select.select([self._descriptor], [], [], wait_s)[0]:
            return b""
        text = os.read(self._descriptor, READ_BYTES)
        if not text:
            raise ConnectionResetError("it was unplugged")
        return text

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


def device(rest: str) -> tuple[str, int]:
    """Return path and speed of `PATH` or `PATH@BAUD`.

    Raises
    ------
    RecordError
        If there is no path, or no such speed.
    """
    path, sign, text = rest.partition("@")
    baud = text if sign else str(BAUD)
    if not path.startswith("/"):
        raise RecordError(f"source serial:{rest}: name the device: serial:/dev/ttyUSB0@{BAUD}")
    if not baud.isdigit() or not hasattr(termios, f"B{int(baud)}"):
        raise RecordError(f"source serial:{rest}: {baud!r} is no speed here; use {BAUD} or 9600")
    return path, int(baud)


def _receive(path: str, baud: int, options: SourceOptions, inbox: SampleInbox) -> None:
    def connect() -> LineConnection:
        return SerialLine(path, baud)

    receive_lines(f"serial:{path}", connect, options, inbox, begins_within=True)


def _open(rest: str, options: SourceOptions) -> LiveSource:
    path, baud = device(rest)
    receive = partial(_receive, path, baud, options)
    advice = f"does the board send a sample a line, at {baud} baud?"
    return Received(receive, f"serial:{path}", advice)


def _find() -> list[str]:
    return [f"serial:{path}" for pattern in PORTS for path in sorted(Path("/dev").glob(pattern))]


LIVE = LiveKind(
    "lines of samples on a serial line", _open, example="serial:/dev/ttyUSB0@115200", find=_find
)
