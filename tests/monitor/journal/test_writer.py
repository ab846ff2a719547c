"""The journal keeps alerts and positions together, or neither."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from monitor.errors import JournalFailed
from monitor.journal.kept_beats import KeptBeat
from monitor.journal.reader import JournalReader
from monitor.journal.run import JournaledRun
from monitor.journal.writer import Journal, Progress, StoredProgress
from monitor.wire.codec import all_encoded
from tests.messages import alert, technical
from tests.monitor.databases import execute


class State(msgspec.Struct):
    """What a consumer would go on from."""

    beats: int = 7


def reached(position: int) -> Progress[State]:
    return Progress("119", position, b"segmenter", State())


def kept(position: int) -> StoredProgress:
    return StoredProgress("119", position, b"segmenter", msgspec.msgpack.encode(State()))


def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    """Alerts in order, the newest position, and the journal's own name."""
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        journal.commit(all_encoded([alert(seq=1, id="a")]), [reached(100)])
        journal.commit(all_encoded([technical(seq=2, id="b")]), [reached(200)])
        identity = journal.identity
    with Journal(path) as journal:
        assert journal.identity == identity
        assert journal.newest_seq == 2
        assert [one.seq for one in journal.alerts_after(0, 10)] == [1, 2]
        assert journal.alerts_after(1, 10) == [technical(seq=2, id="b")]
        assert journal.progress() == [kept(200)]


def test_pages_are_bounded(tmp_path: Path) -> None:
    """A page holds at most what was asked for."""
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.commit(all_encoded([alert(seq=n, id=str(n)) for n in range(1, 8)]), [])
        assert [one.seq for one in journal.alerts_after(2, 3)] == [3, 4, 5]


def test_a_failed_commit_leaves_nothing(tmp_path: Path) -> None:
    """Alerts and position are one transaction: a doubled number undoes both."""
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.commit(all_encoded([alert(seq=1, id="a")]), [reached(100)])
        with pytest.raises(JournalFailed, match="UNIQUE"):
            journal.commit(
                all_encoded([alert(seq=2, id="b"), alert(seq=1, id="c")]), [reached(200)]
            )
        assert journal.newest_seq == 1
        assert journal.progress() == [kept(100)]
        journal.commit(all_encoded([alert(seq=2, id="b")]), [reached(300)])
        assert journal.newest_seq == 2


def test_an_identity_that_comes_twice_leaves_no_hole(tmp_path: Path) -> None:
    """Who follows the numbers would ask for a missing one for ever; `id` tells the two."""
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.commit(all_encoded([alert(seq=1, id="a")]), [])
        journal.commit(
            all_encoded([alert(seq=2, id="a"), alert(seq=3, id="b"), alert(seq=4, id="a")]), []
        )
        found = [(one.seq, one.id) for one in journal.alerts_after(0, 10)]
        assert found == [(1, "a"), (2, "a"), (3, "b"), (4, "a")]
        assert journal.holds("a")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE progress SET state = x'c1'",
        "UPDATE progress SET state = x''",
        "DROP TABLE progress",
    ],
)
def test_damaged_progress_is_an_error_not_a_crash(tmp_path: Path, damage: str) -> None:
    """A row that says nothing of a position is said in one line, with the file."""
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        journal.commit([], [reached(100)])
        execute(path, damage)
        with pytest.raises(JournalFailed, match=r"j\.sqlite"):
            journal.progress()


@pytest.mark.parametrize("damage", ["UPDATE alerts SET message = x'ff'", "DROP TABLE alerts"])
def test_damaged_alerts_are_an_error_not_a_crash(tmp_path: Path, damage: str) -> None:
    """Whatever is read of them, by those that publish and those that go on."""
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        journal.commit(all_encoded([alert(seq=1, id="a", patient="monitor")]), [])
        execute(path, damage)
        for read in (lambda: journal.alerts_after(0, 10), lambda: journal.lasting("monitor")):
            with pytest.raises(JournalFailed, match=r"j\.sqlite"):
                read()


def test_a_damaged_run_is_an_error_not_a_crash(tmp_path: Path) -> None:
    """Whether the run is the same cannot be said then, and nothing goes on."""
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        run = JournaledRun([], "m1", "loss-1-of-1", None, None, 1.0)
        journal.begin(run)
        execute(path, "UPDATE run SET description = x'00'")
        with pytest.raises(JournalFailed, match="its run cannot be read"):
            journal.begin(run)


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


OLDER_BEATS = """
CREATE TABLE beats (
    patient TEXT NOT NULL,
    sample INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    loss REAL,
    threshold REAL NOT NULL,
    beat BLOB NOT NULL,
    PRIMARY KEY (patient, sample)
) STRICT, WITHOUT ROWID
"""


@pytest.mark.parametrize("older", [False, True], ids=["new", "older"])
def test_beats_are_kept_once_and_go_with_their_alerts(tmp_path: Path, older: bool) -> None:
    """Also in a file whose beats lie by patient: the newer of two of one sample is read."""
    path = tmp_path / "j.sqlite"
    if older:
        execute(path, OLDER_BEATS)
        path.chmod(0o600)
    first, again, other, later = (
        KeptBeat(patient, sample, loss, 26.0, bytes(560))
        for patient, sample, loss in (("b", 9, 1.0), ("b", 9, 2.0), ("a", 7, 3.0), ("b", 4, 4.0))
    )
    with Journal(path) as journal:
        journal.commit(all_encoded([alert(seq=1, id="a")]), [], [first, other])
        journal.commit([], [], [again])
        journal.commit(all_encoded([alert(seq=2, id="b")]), [], [later])
        with JournalReader(path) as reader:
            assert reader.beats_around("b", 9) == [later, again]
            assert reader.beats_around("a", 7) == [other]
        journal.truncate("9999-01-01T00:00:00.000Z", 1 << 30)
        with JournalReader(path) as reader:
            assert reader.beats_around("b", 9) == [later]
            assert reader.beats_around("a", 7) == []
