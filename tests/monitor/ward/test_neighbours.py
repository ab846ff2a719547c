"""Who works: told by the server's time, and only by time in which somebody could be heard."""

from __future__ import annotations

import json

from monitor.ward.stream_reader import Stored
from monitor.ward.worker import LEASE_S, Neighbours


class Rows:
    """Rows of the leases, as the server stamps them."""

    def __init__(self) -> None:
        self.neighbours = Neighbours("me")
        self._number = 0

    def worker(self, name: str, at_s: float, *, leaving: bool = False) -> None:
        self._row(f"worker.{name}", {"leaving": leaving}, at_s)

    def lease(self, partition: int, owner: str, at_s: float) -> None:
        self._row(f"lease.{partition}", {"worker": owner}, at_s)

    def _row(self, key: str, row: dict[str, object], at_s: float) -> None:
        self._number += 1
        content = json.dumps(row).encode()
        stamp = round(1e9 * (1000 + at_s))
        subject = f"$KV.ECG_LEASES.{key}"
        self.neighbours.take(Stored(subject, content, self._number, stamp, 0))


def test_a_worker_that_is_silent_for_a_lease_is_gone() -> None:
    """Its partitions are free; before, they are not."""
    rows = Rows()
    rows.worker("me", 0)
    rows.worker("other", 0.5)
    for second in range(1, 5):
        rows.worker("me", second)
        assert "other" in rows.neighbours.alive
    for second in range(5, 7):
        rows.worker("me", second)
    assert rows.neighbours.alive == {"me"}


def test_a_row_of_long_ago_is_of_a_worker_that_is_gone() -> None:
    """One that starts need not wait for it."""
    rows = Rows()
    rows.worker("old", 0)
    rows.worker("new", 100)
    rows.worker("me", 100 + LEASE_S / 2)
    assert rows.neighbours.alive == {"new", "me"}


def test_nobody_is_gone_because_the_server_stood_still() -> None:
    """Of a pause between two own signs little counts."""
    rows = Rows()
    rows.worker("me", 0)
    rows.worker("other", 0.5)
    rows.worker("me", 60)
    assert rows.neighbours.alive == {"me", "other"}


def test_one_that_leaves_in_order_is_gone_at_once() -> None:
    """It said so."""
    rows = Rows()
    rows.worker("me", 0)
    rows.worker("other", 0.1, leaving=True)
    assert rows.neighbours.alive == {"me"}


def test_leases_are_known_with_their_revisions() -> None:
    """The newest counts."""
    rows = Rows()
    rows.lease(3, "a", 0)
    rows.lease(3, "b", 1)
    assert rows.neighbours.owners == {3: "b"}
    assert rows.neighbours.revisions == {3: 2}
