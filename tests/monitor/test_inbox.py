"""A durable subscriber's file holds alerts and position together."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import InboxFailed, InvalidOption
from monitor.inbox import Inbox, inbox_path
from tests.monitor.messages import alert, technical


def test_what_was_kept_is_there_after_reopening(tmp_path: Path) -> None:
    """Alerts in order, and the position of the last."""
    with Inbox(tmp_path / "i") as inbox:
        assert inbox.is_new
        inbox.keep(alert(seq=4, id="a"))
        inbox.keep(technical(seq=5, id="b"))
    with Inbox(tmp_path / "i") as inbox:
        assert (inbox.journal, inbox.last_seq, inbox.is_new) == ("j1", 5, False)
        assert inbox.alerts() == [alert(seq=4, id="a"), technical(seq=5, id="b")]


def test_nothing_is_kept_twice(tmp_path: Path) -> None:
    """A number that is there already is refused, and the position stays."""
    with Inbox(tmp_path / "i") as inbox:
        inbox.keep(alert(seq=4))
        with pytest.raises(InboxFailed, match="cannot keep"):
            inbox.keep(alert(seq=4))
        assert (inbox.last_seq, len(inbox.alerts())) == (4, 1)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """A file that is no inbox is named, and stays as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be looked at" * 50)
    with pytest.raises(InboxFailed, match=r"notes\.txt"):
        Inbox(path)
    assert path.read_text().startswith("not a database")


@pytest.mark.parametrize("name", ["", "../other", "a/b", ".hidden", "a b", "x" * 65, "a\n"])
def test_a_name_is_no_path(name: str) -> None:
    """A name cannot lead out of the folder of inboxes."""
    with pytest.raises(InvalidOption, match="--durable"):
        inbox_path(name)


def test_a_name_names_a_file() -> None:
    """Names of letters, digits, dots and dashes are taken."""
    assert inbox_path("ward-desk.2").name == "ward-desk.2.sqlite"
