"""What clients may ask of the request socket, and how much of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq

from monitor.delivery.publisher import CLIENT_BUDGET, COMMAND_COST, TOTAL_BUDGET, Publisher
from monitor.delivery.reply_memory import ReplyMemory
from monitor.journal.writer import Journal
from monitor.wire.codec import all_encoded, decode_reply, encode_json
from monitor.wire.messages import (
    MAX_PAGE,
    MAX_REQUEST_BYTES,
    Done,
    Page,
    Refused,
    ReplayRequest,
    Reply,
)
from monitor.wire.sockets import Sockets, requests_endpoint
from tests.messages import alert
from tests.monitor.databases import execute

MOST_WAITING_BYTES = 3_000_000


class Asked:
    """A publisher and its clients in one thread, at a time that the test says."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.now_s = 0.0
        self.journal = folder / "j"
        journal = stack.enter_context(Journal(self.journal))
        journal.commit(all_encoded([alert(seq=n, id=str(n)) for n in range(1, MAX_PAGE + 1)]), [])
        self.sockets = stack.enter_context(Sockets())
        self.endpoint = f"ipc://{folder / 'a'}"
        self.memory = ReplyMemory(MOST_WAITING_BYTES)
        self.publisher = Publisher(
            self.sockets,
            self.endpoint,
            journal,
            lambda request: "",
            clock=lambda: self.now_s,
            memory=self.memory,
        )

    def client(self) -> zmq.Socket[bytes]:
        return self.sockets.ask(requests_endpoint(self.endpoint))

    def ask(self, client: zmq.Socket[bytes], body: bytes) -> Reply:
        client.send(body)
        assert self.publisher.requests.poll(10_000)
        self.publisher.answer_waiting()
        assert client.poll(10_000)
        return decode_reply(client.recv())

    def pages(self, client: zmq.Socket[bytes]) -> int:
        """Ask for pages until refused; return how many came."""
        n = 0
        while isinstance(self.ask(client, encode_json(ReplayRequest(0))), Page):
            n += 1
        return n


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    with ExitStack() as stack:
        yield Asked(tmp_path, stack)


def test_a_client_that_asks_too_much_is_refused_and_counted(asked: Asked) -> None:
    """It may ask again when time has passed; meanwhile others are served."""
    greedy, other = asked.client(), asked.client()
    in_burst = asked.pages(greedy)
    assert in_burst == pytest.approx(CLIENT_BUDGET.burst / MAX_PAGE, abs=1)
    assert asked.publisher.limited == 1
    refused = asked.ask(greedy, b'{"type":"ack"}')
    assert refused == Refused("too many requests; ask again in a second")
    assert isinstance(asked.ask(other, b'{"type":"ack"}'), Done)
    assert asked.publisher.limited == 2
    asked.now_s += 1.0
    assert asked.pages(greedy) == pytest.approx(CLIENT_BUDGET.per_s / MAX_PAGE, abs=1)


def test_many_clients_share_what_one_core_can_answer(asked: Asked) -> None:
    """Connecting again and again gets nobody more than all may have."""
    total = sum(asked.pages(asked.client()) for _ in range(6))
    assert total == pytest.approx(TOTAL_BUDGET.burst / MAX_PAGE, abs=1)


def test_nonsense_is_paid_for_too(asked: Asked) -> None:
    """What is no request is refused at once when there is too much of it."""
    client = asked.client()
    for _ in range(round(CLIENT_BUDGET.burst)):
        reply = asked.ask(client, b"{")
        assert isinstance(reply, Refused)
        if reply.text.startswith("too many"):
            break
    assert asked.publisher.limited == 1
    assert asked.publisher.malformed < CLIENT_BUDGET.burst


def test_a_request_is_small(asked: Asked) -> None:
    """One larger than any request is not taken into memory: its sender is cut off."""
    client = asked.client()
    client.send(b"{" + b" " * MAX_REQUEST_BYTES)
    other = asked.client()
    assert isinstance(asked.ask(other, b'{"type":"ack"}'), Done)
    assert asked.publisher.malformed == 0
    assert not client.poll(0)


def test_a_journal_that_cannot_be_read_is_said_and_stops_nothing(asked: Asked) -> None:
    """The client is told why, and may ask again."""
    client = asked.client()
    execute(asked.journal, "UPDATE alerts SET message = x'ff'")
    reply = asked.ask(client, encode_json(ReplayRequest(0)))
    assert isinstance(reply, Refused)
    assert "an alert cannot be read" in reply.text
    assert isinstance(asked.ask(client, b'{"type":"ack"}'), Done)


def test_a_command_costs_more_than_a_page(asked: Asked) -> None:
    """It is committed before it is answered; who gives too many is refused for a while."""
    client, n = asked.client(), 0
    while isinstance(asked.ask(client, b'{"type":"ack"}'), Done):
        n += 1
    assert COMMAND_COST > MAX_PAGE
    assert n == pytest.approx(CLIENT_BUDGET.burst / COMMAND_COST, abs=1)


def test_pages_that_nobody_reads_take_bounded_memory(asked: Asked) -> None:
    """Clients that ask and do not read, however many, are refused; once they go, all is well."""
    with zmq.Context() as context:
        deaf = [context.socket(zmq.DEALER) for _ in range(4)]
        for client in deaf:
            client.setsockopt(zmq.RCVHWM, 1)
            client.setsockopt(zmq.LINGER, 0)
            client.connect(requests_endpoint(asked.endpoint))
        for _ in range(12):
            for client in deaf:
                client.send(encode_json(ReplayRequest(0)))
            while asked.publisher.requests.poll(50):
                asked.publisher.answer_waiting()
                asked.now_s += 10.0
                assert asked.memory.n_bytes <= MOST_WAITING_BYTES + 10_000  # refusals are small
        assert asked.publisher.dropped > 8
        assert asked.memory.n_bytes > MOST_WAITING_BYTES / 2
        for client in deaf:
            client.close()
    reader = asked.client()
    for _ in range(100):
        reply = asked.ask(reader, encode_json(ReplayRequest(0)))
        asked.now_s += 10.0
        if isinstance(reply, Page):
            break
    assert isinstance(reply, Page)
