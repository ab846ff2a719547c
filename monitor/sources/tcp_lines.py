"""Lines over TCP: `ecg-monitor replay tcp://HOST:PORT --fs 250`, as a board serves them."""

from __future__ import annotations

import re
import select
import socket
from functools import partial

from monitor.errors import RecordError
from monitor.sources.inbox import Received, SampleInbox
from monitor.sources.line_connection import LineConnection, receive_lines
from monitor.sources.source import LiveKind, LiveSource, SourceOptions

READ_BYTES = 1 << 16
CONNECT_S = 5.0
_PLACE = re.compile(r"//(\[[0-9A-Fa-f:.]+\]|[^:/\[\]]+):(\d{1,5})/?")
KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}  # s: a board may lose power


class TcpLines:
    """A connection to a server."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), CONNECT_S)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                self._socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def read(self, wait_s: float) -> bytes:
        """Return what came."""
        if not select.select([self._socket], [], [], wait_s)[0]:
            return b""
        text = self._socket.recv(READ_BYTES)
        if not text:
            raise ConnectionResetError("the other end closed it")
        return text

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def place(rest: str) -> tuple[str, int]:
    """Return host and port of `//HOST:PORT`; RecordError otherwise."""
    match = _PLACE.fullmatch(rest)
    if match is None or not 1 <= int(match[2]) <= 65535:
        raise RecordError(f"source tcp:{rest}: use tcp://HOST:PORT, as tcp://192.168.4.1:3333")
    return match[1].strip("[]"), int(match[2])


def _receive(host: str, port: int, rest: str, options: SourceOptions, inbox: SampleInbox) -> None:
    def connect() -> LineConnection:
        return TcpLines(host, port)

    receive_lines(f"tcp:{rest}", connect, options, inbox)


def _open(rest: str, options: SourceOptions) -> LiveSource:
    host, port = place(rest)
    receive = partial(_receive, host, port, rest, options)
    return Received(receive, f"tcp:{rest}", "does it send a sample a line?")


LIVE = LiveKind("lines of samples from a TCP server", _open, example="tcp://HOST:PORT")
