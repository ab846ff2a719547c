"""A page printed by a browser that may not be there."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from monitor.errors import InvalidOption
from monitor.offline.report.pdf import find_browser, print_pdf


def has_browser() -> bool:
    try:
        return bool(find_browser())
    except InvalidOption:
        return False


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_where_there_is_no_browser_it_says_what_to_do(tmp_path: Path) -> None:
    """Install one, or print the page."""
    with pytest.raises(InvalidOption, match=r"needs Chromium.*apt install chromium.*leave --pdf"):
        find_browser(str(tmp_path))


def test_the_first_browser_on_the_path_prints(tmp_path: Path) -> None:
    """Chromium or its kin."""
    script(tmp_path / "google-chrome", "exit 0")
    assert find_browser(str(tmp_path)) == str(tmp_path / "google-chrome")


@pytest.mark.parametrize(
    ("text", "said"),
    [("echo broken >&2; exit 3", "broken"), ("exit 3", "exit code 3"), ("exec sleep 60", "1 s")],
)
def test_a_browser_that_fails_or_hangs_is_reported(tmp_path: Path, text: str, said: str) -> None:
    """With where the page is; what was there stays."""
    browser = script(tmp_path / "chromium", text)
    (tmp_path / "night.pdf").write_text("before")
    with pytest.raises(InvalidOption, match=rf"printed no PDF: .*{said}.*night\.html is written"):
        print_pdf(tmp_path / "night.html", tmp_path / "night.pdf", str(browser), within_s=1)
    assert (tmp_path / "night.pdf").read_text() == "before"
    assert {one.name for one in tmp_path.iterdir()} == {"chromium", "night.pdf"}


@pytest.mark.skipif(not has_browser(), reason="no Chromium or Chrome on PATH")
@pytest.mark.timeout(120)
def test_a_page_becomes_a_pdf(tmp_path: Path) -> None:
    """Whole, also where its folder has a name with spaces and signs."""
    folder = tmp_path / "a night #1"
    folder.mkdir()
    (folder / "night.html").write_text("<h1>Night</h1>")
    print_pdf(folder / "night.html", folder / "night.pdf", find_browser())
    assert (folder / "night.pdf").read_bytes().startswith(b"%PDF")
