"""How many bytes of replies wait in sockets, all clients together: who asks may never read."""

from __future__ import annotations

from typing import Protocol

MAX_WAITING_BYTES = 1 << 26  # a page has 2 MB at most, a client's socket would take 32 of them
LOOK_AFTER = 100  # replies more than waited at the last look


class Sent(Protocol):
    """A message on its way, as ZeroMQ tracks it."""

    @property
    def done(self) -> bool:
        """Whether ZeroMQ holds it no longer: it has left, or its client has gone."""


class ReplyMemory:
    """Counts the bytes of replies that have not left yet.

    Parameters
    ----------
    most_bytes : int
        How many may wait.
    """

    def __init__(self, most_bytes: int = MAX_WAITING_BYTES) -> None:
        self._most_bytes = most_bytes
        self._waiting: list[tuple[Sent, int]] = []
        self._look_at = LOOK_AFTER
        self.n_bytes = 0

    def has_room(self, n_bytes: int) -> bool:
        """Tell whether a reply of so many bytes may wait, too."""
        if self.n_bytes + n_bytes > self._most_bytes or len(self._waiting) >= self._look_at:
            self._waiting = [(sent, size) for sent, size in self._waiting if not sent.done]
            self.n_bytes = sum(size for _, size in self._waiting)
            self._look_at = 2 * len(self._waiting) + LOOK_AFTER
        return self.n_bytes + n_bytes <= self._most_bytes

    def add(self, sent: Sent, n_bytes: int) -> None:
        """Take note of a reply that was given to ZeroMQ."""
        self._waiting.append((sent, n_bytes))
        self.n_bytes += n_bytes
