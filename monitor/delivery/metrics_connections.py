"""Connections of who reads metrics: few at a time, and none for long.

A connection has a thread, which waits without end for a request that does not come, and for a
reader that does not read. Each connection is therefore let go after a while, whatever it did, and
where there are many the oldest makes room: a scrape takes milliseconds, so that it is idle.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

ANSWERED_WITHIN_S = 30.0  # a connection, from its beginning to its answer's end
MAX_CONNECTIONS = 16  # and so many threads
LOOK_S = 0.5  # how often it is looked whose time is over

_log = logging.getLogger(__name__)


class PromptServer(ThreadingMixIn, WSGIServer):
    """Answers one request a connection, each in a thread of its own."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, application: Callable[..., Any]) -> None:
        kind = socket.SOCK_STREAM
        (family, _, _, _, address), *_ = socket.getaddrinfo(host, port, type=kind)
        self.address_family = family
        self._due_s: dict[socket.socket, float] = {}  # of each connection, the oldest first
        super().__init__((str(address[0]), port), _SilentHandler)
        self.set_app(application)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Answer in a new thread; the oldest connection makes room for it."""
        for oldest in list(self._due_s)[: len(self._due_s) - MAX_CONNECTIONS + 1]:
            self._let_go(oldest)
        self._due_s[request] = time.monotonic() + ANSWERED_WITHIN_S
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Let those go whose time is over; called every LOOK_S, and after each connection."""
        now_s = time.monotonic()
        for request, due_s in list(self._due_s.items()):
            if due_s <= now_s:
                self._let_go(request)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401  a socket
        """Close a connection, from its own thread."""
        self._due_s.pop(request, None)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Listen no longer, and let all go."""
        super().server_close()
        for request in list(self._due_s):
            self._let_go(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Note that a reader has left; a traceback would be written over the live view."""
        _log.debug("a reader of metrics has left", exc_info=True)

    def _let_go(self, request: socket.socket) -> None:
        """End what its thread waits for; the thread closes it."""
        self._due_s.pop(request, None)
        with contextlib.suppress(OSError):  # it is closed
            request.shutdown(socket.SHUT_RDWR)


class _SilentHandler(WSGIRequestHandler):
    """Says nothing of each request."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: ANN401
        """Say nothing."""


@contextmanager
def listening(host: str, port: int, application: Callable[..., Any]) -> Iterator[PromptServer]:
    """Serve an application while the block lasts; OSError if the address cannot be had."""
    server = PromptServer(host, port, application)
    thread = Thread(target=server.serve_forever, args=(LOOK_S,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
