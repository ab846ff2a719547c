"""An older copy of a journal is put in its place: nothing that can be had is lost or doubled."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest

from monitor.delivery.inbox import Inbox
from monitor.delivery.subscriber import AlertSubscriber
from monitor.journal.lock import lock_path
from monitor.wire.codec import decode_reply, encode_json
from monitor.wire.messages import Alert, Page, ReplayRequest
from monitor.wire.sockets import Sockets, requests_endpoint
from tests.messages import alert
from tests.monitor.delivery.test_subscriber import TOPICS, Server, beat_heart, publish, served

HAD = 10  # alerts that the subscriber has had when the copy is restored
COPIED = 6  # of them in the copy


def said(first: int, *ids: str) -> list[Alert]:
    return [alert(seq=seq, id=name) for seq, name in enumerate(ids, first)]


def before(first: int, last: int) -> list[Alert]:
    return said(first, *[f"a{seq}" for seq in range(first, last + 1)])


class Listener:
    """A subscriber, durable or not, that may be started again."""

    def __init__(self, endpoint: str, folder: Path, *, durable: bool) -> None:
        self._endpoint, self._folder, self._durable = endpoint, folder, durable
        self._stack = ExitStack()
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        self._stack.close()
        self._stack = ExitStack()
        inbox = self._stack.enter_context(Inbox(self._folder / "i")) if self._durable else None
        subscriber = AlertSubscriber(self._endpoint, TOPICS, inbox=inbox)
        self.subscriber = self._stack.enter_context(subscriber)

    def stop(self) -> None:
        self._stack.close()

    def hear(self, server: Server, newest: int) -> list[str]:
        """Return the identities of the alerts that come until all up to a number were taken."""
        heard: list[str] = []
        heart = partial(server.do, beat_heart(newest))
        for _ in range(400):
            message = self.subscriber.receive(0.05)
            if isinstance(message, Alert):
                heard.append(message.id)
            elif self.subscriber.last_seq == newest and message is not None:
                return heard
            elif message is None:
                heart()
        raise AssertionError(f"not all came: {heard}, {self.subscriber.last_seq}")


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path / 'alerts'}"


@pytest.fixture(params=["durable", "durable, started again", "in memory"])
def listener(
    request: pytest.FixtureRequest, endpoint: str, tmp_path: Path
) -> Iterator[tuple[Listener, bool]]:
    """Return a subscriber, and whether it is started again after each life of the monitor."""
    listener = Listener(endpoint, tmp_path, durable=request.param != "in memory")
    yield listener, request.param == "durable, started again"
    listener.stop()


def back_up(path: Path, to: Path) -> None:
    """Copy a journal while it is open, and what is noted beside it."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)
    shutil.copy(lock_path(path), lock_path(to))


def restore(copy: Path, path: Path, *, with_mark: bool) -> None:
    for name in ("-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)
    shutil.copy(copy, path)
    if with_mark:
        shutil.copy(lock_path(copy), lock_path(path))


@pytest.mark.parametrize("with_mark", [False, True], ids=["the file", "all that lies beside it"])
@pytest.mark.parametrize("n_new", [1, 8], ids=["behind what was had", "beyond it"])
def test_a_subscriber_that_had_more_than_the_copy(
    endpoint: str, tmp_path: Path, listener: tuple[Listener, bool], with_mark: bool, n_new: int
) -> None:
    """It reports that, gets what is new, and not again what is judged again.

    The monitor judges the beats behind the copy once more: the first of them gives the alert that
    was had as number 8; the others are new, since a person has moved the threshold meanwhile.
    """
    subscriber, starts_again = listener
    path, copy = tmp_path / "j", tmp_path / "copy"
    with served(endpoint, path) as server:
        server.do(publish(*before(1, COPIED), sent=False))
        back_up(path, copy)
        server.do(publish(*before(COPIED + 1, HAD), sent=False))
        assert subscriber.hear(server, HAD) == [f"a{n}" for n in range(1, HAD + 1)]
    restore(copy, path, with_mark=with_mark)
    if starts_again:
        subscriber.start()
    new = [f"b{n}" for n in range(n_new)]
    with served(endpoint, path) as server:
        server.do(publish(*said(COPIED + 1, "a8", *new), sent=False))
        newest = COPIED + 1 + n_new
        assert subscriber.hear(server, newest) == new
        assert subscriber.subscriber.went_back == 1
        (notice,) = subscriber.subscriber.take_notices()
        assert f"the journal went back: alert {HAD} was had" in notice
        server.do(publish(*said(newest + 1, "c", "a9"), sent=False))
        assert subscriber.hear(server, newest + 2) == ["c"]
    if starts_again:
        subscriber.start()
    with served(endpoint, path) as server:
        server.do(publish(*said(newest + 3, "d", "a9"), sent=False))  # now it is another one
        assert subscriber.hear(server, newest + 4) == ["d", "a9"]
        assert subscriber.subscriber.went_back == (0 if starts_again else 1)


def test_a_subscriber_that_had_no_more_than_the_copy(
    endpoint: str, tmp_path: Path, listener: tuple[Listener, bool]
) -> None:
    """Of another identity the numbers go on; there is nothing to report."""
    subscriber, starts_again = listener
    path, copy = tmp_path / "j", tmp_path / "copy"
    with served(endpoint, path) as server:
        server.do(publish(*before(1, COPIED), sent=False))
        assert len(subscriber.hear(server, COPIED)) == COPIED
        back_up(path, copy)
    if starts_again:
        subscriber.stop()
    with served(f"{endpoint}2", path) as server:
        server.do(publish(*before(COPIED + 1, HAD), sent=False))
    restore(copy, path, with_mark=False)
    if starts_again:
        subscriber.start()
    with served(endpoint, path) as server:
        server.do(publish(*said(COPIED + 1, "b1", "b2"), sent=False))
        assert subscriber.hear(server, COPIED + 2) == ["b1", "b2"]
        assert subscriber.subscriber.went_back == 0
        assert subscriber.subscriber.take_notices() == []


def test_a_journal_goes_back_twice(
    endpoint: str, tmp_path: Path, listener: tuple[Listener, bool]
) -> None:
    """The second time to a copy from before the first: of an identity that was left."""
    subscriber, starts_again = listener
    path, copy = tmp_path / "j", tmp_path / "copy"
    with served(endpoint, path) as server:
        server.do(publish(*before(1, COPIED), sent=False))
        back_up(path, copy)
        server.do(publish(*before(COPIED + 1, HAD), sent=False))
        assert len(subscriber.hear(server, HAD)) == HAD
    for life in ("b", "c", "d"):
        restore(copy, path, with_mark=life == "c")
        if starts_again:
            subscriber.start()
        with served(endpoint, path) as server:
            server.do(publish(*said(COPIED + 1, "a7", f"{life}1", f"{life}2"), sent=False))
            assert subscriber.hear(server, COPIED + 3) == [f"{life}1", f"{life}2"]


def test_who_asks_for_more_than_there_is_changes_the_identity_once(
    endpoint: str, tmp_path: Path
) -> None:
    """A client that makes things up costs others nothing: they go on where they are."""
    listener = Listener(endpoint, tmp_path, durable=False)
    with served(endpoint, tmp_path / "j") as server, Sockets() as sockets:
        server.do(publish(*before(1, 3), sent=False))
        assert len(listener.hear(server, 3)) == 3
        asking = sockets.ask(requests_endpoint(endpoint))
        names: list[str] = [""]
        for _ in range(3):
            asking.send(encode_json(ReplayRequest(after=99, journal=names[-1])))
            assert asking.poll(5000)
            page = decode_reply(asking.recv())
            assert isinstance(page, Page)
            assert (page.continues, page.messages) == (False, [])
            names.append(page.journal)
        assert names[1] != names[2] == names[3]
        server.do(publish(*before(4, 5), sent=False))
        assert listener.hear(server, 5) == ["a4", "a5"]
        assert listener.subscriber.went_back == 0
    listener.stop()
