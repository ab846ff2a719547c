"""Commits to the journal, and holds what cannot be committed until it can: a disk that is full.

Alerts go out all the same, marked as not durable. Their numbers are those they will have in the
journal; after a restart in between the same alerts get the same numbers again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from monitor.errors import JournalFailed
from monitor.journal.kept_beats import KeptBeat
from monitor.journal.writer import Journal, Progress
from monitor.wire.codec import Encoded
from monitor.wire.messages import Alert, Technical

RETRY_S = 1.0
MAX_HELD = 5_000  # alerts; then no more beats are received, and the producer waits


class JournalBuffer:
    """What is to be journaled, in front of a journal that may fail.

    Parameters
    ----------
    journal : Journal
        Where it is committed.
    first : callable
        Writes what the journal will name; JournalFailed if that cannot be done.
    """

    def __init__(self, journal: Journal, first: Callable[[], None] = lambda: None) -> None:
        self._journal = journal
        self._first = first
        self._alerts: list[Encoded[Alert | Technical]] = []
        self._progress: dict[str, Progress[Any]] = {}
        self._beats: list[KeptBeat] = []
        self._retry_due_s = 0.0
        self.failing: str | None = None  # why the last commit failed

    @property
    def held(self) -> int:
        """How many alerts wait for the journal."""
        return len(self._alerts)

    @property
    def full(self) -> bool:
        """Whether so much waits that no more should be taken in."""
        return len(self._alerts) >= MAX_HELD

    def add(
        self,
        alerts: Iterable[Encoded[Alert | Technical]],
        progress: Iterable[Progress[Any]],
        beats: Iterable[KeptBeat],
    ) -> None:
        """Take in what a step led to, for the next commit; of each patient the newest progress."""
        self._alerts += alerts
        self._progress |= {one.patient: one for one in progress}
        self._beats += beats

    def commit(self, now_s: float) -> bool:
        """Commit all that is held, in one transaction; return whether that was done."""
        if self.failing is not None and now_s < self._retry_due_s:
            return False
        self._retry_due_s = now_s + RETRY_S
        try:
            self._first()
            self._journal.commit(self._alerts, self._progress.values(), self._beats)
        except JournalFailed as error:
            self.failing = str(error)
            return False
        self.failing = None
        self._alerts, self._progress, self._beats = [], {}, []
        return True
