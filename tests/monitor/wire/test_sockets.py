"""Sockets have limits, and nobody's endpoint is taken over."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import zmq

from monitor.errors import EndpointInUse, InvalidEndpoint
from monitor.wire.sockets import (
    CLOSE_MS,
    QUEUE_MESSAGES,
    Sockets,
    parse_endpoint,
    receive_waiting,
    requests_endpoint,
)
from tests.monitor.ports import free_port


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcp://",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:99999",
        "tcp://*:5571",
        "tcp://a b:1",
        "ipc://relative",
        "ipc:///" + "x" * 200,
        "ipc:///a\x00b",
        "inproc://x",
        "http://127.0.0.1:80",
        "127.0.0.1:5571",
    ],
)
def test_malformed_endpoints_are_refused(text: str) -> None:
    """An endpoint is tcp with host and port, or ipc with an absolute path."""
    with pytest.raises(InvalidEndpoint):
        parse_endpoint(text)


def test_requests_have_the_next_endpoint() -> None:
    """One endpoint is named, the other follows by rule."""
    assert requests_endpoint("tcp://127.0.0.1:5571") == "tcp://127.0.0.1:5572"
    assert requests_endpoint("ipc:///run/alerts") == "ipc:///run/alerts.requests"
    with pytest.raises(InvalidEndpoint):
        requests_endpoint("tcp://127.0.0.1:65535")
    with pytest.raises(InvalidEndpoint, match=r"has 96 bytes; at most 91 leave room"):
        requests_endpoint("ipc:///" + "x" * 95)


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:5571", "tcp://192.168.1.2:5571"])
def test_listening_beyond_this_machine_is_refused(endpoint: str) -> None:
    """Without encryption nothing listens on a network."""
    with Sockets() as sockets, pytest.raises(InvalidEndpoint, match="beyond this machine"):
        sockets.pull(endpoint)


def test_a_tcp_port_in_use_is_said() -> None:
    """A second bind to a port names the endpoint and the way out."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        endpoint = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        with Sockets() as sockets, pytest.raises(EndpointInUse, match="in use"):
            sockets.publish(endpoint)


def test_an_ipc_path_in_use_is_not_taken_over(tmp_path: Path) -> None:
    """ZeroMQ would steal the path in silence; here the second bind is refused."""
    endpoint = f"ipc://{tmp_path / 's'}"
    with Sockets() as first, Sockets() as second:
        receiver = first.pull(endpoint)
        with pytest.raises(EndpointInUse):
            second.pull(endpoint)
        second.push(endpoint).send(b"still the first's")
        assert receiver.poll(2000)


def test_an_ipc_path_left_by_a_killed_process_is_reused(tmp_path: Path) -> None:
    """A socket file nobody listens on is no obstacle."""
    path = tmp_path / "s"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    with Sockets() as sockets:
        receiver = sockets.pull(f"ipc://{path}")
        sockets.push(f"ipc://{path}").send(b"x")
        assert receiver.poll(2000)
    assert not path.exists()


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    """A path that is no socket is not deleted."""
    path = tmp_path / "precious"
    path.write_text("mine")
    with Sockets() as sockets, pytest.raises((InvalidEndpoint, EndpointInUse)):
        sockets.pull(f"ipc://{path}")
    assert path.read_text() == "mine"


def test_every_socket_has_limits() -> None:
    """No socket waits for ever, takes messages of any size, or queues without end."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with Sockets() as sockets:
        made = [sockets.pull(endpoint), sockets.push(endpoint), sockets.ask(endpoint)]
        for one in made:
            assert 0 < int(one.getsockopt(zmq.MAXMSGSIZE)) <= 1 << 24
            assert one.getsockopt(zmq.LINGER) == CLOSE_MS
            assert one.getsockopt(zmq.SNDHWM) == QUEUE_MESSAGES
            assert int(one.getsockopt(zmq.HANDSHAKE_IVL)) <= 5000


def test_a_receiver_that_is_behind_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back-pressure for many heartbeats' time is no broken line: all comes, in order."""
    monkeypatch.setattr("monitor.wire.sockets.HEARTBEAT_MS", 50)
    endpoint = f"ipc://{tmp_path / 's'}"
    with Sockets() as sockets:
        receiver, sender = sockets.pull(endpoint), sockets.push(endpoint)
        sent = 0
        while sender.poll(500, zmq.POLLOUT):  # until both queues are full, and half a second on
            sender.send(sent.to_bytes(2, "big") + bytes(100_000))
            sent += 1
        received: list[int] = []
        while len(received) < sent and receiver.poll(2000):
            received.append(int.from_bytes(receiver.recv()[:2], "big"))
        assert sent > QUEUE_MESSAGES
        assert received == list(range(sent))


def test_receive_waiting_takes_what_is_there_and_no_more(tmp_path: Path) -> None:
    """Messages come in order, at most so many, and an empty socket does not block."""
    endpoint = f"ipc://{tmp_path / 's'}"
    with Sockets() as sockets:
        receiver, sender = sockets.pull(endpoint), sockets.push(endpoint)
        assert list(receive_waiting(receiver)) == []
        for number in range(5):
            sender.send(bytes([number]))
        received: list[bytes] = []
        while len(received) < 5 and receiver.poll(2000):
            batch = list(receive_waiting(receiver, max_messages=2))
            assert len(batch) <= 2
            received += [frames[0] for frames in batch]
        assert received == [bytes([number]) for number in range(5)]
