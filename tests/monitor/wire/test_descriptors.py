"""While few descriptors are left nobody new is let in; who is connected stays so."""

from __future__ import annotations

import resource
import socket
import sys
from collections.abc import Iterator

import pytest

from monitor.wire.descriptors import MOST_DESCRIPTORS, Crowd, let_in, n_open, raise_limit
from monitor.wire.sockets import Sockets
from tests.monitor.ports import free_port


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """The limits as they were, which are set again."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_process_may_open_what_the_system_allows(limits: tuple[int, int]) -> None:
    """The soft limit, often 1,024, is raised as far as the hard one, within reason."""
    hard = limits[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    assert raise_limit() == wanted
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted, hard)
    assert raise_limit() == wanted


def test_descriptors_are_counted() -> None:
    """One more is one more."""
    before = n_open(1000)
    with socket.socket():
        assert n_open(1000) == before + 1


def test_doors_close_with_few_left_and_open_with_some_more() -> None:
    """A quarter is kept free; who comes and goes at the bound does not flutter."""
    counts = [50, 75, 76, 75, 64, 63, 75, 100]
    crowd, said = Crowd(100, lambda limit: counts[len(said)]), list[bool]()
    for now_s in range(len(counts)):
        crowd.look([], float(now_s))
        said.append(crowd.is_full)
    assert said == [False, False, True, True, True, False, False, True]


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
def test_nobody_new_is_let_in_and_nobody_is_thrown_out() -> None:
    """A connection that stands carries on; a new one waits outside and is let in later."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        with socket.create_connection(server.getsockname(), 10) as early:
            inside, _ = server.accept()
            let_in(server.fileno(), False)
            with pytest.raises(TimeoutError):
                socket.create_connection(server.getsockname(), 0.2)
            early.sendall(b"still")
            assert inside.recv(5) == b"still"
            inside.close()
            let_in(server.fileno(), True)
            socket.create_connection(server.getsockname(), 10).close()


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
def test_a_socket_of_the_monitor_lets_nobody_in_while_it_is_crowded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who was there goes on; a new one waits. Requests are taken longer than listeners are."""
    n, now_s = 0, 0.0
    monkeypatch.setattr("monitor.wire.sockets.Crowd", lambda limit: Crowd(100, lambda _: n))
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with Sockets(clock=lambda: now_s) as sockets, Sockets() as clients:
        server = sockets.serve(endpoint)
        early = clients.ask(endpoint)
        n, now_s = 85, 0.5  # listeners are left outside
        assert sockets.look_for_room()
        early.send(b"1")
        assert server.poll(10_000)
        server.recv_multipart()
        n, now_s = 90, 1.0
        assert sockets.look_for_room()
        late = clients.ask(endpoint)
        late.send(b"2")
        early.send(b"3")
        assert server.poll(10_000)
        assert server.recv_multipart()[1] == b"3"
        assert not server.poll(200)
        n, now_s = 10, 2.0
        assert not sockets.look_for_room()
        assert server.poll(10_000)
        assert server.recv_multipart()[1] == b"2"
