"""What everybody who listens is promised, whether ZeroMQ or a ward's stream brings it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from monitor.delivery.inbox import Inbox
from monitor.delivery.listening import Listening
from monitor.delivery.publisher import Publisher
from monitor.journal.writer import Journal
from monitor.wire.codec import all_encoded
from monitor.wire.messages import Alert, Technical
from tests.messages import alert, status
from tests.monitor.conformance.stores import EmbeddedStore, Said, WardStore, said, store

Say = Callable[[list[Said]], None]


@pytest.fixture(params=["embedded", "ward"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedStore | WardStore]:
    with store(request.param, tmp_path) as one:
        yield one


@contextlib.contextmanager
def speaking(kept: EmbeddedStore | WardStore) -> Iterator[Say]:
    """Commit and publish as a monitor does, for the block."""
    if isinstance(kept, WardStore):
        writer = kept.writer()
        yield lambda messages: writer.commit([_named(one, writer.identity) for one in messages], [])
        writer.close()
        return
    with kept.publishing() as server:

        def say(messages: list[Said]) -> None:
            def commit_and_publish(publisher: Publisher, journal: Journal) -> None:
                named = [_named(one, journal.identity) for one in messages]
                journal.commit(all_encoded(named), [])
                publisher.publish(all_encoded(named))

            server.do(commit_and_publish)

        def beat(publisher: Publisher, journal: Journal) -> None:
            newest = journal.newest_seq
            heartbeat = status(newest_seq=newest, journal=journal.identity, origin=journal.origin)
            publisher.publish(all_encoded([heartbeat]))

        over = threading.Event()

        def keep_beating() -> None:
            while not over.wait(0.2):
                server.do(beat)

        beating = threading.Thread(target=keep_beating)
        beating.start()
        try:
            yield say
        finally:
            over.set()
            beating.join()


def _named(message: Said, journal: str) -> Said:
    return msgspec.structs.replace(message, journal=journal)


def heard(listener: Listening, n: int, within_s: float = 20.0) -> list[int]:
    """Return the numbers of the next alerts."""
    found: list[int] = []
    deadline_s = time.monotonic() + within_s
    while len(found) < n and time.monotonic() < deadline_s:
        message = listener.receive(0.1)
        if isinstance(message, Alert | Technical):
            found.append(message.seq)
    return found


def test_who_comes_late_hears_all_of_before_and_what_follows(
    kept: EmbeddedStore | WardStore,
) -> None:
    """Each once, in order, without a hole."""
    with speaking(kept) as say:
        say(said(1, 40))
        with kept.listener() as listener:
            assert heard(listener, 40) == list(range(1, 41))
            for first in range(41, 61, 5):
                say(said(first, 5))
            assert heard(listener, 20) == list(range(41, 61))


def test_several_listeners_hear_the_same(kept: EmbeddedStore | WardStore) -> None:
    """Each from its own beginning."""
    with speaking(kept) as say, kept.listener() as first, kept.listener() as second:
        say(said(1, 10))
        assert heard(first, 10) == heard(second, 10) == list(range(1, 11))


def test_from_a_wall_time_on(kept: EmbeddedStore | WardStore) -> None:
    """What was before the wall time is left out, nothing behind it."""
    with speaking(kept) as say:
        say([alert(seq=1, id="a1")])
        with kept.listener(since="2020-01-01T00:00:00.000Z") as listener:
            assert heard(listener, 1) == [1]


def test_a_durable_listener_goes_on_where_it_was(
    kept: EmbeddedStore | WardStore, tmp_path: Path
) -> None:
    """What it had in hand when it died comes again; what it had handled does not."""
    path = tmp_path / "inbox.sqlite"
    with speaking(kept) as say:
        say(said(1, 10))
        with (
            contextlib.suppress(ZeroDivisionError),
            Inbox(path) as inbox,
            kept.listener(inbox=inbox) as listener,
        ):
            assert heard(listener, 6) == [1, 2, 3, 4, 5, 6]
            raise ZeroDivisionError  # before it has handled the last
        say(said(11, 5))
        with Inbox(path) as inbox, kept.listener(inbox=inbox) as listener:
            assert heard(listener, 10) == list(range(6, 16))
        with Inbox(path) as inbox:
            assert [one.seq for one in inbox.alerts()] == list(range(1, 16))
        with Inbox(path) as inbox, kept.listener(inbox=inbox) as listener:
            assert heard(listener, 1, within_s=2.0) == []
            say(said(16, 1))
            assert heard(listener, 1) == [16]
