"""Who leads a run in a journal: another is refused within a second, orphans are waited for."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from monitor.errors import JournalFailed
from monitor.journal.leader import is_led, leader_path, led
from monitor.journal.lock import lock_path


def not_told(text: str) -> None:
    raise AssertionError(text)


def test_a_second_monitor_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    """It does not wait half a minute, as for the processes of a run that was killed."""
    journal = tmp_path / "j"
    refused = pytest.raises(JournalFailed, match=rf"another monitor \(process {os.getpid()}\)")
    with led(journal, not_told, leaves_s=0.0), refused, led(journal, not_told, leaves_s=0.0):
        pass
    with led(journal, not_told, leaves_s=0.0):  # it is free again
        pass


def test_whether_a_journal_is_led_is_seen_without_waiting(tmp_path: Path) -> None:
    """Never before the first run, while one lasts, not after it; looking changes nothing."""
    journal = tmp_path / "j"
    assert not is_led(journal)
    assert not leader_path(journal).exists()
    with led(journal, not_told, leaves_s=0.0):
        assert is_led(journal)
        assert is_led(journal)
    assert not is_led(journal)


def test_what_a_run_starts_inherits_its_lock_but_does_not_lead(tmp_path: Path) -> None:
    """When the leader is gone and a stage is not, the next waits, says so, and then begins."""
    journal, told = tmp_path / "j", list[str]()
    with led(journal, not_told, leaves_s=0.0) as lock:
        orphan = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,)
        )

    def tell(text: str) -> None:
        told.append(text)
        orphan.communicate(b"leave\n")

    with led(journal, tell, leaves_s=0.1, wait_s=20.0):
        assert len(told) == 1
        assert "waiting for the processes of a run that was killed" in told[0]


def test_orphans_that_do_not_leave_are_an_error(tmp_path: Path) -> None:
    """Nobody writes beside them."""
    journal = tmp_path / "j"
    with lock_path(journal).open("ab") as of_an_orphan:
        fcntl.flock(of_an_orphan, fcntl.LOCK_EX)
        with (
            pytest.raises(JournalFailed, match="in use"),
            led(journal, lambda _: None, leaves_s=0.0, wait_s=0.1),
        ):
            pass


def test_a_monitor_that_is_just_ending_is_waited_for(tmp_path: Path) -> None:
    """For a second."""
    with leader_path(tmp_path / "j").open("ab") as ending:
        fcntl.flock(ending, fcntl.LOCK_EX)
        threading.Timer(0.2, lambda: fcntl.flock(ending, fcntl.LOCK_UN)).start()
        with led(tmp_path / "j", not_told, leaves_s=10.0):
            pass


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With what to do."""
    with (
        pytest.raises(JournalFailed, match="name another file"),
        led(tmp_path / "none" / "j", not_told),
    ):
        pass


def test_a_folder_is_no_journal(tmp_path: Path) -> None:
    """It is refused at once, by its kind, and nothing is written beside it."""
    folder = tmp_path / "folder"
    (folder / "another").mkdir(parents=True)
    with pytest.raises(JournalFailed, match="is a folder; name a file"), led(folder, not_told):
        pass
    assert list(tmp_path.iterdir()) == [folder]
