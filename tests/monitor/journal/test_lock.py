"""Whatever a journal is called, it is one journal with one writer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.delivery.inbox import Inbox
from monitor.delivery.subscriber import AlertSubscriber
from monitor.errors import InboxFailed, JournalFailed
from monitor.journal.lock import locked, writing
from monitor.journal.reader import JournalReader
from monitor.journal.writer import Journal
from monitor.run.replay import journal_path
from monitor.wire.codec import all_encoded
from tests.messages import alert


@pytest.fixture
def other_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return names that lead to `ward/night.sqlite`, which need not exist yet."""
    ward = tmp_path / "ward"
    (ward / "sub").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.sqlite").symlink_to(ward / "night.sqlite")
    (tmp_path / "elsewhere" / "again").symlink_to("link.sqlite")
    (tmp_path / "folder").symlink_to(ward)
    monkeypatch.chdir(tmp_path / "elsewhere")
    return [
        tmp_path / "elsewhere" / "link.sqlite",
        Path("again"),
        tmp_path / "folder" / "night.sqlite",
        ward / "sub" / ".." / "night.sqlite",
        Path("../ward/night.sqlite"),
    ]


@pytest.mark.parametrize("exists", [True, False])
def test_links_and_relative_paths_are_one_journal(
    tmp_path: Path, other_names: list[Path], exists: bool
) -> None:
    """One lock for all, and one place for what lies beside the journal."""
    path = tmp_path / "ward" / "night.sqlite"
    if exists:
        with Journal(path) as journal:
            journal.commit(all_encoded([alert(seq=1)]), [])
    for name in other_names:
        with locked(name, wait_s=0):
            for other in (path, *other_names):
                with pytest.raises(JournalFailed, match="in use"), locked(other, wait_s=0):
                    pass
        assert journal_path(name, tmp_path) == path
        with Journal(name) as journal:
            assert journal.newest_seq == int(exists)
        with JournalReader(name) as reader:
            assert len(list(reader.alerts())) == int(exists)
    assert all(one.name.startswith(("night.sqlite", "sub")) for one in path.parent.iterdir())
    assert sorted(one.name for one in Path.cwd().iterdir()) == ["again", "link.sqlite"]


def test_a_hard_link_is_refused_whoever_opens_it(tmp_path: Path) -> None:
    """By either name, also while a run holds the journal; nothing of it changes."""
    path, second = tmp_path / "night.sqlite", tmp_path / "copy.sqlite"
    with locked(path, wait_s=0), Journal(path) as journal:
        journal.commit(all_encoded([alert(seq=1)]), [])
        os.link(path, second)
        for name in (path, second):
            with pytest.raises(JournalFailed, match="2 names"), locked(name, wait_s=0):
                pass
            for opened in (Journal, JournalReader):
                with pytest.raises(JournalFailed, match=f"{name.name} is one of 2 names"):
                    opened(name)
        journal.commit(all_encoded([alert(seq=2, id="b")]), [])  # the run itself goes on
    second.unlink()
    with locked(path, wait_s=0), Journal(path) as journal:
        assert journal.newest_seq == 2


def test_an_inbox_has_one_name_and_one_writer(tmp_path: Path) -> None:
    """Like a journal; reading it is free."""
    path = tmp_path / "desk.sqlite"
    with Inbox(path) as inbox, Inbox(path) as reader:
        inbox.keep(alert(seq=1))
        assert len(reader.alerts()) == 1
        with pytest.raises(InboxFailed, match="in use"):
            reader.keep(alert(seq=2))
        with pytest.raises(InboxFailed, match="in use"):
            AlertSubscriber(f"ipc://{tmp_path / 'a'}", inbox=reader)
    with Inbox(path) as inbox:
        inbox.keep(alert(seq=2))
    os.link(path, tmp_path / "two.sqlite")
    with pytest.raises(InboxFailed, match="2 names"):
        Inbox(path)


_WRITES = """
import sys
from pathlib import Path
from monitor.journal.writer import Journal

with Journal(Path(sys.argv[1])):
    print("open", flush=True)
    input()
"""


def test_the_writer_s_lock_is_on_the_file_itself(tmp_path: Path) -> None:
    """Another process is refused that comes by no lock of a run; a killed writer holds nothing."""
    path = tmp_path / "night.sqlite"
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITES, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        other = path.rename(tmp_path / "other.sqlite")  # as a bind mount: the same file
        with pytest.raises(JournalFailed, match="in use"), writing(other, wait_s=0):
            pass
        other.rename(path)
        with JournalReader(path) as reader:  # reading is free
            assert list(reader.alerts()) == []
        writer.kill()
    with writing(path, wait_s=5):
        pass
