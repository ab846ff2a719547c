"""Where a subscriber is in the journals it has followed: what comes next, and what was had.

A number alone does not say it. When an older copy of a journal is restored, the same numbers are
given anew; so a position is a journal, a number and the identity of the alert of that number. After
each new connection the monitor is asked whether its journal continues from there. Pure: no sockets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple, Protocol

from monitor.wire.messages import Alert, Page, ReplayRequest, Technical

MAX_JOURNALS = 64  # of which the position is remembered, beside the one in use
MAX_IDS = 10_000  # alerts whose identities are remembered: 1 MB; an inbox remembers all it keeps
MAX_ID_LENGTH = 128  # of a request


class Place(NamedTuple):
    """A position in a journal: the newest alert that was had of it."""

    journal: str  # its identity
    seq: int
    id: str  # of the alert of that number; empty where it is not known


class Past(Protocol):
    """What was had before this process began."""

    def newest(self) -> tuple[str, Place] | None:
        """Return the first identity of the journal that was followed last, and the position."""
        ...

    def place(self, origin: str) -> Place | None:
        """Return the position in a journal, by its first identity."""
        ...

    def ids(self, journal: str) -> Mapping[int, str]:
        """Return the identities of the alerts had of a journal, by their numbers."""
        ...

    def lost(self, origin: str) -> Counter[str]:
        """Return the identities of what was had of a journal before it went back, since then."""
        ...


class NoPast:
    """Of a subscriber that keeps nothing."""

    def newest(self) -> None:
        """Return None."""

    def place(self, origin: str) -> None:
        """Return None."""

    def ids(self, journal: str) -> Mapping[int, str]:
        """Return nothing."""
        return {}

    def lost(self, origin: str) -> Counter[str]:
        """Return nothing."""
        return Counter()


class Answered(Enum):
    """What an answer says of the position it was asked about."""

    SAME = "it continues"
    RENAMED = "it continues, and the journal has another identity"
    WENT_BACK = "the journal lacks what was had: an older copy of it was restored"
    OTHER = "the monitor writes another journal"


class JournalPosition:
    """The position of one subscriber.

    Parameters
    ----------
    after : int or None
        Number to begin behind; None is what comes from now on. Of no use where `past` has a place.
    past : Past
        What was had before.

    Attributes
    ----------
    journal, origin : str
        The journal that is followed: its identity, and its first one; empty where not known yet.
    seq : int or None
        Number of the newest alert that was taken.
    settled : bool
        Whether what comes next can be told by its number alone; else `request` is to be asked.
    """

    def __init__(self, after: int | None, past: Past) -> None:
        self._past = past
        self._others: dict[str, Place] = {}
        self._origins: dict[str, str] = {}
        self._ids: dict[int, str] = {}
        self._again: Counter[str] = Counter()  # had, and may come again since the journal went back
        self.journal, self.origin, self._id = "", "", ""
        self.seq = after
        self.settled = True
        before = past.newest()
        if before is not None:
            self.origin, (self.journal, self.seq, self._id) = before
            self._again = past.lost(self.origin)
            self.settled = False

    @property
    def place(self) -> Place:
        """The position as it is kept."""
        return Place(self.journal, self.seq or 0, self._id)

    def begin(self, journal: str, after: int) -> None:
        """Begin behind a number of a journal."""
        self.journal, self.seq, self._id, self.settled = journal, after, "", True

    def origin_of(self, journal: str) -> str:
        """Return the first identity of a journal, as far as it is known."""
        return self._origins.get(journal, journal)

    def hear(self, journal: str, origin: str = "") -> None:
        """Take note of the journal that a message names; another one than ours is a question."""
        if origin:
            self._note_origin(journal, origin)
        if not self.journal:
            self.journal = journal
        if journal != self.journal:
            self.settled = False
        elif origin:
            self.origin = origin

    def doubt(self) -> None:
        """Have the position confirmed: whoever answers now may have another journal."""
        if self.journal and self.seq:
            self.settled = False

    def request(self) -> ReplayRequest:
        """Return the question what comes next, which names what was had last."""
        alert = self._id if len(self._id) <= MAX_ID_LENGTH else ""
        return ReplayRequest(after=self.seq or 0, journal=self.journal, id=alert)

    def take(self, message: Alert | Technical) -> bool:
        """Take the alert that comes next; False if it was had before the journal went back."""
        self.seq, self._id = message.seq, message.id
        self._ids[message.seq] = message.id
        if len(self._ids) > MAX_IDS:
            del self._ids[next(iter(self._ids))]
        if self._again.get(message.id, 0):
            self._again[message.id] -= 1
            return False
        return True

    def settle(self, page: Page) -> Answered:
        """Take the answer to `request`, and move to where to go on from.

        In a journal that went back that is before the first alert whose identity is known: from
        there on, `take` tells what was had by its identity.
        """
        before, origin = self.journal, page.origin or page.journal
        self._note_origin(page.journal, origin)
        if page.journal != before and origin != (self.origin or before):
            self._enter(page.journal, origin)
            return Answered.OTHER
        lacks = page.newest_seq < (self.seq or 0) if page.continues is None else not page.continues
        self.journal, self.origin, self.settled = page.journal, origin, True
        if lacks:
            self._go_back(before, page)
            return Answered.WENT_BACK
        return Answered.SAME if page.journal == before else Answered.RENAMED

    def _go_back(self, before: str, page: Page) -> None:
        ids = {**self._past.ids(before), **self._ids}
        self._again += Counter(ids.values())
        self._ids = {}
        first = min(ids) - 1 if ids else self.seq or 0
        self.seq = max(min(first, page.newest_seq), page.oldest_seq - 1)
        self._id = ""

    def _enter(self, journal: str, origin: str) -> None:
        """Go on in another journal where that was left, or at its beginning."""
        self._others[self.origin or self.journal] = self.place
        while len(self._others) > MAX_JOURNALS:
            del self._others[next(iter(self._others))]
        place = self._others.pop(origin, None) or self._past.place(origin) or Place(journal, 0, "")
        self.origin, (self.journal, self.seq, self._id) = origin, place
        self._ids, self._again = {}, self._past.lost(origin)
        self.settled = not self.seq

    def _note_origin(self, journal: str, origin: str) -> None:
        self._origins[journal] = origin
        while len(self._origins) > MAX_JOURNALS:
            del self._origins[next(iter(self._origins))]
