"""The journal keeps alerts and positions together, or neither."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from monitor.errors import JournalFailed
from monitor.journal import Journal, Progress
from tests.monitor.messages import alert, technical


def reached(position: int) -> Progress:
    return Progress("119", position, b"segmenter", b"consumer")


def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    """Alerts in order, the newest position, and the journal's own name."""
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        journal.commit([alert(seq=1, id="a")], [reached(100)])
        journal.commit([technical(seq=2, id="b")], [reached(200)])
        identity = journal.identity
    with Journal(path) as journal:
        assert journal.identity == identity
        assert journal.newest_seq == 2
        assert [one.seq for one in journal.alerts_after(0, 10)] == [1, 2]
        assert journal.alerts_after(1, 10) == [technical(seq=2, id="b")]
        assert journal.progress() == [reached(200)]


def test_pages_are_bounded(tmp_path: Path) -> None:
    """A page holds at most what was asked for."""
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.commit([alert(seq=n, id=str(n)) for n in range(1, 8)], [])
        assert [one.seq for one in journal.alerts_after(2, 3)] == [3, 4, 5]


def test_a_failed_commit_leaves_nothing(tmp_path: Path) -> None:
    """Alerts and position are one transaction: a doubled identity undoes both."""
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.commit([alert(seq=1, id="a")], [reached(100)])
        with pytest.raises(sqlite3.IntegrityError):
            journal.commit([alert(seq=2, id="b"), alert(seq=3, id="a")], [reached(200)])
        assert journal.newest_seq == 1
        assert journal.progress() == [reached(100)]
        journal.commit([alert(seq=2, id="b")], [reached(300)])
        assert journal.newest_seq == 2


def test_two_journals_have_two_names(tmp_path: Path) -> None:
    """A client can tell that counting began anew."""
    with Journal(tmp_path / "a") as first, Journal(tmp_path / "b") as second:
        assert first.identity != second.identity


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be read" * 50])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is no journal is named in one line and stays as it is."""
    path = tmp_path / "j.sqlite"
    path.write_bytes(content)
    with pytest.raises(JournalFailed, match=r"j\.sqlite"):
        Journal(path)
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The message names the path and the option."""
    with pytest.raises(JournalFailed, match="--journal"):
        Journal(tmp_path / "none" / "j.sqlite")
