"""What waits for one sink: in the durable subscriber's file, or in memory.

A number stands for each alert. What was given out and is not done is given out again in the next
life of a durable subscriber: each alert is handed on once or more often, and none is forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from monitor.delivery.inbox import Inbox
from monitor.wire.messages import Alert, Technical

MAX_WAITING = 10_000  # alerts in memory for each sink, 4 KB each
READ_AT_ONCE = 64  # alerts of a file
UNKEPT = 0  # the number of an alert that no journal numbers: nothing notes that it was handed on


class Backlog(Protocol):
    """Alerts that wait for a sink, in order."""

    lost: int  # alerts that were removed before the sink had them

    def put(self, message: Alert | Technical) -> None:
        """Take note of an alert that came; a file has it by itself."""
        ...

    def take(self) -> tuple[int, Alert | Technical] | None:
        """Return the next alert that was not given out yet, with its number."""
        ...

    def done(self, number: int) -> None:
        """Take note that the sink is done with an alert."""
        ...

    @property
    def waiting(self) -> int:
        """How many the sink is not done with."""
        ...


class MemoryBacklog:
    """Of a subscriber that keeps nothing: bounded, the oldest go first."""

    def __init__(self, most: int = MAX_WAITING) -> None:
        self._waiting: deque[Alert | Technical] = deque()
        self._most = most
        self._given = 0
        self.lost = 0

    def put(self, message: Alert | Technical) -> None:
        """Take it in, and drop the oldest where there is no room."""
        self._waiting.append(message)
        if len(self._waiting) > self._most:
            self._waiting.popleft()
            self.lost += 1

    def take(self) -> tuple[int, Alert | Technical] | None:
        """Return the next one."""
        if not self._waiting:
            return None
        self._given += 1
        return UNKEPT, self._waiting.popleft()

    def done(self, number: int) -> None:
        """Forget it."""
        self._given -= 1

    @property
    def waiting(self) -> int:
        """How many are waited for or given out."""
        return len(self._waiting) + self._given


class InboxBacklog:
    """Of a durable subscriber: its file is the queue, and holds up to where the sink had all.

    Parameters
    ----------
    inbox : Inbox
    identity : str
        Of the sink.
    wants : callable
        Tells whether an alert of the file is for the sink.
    """

    def __init__(
        self, inbox: Inbox, identity: str, wants: Callable[[Alert | Technical], bool]
    ) -> None:
        self._inbox, self._wants = inbox, wants
        self._read = inbox.sink_position(identity)
        self._given: deque[int] = deque()
        self._unkept = MemoryBacklog()
        self._ahead: Iterator[tuple[int, Alert | Technical]] = iter(())
        self.lost = 0

    def put(self, message: Alert | Technical) -> None:
        """Take in what is not in the file: the journal cannot keep it, so it has no number."""
        if not message.seq:
            self._unkept.put(message)

    def take(self) -> tuple[int, Alert | Technical] | None:
        """Return the next one that is wanted."""
        found = self._unkept.take()
        if found is not None:
            return found
        while (following := self._following()) is not None:
            number, message = following
            self.lost += number - self._read - 1  # what retention removed
            self._read = number
            if self._wants(message):
                self._given.append(number)
                return following
        return None

    def _following(self) -> tuple[int, Alert | Technical] | None:
        following = next(self._ahead, None)
        if following is None and self._read < self._inbox.newest_number:
            self._ahead = iter(self._inbox.behind(self._read, READ_AT_ONCE))
            following = next(self._ahead, None)
        return following

    def done(self, number: int) -> None:
        """Take note; alerts are done with in the order in which they were given out."""
        if number == UNKEPT:
            self._unkept.done(number)
        else:
            self._given.popleft()

    @property
    def position(self) -> int:
        """The number up to which all is done with."""
        return self._given[0] - 1 if self._given else self._read

    @property
    def waiting(self) -> int:
        """How many are not done with; those that are not wanted count until they are read."""
        unread = self._inbox.newest_number - self._read
        return unread + len(self._given) + self._unkept.waiting
