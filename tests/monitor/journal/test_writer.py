"""The journal keeps alerts and positions together, or neither."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from monitor.errors import JournalFailed
from monitor.journal.kept_beats import KeptBeat
from monitor.journal.lock import lock_path
from monitor.journal.reader import JournalReader
from monitor.journal.run import JournaledRun
from monitor.journal.writer import Journal, Progress, StoredProgress
from monitor.wire.codec import all_encoded
from tests.messages import alert, technical
from tests.monitor.databases import execute


class FakeClock:
    """Monotonic seconds that pass when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


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
        assert journal.alerts_after(1, 10) == [technical(seq=2, id="b", journal=identity)]
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


def test_a_damaged_file_that_is_quoted_is_an_error_not_a_crash(tmp_path: Path) -> None:
    """SQLite's message holds the damaged text, of which Python cannot make words."""
    path = tmp_path / "j.sqlite"
    with Journal(path):
        pass
    path.write_bytes(path.read_bytes().replace(b"tablealertsalerts", b"tablealert\xff\xfflerts"))
    for opened in (Journal, JournalReader):
        with pytest.raises(JournalFailed, match=r"j\.sqlite"):
            opened(path)


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


def test_beats_are_kept_once_and_go_with_their_alerts(tmp_path: Path) -> None:
    """The newer of two of one sample is read."""
    path = tmp_path / "j.sqlite"
    first, again, other, later = (
        KeptBeat(patient, sample, ("I",), (loss,), (26.0,), bytes(560))
        for patient, sample, loss in (("b", 9, 1.0), ("b", 9, 2.0), ("a", 7, 3.0), ("b", 4, 4.0))
    )
    with Journal(path) as journal:
        journal.commit(all_encoded([alert(seq=1, id="a")]), [], [first, other])
        journal.commit([], [], [again])
        journal.commit(all_encoded([alert(seq=2, id="b")]), [], [later])
        with JournalReader(path) as reader:
            assert reader.beats_around("b", 9) == [later, again]
            assert reader.beats_around("a", 7) == [other]
        journal.truncate(0, 1 << 30)
        with JournalReader(path) as reader:
            assert reader.beats_around("b", 9) == [later]
            assert reader.beats_around("a", 7) == []


@pytest.mark.parametrize(("version", "says"), [(1, "an earlier version"), (3, "a newer version")])
def test_a_journal_of_another_version_is_refused(tmp_path: Path, version: int, says: str) -> None:
    """By who would write it and by who would read it; nothing in it is changed."""
    path = tmp_path / "j.sqlite"
    Journal(path).__exit__(None, None, None)
    execute(path, f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    for opened in (Journal, JournalReader):
        with pytest.raises(JournalFailed, match=says):
            opened(path)
    assert path.read_bytes() == before


WRONG_CLOCK, RIGHT_CLOCK = "2027-03-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z"
DAY_S = 86_400.0


def write(journal: Journal, first: int, last: int, wall_time: str = RIGHT_CLOCK) -> None:
    for seq in range(first, last + 1):
        beats = [KeptBeat("119", seq, ("I",), (10.0,), (26.0,), bytes(560))]
        said = alert(seq=seq, id=str(seq), wall_time=wall_time)
        journal.commit(all_encoded([said]), [], beats)


def test_no_wall_clock_removes_an_alert(tmp_path: Path) -> None:
    """Times of messages, years ahead or years back, and time between two runs decide nothing."""
    clock = FakeClock()
    path = tmp_path / "j.sqlite"
    with Journal(path, clock) as journal:
        write(journal, 1, 40, "1970-01-01T00:00:00.000Z")
        write(journal, 41, 60, "2099-01-01T00:00:00.000Z")
        write(journal, 61, 80, RIGHT_CLOCK)
        for _ in range(60):
            clock.now_s += 60
            assert journal.truncate(90 * DAY_S, 1 << 40) == 0
    clock.now_s += 1_000 * DAY_S
    with Journal(path, clock) as journal:
        assert journal.truncate(90 * DAY_S, 1 << 40) == 0
        clock.now_s += 1_000 * DAY_S  # it was stopped meanwhile, or this clock is wrong, too
        assert journal.truncate(90 * DAY_S, 1 << 40) == 0
        clock.now_s -= 5_000 * DAY_S
        assert journal.truncate(90 * DAY_S, 1 << 40) == 0
        assert (journal.oldest_seq, journal.newest_seq) == (1, 80)


def test_retention_goes_by_the_time_in_which_the_journal_was_written(tmp_path: Path) -> None:
    """Over several lives; an alert goes when it is old, not before, and the newest stays."""
    clock, path = FakeClock(), tmp_path / "j.sqlite"
    with Journal(path, clock) as journal:
        write(journal, 1, 20)
        look(journal, clock, minutes=4)
    with Journal(path, clock) as journal:
        write(journal, 21, 40)
        look(journal, clock, minutes=4)
        assert journal.oldest_seq == 1
        look(journal, clock, minutes=2)
        assert journal.oldest_seq == 1
        look(journal, clock, minutes=2)
        assert journal.oldest_seq == 21
        look(journal, clock, minutes=20)
        assert (journal.oldest_seq, journal.newest_seq) == (40, 40)
        with JournalReader(path) as reader:
            assert [one.sample for one in reader.beats_around("119", 30)] == [40]


def look(journal: Journal, clock: FakeClock, minutes: int) -> None:
    for _ in range(minutes):
        clock.now_s += 60
        journal.truncate(10 * 60, 1 << 40)


def test_one_look_removes_little(tmp_path: Path) -> None:
    """By age and by size: as many as came, and ten or a hundredth; the newest stays."""
    with Journal(tmp_path / "j.sqlite", FakeClock()) as journal:
        write(journal, 1, 30)
        assert journal.truncate(0, 1 << 40) == 10
        assert journal.truncate(1e9, 1000) == 10
        write(journal, 31, 50)
        assert journal.truncate(0, 1 << 40) == 29  # of 30: 20 that came, and 10
        assert (journal.oldest_seq, journal.newest_seq) == (50, 50)
        journal.commit(
            all_encoded([alert(seq=seq, id=str(seq)) for seq in range(51, 2051)]), [], []
        )
    with Journal(tmp_path / "j.sqlite", FakeClock()) as journal:
        assert journal.truncate(0, 1 << 40) == 20


def test_a_journal_of_before_counts_from_now(tmp_path: Path) -> None:
    """Of what has no own time yet nothing is old."""
    path, clock = tmp_path / "j.sqlite", FakeClock()
    with Journal(path) as journal:
        write(journal, 1, 20, "2001-01-01T00:00:00.000Z")
    execute(path, "DROP TABLE own_time", "DROP TABLE marks")
    with Journal(path, clock) as journal:
        assert journal.truncate(90 * DAY_S, 1 << 40) == 0
        look(journal, clock, minutes=9)
        assert journal.oldest_seq == 1
        look(journal, clock, minutes=3)
        assert journal.oldest_seq > 1


def back_up(path: Path, to: Path) -> None:
    """Copy a journal while it is open, as SQLite's own backup does."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def restore(copy: Path, path: Path) -> None:
    """Put a copy in a journal's place, and leave what else lies beside it."""
    for name in ("-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)
    shutil.copy(copy, path)


def test_a_restored_older_copy_gets_another_identity(tmp_path: Path) -> None:
    """Numbers go on behind the copy's, under a name that nobody has had them by; it is reported."""
    path, copy = tmp_path / "j.sqlite", tmp_path / "backup"
    with Journal(path) as journal:
        first = journal.identity
        write(journal, 1, 60)
        back_up(path, copy)
        write(journal, 61, 100)
        assert journal.renewed == ""
    restore(copy, path)
    with Journal(path) as journal:
        assert (journal.origin, journal.newest_seq) == (first, 60)
        assert journal.identity != first
        assert "ends with alert 60, 100 was there" in journal.renewed
        assert {one.journal for one in journal.alerts_after(0, 100)} == {journal.identity}
        second = journal.identity
        write(journal, 61, 62)
    with Journal(path) as journal:  # the same again is no older copy
        assert (journal.identity, journal.origin, journal.renewed) == (second, first, "")
        assert not journal.renewed


def test_a_copy_by_another_name_gets_another_identity(tmp_path: Path) -> None:
    """Both count on from the same number; so does one that was moved without what lies beside."""
    path, copy = tmp_path / "j.sqlite", tmp_path / "copy.sqlite"
    with Journal(path) as journal:
        write(journal, 1, 3)
    shutil.copy(path, copy)
    with Journal(copy) as copied, Journal(path) as journal:
        assert copied.identity != journal.identity
        assert copied.origin == journal.origin == journal.identity
        assert "is a copy, or was moved" in copied.renewed
    for one in tmp_path.glob("copy.sqlite*"):
        one.unlink()
    with Journal(copy) as anew:
        assert anew.origin == anew.identity
        assert anew.renewed == ""


def test_a_journal_of_before_keeps_its_identity(tmp_path: Path) -> None:
    """It left no mark, so its lack tells nothing."""
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        write(journal, 1, 3)
        identity = journal.identity
    execute(path, "DROP TABLE identities")
    lock_path(path).unlink()
    with Journal(path) as journal:
        assert (journal.identity, journal.origin, journal.renewed) == (identity, identity, "")


def test_an_identity_is_changed_once_while_it_is_open(tmp_path: Path) -> None:
    """Whoever says that it went back: of one that is so new nobody can have had more."""
    with Journal(tmp_path / "j.sqlite") as journal:
        first = journal.identity
        assert journal.renew("a client had more")
        second = journal.identity
        assert not journal.renew("a client had more")
        assert (journal.identity, journal.origin) == (second, first)
        write(journal, 1, 2)
    with Journal(tmp_path / "j.sqlite") as journal:
        assert (journal.identity, journal.renewed) == (second, "")


@pytest.mark.parametrize("mark", [b"", b"\0" * 30, b"x", b"\xff"])
def test_a_damaged_mark_is_no_mark(tmp_path: Path, mark: bytes) -> None:
    """Then nobody knows whether the journal is what it was."""
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        first = journal.identity
    lock_path(path).write_bytes(mark)
    with Journal(path) as journal:
        assert journal.identity != first
