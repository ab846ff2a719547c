"""A durable subscriber's file holds alerts and position together."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.delivery.inbox import TRUNCATE_EVERY, Inbox, inbox_path
from monitor.delivery.position import Place
from monitor.errors import InboxFailed, InvalidOption
from tests.messages import alert, technical
from tests.monitor.databases import execute


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


def test_old_alerts_go_and_the_position_stays(tmp_path: Path) -> None:
    """By the inbox's own time; the newest alert of all stays, and each journal's position."""
    now = [0.0]
    with Inbox(tmp_path / "i", keep_days=1 / 24, clock=lambda: now[0]) as inbox:
        for seq in range(1, 151):
            inbox.keep(alert(seq=seq, id=str(seq), journal="old"))
        for _ in range(59):
            now[0] += 60
            inbox.look()
        for seq in range(1, 4):
            inbox.keep(alert(seq=seq, id=str(seq), journal="new"))
        for _ in range(30):
            now[0] += 60
            inbox.look()
        kept = [(one.journal, one.seq) for one in inbox.alerts()]
        assert kept == [("new", 1), ("new", 2), ("new", 3)]
        assert (inbox.journal, inbox.last_seq, inbox.last_seq_in("old")) == ("new", 3, 150)


@pytest.mark.parametrize("wall_time", ["1970-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z"])
def test_no_wall_clock_empties_an_inbox(tmp_path: Path, wall_time: str) -> None:
    """Neither what messages say, nor a long time in which nobody had it open, nor a jump."""
    now = [0.0]
    for life in range(3):
        with Inbox(tmp_path / "i", clock=lambda: now[0]) as inbox:
            for seq in range(100 * life + 1, 100 * life + 101):
                inbox.keep(alert(seq=seq, id=str(seq), wall_time=wall_time))
            now[0] += 91 * 86_400
            inbox.look()
            assert len(inbox.alerts()) == 100 * life + 100
        now[0] += 91 * 86_400


def test_an_inbox_does_not_grow_for_ever(tmp_path: Path) -> None:
    """By size, while it is written: the oldest go, order and position stay."""
    with Inbox(tmp_path / "i", keep_mb=0.6) as inbox:
        for seq in range(1, 4 * TRUNCATE_EVERY + 1):
            inbox.keep(alert(seq=seq, id=str(seq)))
        kept = [one.seq for one in inbox.alerts()]
    assert kept == list(range(kept[0], 4 * TRUNCATE_EVERY + 1))
    assert 1 < kept[0] < 3 * TRUNCATE_EVERY


@pytest.mark.parametrize("damage", ["UPDATE alerts SET message = x'ff'", "DROP TABLE alerts"])
def test_a_damaged_inbox_is_an_error_not_a_crash(tmp_path: Path, damage: str) -> None:
    """Whatever is read of it is said in one line, with the file."""
    path = tmp_path / "inbox"
    with Inbox(path) as inbox:
        inbox.keep(alert(seq=1))
        execute(path, damage)
        with pytest.raises(InboxFailed, match="inbox"):
            inbox.alerts()
        if damage.startswith("DROP"):
            with pytest.raises(InboxFailed, match="inbox"):
                inbox.ids("j1")


def test_a_damaged_inbox_that_is_quoted_is_an_error_not_a_crash(tmp_path: Path) -> None:
    """SQLite's message holds the damaged text, of which Python cannot make words."""
    path = tmp_path / "inbox"
    with Inbox(path):
        pass
    path.write_bytes(path.read_bytes().replace(b"tablealertsalerts", b"tablealert\xff\xfflerts"))
    with pytest.raises(InboxFailed, match="inbox"):
        Inbox(path)


def test_an_inbox_of_before_goes_on_where_its_alerts_end(tmp_path: Path) -> None:
    """A file that has no positions yet: the newest alert of each journal tells them."""
    path = tmp_path / "i"
    with Inbox(path) as inbox:
        for journal, seq in (("a", 1), ("a", 2), ("b", 7)):
            inbox.keep(alert(seq=seq, id=f"{journal}{seq}", journal=journal))
    execute(path, "DROP TABLE positions")
    with Inbox(path) as inbox:
        assert (inbox.journal, inbox.last_seq) == ("b", 7)
        assert inbox.newest() == ("b", Place("b", 7, "b7"))
        assert inbox.place("a") == Place("a", 2, "a2")


def test_what_a_journal_lacks_is_set_aside_until_it_comes_again(tmp_path: Path) -> None:
    """Also over a restart; each alert stays in the file once, in the order in which it was had."""
    path = tmp_path / "i"
    with Inbox(path) as inbox:
        for seq in range(1, 5):
            inbox.keep(alert(seq=seq, id=f"a{seq}", journal="A"))
        inbox.set_aside("A", "A", Place("B", 0, ""))
        inbox.had_again("A", [alert(seq=seq, id=f"a{seq}", journal="B") for seq in (1, 2)])
        assert inbox.lost("A") == {"a3": 1, "a4": 1}
    with Inbox(path) as inbox:
        assert inbox.newest() == ("A", Place("B", 2, "a2"))
        assert inbox.lost("A") == {"a3": 1, "a4": 1}
        inbox.had_again("A", [alert(seq=3, id="a4", journal="B")])
        inbox.keep(alert(seq=4, id="new", journal="B"), "A")
        inbox.rename("A", "B", Place("C", 4, "new"))
        assert inbox.ids("C") == {1: "a1", 2: "a2", 3: "a4", 4: "new"}
        assert inbox.lost("A") == {"a3": 1}
        assert [one.id for one in inbox.alerts()] == ["a1", "a2", "a3", "a4", "new"]
        assert (inbox.journal, inbox.last_seq, inbox.last_seq_in("A")) == ("C", 4, 4)


def test_an_inbox_that_was_removed_keeps_nothing_in_silence(tmp_path: Path) -> None:
    """SQLite would write on into a file without a name, and all of it be gone at the end."""
    with Inbox(tmp_path / "i") as inbox:
        inbox.keep(alert(seq=1, id="a"))
        (tmp_path / "i").rename(tmp_path / "moved")
        with pytest.raises(InboxFailed, match="was removed, moved or replaced"):
            inbox.keep(alert(seq=2, id="b"))
        (tmp_path / "moved").rename(tmp_path / "i")
        inbox.keep(alert(seq=2, id="b"))
    with Inbox(tmp_path / "i") as inbox:
        assert [one.seq for one in inbox.alerts()] == [1, 2]
