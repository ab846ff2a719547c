"""A durable subscriber's own file: the alerts it has had, and up to where; one transaction each.

Stored together, alert and position cannot disagree: whenever the subscriber is killed, it continues
behind the last alert that is in the file, so the file holds each alert once, in order.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import platformdirs

from monitor.errors import InboxFailed, InvalidMessage, InvalidOption, JournalFailed
from monitor.journal.lock import real_path, writing
from monitor.journal.own_time import OwnTime
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
"""
TRUNCATE_EVERY = 100  # alerts kept, or a minute, between two looks at what retention removes
# When a journal comes back, a subscriber continues behind its newest alert of it.
_REMOVABLE = "number NOT IN (SELECT max(number) FROM alerts GROUP BY journal)"
_OLDEST = f"SELECT coalesce(min(number), 1) FROM alerts WHERE {_REMOVABLE}"  # noqa: S608  ours
_DELETE = f"DELETE FROM alerts WHERE number <= ? AND {_REMOVABLE}"  # noqa: S608
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
    """The file, open for writing by one process.

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
        try:
            path.touch(mode=0o600)
            self._open.enter_context(writing(path))
            self._database = sqlite3.connect(real_path(path), isolation_level=None)
            self._open.callback(self._database.close)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_SCHEMA)
            self._own_time = OwnTime(self._database, clock)
            newest = self._database.execute(
                "SELECT journal, seq FROM alerts ORDER BY number DESC LIMIT 1"
            ).fetchone()
            self.truncate()
        except JournalFailed as error:
            self._open.close()
            raise InboxFailed(str(error)) from error
        except (sqlite3.Error, OSError) as error:
            self._open.close()
            raise InboxFailed(
                f"{path} cannot be used as an inbox ({error}); give another --durable name"
            ) from error
        self.journal, self.last_seq = (str(newest[0]), int(newest[1])) if newest else ("", 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(InboxFailed):  # it is counted anew next time
            self.truncate()
        self._open.close()

    @property
    def is_new(self) -> bool:
        """Whether it has had nothing yet."""
        return not self.journal

    def last_seq_in(self, journal: str) -> int:
        """Return the number of the newest alert that was had of a journal; 0 if none was."""
        rows = self._rows("SELECT coalesce(max(seq), 0) FROM alerts WHERE journal = ?", journal)
        return int(rows[0][0])

    def keep(self, message: Alert | Technical) -> None:
        """Store an alert that was handled, and with it the position; InboxFailed if it cannot."""
        try:
            self._database.execute(
                "INSERT INTO alerts (journal, seq, message) VALUES (?, ?, ?)",
                (message.journal, message.seq, encode_json(message)),
            )
        except sqlite3.Error as error:
            raise InboxFailed(
                f"{self._path}: cannot keep an alert ({error}); make sure that its disk has space, "
                "and start again"
            ) from error
        self.journal, self.last_seq = message.journal, message.seq
        self._kept_since_look += 1
        self.look()

    def look(self) -> None:
        """Look after retention if a minute has passed, or many alerts came; call it often."""
        if self._kept_since_look >= TRUNCATE_EVERY or self._own_time.is_due:
            with contextlib.suppress(InboxFailed):  # `keep` says what is wrong with the file
                self.truncate()

    def alerts(self) -> list[Alert | Technical]:
        """Return all that is kept, in order."""
        rows = self._rows("SELECT message FROM alerts ORDER BY number")
        return [self._decoded(message) for (message,) in rows]

    def truncate(self) -> None:
        """Remove some of what is too old, and of the oldest in an inbox that is too big.

        Ages are the inbox's own time, in which it was open. The newest alert of each journal
        stays: it marks where to continue.
        """
        self._kept_since_look = 0
        newest = self._number("SELECT coalesce(max(number), 0) FROM alerts")
        oldest = self._number(_OLDEST)
        too_big = self._bytes_used() > self._keep_bytes
        own_time = self._own_time
        try:
            self._database.execute("BEGIN IMMEDIATE")
            own_time.count(newest, self._keep_s)
            until = newest if too_big else own_time.expired(self._keep_s)
            until = own_time.some_of(oldest, newest, until)
            self._database.execute(_DELETE, (until,))
            own_time.forget(until)
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise InboxFailed(
                f"{self._path}: cannot remove old alerts ({error}); make sure that its disk has "
                "space, and start again"
            ) from error

    def _undo(self) -> None:
        if self._database.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # the reason to undo is what is reported
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
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: sqlite3.Error) -> InboxFailed:
        return InboxFailed(f"{self._path} cannot be read as an inbox ({error})")
