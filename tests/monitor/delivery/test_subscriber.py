"""The subscriber hands out each alert once and in order, whatever PUB dropped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest

from monitor.delivery.inbox import Inbox
from monitor.delivery.publisher import Publisher
from monitor.delivery.subscriber import AlertSubscriber
from monitor.errors import InvalidEndpoint
from monitor.journal.writer import Journal
from monitor.wire.codec import all_encoded, topic_of
from monitor.wire.messages import (
    Alert,
    BeatScored,
    ControlRequest,
    Message,
    Status,
    Technical,
    ThresholdRequest,
)
from monitor.wire.sockets import Sockets, requests_endpoint
from tests.messages import alert, beat_scored, status, technical
from tests.monitor.databases import execute

TOPICS = ("alert", "technical", "status")


class Server(threading.Thread):
    """A publisher in a thread of its own, which owns its sockets; `do` runs a call there."""

    def __init__(self, endpoint: str, path: Path) -> None:
        super().__init__(daemon=True)
        self.endpoint, self.path = endpoint, path
        self.thresholds: list[ThresholdRequest] = []
        self.malformed = 0
        self._calls: list[Callable[[Publisher, Journal], None]] = []
        self._leaving = threading.Event()
        self.ready = threading.Event()

    def run(self) -> None:
        with Sockets() as sockets, Journal(self.path) as journal:
            publisher = Publisher(sockets, self.endpoint, journal, self._set)
            self.ready.set()
            while not self._leaving.is_set():
                publisher.requests.poll(5)
                publisher.answer_waiting()
                while self._calls:
                    self._calls.pop(0)(publisher, journal)
                self.malformed = publisher.malformed

    def _set(self, request: ControlRequest) -> str:
        assert isinstance(request, ThresholdRequest)
        if request.patient == "nobody":
            raise LookupError("no patient 'nobody' is monitored")
        self.thresholds.append(request)
        return "done"

    def do(self, call: Callable[[Publisher, Journal], None]) -> None:
        done = threading.Event()

        def call_and_say(publisher: Publisher, journal: Journal) -> None:
            call(publisher, journal)
            done.set()

        self._calls.append(call_and_say)
        assert done.wait(10)

    def stop(self) -> None:
        self._leaving.set()
        self.join()


@contextmanager
def served(endpoint: str, path: Path) -> Iterator[Server]:
    server = Server(endpoint, path)
    server.start()
    assert server.ready.wait(10)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path / 'alerts'}"


def publish(*messages: Message, journaled: bool = True, sent: bool = True) -> Callable[..., None]:
    """Journal and send messages, or only one of both."""

    def call(publisher: Publisher, journal: Journal) -> None:
        kept = [
            msgspec.structs.replace(one, journal=journal.identity)
            for one in messages
            if isinstance(one, Alert | Technical)
        ]
        if journaled:
            journal.commit(all_encoded(kept), [])
        if sent:
            publisher.publish(all_encoded([in_journal(one, journal.identity) for one in messages]))

    return call


def in_journal(message: Message, journal: str) -> Message:
    """Name the journal that a message's number counts in."""
    if isinstance(message, Alert | Technical | Status):
        return msgspec.structs.replace(message, journal=journal)
    return message


def collect(
    subscriber: AlertSubscriber,
    n: int,
    timeout_s: float = 10,
    heart: Callable[[], None] = lambda: None,
) -> list[int]:
    """Return the sequence numbers of the next n numbered messages, fewer if they do not come.

    `heart` beats meanwhile: a request may be lost to a server that has just gone, and it is at the
    next heartbeat that a subscriber asks again.
    """
    numbers: list[int] = []
    deadline_s = time.monotonic() + timeout_s
    while len(numbers) < n and time.monotonic() < deadline_s:
        message = subscriber.receive(0.1)
        if message is None:
            heart()
        if isinstance(message, Alert | Technical):
            numbers.append(message.seq)
    return numbers


def connect(server: Server, subscriber: AlertSubscriber, newest: int = 0) -> None:
    """Send heartbeats until one is heard: from then on nothing is missed by being late."""
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        server.do(beat_heart(newest))
        if isinstance(subscriber.receive(0.05), Status):
            return
    pytest.fail("no heartbeat was heard")


def numbered(*numbers: int) -> list[Alert]:
    return [alert(seq=n, id=f"a{n}") for n in numbers]


def beat_heart(newest: int) -> Callable[..., None]:
    return publish(status(newest_seq=newest), journaled=False)


@contextmanager
def beating(server: Server, newest: int) -> Iterator[None]:
    """Have the publisher's heart beat while the block lasts."""
    leaving = threading.Event()

    def beat() -> None:
        while not leaving.wait(0.05):
            server.do(beat_heart(newest))

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield
    finally:
        leaving.set()
        heart.join()


def test_a_late_subscriber_gets_what_was_before(endpoint: str, tmp_path: Path) -> None:
    """The heartbeat tells a newcomer the newest number; it asks for all before."""
    with served(endpoint, tmp_path / "j") as server:
        server.do(publish(*numbered(*range(1, 8))))
        with AlertSubscriber(endpoint, TOPICS) as subscriber:
            connect(server, subscriber, newest=7)
            assert collect(subscriber, 7) == list(range(1, 8))
            assert subscriber.recovered == 7


def test_a_dropped_alert_is_asked_for_and_order_kept(endpoint: str, tmp_path: Path) -> None:
    """A hole in the sequence is filled from the journal before what comes after it."""
    with (
        served(endpoint, tmp_path / "j") as server,
        AlertSubscriber(endpoint, TOPICS) as subscriber,
    ):
        connect(server, subscriber)
        server.do(publish(*numbered(1)))
        server.do(publish(*numbered(2, 3), sent=False))
        server.do(publish(*numbered(4)))
        assert collect(subscriber, 4) == [1, 2, 3, 4]
        assert subscriber.recovered == 3


def test_a_dropped_last_alert_is_noticed_by_the_heartbeat(endpoint: str, tmp_path: Path) -> None:
    """Nothing after it needs to come: the heartbeat carries the newest number."""
    with (
        served(endpoint, tmp_path / "j") as server,
        AlertSubscriber(endpoint, TOPICS) as subscriber,
    ):
        connect(server, subscriber)
        server.do(publish(*numbered(1), sent=False))
        server.do(beat_heart(1))
        assert collect(subscriber, 1) == [1]


def test_doubled_alerts_are_handed_out_once(endpoint: str, tmp_path: Path) -> None:
    """What was sent twice, as after a restart, is seen once."""
    with (
        served(endpoint, tmp_path / "j") as server,
        AlertSubscriber(endpoint, TOPICS) as subscriber,
    ):
        connect(server, subscriber)
        server.do(publish(*numbered(1, 2)))
        server.do(publish(*numbered(1, 2), journaled=False))
        server.do(publish(technical(seq=3, id="t3")))
        assert collect(subscriber, 4, 1) == [1, 2, 3]


def test_more_than_a_page_is_recovered(endpoint: str, tmp_path: Path) -> None:
    """A long absence is made up page by page."""
    with (
        served(endpoint, tmp_path / "j") as server,
        AlertSubscriber(endpoint, TOPICS) as subscriber,
    ):
        server.do(publish(*numbered(*range(1, 1202)), sent=False))
        connect(server, subscriber, newest=1201)
        assert collect(subscriber, 1201, 20) == list(range(1, 1202))


def test_new_only(endpoint: str, tmp_path: Path) -> None:
    """With after=None what was before is not handed out, what comes is."""
    with served(endpoint, tmp_path / "j") as server:
        server.do(publish(*numbered(1, 2)))
        with AlertSubscriber(endpoint, TOPICS, after=None) as subscriber:
            connect(server, subscriber, newest=2)
            server.do(publish(*numbered(3)))
            assert collect(subscriber, 2, 1) == [3]


def test_a_new_journal_is_followed_from_its_beginning(endpoint: str, tmp_path: Path) -> None:
    """A monitor that starts anew counts from 1; its first alerts are not taken for old ones."""
    with AlertSubscriber(endpoint, TOPICS) as subscriber:
        with served(endpoint, tmp_path / "j1") as server:
            server.do(publish(*numbered(1, 2, 3), sent=False))
            heart = partial(server.do, beat_heart(3))
            assert collect(subscriber, 3, heart=heart) == [1, 2, 3]
        with served(endpoint, tmp_path / "j2") as server:
            server.do(publish(*numbered(1, 2), sent=False))
            heart = partial(server.do, beat_heart(2))
            assert collect(subscriber, 2, heart=heart) == [1, 2]


def test_topics_choose_what_is_handed_out(endpoint: str, tmp_path: Path) -> None:
    """Other patients' alerts are counted, so that no hole is seen, but not handed out."""
    topics = ["alert.7", "beat.7", "status"]
    with (
        served(endpoint, tmp_path / "j") as server,
        AlertSubscriber(endpoint, topics) as subscriber,
    ):
        connect(server, subscriber)
        server.do(publish(*numbered(1), alert(seq=2, id="x", patient="7")))
        server.do(
            publish(beat_scored(), beat_scored(patient="7"), alert(seq=3, id="y", patient="7"))
        )
        received: list[Message] = []
        while len(received) < 3 and (message := subscriber.receive(5)) is not None:
            if not isinstance(message, Status):
                received.append(message)
        assert [type(one) for one in received] == [Alert, BeatScored, Alert]
        assert {topic_of(one).split(".")[1] for one in received} == {"7"}
        assert subscriber.recovered == 0


def test_requests_that_are_none_are_refused_and_counted(endpoint: str, tmp_path: Path) -> None:
    """A malformed request gets an answer that says so; the publisher goes on."""
    with served(endpoint, tmp_path / "j") as server, Sockets() as sockets:
        asking = sockets.ask(requests_endpoint(endpoint))
        asking.send(b"\x00 nonsense")
        assert asking.poll(5000)
        assert b'"refused"' in asking.recv()
        asking.send_multipart([b"two", b"frames"])
        asking.send(b'{"type":"threshold","patient":"nobody","value":3}')
        assert asking.poll(5000)
        assert b"nobody" in asking.recv()
        asking.send(b'{"type":"threshold","patient":"119","factor":1.05}')
        assert asking.poll(5000)
        assert b'"done"' in asking.recv()
        asking.send_multipart([b"", b'{"type":"replay","after":0}'])  # as a REQ socket frames it
        assert asking.poll(5000)
        assert asking.recv() == b""
        assert b'"page"' in asking.recv()
        counted: list[int] = []
        server.do(lambda publisher, journal: counted.append(publisher.malformed))
        assert counted == [2]
        assert server.thresholds == [ThresholdRequest(patient="119", factor=1.05)]


def test_foreign_bytes_on_the_alert_socket_are_counted(endpoint: str, tmp_path: Path) -> None:
    """A subscriber that hears nonsense counts it and goes on."""
    with Sockets() as sockets:
        stranger = sockets.publish(endpoint)
        sockets.serve(requests_endpoint(endpoint))
        with AlertSubscriber(endpoint, TOPICS) as subscriber:
            deadline_s = time.monotonic() + 10
            while not subscriber.malformed and time.monotonic() < deadline_s:
                stranger.send_multipart([b"alert.x", b"{"])
                stranger.send_multipart([b"alert.x"])
                assert subscriber.receive(0.05) is None
            assert subscriber.malformed >= 1


def test_a_malformed_endpoint_is_refused() -> None:
    """The error names the endpoint; no socket stays open."""
    with pytest.raises(InvalidEndpoint, match="nowhere"):
        AlertSubscriber("nowhere")


def test_asking_nobody_does_not_block(endpoint: str) -> None:
    """A view whose monitor is gone can still be used, and left."""
    with AlertSubscriber(endpoint) as subscriber:
        for _ in range(200):
            subscriber.ask(ThresholdRequest(factor=1.05))
        assert subscriber.receive(0) is None


def test_an_inbox_goes_on_where_it_was(endpoint: str, tmp_path: Path) -> None:
    """Each alert is kept once and in order over several lives, however they ended."""
    with served(endpoint, tmp_path / "j") as server:
        server.do(publish(*numbered(*range(1, 9)), sent=False))
        heart = partial(server.do, beat_heart(8))
        for _ in range(2):  # ends well: what was handed out is handled
            with (
                Inbox(tmp_path / "i") as inbox,
                AlertSubscriber(endpoint, TOPICS, inbox=inbox) as alerts,
            ):
                assert len(collect(alerts, 2, heart=heart)) == 2
        with Inbox(tmp_path / "i") as inbox:
            dies = AlertSubscriber(endpoint, TOPICS, inbox=inbox)
            assert collect(dies, 2, heart=heart) == [5, 6]
            dies.close()  # with 6 in hand: nobody knows whether it was handled
        with (
            Inbox(tmp_path / "i") as inbox,
            AlertSubscriber(endpoint, TOPICS, inbox=inbox) as alerts,
        ):
            assert collect(alerts, 3, heart=heart) == [6, 7, 8]
        with Inbox(tmp_path / "i") as inbox:
            assert [one.seq for one in inbox.alerts()] == list(range(1, 9))


def test_an_inbox_follows_a_new_journal(endpoint: str, tmp_path: Path) -> None:
    """Numbers that begin anew in another journal are other alerts."""
    for journal in ("j1", "j2"):
        with (
            served(endpoint, tmp_path / journal) as server,
            Inbox(tmp_path / "i") as inbox,
            AlertSubscriber(endpoint, TOPICS, inbox=inbox) as alerts,
        ):
            server.do(publish(*numbered(1, 2), sent=False))
            assert collect(alerts, 2, heart=partial(server.do, beat_heart(2))) == [1, 2]
    with Inbox(tmp_path / "i") as inbox:
        assert [one.seq for one in inbox.alerts()] == [1, 2, 1, 2]
        assert len({one.journal for one in inbox.alerts()}) == 2


@pytest.mark.parametrize("durable", [True, False])
def test_a_journal_that_comes_back_is_gone_on_with(
    endpoint: str, tmp_path: Path, durable: bool
) -> None:
    """A night, another run, the night again: no alert of the first part comes twice."""
    with (
        Inbox(tmp_path / "i") as inbox,
        AlertSubscriber(endpoint, TOPICS, inbox=inbox if durable else None) as alerts,
    ):
        for journal, numbers, expected in (
            ("j1", (1, 2), [1, 2]),
            ("j2", (1,), [1]),
            ("j1", (3, 4), [3, 4]),
        ):
            with served(endpoint, tmp_path / journal) as server:
                server.do(publish(*numbered(*numbers), sent=False))
                newest = numbers[-1]
                heart = partial(server.do, beat_heart(newest))
                assert collect(alerts, len(expected), heart=heart) == expected


def test_since_begins_at_a_wall_time(endpoint: str, tmp_path: Path) -> None:
    """What was said before is left out, also where the sequence says it was missed."""
    times = [f"2026-01-01T00:0{n}:00.000Z" for n in range(1, 7)]
    said = [alert(seq=n, id=f"a{n}", wall_time=time) for n, time in enumerate(times, start=1)]
    with served(endpoint, tmp_path / "j") as server:
        server.do(publish(*said, sent=False))
        for since, expected in ((times[3], [4, 5, 6]), ("2026-02-01T00:00:00.000Z", [])):
            with AlertSubscriber(endpoint, TOPICS, since=since) as subscriber:
                connect(server, subscriber, newest=6)
                assert collect(subscriber, len(expected) + 1, 1) == expected


def test_what_is_kept_no_longer_is_counted(endpoint: str, tmp_path: Path) -> None:
    """Where retention has passed, the subscriber says how many it missed and goes on."""
    with served(endpoint, tmp_path / "j") as server:
        server.do(publish(*numbered(*range(1, 9)), sent=False))
        server.do(
            lambda publisher, journal: execute(tmp_path / "j", "DELETE FROM alerts WHERE seq < 6")
        )
        with AlertSubscriber(endpoint, TOPICS) as subscriber:
            connect(server, subscriber, newest=8)
            assert collect(subscriber, 3) == [6, 7, 8]
            assert subscriber.truncated == 5


def test_the_iterator_ends_when_the_subscriber_is_closed(endpoint: str, tmp_path: Path) -> None:
    """Closed from within the loop, it neither waits nor raises."""
    with served(endpoint, tmp_path / "j") as server:
        server.do(publish(*numbered(1, 2, 3), sent=False))
        subscriber = AlertSubscriber(endpoint, TOPICS)
        connect(server, subscriber, newest=3)
        received = []
        for message in subscriber:
            received.append(message)
            subscriber.close()
        assert len(received) == 1
        assert list(subscriber) == []


def test_topics_can_be_changed_while_it_listens(endpoint: str, tmp_path: Path) -> None:
    """Of one patient's beats, then another's; alerts stay without holes meanwhile."""
    both = beat_scored(patient="1"), beat_scored(patient="2")
    with (
        served(endpoint, tmp_path / "j") as server,
        AlertSubscriber(endpoint, ("beat.1", "status")) as subscriber,
    ):
        connect(server, subscriber)
        server.do(publish(*both, journaled=False))
        first = next(one for one in subscriber if isinstance(one, BeatScored))
        subscriber.follow(("beat.2", "alert"))
        server.do(publish(*numbered(1)))
        assert collect(subscriber, 1) == [1]
        heard: Message | None = None
        while heard is None:  # the publisher learns of it a moment later
            server.do(publish(*both, journaled=False))
            heard = subscriber.receive(0.05)
        assert (first.patient, topic_of(heard)) == ("1", "beat.2")


def test_messages_of_a_foreign_journal_are_dropped_and_counted(
    endpoint: str, tmp_path: Path
) -> None:
    """Another monitor took the endpoint over: nothing of it is handed out, beats neither."""
    with AlertSubscriber(endpoint, (*TOPICS, "beat")) as subscriber:
        with served(endpoint, tmp_path / "ours") as server:
            server.do(lambda _, journal: setattr(subscriber, "only", journal.identity))
            connect(server, subscriber)
            server.do(publish(alert(seq=1), beat_scored()))
            assert collect(subscriber, 1) == [1]
            assert isinstance(subscriber.receive(10), BeatScored)
            assert subscriber.foreign == 0
        with served(endpoint, tmp_path / "theirs") as server:
            deadline_s = time.monotonic() + 10
            while subscriber.foreign < 10 and time.monotonic() < deadline_s:
                server.do(publish(status(newest_seq=9), beat_scored(), journaled=False))
                assert subscriber.receive(0.05) is None
        assert subscriber.foreign >= 10
        assert subscriber.last_seq == 1
