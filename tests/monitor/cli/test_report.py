"""`ecg-monitor report`, as a person runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from monitor.cli.app import app
from monitor.journal.writer import Journal
from monitor.sources.scenario_record import scenario_record
from monitor.wire.codec import all_encoded
from tests.messages import alarm
from tests.monitor.offline.evaluation.pages import Page

WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2} UTC")  # when a page was


def report(*arguments: object, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, ["report", *(str(one) for one in arguments)], env=env)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "night.sqlite"
    with Journal(path) as writer:
        writer.commit(all_encoded([alarm()]), [], [])
    return path


def test_a_journal_becomes_a_page(journal: Path, tmp_path: Path) -> None:
    """The last line says where it is."""
    done = report(journal, "--html", tmp_path / "n.html")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (0, f"wrote {tmp_path / 'n.html'}")
    said = Page((tmp_path / "n.html").read_text(encoding="utf-8")).text
    assert "Report: 119" in said
    assert "asystole" in said


def test_journals_and_records_become_one_page(journal: Path, tmp_path: Path) -> None:
    """What cannot be read is said on the page and on standard error; the exit code is 1."""
    folder = scenario_record("night", tmp_path).parent
    (folder / "bad.hea").write_text("bad 1 x\n")
    page = tmp_path / "c.html"
    done = report(journal, folder, "--html", page, "--jobs", "1")
    assert done.exit_code == 1
    assert "bad" in done.stderr
    said = Page(page.read_text(encoding="utf-8")).text
    assert "Report: 2 patients" in said
    assert "Not in this report" in said


@pytest.mark.parametrize("option", ["--html", "--pdf"])
def test_a_file_of_another_kind_is_never_replaced(
    option: str, journal: Path, tmp_path: Path
) -> None:
    """A slip of the pen must not cost the night: the journal stays as it was."""
    page = journal
    if option == "--pdf":
        page = tmp_path / "n.html"
        journal = journal.rename(tmp_path / "n.pdf")
    before = journal.read_bytes()
    done = report(journal, "--html", page, *(["--pdf"] if option == "--pdf" else []))
    assert done.exit_code == 2
    assert f"{journal} exists, and is no page, picture or PDF" in done.stderr
    assert journal.read_bytes() == before


def test_an_older_page_is_replaced(journal: Path, tmp_path: Path) -> None:
    """A page can be made anew; so can one that is empty."""
    page = tmp_path / "n.html"
    for content in ("<!DOCTYPE html>\nold", ""):
        page.write_text(content)
        assert report(journal, "--html", page).exit_code == 0
        assert "Report: 119" in Page(page.read_text(encoding="utf-8")).text


def test_without_a_browser_nothing_is_read_for_a_pdf(journal: Path, tmp_path: Path) -> None:
    """It is said at once, with what to do; no page is left behind."""
    done = report(
        journal, "--html", tmp_path / "n.html", "--pdf", env={"PATH": str(tmp_path / "none")}
    )
    assert done.exit_code == 2
    assert "--pdf needs Chromium" in done.stderr
    assert not (tmp_path / "n.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.sqlite", "--html", "n.html"), "nowhere.sqlite"),
        (("JOURNAL", "--html", "no/folder/n.html"), "choose another folder"),
        (("JOURNAL", "--html", "n.pdf", "--pdf"), "name a .html file"),
        (("JOURNAL", "--html", "JOURNAL"), "no page, picture or PDF"),
        (("JOURNAL", "--html", "n.html", "--record", "JOURNAL"), "is none that"),
        (("JOURNAL", "--html", "n.html", "--learn", "x"), "--learn"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    journal: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    """No traceback, exit code 2, no page."""
    monkeypatch.chdir(tmp_path)
    done = report(*(journal if one == "JOURNAL" else one for one in arguments))
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "n.html").exists()


def test_a_journal_of_nobody_is_refused(tmp_path: Path) -> None:
    """There is no night to tell."""
    with Journal(tmp_path / "empty.sqlite"):
        pass
    done = report(tmp_path / "empty.sqlite", "--html", tmp_path / "n.html")
    assert done.exit_code == 2
    assert "nobody was monitored" in done.stderr


def test_a_second_core_changes_no_page(tmp_path: Path) -> None:
    """One record on two cores is segmented beside its judging; the page is the same to the byte."""
    night = scenario_record("night", tmp_path)
    pages = []
    for jobs in (1, 2):
        page = tmp_path / f"{jobs}.html"
        done = report(night, "--html", page, "--jobs", jobs)
        assert (done.exit_code, done.stderr.splitlines()[-1]) == (0, f"wrote {page}")
        pages.append(WRITTEN.sub("", page.read_text(encoding="utf-8")))
    assert pages[0] == pages[1]
