"""A durable subscriber's own file: the alerts it has had, and up to where; one transaction each.

Stored together, alert and position cannot disagree: whenever the subscriber is killed, it continues
behind the last alert that is in the file, so the file holds each alert once, in order.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import platformdirs

from monitor.errors import InboxFailed, InvalidMessage, InvalidOption
from monitor.settings import KEEP_DAYS, KEEP_MB, wall_time_text
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
TRUNCATE_EVERY = 100  # alerts kept, between two looks at what retention removes
TRUNCATED_PART = 10  # of an inbox that is too big, at a time
# When a journal comes back, a subscriber continues behind its newest alert of it.
_DELETE = """
DELETE FROM alerts WHERE number <= ?
AND number NOT IN (SELECT max(number) FROM alerts GROUP BY journal)
"""
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
        Alerts older than this are removed.
    keep_mb : float
        Of a file that is bigger, the oldest alerts are removed.
    now : callable
        Returns the wall time.

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
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = path
        self._keep_days, self._keep_bytes, self._now = keep_days, keep_mb * 1e6, now
        self._kept_since_look = 0
        try:
            path.touch(mode=0o600)
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_SCHEMA)
            newest = self._database.execute(
                "SELECT journal, seq FROM alerts ORDER BY number DESC LIMIT 1"
            ).fetchone()
        except (sqlite3.Error, OSError) as error:
            raise InboxFailed(
                f"{path} cannot be used as an inbox ({error}); give another --durable name"
            ) from error
        self.truncate()
        self.journal, self.last_seq = (str(newest[0]), int(newest[1])) if newest else ("", 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()

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
        if self._kept_since_look >= TRUNCATE_EVERY:
            self._kept_since_look = 0
            self.truncate()

    def alerts(self) -> list[Alert | Technical]:
        """Return all that is kept, in order."""
        rows = self._rows("SELECT message FROM alerts ORDER BY number")
        return [self._decoded(message) for (message,) in rows]

    def truncate(self) -> None:
        """Remove what is too old, and the oldest part of what is too much.

        The newest alert of each journal stays: it marks where to continue.
        """
        before = wall_time_text(self._now() - timedelta(days=self._keep_days))
        oldest, newest = self._rows("SELECT coalesce(min(number), 0), max(number) FROM alerts")[0]
        until = self._last_before(before)
        if newest is not None and self._bytes_used() > self._keep_bytes:
            until = max(until, oldest + (newest - oldest) // TRUNCATED_PART)
        try:
            self._database.execute(_DELETE, (until,))
        except sqlite3.Error as error:
            raise InboxFailed(
                f"{self._path}: cannot remove old alerts ({error}); make sure that its disk has "
                "space, and start again"
            ) from error

    def _last_before(self, before: str) -> int:
        """Return the number of the last alert before a wall time; 0 if there is none."""
        last = 0
        try:
            for number, message in self._database.execute(
                "SELECT number, message FROM alerts ORDER BY number"
            ):
                if self._decoded(message).wall_time >= before:
                    break
                last = int(number)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        return last

    def _bytes_used(self) -> int:
        pages, free, size = (
            int(self._rows(f"PRAGMA {name}")[0][0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

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
