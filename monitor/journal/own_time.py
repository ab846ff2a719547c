"""How long a file has been in use, over all its lives: retention goes by this, by no wall clock.

A wall clock can be months wrong for a minute, in either direction, and alerts bear the times it
showed. So a file counts the seconds in which it was open, by the monotonic clock, and notes which
number was the newest at which of them. Time in which nobody had it open does not count.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

LOOK_S = 60.0  # between two looks at what retention removes
MAX_STEP_S = 2 * LOOK_S  # what one look counts at most: a process may have been stopped for a week
MARKS = 1_000  # within the time that alerts are kept: their ages are known to a thousandth of it
# What one look removes, beside as many alerts as came since the last one:
FEW = 10  # alerts, or
PART = 100  # a hundredth of all

_SCHEMA = """
CREATE TABLE IF NOT EXISTS own_time (seconds REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS marks (number INTEGER PRIMARY KEY, seconds REAL NOT NULL) STRICT;
"""


class OwnTime:
    """The own time of a database with numbered alerts.

    Every method, this one too, lets `sqlite3.Error` through; `count` is to be called in a
    transaction.

    Parameters
    ----------
    database : sqlite3.Connection
        In autocommit mode; the two tables are made in it where they are missing.
    clock : callable
        Returns monotonic seconds.
    """

    def __init__(
        self, database: sqlite3.Connection, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._clock = clock
        database.executescript(_SCHEMA)
        if database.execute("SELECT 1 FROM own_time").fetchone() is None:
            database.execute("INSERT INTO own_time VALUES (0.0)")
        self._counted_s = clock()
        self._newest_before: int | None = None

    @property
    def is_due(self) -> bool:
        """Whether a minute has passed since the last look."""
        return self._clock() - self._counted_s >= LOOK_S

    def count(self, newest: int, keep_s: float) -> None:
        """Count the time since the last look, and note that alerts up to `newest` are there."""
        now_s = self._clock()
        step_s = min(max(now_s - self._counted_s, 0.0), MAX_STEP_S)
        self._counted_s = now_s
        self._database.execute("UPDATE own_time SET seconds = seconds + ?", (step_s,))
        self._database.execute(
            "INSERT INTO marks SELECT ?1, seconds FROM own_time "
            "WHERE ?1 > (SELECT coalesce(max(number), 0) FROM marks) "
            "AND seconds >= (SELECT coalesce(max(seconds) + ?2, 0.0) FROM marks)",
            (newest, keep_s / MARKS),
        )

    def expired(self, keep_s: float) -> int:
        """Return the number up to which all is older than `keep_s` of own time; 0 if nothing is."""
        row = self._database.execute(
            "SELECT coalesce(max(number), 0) FROM marks "
            "WHERE seconds <= (SELECT seconds FROM own_time) - ?",
            (keep_s,),
        ).fetchone()
        return int(row[0])

    def some_of(self, oldest: int, newest: int, until: int) -> int:
        """Return the number up to which one look removes, of all up to `until`: a few at a time.

        As many as came since the last look, and a hundredth of what is there: in the long run it
        keeps up with what comes, and whatever was wrong, one look takes little away.
        """
        came = 0 if self._newest_before is None else newest - self._newest_before
        self._newest_before = newest
        most = came + max(FEW, (newest - oldest + 1) // PART)
        return min(until, oldest + most - 1)

    def forget(self, until: int) -> None:
        """Drop the notes on alerts that were removed."""
        self._database.execute("DELETE FROM marks WHERE number <= ?", (until,))
