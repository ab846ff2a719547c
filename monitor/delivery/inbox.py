"""A durable subscriber's own file: the alerts it has had, and up to where; one transaction each.

Stored together, alert and position cannot disagree: whenever the subscriber is killed, it continues
behind the last alert that is in the file, so the file holds each alert once, in order.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import platformdirs

from monitor.delivery.position import Place
from monitor.errors import InboxFailed, InvalidMessage, InvalidOption, JournalFailed
from monitor.journal.lock import real_path, require_one_name, writing
from monitor.journal.own_files import OwnFiles
from monitor.journal.own_time import OwnTime
from monitor.journal.reader import UNREADABLE
from monitor.settings import KEEP_DAYS, KEEP_MB
from monitor.wire.codec import decode_numbered, encode_json
from monitor.wire.messages import Alert, Technical

_SCHEMA = """
CREATE TABLE IF NOT EXISTS alerts (
    number INTEGER PRIMARY KEY,
    journal TEXT NOT NULL,
    seq INTEGER NOT NULL,
    message BLOB NOT NULL,
    UNIQUE (journal, seq)
) STRICT;
CREATE TABLE IF NOT EXISTS positions (
    origin TEXT PRIMARY KEY,
    journal TEXT NOT NULL,
    seq INTEGER NOT NULL,
    id TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS sinks (
    identity TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT;
"""
# A journal's alerts bear its present identity. What was had and is no longer in a journal that went
# back bears its first one, and a number below 0 that stands for nothing, until it comes again.
TRUNCATE_EVERY = 100  # alerts kept, or a minute, between two looks at what retention removes
_NAME = re.compile(r"\w[\w.-]{0,63}")


def inbox_path(name: str) -> Path:
    """Return where the inbox of that name lies; InvalidOption if it cannot name a file."""
    if _NAME.fullmatch(name) is None:
        raise InvalidOption(
            f"--durable {name!r} cannot be a name; use 1 to 64 letters, digits, dots and dashes"
        )
    folder = platformdirs.user_state_path("ecg-monitor") / "subscribers"
    return folder / f"{name}.sqlite"


class Inbox:
    """The file, open for reading by any number of processes, and for writing by one.

    Parameters
    ----------
    path : Path
    keep_days : float
        Alerts are removed, some at a time, once the file has been open for so long since.
    keep_mb : float
        Of a file that is bigger, the oldest alerts are removed.
    clock : callable
        Returns monotonic seconds; how long alerts are kept goes by it.

    Raises
    ------
    InboxFailed
        If the file cannot be opened or is not an inbox; from each method, if it cannot be used.

    Examples
    --------
    `alert` is one that a subscriber handed out, `folder` a folder of yours. A subscriber that is
    given the inbox keeps alerts by itself: `AlertSubscriber(inbox=inbox)`.

    >>> from monitor import Inbox
    >>> with Inbox(folder / "mine.sqlite") as inbox:
    ...     inbox.keep(alert)
    >>> with Inbox(folder / "mine.sqlite") as inbox:  # later, or after a crash
    ...     [(kept.seq, kept.patient) for kept in inbox.alerts()], inbox.last_seq
    ([(1, '119')], 1)
    """

    def __init__(
        self,
        path: Path,
        keep_days: float = KEEP_DAYS,
        keep_mb: float = KEEP_MB,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._keep_s, self._keep_bytes = keep_days * 86_400, keep_mb * 1e6
        self._kept_since_look = 0
        self._open = contextlib.ExitStack()
        self._held = False
        try:
            path.touch(mode=0o600)
            require_one_name(path)
            self._database = sqlite3.connect(real_path(path), isolation_level=None)
            self._open.callback(self._database.close)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_SCHEMA)
            self._own_time = OwnTime(self._database, clock)
            self._files = OwnFiles(path)
            self._note_positions()
            newest = self.newest()
        except (InboxFailed, JournalFailed) as error:
            self._open.close()
            raise InboxFailed(str(error)) from error
        except (*UNREADABLE, OSError) as error:
            self._open.close()
            raise InboxFailed(
                f"{path} cannot be used as an inbox ({error}); give another --durable name"
            ) from error
        self._lost: defaultdict[str, deque[int]] | None = None  # numbers by identity
        place = newest[1] if newest else Place("", 0, "")
        self.journal, self.last_seq = place.journal, place.seq

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._held:
            with contextlib.suppress(InboxFailed):  # it is counted anew next time
                self.truncate()
        self._open.close()

    def hold(self) -> None:
        """Become the one that writes it, until it is closed; reading needs no such thing.

        Raises
        ------
        InboxFailed
            If another process writes it.
        """
        if self._held:
            return
        try:
            self._open.enter_context(writing(self._path))
        except (JournalFailed, OSError) as error:
            raise InboxFailed(str(error)) from error
        self._held = True
        self.truncate()

    @property
    def is_new(self) -> bool:
        """Whether it has had nothing yet."""
        return not self.journal

    def last_seq_in(self, journal: str) -> int:
        """Return the number of the newest alert that was had of a journal; 0 if none was."""
        rows = self._rows("SELECT seq FROM positions WHERE ? IN (journal, origin)", journal)
        return max((int(seq) for (seq,) in rows), default=0)

    def newest(self) -> tuple[str, Place] | None:
        """Return the first identity of the journal that was followed last, and the position."""
        columns = "SELECT origin, journal, seq, id FROM positions"
        rows = self._rows(f"{columns} ORDER BY rowid DESC LIMIT 1")
        return (rows[0][0], Place(*rows[0][1:])) if rows else None

    def place(self, origin: str) -> Place | None:
        """Return the position in a journal, by its first identity."""
        rows = self._rows("SELECT journal, seq, id FROM positions WHERE origin = ?", origin)
        return Place(*rows[0]) if rows else None

    def ids(self, journal: str) -> dict[int, str]:
        """Return the identities of the alerts that are kept of a journal, by their numbers."""
        rows = self._rows(
            "SELECT seq, message FROM alerts WHERE journal = ? AND seq > 0 ORDER BY seq", journal
        )
        return {seq: self._decoded(message).id for seq, message in rows}

    def lost(self, origin: str) -> Counter[str]:
        """Return the identities of what a journal that went back lacks, as far as is known."""
        return Counter({name: len(numbers) for name, numbers in self._lost_of(origin).items()})

    def _lost_of(self, origin: str) -> defaultdict[str, deque[int]]:
        found: defaultdict[str, deque[int]] = defaultdict(deque)
        for number, message in self._rows(
            "SELECT number, message FROM alerts WHERE journal = ? AND seq < 0 ORDER BY number",
            origin,
        ):
            found[self._decoded(message).id].append(number)
        return found

    def keep(self, message: Alert | Technical, origin: str = "") -> None:
        """Store an alert that was handled, and with it the position; InboxFailed if it cannot.

        `origin` is the first identity of its journal, where that has got another one since.
        """
        self.hold()
        with self._transaction("cannot keep an alert"):
            self._database.execute(
                "INSERT INTO alerts (journal, seq, message) VALUES (?, ?, ?)",
                (message.journal, message.seq, encode_json(message)),
            )
            self._move(origin or message.journal, Place(message.journal, message.seq, message.id))
        self.journal, self.last_seq = message.journal, message.seq
        self._kept_since_look += 1
        self.look()

    def rename(self, origin: str, before: str, place: Place) -> None:
        """Take note that a journal has another identity, and continues."""
        with self._transaction("cannot note a journal's identity"):
            self._database.execute(
                "UPDATE OR IGNORE alerts SET journal = ? WHERE journal = ? AND seq > 0",
                (place.journal, before),
            )
            self._move(origin, place)
        self.journal, self.last_seq = place.journal, place.seq

    def set_aside(self, origin: str, before: str, place: Place) -> None:
        """Take note that a journal went back: which of its alerts it still has is to be seen."""
        with self._transaction("cannot note that the journal went back"):
            self._database.execute(
                "UPDATE alerts SET journal = ?, seq = -number WHERE journal = ? AND seq > 0",
                (origin, before),
            )
            self._move(origin, place)
        self.journal, self.last_seq = place.journal, place.seq
        self._lost = None

    def had_again(self, origin: str, messages: Iterable[Alert | Technical]) -> None:
        """Take note that alerts that were had came again, by the numbers they have now."""
        if self._lost is None:
            self._lost = self._lost_of(origin)
        with self._transaction("cannot keep the position"):
            for message in messages:
                place = Place(message.journal, message.seq, message.id)
                numbers = self._lost.get(message.id)
                if numbers:
                    self._database.execute(
                        "UPDATE OR IGNORE alerts SET journal = ?, seq = ? WHERE number = ?",
                        (message.journal, message.seq, numbers.popleft()),
                    )
                self._move(origin, place)
                self.journal, self.last_seq = message.journal, message.seq

    def _move(self, origin: str, place: Place) -> None:
        self._database.execute("REPLACE INTO positions VALUES (?, ?, ?, ?)", (origin, *place))

    def _note_positions(self) -> None:
        """Note where to go on in each journal, of a file whose alerts alone tell."""
        if self._number("SELECT count(*) FROM positions"):
            return
        rows = self._rows(
            "SELECT journal, seq, message FROM alerts "
            "WHERE number IN (SELECT max(number) FROM alerts GROUP BY journal) ORDER BY number"
        )
        with self._transaction("cannot keep the position"):
            for journal, seq, message in rows:
                self._move(journal, Place(journal, seq, self._decoded(message).id))

    @contextlib.contextmanager
    def _transaction(self, failed: str) -> Iterator[None]:
        if self._files.loss():
            raise InboxFailed(
                f"{self._path}: {failed} (it was removed, moved or replaced while it is in use); "
                "put it back, or start again with a new one"
            )
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except UNREADABLE as error:
            self._undo()
            raise InboxFailed(f"{self._path}: {failed} ({error})") from error
        except BaseException:
            self._undo()
            raise

    def look(self) -> None:
        """Look after retention if a minute has passed, or many alerts came; call it often."""
        if self._held and (self._kept_since_look >= TRUNCATE_EVERY or self._own_time.is_due):
            with contextlib.suppress(InboxFailed):  # `keep` says what is wrong with the file
                self.truncate()

    def alerts(self) -> list[Alert | Technical]:
        """Return all that is kept, in order."""
        rows = self._rows("SELECT message FROM alerts ORDER BY number")
        return [self._decoded(message) for (message,) in rows]

    def sink_position(self, identity: str) -> int:
        """Return the number up to which a sink had all; a new sink has what is there."""
        self.hold()
        with self._transaction("cannot keep a sink's position"):
            self._database.execute(
                "INSERT OR IGNORE INTO sinks "
                "VALUES (?, (SELECT coalesce(max(number), 0) FROM alerts))",
                (identity,),
            )
        return int(self._rows("SELECT number FROM sinks WHERE identity = ?", identity)[0][0])

    def note_sinks(self, positions: Mapping[str, int]) -> None:
        """Note up to which numbers sinks had all."""
        with self._transaction("cannot keep a sink's position"):
            self._database.executemany(
                "UPDATE sinks SET number = ? WHERE identity = ?",
                [(number, identity) for identity, number in positions.items()],
            )

    @property
    def newest_number(self) -> int:
        """The number of the newest alert in this file; 0 if there is none."""
        return self._number("SELECT coalesce(max(number), 0) FROM alerts")

    def behind(self, number: int, limit: int) -> list[tuple[int, Alert | Technical]]:
        """Return the alerts behind a number of this file, with their own, in order."""
        rows = self._rows(
            "SELECT number, message FROM alerts WHERE number > ? ORDER BY number LIMIT ?",
            number,
            limit,
        )
        return [(found, self._decoded(message)) for found, message in rows]

    def newest_alert(self) -> Alert | Technical | None:
        """Return what was kept last."""
        rows = self._rows("SELECT message FROM alerts ORDER BY number DESC LIMIT 1")
        return self._decoded(rows[0][0]) if rows else None

    def truncate(self) -> None:
        """Remove some of what is too old, and of the oldest in an inbox that is too big.

        Ages are the inbox's own time, in which it was open. The newest alert stays.
        """
        self._kept_since_look = 0
        newest = self._number("SELECT coalesce(max(number), 0) FROM alerts")
        oldest = self._number("SELECT coalesce(min(number), 1) FROM alerts")
        too_big = self._bytes_used() > self._keep_bytes
        own_time = self._own_time
        with self._transaction("cannot remove old alerts"):
            own_time.count(newest, self._keep_s)
            until = newest if too_big else own_time.expired(self._keep_s)
            until = min(own_time.some_of(oldest, newest, until), newest - 1)
            self._database.execute("DELETE FROM alerts WHERE number <= ?", (until,))
            own_time.forget(until)

    def _undo(self) -> None:
        if self._database.in_transaction:
            with contextlib.suppress(*UNREADABLE):  # the reason to undo is what is reported
                self._database.execute("ROLLBACK")

    def _bytes_used(self) -> int:
        pages, free, size = (
            self._number(f"PRAGMA {name}") for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def _number(self, query: str) -> int:
        return int(self._rows(query)[0][0])

    def _decoded(self, message: bytes) -> Alert | Technical:
        try:
            return decode_numbered(message)
        except InvalidMessage as error:
            raise InboxFailed(
                f"{self._path} holds an alert that cannot be read ({error}); give another "
                "--durable name"
            ) from error

    def _rows(self, query: str, *given: object) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(query, given).fetchall()
        except UNREADABLE as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> InboxFailed:
        return InboxFailed(f"{self._path} cannot be read as an inbox ({error})")
