"""Lines over a WebSocket: `ecg-monitor replay ws://HOST:PORT/PATH --fs 250`.

Needs the extra `[ws]`. A message is one line or more, as text or bytes.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

from monitor.errors import RecordError
from monitor.sources.inbox import Received, SampleInbox
from monitor.sources.line_connection import LineConnection, receive_lines
from monitor.sources.sample_lines import MAX_LINE_BYTES
from monitor.sources.source import LiveKind, LiveSource, SourceOptions

CONNECT_S = 5.0


def _library() -> Any:  # noqa: ANN401  what is not installed has no types
    try:
        import websockets.sync.client as library
    except ImportError as error:
        raise RecordError("WebSockets need the extra ws: pip install 'ecg-monitor[ws]'") from error
    return library


class WsLines:
    """A connection to a server."""

    def __init__(self, library: Any, address: str) -> None:  # noqa: ANN401
        import websockets

        self._errors = websockets.WebSocketException
        self._open = ExitStack()  # as a context manager: by itself connect() is deprecated in 17.1
        try:
            self._connection = self._open.enter_context(
                library.connect(
                    address,
                    open_timeout=CONNECT_S,
                    close_timeout=1,
                    max_size=MAX_LINE_BYTES,
                    proxy=None,
                )
            )
        except (self._errors, ValueError) as error:
            raise ConnectionError(str(error)) from error

    def read(self, wait_s: float) -> bytes:
        """Return what came."""
        try:
            message = self._connection.recv(wait_s)
        except TimeoutError:
            return b""
        except self._errors as error:
            raise ConnectionResetError(str(error) or "the other end closed it") from error
        text: bytes = message.encode() if isinstance(message, str) else message
        return text + b"\n"

    def close(self) -> None:
        """Close it."""
        self._open.close()


def _receive(address: str, options: SourceOptions, inbox: SampleInbox) -> None:
    library = _library()

    def connect() -> LineConnection:
        return WsLines(library, address)

    receive_lines(address, connect, options, inbox)


def _open(scheme: str, rest: str, options: SourceOptions) -> LiveSource:
    if not rest.startswith("//"):
        raise RecordError(f"source {scheme}:{rest}: use {scheme}://HOST:PORT/PATH")
    _library()
    address = f"{scheme}:{rest}"
    receive = partial(_receive, address, options)
    return Received(receive, address, "does it send a sample a line?")


LIVE = LiveKind(
    "lines of samples from a WebSocket",
    partial(_open, "ws"),
    example="ws://HOST:PORT/PATH",
    extra="ws",
)
SECURE = LiveKind(
    "lines of samples from a WebSocket, encrypted",
    partial(_open, "wss"),
    example="wss://HOST/PATH",
    extra="ws",
)
