"""A disk that is full holds no alert up, and loses none."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.journal.buffer import MAX_HELD, Ledger
from monitor.journal.writer import Journal, Progress
from monitor.wire.messages import Alert
from tools.messages import alert


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


def test_what_could_not_be_kept_is_kept_when_there_is_space(tmp_path: Path) -> None:
    """In order, once, with the newest position; meanwhile it says why it fails."""
    with Journal(tmp_path / "j") as journal:
        ledger = Ledger(journal)
        assert ledger.commit(said(1), [Progress("p", 1, b"", b"")], [], now_s=0)
        with no_space():
            assert not ledger.commit(said(4), [Progress("p", 2, b"", b"")], [], now_s=1)
            assert "cannot write the journal" in (ledger.failing or "")
            assert not ledger.commit(said(7), [Progress("p", 3, b"", b"")], [], now_s=3)
            assert ledger.held == 6
        assert not ledger.commit([], [], [], now_s=3.5)  # a second between two tries
        assert ledger.commit([], [], [], now_s=4)
        assert (ledger.failing, ledger.held) == (None, 0)
        assert [one.seq for one in journal.alerts_after(0, 100)] == list(range(1, 10))
        assert [one.position for one in journal.progress()] == [3]


def test_a_number_that_another_took_is_a_failure_like_others(tmp_path: Path) -> None:
    """What cannot be kept is held and said; the monitor goes on."""
    with Journal(tmp_path / "j") as journal:
        journal.commit(said(1, 1), [])
        ledger = Ledger(journal)
        assert not ledger.commit(said(1, 2), [], [], now_s=0)
        assert "UNIQUE" in (ledger.failing or "")
        assert ledger.held == 2


def test_what_is_held_is_bounded(tmp_path: Path) -> None:
    """Before memory runs out, no more is taken in."""
    with Journal(tmp_path / "j") as journal:
        ledger = Ledger(journal)
        with no_space():
            ledger.commit(said(1), [], [], now_s=0)
            assert not ledger.full
            ledger.commit(said(4, MAX_HELD), [], [], now_s=0)
            assert ledger.full
