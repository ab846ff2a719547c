"""The journals and transports that must keep the same promises, each behind one shape."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from monitor.delivery.inbox import Inbox
from monitor.delivery.listening import Listening
from monitor.delivery.subscriber import AlertSubscriber
from monitor.errors import MonitorError
from monitor.journal.reader import JournalReader
from monitor.journal.writer import Journal, Progress, StoredProgress
from monitor.ward.link import WardLink, connected
from monitor.ward.listener import WardListener
from monitor.ward.past import past_alerts
from monitor.ward.setup import require_ward
from monitor.ward.ward_journal import WardJournal
from monitor.wire.codec import all_encoded
from monitor.wire.messages import Alert, Stream, Technical
from tests.messages import alert, technical
from tests.monitor.delivery.test_subscriber import Server
from tests.monitor.ward.servers import WardServer, ward_server

Said = Alert | Technical


class PatientState(msgspec.Struct):
    """What a consumer would go on from."""

    beats: int = 7


def reached(position: int, patient: str = "119") -> Progress[PatientState]:
    """Return how far a patient is."""
    return Progress(patient, position, b"segmenter", PatientState())


def kept_as(position: int, patient: str = "119") -> StoredProgress:
    """Return the same as it is kept."""
    return StoredProgress(patient, position, b"segmenter", msgspec.msgpack.encode(PatientState()))


class Writer(Protocol):
    """Who writes a journal."""

    identity: str

    @property
    def newest_seq(self) -> int:
        """The newest number."""
        ...

    def commit(self, said: Sequence[Said], progress: Sequence[Progress[Any]]) -> None:
        """Write all, or nothing."""
        ...

    def holds(self, identity: str) -> bool:
        """Tell whether an alert was committed."""
        ...

    def progress(self) -> list[StoredProgress]:
        """Return how far patients are."""
        ...

    def close(self) -> None:
        """Write no more."""
        ...


class Store(Protocol):
    """Where a journal lies, and who listens to it."""

    def writer(self) -> Writer:
        """Open it to write."""
        ...

    def alerts(self, since: str = "") -> list[Said]:
        """Return what it holds."""
        ...

    def listener(self, after: int | None = 0, since: str | None = None) -> Any:
        """Return a context manager of a `Listening`."""
        ...


class EmbeddedWriter:
    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self.identity = self._journal.identity

    @property
    def newest_seq(self) -> int:
        return self._journal.newest_seq

    def commit(self, said: Sequence[Said], progress: Sequence[Progress[Any]]) -> None:
        self._journal.commit(all_encoded(said), progress)

    def holds(self, identity: str) -> bool:
        return self._journal.holds(identity)

    def progress(self) -> list[StoredProgress]:
        return self._journal.progress()

    def close(self) -> None:
        self._journal.__exit__(None, None, None)


class EmbeddedStore:
    """SQLite and ZeroMQ."""

    def __init__(self, folder: Path) -> None:
        self.path, self.endpoint = folder / "j.sqlite", f"ipc://{folder / 'a'}"

    def writer(self) -> Writer:
        return EmbeddedWriter(self.path)

    def alerts(self, since: str = "") -> list[Said]:
        with JournalReader(self.path) as reader:
            return list(reader.alerts(since))

    @contextlib.contextmanager
    def publishing(self) -> Iterator[Server]:
        server = Server(self.endpoint, self.path)
        server.start()
        assert server.ready.wait(10)
        try:
            yield server
        finally:
            server.stop()

    def listener(
        self, after: int | None = 0, since: str | None = None, inbox: Inbox | None = None
    ) -> contextlib.AbstractContextManager[Listening]:
        topics = ("alert", "technical", "status")
        return AlertSubscriber(self.endpoint, topics, after, since=since, inbox=inbox)


STREAM = Stream("119", "119", ["MLII"], 360.0, 0, None)


class WardWriter:
    """A partition's journal, in a loop that runs when it is called."""

    def __init__(self, server: WardServer) -> None:
        self._runner = asyncio.Runner()
        self._stack = contextlib.AsyncExitStack()
        try:
            self._journal = self._runner.run(self._open(server))
        except BaseException:
            self.close()
            raise
        self.identity = self._journal.identity

    async def _open(self, server: WardServer) -> WardJournal:
        link: WardLink = await self._stack.enter_async_context(connected(server.access, "test"))
        journal = WardJournal(link, await require_ward(link), 0, "test")
        await journal.open()
        return journal

    @property
    def newest_seq(self) -> int:
        return self._journal.newest_seq

    def commit(self, said: Sequence[Said], progress: Sequence[Progress[Any]]) -> None:
        rows = [(one, msgspec.structs.replace(STREAM, patient=one.patient), 1) for one in progress]
        commit = self._journal.commit(all_encoded(said), rows, 1, lambda _rows: 1)
        self._runner.run(commit)
        self._journal.newest_seq = said[-1].seq if said else self._journal.newest_seq

    def holds(self, identity: str) -> bool:
        return self._journal.holds(identity)

    def progress(self) -> list[StoredProgress]:
        return self._journal.progress()

    def close(self) -> None:
        with contextlib.suppress(MonitorError):
            self._runner.run(self._stack.aclose())
        self._runner.close()


class WardStore:
    """NATS JetStream."""

    def __init__(self, server: WardServer) -> None:
        self.server = server

    def writer(self) -> Writer:
        return WardWriter(self.server)

    def alerts(self, since: str = "") -> list[Said]:
        return past_alerts(self.server.access, since)

    def listener(
        self, after: int | None = 0, since: str | None = None, inbox: Inbox | None = None
    ) -> contextlib.AbstractContextManager[Listening]:
        topics = ("alert", "technical", "status")
        return WardListener(self.server.access, topics, after, since=since, inbox=inbox)


@contextlib.contextmanager
def store(kind: str, folder: Path) -> Iterator[EmbeddedStore | WardStore]:
    """Open a store of a kind for the block."""
    if kind == "embedded":
        yield EmbeddedStore(folder)
    else:
        with ward_server(partitions=1) as server:
            yield WardStore(server)


def said(first: int, n: int) -> list[Said]:
    """Return alerts and technical alerts of consecutive numbers."""
    return [
        technical(seq=seq, id=f"t{seq}") if seq % 3 == 0 else alert(seq=seq, id=f"a{seq}")
        for seq in range(first, first + n)
    ]
