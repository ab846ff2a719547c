"""A disk that is full holds no alert up, and loses none."""

from __future__ import annotations

import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from monitor.detection.model_store import ModelStore
from monitor.errors import JournalFailed
from monitor.journal.buffer import MAX_HELD, JournalBuffer
from monitor.journal.reader import JournalReader
from monitor.journal.writer import Journal, Progress
from monitor.wire.codec import all_encoded
from monitor.wire.messages import Alert
from tests.messages import alert
from tests.monitor.checkpoints import template_checkpoint


@contextmanager
def no_space() -> Iterator[None]:
    """Let files grow no further than 4 KiB, as a disk that is full does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def said(first: int, n: int = 3) -> list[Alert]:
    return [alert(seq=seq, id=str(seq)) for seq in range(first, first + n)]


class State(msgspec.Struct):
    """What a consumer would go on from."""


def at(position: int) -> Progress[State]:
    return Progress("p", position, b"", State())


def commit(
    buffer: JournalBuffer,
    now_s: float,
    alerts: Iterable[Alert] = (),
    *reached: Progress[State],
) -> bool:
    buffer.add(all_encoded(alerts), reached, [])
    return buffer.commit(now_s)


def test_what_could_not_be_kept_is_kept_when_there_is_space(tmp_path: Path) -> None:
    """In order, once, with the newest position; meanwhile it says why it fails."""
    with Journal(tmp_path / "j") as journal:
        buffer = JournalBuffer(journal)
        assert commit(buffer, 0, said(1), at(1))
        with no_space():
            assert not commit(buffer, 1, said(4), at(2))
            assert "cannot write journal" in (buffer.failing or "")
            assert not commit(buffer, 3, said(7), at(3))
            assert buffer.held == 6
        assert not commit(buffer, 3.5)  # a second between two tries
        assert commit(buffer, 4)
        assert (buffer.failing, buffer.held) == (None, 0)
        assert [one.seq for one in journal.alerts_after(0, 100)] == list(range(1, 10))
        assert [one.position for one in journal.progress()] == [3]


def test_a_learnt_model_is_on_the_disk_before_the_journal_names_it(tmp_path: Path) -> None:
    """What a full disk does not take ends nothing: it is held, and with it what names it."""
    models = ModelStore(tmp_path, "journal")
    with Journal(tmp_path / "j") as journal:
        buffer = JournalBuffer(journal, models.write_held)
        with no_space():
            (file,) = models.save("p", [template_checkpoint()], [])
            assert not commit(buffer, 0, said(1), at(1))
            assert "cannot keep a learnt model" in (buffer.failing or "")
            assert (journal.alerts_after(0, 100), journal.progress()) == ([], [])
        assert not list(tmp_path.glob("*.safetensors"))
        assert commit(buffer, 2)
        assert [one.seq for one in journal.alerts_after(0, 100)] == [1, 2, 3]
    assert file is not None
    assert models.load(file).identity == template_checkpoint().identity


def test_a_number_that_another_took_is_a_failure_like_others(tmp_path: Path) -> None:
    """What cannot be kept is held and said; the monitor goes on."""
    with Journal(tmp_path / "j") as journal:
        journal.commit(all_encoded(said(1, 1)), [])
        buffer = JournalBuffer(journal)
        assert not commit(buffer, 0, said(1, 2))
        assert "UNIQUE" in (buffer.failing or "")
        assert buffer.held == 2


def test_what_is_held_is_bounded(tmp_path: Path) -> None:
    """Before memory runs out, no more is taken in."""
    with Journal(tmp_path / "j") as journal:
        buffer = JournalBuffer(journal)
        with no_space():
            commit(buffer, 0, said(1))
            assert not buffer.full
            commit(buffer, 0, said(4, MAX_HELD))
            assert buffer.full


@pytest.mark.parametrize("gone", [("j", "j-wal", "j-shm", "j-lock"), ("j",), ("j-wal",)])
def test_a_journal_that_was_removed_is_written_again(tmp_path: Path, gone: tuple[str, ...]) -> None:
    """SQLite writes on into a file without a name; nothing is lost, and people hear of it."""
    with Journal(tmp_path / "j") as journal:
        identity = journal.identity
        buffer = JournalBuffer(journal)
        assert commit(buffer, 0, said(1), at(1))
        for name in gone:
            (tmp_path / name).unlink()
        assert not commit(buffer, 1, said(4), at(2))
        assert "was removed or moved while" in (buffer.failing or "")
        assert commit(buffer, 2.5, said(7), at(3))
        assert commit(buffer, 3, said(10))
        assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600
        with JournalReader(tmp_path / "j") as reader:  # what any other process sees
            assert [one.seq for one in reader.alerts()] == list(range(1, 13))
        with pytest.raises(JournalFailed, match="in use"):
            Journal(tmp_path / "j")
    with Journal(tmp_path / "j") as journal:
        assert (journal.identity, journal.renewed, journal.newest_seq) == (identity, "", 12)
        assert [one.position for one in journal.progress()] == [3]
    assert not list(tmp_path.glob("*-again"))


def test_a_journal_that_was_moved_goes_on_when_it_is_back(tmp_path: Path) -> None:
    """Where its folder is gone nothing can be written; then all that was held is kept."""
    (tmp_path / "a").mkdir()
    with Journal(tmp_path / "a" / "j") as journal:
        buffer = JournalBuffer(journal)
        assert commit(buffer, 0, said(1))
        (tmp_path / "a").rename(tmp_path / "b")
        assert not commit(buffer, 1, said(4))
        assert not commit(buffer, 3)
        assert "make its folder" in (buffer.failing or "")
        (tmp_path / "b").rename(tmp_path / "a")
        assert commit(buffer, 5)
        assert [one.seq for one in journal.alerts_after(0, 100)] == list(range(1, 7))


def test_another_file_in_the_place_of_the_journal_is_not_overwritten(tmp_path: Path) -> None:
    """It may be somebody's copy: alerts are held until the journal is back."""
    with Journal(tmp_path / "j") as journal:
        buffer = JournalBuffer(journal)
        assert commit(buffer, 0, said(1))
        (tmp_path / "j").rename(tmp_path / "mine")
        (tmp_path / "j").write_text("another")
        for now_s in (1, 3):
            assert not commit(buffer, now_s, said(now_s * 3 + 1))
            assert "another file was put in its place" in (buffer.failing or "")
        assert (tmp_path / "j").read_text() == "another"
        (tmp_path / "mine").replace(tmp_path / "j")
        assert commit(buffer, 5)
        assert journal.newest_seq == 12
