"""Connections to metrics that ask for nothing keep nobody else from reading."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from monitor.delivery import metrics_connections
from monitor.delivery.metrics_connections import listening
from tests.monitor.ports import free_port

ASKED = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = 64 << 20  # more than the sockets of a connection hold


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x" * LARGE if environ["PATH_INFO"] == "/large" else b"counted"]


@contextmanager
def served() -> Iterator[int]:
    port = free_port()
    with listening("127.0.0.1", port, application):
        yield port


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def ended(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    heard = b""
    try:
        while more := connection.recv(1 << 16):
            heard += more
    except ConnectionResetError:
        pass
    return heard


def read(port: int) -> bytes:
    answer: bytes = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20).read()
    return answer


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX"])
def test_a_connection_that_asks_for_nothing_is_let_go(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """Also in the middle of a request; its thread ends, and others are answered."""
    monkeypatch.setattr(metrics_connections, "ANSWERED_WITHIN_S", 0.5)
    before = threading.active_count()
    with served() as port:
        with connected(port) as idle:
            idle.sendall(sent)
            assert ended(idle) == b""
        assert read(port) == b"counted"
    assert_no_more_threads_than(before)


def test_a_reader_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer is not waited for without end."""
    monkeypatch.setattr(metrics_connections, "ANSWERED_WITHIN_S", 1.0)
    before = threading.active_count()
    with served() as port, connected(port) as slow:
        slow.sendall(ASKED.replace(b"/metrics", b"/large"))
        assert_no_more_threads_than(before + 1)  # the server's own stays
        assert len(ended(slow)) < LARGE


def test_of_many_connections_the_oldest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask for nothing, a scrape is answered, and there are few threads."""
    monkeypatch.setattr(metrics_connections, "MAX_CONNECTIONS", 4)
    before = threading.active_count()
    with served() as port, ExitStack() as stack:
        idle = [stack.enter_context(connected(port)) for _ in range(12)]
        assert ended(idle[0]) == b""
        assert read(port) == b"counted"
        assert_no_more_threads_than(before + 1 + 4)
        newest = idle[-1]
        newest.sendall(ASKED)
        assert ended(newest).endswith(b"counted")


def test_who_leaves_is_not_reported(capfd: pytest.CaptureFixture[str]) -> None:
    """A traceback would be written over the live view."""
    before = threading.active_count()
    with served() as port:
        with connected(port) as gone:
            gone.sendall(ASKED.replace(b"/metrics", b"/large"))
            gone.recv(1)
        assert_no_more_threads_than(before + 1)
    assert capfd.readouterr().err == ""


def assert_no_more_threads_than(n: int) -> None:
    """Wait until those that were told to end have ended."""
    until_s = time.monotonic() + 20
    while threading.active_count() > n and time.monotonic() < until_s:
        time.sleep(0.02)
    assert threading.active_count() <= n
