"""A durable subscriber's own file: the alerts it has had, and up to where; one transaction each.

Stored together, alert and position cannot disagree: whenever the subscriber is killed, it goes on
behind the last alert that is in the file, so the file holds each alert once, in order.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

import platformdirs

from monitor.codec import decode_numbered, encode_json
from monitor.errors import InboxFailed, InvalidOption
from monitor.wire import Alert, Technical

_SCHEMA = """
CREATE TABLE IF NOT EXISTS alerts (
    number INTEGER PRIMARY KEY,
    journal TEXT NOT NULL,
    seq INTEGER NOT NULL,
    message BLOB NOT NULL,
    UNIQUE (journal, seq)
) STRICT;
"""
_NAME = re.compile(r"\w[\w.-]{0,63}")


def inbox_path(name: str) -> Path:
    """Return where the inbox of that name lies; InvalidOption if it is no name for a file."""
    if _NAME.fullmatch(name) is None:
        raise InvalidOption(
            f"--durable {name!r} is no name; use 1 to 64 letters, digits, dots, dashes"
        )
    folder = platformdirs.user_state_path("ecg-monitor") / "subscribers"
    return folder / f"{name}.sqlite"


class Inbox:
    """The file, open for writing by one process.

    Raises
    ------
    InboxFailed
        If the file cannot be opened or is none of these.
    """

    def __init__(self, path: Path) -> None:
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
            raise InboxFailed(f"{path}: cannot be used as an inbox ({error})") from error
        self._path = path
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
        row = self._database.execute(
            "SELECT coalesce(max(seq), 0) FROM alerts WHERE journal = ?", (journal,)
        ).fetchone()
        return int(row[0])

    def keep(self, message: Alert | Technical) -> None:
        """Store an alert that was handled, and with it the position; InboxFailed if it cannot."""
        try:
            self._database.execute(
                "INSERT INTO alerts (journal, seq, message) VALUES (?, ?, ?)",
                (message.journal, message.seq, encode_json(message)),
            )
        except sqlite3.Error as error:
            raise InboxFailed(f"{self._path}: cannot keep an alert ({error})") from error
        self.journal, self.last_seq = message.journal, message.seq

    def alerts(self) -> list[Alert | Technical]:
        """Return all that was kept, in order."""
        rows = self._database.execute("SELECT message FROM alerts ORDER BY number")
        return [decode_numbered(message) for (message,) in rows]
