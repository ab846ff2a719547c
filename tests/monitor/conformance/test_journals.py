"""What every journal promises, whether SQLite or a ward's stream keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.errors import MonitorError
from tests.monitor.conformance.stores import EmbeddedStore, WardStore, kept_as, reached, said, store


@pytest.fixture(params=["embedded", "ward"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedStore | WardStore]:
    with store(request.param, tmp_path) as one:
        yield one


def ids(kept: EmbeddedStore | WardStore) -> list[str]:
    return [one.id for one in kept.alerts()]


def test_what_was_committed_is_there_for_who_opens_it_next(kept: EmbeddedStore | WardStore) -> None:
    """Alerts in order, the newest position of each patient, the same identity and numbers."""
    first = kept.writer()
    first.commit(said(1, 2), [reached(100), reached(50, "200")])
    first.commit(said(3, 1), [reached(200)])
    identity = first.identity
    first.close()
    second = kept.writer()
    assert second.identity == identity
    assert second.newest_seq == 3
    assert ids(kept) == ["a1", "a2", "t3"]
    assert sorted(second.progress(), key=lambda one: one.patient) == [
        kept_as(200),
        kept_as(50, "200"),
    ]
    second.commit(said(4, 1), [])
    second.close()
    assert [one.seq for one in kept.alerts()] == [1, 2, 3, 4]


def test_an_alert_that_may_come_again_is_known(kept: EmbeddedStore | WardStore) -> None:
    """A patient that is judged anew after a restart comes past the same events."""
    first = kept.writer()
    first.commit(said(1, 2), [])
    first.close()
    second = kept.writer()
    assert second.holds("a1")
    assert second.holds("a2")
    assert not second.holds("a3")
    second.close()


def test_of_two_writers_one_writes(kept: EmbeddedStore | WardStore) -> None:
    """The other is refused, at the latest when it commits; nothing of it is kept."""
    first = kept.writer()
    first.commit(said(1, 1), [])
    with pytest.raises(MonitorError):  # noqa: PT012  whichever of the two it is
        second = kept.writer()
        second.commit(said(2, 1), [])
        second.close()
        first.commit([*said(2, 1), *said(3, 1)], [])
    first.close()
    assert ids(kept) in (["a1"], ["a1", "a2"])


def test_many_alerts_are_kept_in_one_commit(kept: EmbeddedStore | WardStore) -> None:
    """More than a batch of JetStream takes."""
    first = kept.writer()
    first.commit(said(1, 1900), [reached(7)])
    first.close()
    assert [one.seq for one in kept.alerts()] == list(range(1, 1901))


def test_what_is_listed_since_a_time_leaves_nothing_out_behind_it(
    kept: EmbeddedStore | WardStore,
) -> None:
    """From the oldest on where that time lies before all."""
    first = kept.writer()
    first.commit(said(1, 3), [])
    first.close()
    assert len(kept.alerts("2020-01-01T00:00:00.000Z")) == 3
    assert kept.alerts("2090-01-01T00:00:00.000Z") == []
