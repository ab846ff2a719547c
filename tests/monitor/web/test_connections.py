"""Connections that ask for nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest

MISSING = "the extra web is not installed"
uvicorn = pytest.importorskip("uvicorn", reason=MISSING)
applications = pytest.importorskip("starlette.applications", reason=MISSING)
responses = pytest.importorskip("starlette.responses", reason=MISSING)
routing = pytest.importorskip("starlette.routing", reason=MISSING)
connections = pytest.importorskip("monitor.web.connections", reason=MISSING)

ASKED = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = (
    b"GET /live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@contextmanager
def served() -> Iterator[int]:
    """Serve one page and a live socket; yield the port."""

    async def page(_: object) -> Any:
        return responses.PlainTextResponse("here")

    async def live(browser: Any) -> None:
        await browser.accept()
        await browser.receive()

    routes = [routing.Route("/", page), routing.WebSocketRoute("/live", live)]
    app = applications.Starlette(routes=routes)
    listens = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=connections.PromptConnection, ws="websockets-sansio", log_config=None
    )
    server = uvicorn.Server(config)
    thread = Thread(target=asyncio.run, args=(server.serve(sockets=[listens]),))
    thread.start()
    try:
        yield listens.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listens.close()


def answered(port: int, *parts: bytes) -> bytes:
    """Return all that a connection gets on which parts are sent, until it is closed."""
    heard = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
            if part.endswith(b"\r\n\r\n"):
                heard += connection.recv(1 << 16)
        try:
            while more := connection.recv(1 << 16):
                heard += more
        except ConnectionResetError:
            pass
    return heard


@pytest.mark.parametrize(
    ("parts", "answers"),
    [
        ((), 0),
        ((b"GET / HT",), 0),
        ((b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r",), 0),
        ((ASKED,), 1),
        ((ASKED, ASKED, b"GET"), 2),
    ],
)
def test_a_connection_that_asks_for_nothing_more_is_let_go(
    monkeypatch: pytest.MonkeyPatch, parts: tuple[bytes, ...], answers: int
) -> None:
    """From its beginning, within a request, and behind an answer."""
    monkeypatch.setattr(connections, "ANSWERED_WITHIN_S", 0.5)
    with served() as port:
        assert answered(port, *parts).count(b"200 OK") == answers


def test_a_live_socket_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for nothing for long, and has pings of its own."""
    monkeypatch.setattr(connections, "ANSWERED_WITHIN_S", 0.2)
    with served() as port, socket.create_connection(("127.0.0.1", port), timeout=20) as live:
        live.sendall(UPGRADE)
        assert b"101" in live.recv(1 << 16)
        answered(port)  # another one, which comes later, is let go meanwhile
        live.settimeout(0.3)
        with pytest.raises(TimeoutError):
            live.recv(1)
