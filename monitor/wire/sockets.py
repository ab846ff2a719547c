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
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import parse_monitor_message

from monitor.errors import EndpointInUse, InvalidEndpoint, InvalidKeys
from monitor.wire.curve_keys import Keys
from monitor.wire.descriptors import Crowd, raise_limit
from monitor.wire.messages import MAX_FRAME_BYTES, MAX_REPLY_BYTES

QUEUE_MESSAGES = 32  # between stages: what is queued is what a kill can lose, until resumed
# The same of a source that cannot wait, 0.05 s a bundle: so what waits between all stages of a
# monitor that is behind is well below a second, and what comes through is not too late.
LIVE_MESSAGES = 2
WORLD_MESSAGES = 10_000  # a subscriber, before PUB drops (it can ask for the alerts it missed)
WAVE_MESSAGES = 100  # a view that lags 10 s needs no older waveform
HANDSHAKE_MS = 2_000
RECONNECT_MS = 20  # until a peer that is just starting has bound its endpoint
HEARTBEAT_MS = 2_000  # a peer that is silent for two of these is gone
# Not for PUSH and PULL: a receiver that is behind does not read its peer's heartbeats either, is
# taken for dead, and what was under way is lost.
NO_HEARTBEAT = frozenset({zmq.PUSH, zmq.PULL})
TRY_AGAIN_S = 3.0  # after this client's key was refused
CLOSE_MS = 500  # what an ending process waits for its last messages to leave
TRACKED_BYTES = 512  # smaller messages are copied; QUEUE_MESSAGES of them wait for each client
REQUESTS_SUFFIX = ".requests"
IPC_PATH_BYTES = 100  # the systems' limits are 104 (macOS) and 108 (Linux)

_TCP = re.compile(r"tcp://([A-Za-z0-9.\-]+):(\d{1,5})")
_LOOPBACK = re.compile(r"127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost")


# What sockets are for, by which the gate tells who may use them; those without one are not asked
# about.
LISTENERS, SENDERS = "ecg-monitor listen", "ecg-monitor send"
_REFUSED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)

_ANSWERED = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH


@dataclass
class _Connection:
    """What is known of a connection that this process made."""

    made: zmq.Socket[bytes]
    endpoint: str
    events: zmq.Socket[bytes]
    refused: bool = False
    due_s: float = 0.0  # when it is tried again


class _AllowList:
    """Who is let in, as `ThreadAuthenticator` asks for it."""

    def __init__(self, authorised: frozenset[str]) -> None:
        self._authorised = authorised

    def callback(self, domain: str, key: bytes) -> bool:
        """Return whether a client of this public key may connect."""
        return key.decode("ascii", "replace") in self._authorised


def change_topics(
    subscription: zmq.Socket[bytes], before: Iterable[str], after: Iterable[str]
) -> None:
    """Have a SUB hear other topics; what both have is heard without a break."""
    for topic in set(after) - set(before):
        subscription.setsockopt_string(zmq.SUBSCRIBE, topic)
    for topic in set(before) - set(after):
        subscription.setsockopt_string(zmq.UNSUBSCRIBE, topic)


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
            raise InvalidEndpoint(
                f"{text!r}: its path has {len(path.encode())} bytes, a socket's has at most "
                f"{IPC_PATH_BYTES}; use a shorter one"
            )
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
        most = IPC_PATH_BYTES - len(REQUESTS_SUFFIX)
        if len(endpoint.path.encode()) > most:
            raise InvalidEndpoint(
                f"{alerts!r}: its path has {len(endpoint.path.encode())} bytes; at most {most} "
                f"leave room for the socket of requests, {REQUESTS_SUFFIX} behind it"
            )
        return f"{alerts}{REQUESTS_SUFFIX}"
    if endpoint.port == 65535:
        raise InvalidEndpoint(
            f"{alerts!r}: the next port, 65536, would take requests; use a lower one"
        )
    return str(endpoint._replace(port=endpoint.port + 1))


def queue_messages(live: bool) -> int:
    """Return how many bundles may wait at either end between two stages."""
    return LIVE_MESSAGES if live else QUEUE_MESSAGES


class Sockets:
    """One process's sockets; a with-block closes them all and removes their ipc files.

    A context does not survive a fork and its sockets belong to one thread: make one in the process
    and thread that use it.

    Parameters
    ----------
    keys : Keys or None
        With keys every tcp socket is encrypted, and who connects must be authorised: to send
        where samples or beats are received (PULL), to listen elsewhere. Sockets of ipc stay as
        they are: the file system says who may use them.
    clock : callable
        Returns monotonic seconds.
    """

    def __init__(
        self, keys: Keys | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._connections: list[_Connection] = []
        self.n_answered = 0  # handshakes of connections made here that went well
        self._gate: ThreadAuthenticator | None = None
        self._refusals: list[zmq.Socket[bytes]] = []
        self._refused = 0
        self._context = zmq.Context()
        self.close_ms = CLOSE_MS
        self._made: list[zmq.Socket[bytes]] = []
        self._to_senders: list[zmq.Socket[bytes]] = []  # that ask where samples are taken
        self._bound_paths: list[str] = []
        self._listening: list[int] = []  # libzmq's descriptors
        self._of_requests: list[int] = []  # those of ROUTER
        self._crowd = Crowd(raise_limit())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        monitored = [*self._refusals, *(one.events for one in self._connections)]
        for made in self._made:
            if monitored:
                for events in monitored:  # a full queue of these would hold up the closing
                    _count(events)
                made.disable_monitor()
            made.close(linger=self.close_ms)
        for events in monitored:
            events.close(linger=0)
        if self._gate is not None:
            self._gate.stop()
        self._context.term()
        for path in self._bound_paths:
            Path(path).unlink(missing_ok=True)

    def push(self, endpoint: str, queue_messages: int = QUEUE_MESSAGES) -> zmq.Socket[bytes]:
        """Return a PUSH to the next stage; it blocks when that one is behind."""
        return self._connect(zmq.PUSH, endpoint, queue_messages, MAX_FRAME_BYTES)

    def pull(self, endpoint: str, queue_messages: int = QUEUE_MESSAGES) -> zmq.Socket[bytes]:
        """Return the PULL on which a stage receives."""
        return self._bind(zmq.PULL, endpoint, queue_messages, MAX_FRAME_BYTES)

    def publish(
        self, endpoint: str, queue_messages: int = WORLD_MESSAGES, *, each: bool = False
    ) -> zmq.Socket[bytes]:
        """Return an XPUB; it never blocks and drops for a subscriber that is behind.

        Which topics are subscribed to can be received from it; with `each` also what another
        subscriber hears already, which ZeroMQ by itself does not report.
        """
        publication = self._bind(zmq.XPUB, endpoint, queue_messages, MAX_REPLY_BYTES)
        publication.setsockopt(zmq.XPUB_VERBOSE, int(each))
        return publication

    def subscribe(self, endpoint: str, topics: list[str]) -> zmq.Socket[bytes]:
        """Return a SUB for topics that begin with one of the given."""
        subscription = self._connect(zmq.SUB, endpoint, WORLD_MESSAGES, MAX_REPLY_BYTES)
        for topic in topics:
            subscription.setsockopt_string(zmq.SUBSCRIBE, topic)
        return subscription

    def serve(self, endpoint: str, max_bytes: int = MAX_REPLY_BYTES) -> zmq.Socket[bytes]:
        """Return a ROUTER that answers requests of at most so many bytes, or leads stages."""
        return self._bind(zmq.ROUTER, endpoint, QUEUE_MESSAGES, max_bytes)

    def serve_strangers(
        self, endpoint: str, max_bytes: int, *, senders: bool = False
    ) -> zmq.Socket[bytes]:
        """Return a ROUTER as `serve` does, which tells what it cannot send.

        Of what is sent with `track`, it is known from `TRACKED_BYTES` on when it has left.
        `senders`: with keys, whoever may send samples is let in, and no others.
        """
        server = self._bind(zmq.ROUTER, endpoint, QUEUE_MESSAGES, max_bytes, senders=senders)
        server.copy_threshold = TRACKED_BYTES
        server.setsockopt(zmq.ROUTER_MANDATORY, 1)  # else what is dropped raises nothing
        return server

    def ask(self, endpoint: str, *, sends: bool = False) -> zmq.Socket[bytes]:
        """Return a DEALER that asks a ROUTER; `sends`: it is one that takes samples."""
        made = self._connect(zmq.DEALER, endpoint, QUEUE_MESSAGES, MAX_REPLY_BYTES)
        if sends:
            self._to_senders.append(made)
        return made

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
        parsed = parse_endpoint(endpoint)
        made = self._make(kind, queue_messages, max_bytes)
        if self._keys is not None and not parsed.path:
            self._trust_server(made, self._keys)
        if kind in (zmq.SUB, zmq.DEALER) or (self._keys is not None and not parsed.path):
            events = made.get_monitor_socket(_ANSWERED)
            self._connections.append(_Connection(made, str(parsed), events))
        made.connect(str(parsed))
        return made

    def events_of(self, made: zmq.Socket[bytes]) -> zmq.Socket[bytes]:
        """Return what becomes readable when a SUB or DEALER is let in or refused."""
        return next(one.events for one in self._connections if one.made is made)

    def look_after(self) -> None:
        """Take note of who let this process in or refused its key, and try the latter again.

        To be called now and then where something was connected. libzmq (4.3.5) itself connects
        again after any failure but this one: a client that is refused by the server's list of keys
        would stay without a word for ever, also once it is in the list. The sockets stay the same,
        with what they subscribed to; what waits in them to be sent is lost.
        """
        for connection in self._connections:
            for frames in receive_waiting(connection.events, WORLD_MESSAGES):
                event = parse_monitor_message(frames)["event"]
                connection.refused = event == zmq.EVENT_HANDSHAKE_FAILED_AUTH
                connection.due_s = self._clock() + TRY_AGAIN_S
                self.n_answered += not connection.refused
            if connection.refused and self._clock() >= connection.due_s:
                connection.due_s = self._clock() + TRY_AGAIN_S
                with contextlib.suppress(zmq.ZMQError):  # there may be nothing left to end
                    connection.made.disconnect(connection.endpoint)
                connection.made.connect(connection.endpoint)

    @property
    def refusal(self) -> str:
        """Where this process's key was refused, and what to do; empty if it is nowhere."""
        for one in self._connections:
            if one.refused:
                what, role = "listen", "authorised"
                if one.made.type == zmq.PUSH or one.made in self._to_senders:
                    what, role = "send samples", "send"
                return (
                    f"{one.endpoint}: this client's key may not {what} there; copy client.public "
                    f"of --keys into {role}/ of the monitor's keys and start the monitor again"
                )
        return ""

    def _trust_server(self, made: zmq.Socket[bytes], keys: Keys) -> None:
        if keys.client is None or keys.server_public is None:
            raise InvalidKeys("to connect, client.secret and server.public are needed among --keys")
        made.setsockopt_string(zmq.CURVE_PUBLICKEY, keys.client.public)
        made.setsockopt_string(zmq.CURVE_SECRETKEY, keys.client.secret)
        made.setsockopt_string(zmq.CURVE_SERVERKEY, keys.server_public)

    def _let_in_authorised(self, made: zmq.Socket[bytes], keys: Keys, of_senders: bool) -> None:
        if keys.server is None:
            raise InvalidKeys("to listen, server.secret is needed among --keys")
        if self._gate is None:
            self._gate = ThreadAuthenticator(self._context)
            self._gate.start()
            self._gate.configure_curve_callback(LISTENERS, _AllowList(keys.authorised))
            self._gate.configure_curve_callback(SENDERS, _AllowList(keys.send))
        made.setsockopt(zmq.CURVE_SERVER, 1)
        made.setsockopt_string(zmq.CURVE_PUBLICKEY, keys.server.public)
        made.setsockopt_string(zmq.CURVE_SECRETKEY, keys.server.secret)
        made.setsockopt_string(zmq.ZAP_DOMAIN, SENDERS if of_senders else LISTENERS)
        self._refusals.append(made.get_monitor_socket(_REFUSED | zmq.EVENT_LISTENING))

    def refused(self) -> int:
        """Return how many attempts to connect were refused so far: no keys, wrong ones, unknown.

        To be asked now and then wherever there are keys: while nobody takes them, some two thousand
        of these stop all sockets.
        """
        for refusals in self._refusals:
            self._refused += _count(refusals)
        return self._refused

    def _bind(
        self,
        kind: int,
        endpoint: str,
        queue_messages: int,
        max_bytes: int,
        *,
        senders: bool = False,
    ) -> zmq.Socket[bytes]:
        parsed = parse_endpoint(endpoint)
        if parsed.path:
            _require_free_path(parsed)
        elif self._keys is None and not _LOOPBACK.fullmatch(parsed.host):
            raise InvalidEndpoint(
                f"{endpoint!r}: refused to listen beyond this machine without keys, since nothing "
                "would be encrypted; give --keys (`ecg-monitor keys init`), or use 127.0.0.1"
            )
        made = self._make(kind, queue_messages, max_bytes)
        if self._keys is not None and not parsed.path:
            self._let_in_authorised(made, self._keys, senders or kind == zmq.PULL)
        keyed = self._keys is not None and not parsed.path
        events = self._refusals[-1] if keyed else made.get_monitor_socket(zmq.EVENT_LISTENING)
        try:
            made.bind(str(parsed))
            if parsed.path:
                self._bound_paths.append(parsed.path)
            else:
                doors = self._of_requests if kind == zmq.ROUTER else self._listening
                doors.append(parse_monitor_message(events.recv_multipart())["value"])
        except zmq.ZMQError as error:
            raise _bind_error(endpoint, error) from error
        finally:
            if not keyed:
                made.disable_monitor()
                events.close(linger=0)
        return made

    def look_for_room(self) -> bool:
        """Let nobody new in while few descriptors are left; return whether that is so.

        To be called several times a second.
        """
        self._crowd.look(self._listening, self._clock(), self._of_requests)
        return self._crowd.is_full


def receive_waiting(
    receiver: zmq.Socket[bytes], max_messages: int = QUEUE_MESSAGES
) -> Iterator[list[bytes]]:
    """Yield the messages that wait on a socket, at most so many, without blocking."""
    with contextlib.suppress(zmq.Again):
        for _ in range(max_messages):
            yield receiver.recv_multipart(zmq.DONTWAIT)


def _count(events: zmq.Socket[bytes]) -> int:
    """Take out what a socket's monitor has, and say how many these were."""
    return sum(1 for _ in receive_waiting(events, WORLD_MESSAGES))


def receive_requests(
    receiver: zmq.Socket[bytes], max_messages: int = QUEUE_MESSAGES
) -> Iterator[tuple[list[bytes], str | None]]:
    """Yield the waiting messages with the public key of their sender; None without keys."""
    with contextlib.suppress(zmq.Again):
        for _ in range(max_messages):
            frames = receiver.recv_multipart(zmq.DONTWAIT, copy=False)
            try:
                sender: str | None = str(frames[-1].get("User-Id"))
            except zmq.ZMQError:
                sender = None
            yield [frame.bytes for frame in frames], sender


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
            f"{endpoint} is in use by another process; stop it or name another address"
        )
    return InvalidEndpoint(f"cannot listen on {endpoint}: {error.strerror}")
