"""The only place where ZeroMQ sockets are made: limits, linger, heartbeats and who may bind where.

Traps this file closes: ZeroMQ has no limit on a message's size by default, waits for ever for a
peer to leave (LINGER) and 30 s for one to greet (HANDSHAKE_IVL), and a second bind to an ipc path
silently takes the path over from the first.
"""

from __future__ import annotations

import contextlib
import errno
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import zmq

from monitor.errors import EndpointInUse, InvalidEndpoint
from monitor.wire import MAX_FRAME_BYTES, MAX_REPLY_BYTES

QUEUE_MESSAGES = 32  # between stages: what is queued is what a kill can lose, until resumed
WORLD_MESSAGES = 10_000  # a subscriber, before PUB drops (it can ask for the alerts it missed)
WAVE_MESSAGES = 100  # a view that lags 10 s needs no older waveform
HANDSHAKE_MS = 2_000
RECONNECT_MS = 20  # until a peer that is just starting has bound its endpoint
HEARTBEAT_MS = 2_000  # a peer that is silent for two of these is gone
# Not for PUSH and PULL: a receiver that is behind does not read its peer's heartbeats either, is
# taken for dead, and what was under way is lost.
NO_HEARTBEAT = frozenset({zmq.PUSH, zmq.PULL})
CLOSE_MS = 500  # what an ending process waits for its last messages to leave
IPC_PATH_BYTES = 100  # the systems' limits are 104 (macOS) and 108 (Linux)

_TCP = re.compile(r"tcp://([A-Za-z0-9.\-]+):(\d{1,5})")
_LOOPBACK = re.compile(r"127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost")


class Endpoint(NamedTuple):
    """A checked endpoint: tcp with host and port, or ipc with a path."""

    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return f"ipc://{self.path}" if self.path else f"tcp://{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Read `tcp://HOST:PORT` or `ipc:///PATH`; InvalidEndpoint otherwise."""
    if text.startswith("ipc:///") and text.isprintable():
        path = text.removeprefix("ipc://")
        if len(path.encode()) > IPC_PATH_BYTES:
            raise InvalidEndpoint(f"{text!r}: an ipc path has at most {IPC_PATH_BYTES} bytes")
        return Endpoint("", 0, path)
    match = _TCP.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= 65535:
        raise InvalidEndpoint(
            f"{text!r} is not an endpoint; use tcp://127.0.0.1:5571 or ipc:///path/to/socket"
        )
    return Endpoint(match[1], int(match[2]), "")


def requests_endpoint(alerts: str) -> str:
    """Return where requests go for an alert endpoint: the next port, or the path + `.requests`."""
    endpoint = parse_endpoint(alerts)
    if endpoint.path:
        return str(parse_endpoint(f"{alerts}.requests"))
    if endpoint.port == 65535:
        raise InvalidEndpoint(
            f"{alerts!r}: the next port, 65536, would take requests; use a lower one"
        )
    return str(endpoint._replace(port=endpoint.port + 1))


class Sockets:
    """One process's sockets; a with-block closes them all and removes their ipc files.

    A context does not survive a fork and its sockets belong to one thread: make one in the process
    and thread that use it.
    """

    def __init__(self) -> None:
        self._context = zmq.Context()
        self.close_ms = CLOSE_MS
        self._made: list[zmq.Socket[bytes]] = []
        self._bound_paths: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for made in self._made:
            made.close(linger=self.close_ms)
        self._context.term()
        for path in self._bound_paths:
            Path(path).unlink(missing_ok=True)

    def push(self, endpoint: str) -> zmq.Socket[bytes]:
        """Return a PUSH to the next stage; it blocks when that one is behind."""
        return self._connect(zmq.PUSH, endpoint, QUEUE_MESSAGES, MAX_FRAME_BYTES)

    def pull(self, endpoint: str) -> zmq.Socket[bytes]:
        """Return the PULL on which a stage receives."""
        return self._bind(zmq.PULL, endpoint, QUEUE_MESSAGES, MAX_FRAME_BYTES)

    def publish(self, endpoint: str, queue_messages: int = WORLD_MESSAGES) -> zmq.Socket[bytes]:
        """Return a PUB; it never blocks and drops for a subscriber that is behind."""
        return self._bind(zmq.PUB, endpoint, queue_messages, MAX_REPLY_BYTES)

    def subscribe(self, endpoint: str, topics: list[str]) -> zmq.Socket[bytes]:
        """Return a SUB for topics that begin with one of the given."""
        subscription = self._connect(zmq.SUB, endpoint, WORLD_MESSAGES, MAX_REPLY_BYTES)
        for topic in topics:
            subscription.setsockopt_string(zmq.SUBSCRIBE, topic)
        return subscription

    def serve(self, endpoint: str) -> zmq.Socket[bytes]:
        """Return a ROUTER that answers requests, or leads stages."""
        return self._bind(zmq.ROUTER, endpoint, QUEUE_MESSAGES, MAX_REPLY_BYTES)

    def ask(self, endpoint: str) -> zmq.Socket[bytes]:
        """Return a DEALER that asks a ROUTER."""
        return self._connect(zmq.DEALER, endpoint, QUEUE_MESSAGES, MAX_REPLY_BYTES)

    def _make(self, kind: int, queue_messages: int, max_bytes: int) -> zmq.Socket[bytes]:
        made = self._context.socket(kind)
        self._made.append(made)
        made.setsockopt(zmq.SNDHWM, queue_messages)
        made.setsockopt(zmq.RCVHWM, queue_messages)
        made.setsockopt(zmq.LINGER, CLOSE_MS)
        made.setsockopt(zmq.MAXMSGSIZE, max_bytes)
        made.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        made.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        made.setsockopt(zmq.TCP_KEEPALIVE, 1)
        if kind not in NO_HEARTBEAT:
            made.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
            made.setsockopt(zmq.HEARTBEAT_TIMEOUT, 2 * HEARTBEAT_MS)
        return made

    def _connect(
        self, kind: int, endpoint: str, queue_messages: int, max_bytes: int
    ) -> zmq.Socket[bytes]:
        made = self._make(kind, queue_messages, max_bytes)
        made.connect(str(parse_endpoint(endpoint)))
        return made

    def _bind(
        self, kind: int, endpoint: str, queue_messages: int, max_bytes: int
    ) -> zmq.Socket[bytes]:
        parsed = parse_endpoint(endpoint)
        if parsed.path:
            _require_free_path(parsed)
        elif not _LOOPBACK.fullmatch(parsed.host):
            raise InvalidEndpoint(
                f"{endpoint!r}: refused to listen beyond this machine, since nothing is encrypted; "
                "use 127.0.0.1 and a tunnel such as ssh -L"
            )
        made = self._make(kind, queue_messages, max_bytes)
        try:
            made.bind(str(parsed))
        except zmq.ZMQError as error:
            raise _bind_error(endpoint, error) from error
        if parsed.path:
            self._bound_paths.append(parsed.path)
        return made


def receive_waiting(
    receiver: zmq.Socket[bytes], max_messages: int = QUEUE_MESSAGES
) -> Iterator[list[bytes]]:
    """Yield the messages that wait on a socket, at most so many, without blocking."""
    with contextlib.suppress(zmq.Again):
        for _ in range(max_messages):
            yield receiver.recv_multipart(zmq.DONTWAIT)


def _require_free_path(endpoint: Endpoint) -> None:
    """Raise EndpointInUse if a process listens on the path, where a second bind would take it."""
    path = Path(endpoint.path)
    if not path.exists():
        return
    if not path.is_socket():
        raise InvalidEndpoint(f"{endpoint} is a file that is no socket; use another path")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(endpoint.path)
        except ConnectionRefusedError:
            return  # left behind by a process that was killed
        except OSError as error:
            raise InvalidEndpoint(f"{endpoint}: {error.strerror}; use another path") from error
    raise EndpointInUse(f"{endpoint} is in use by another process; stop it or name another path")


def _bind_error(endpoint: str, error: zmq.ZMQError) -> InvalidEndpoint | EndpointInUse:
    if error.errno in (zmq.EADDRINUSE, errno.EADDRINUSE):
        return EndpointInUse(
            f"{endpoint} is in use by another process; stop it or name another, "
            "for example --alerts tcp://127.0.0.1:5671"
        )
    return InvalidEndpoint(f"cannot listen on {endpoint}: {error.strerror}")
