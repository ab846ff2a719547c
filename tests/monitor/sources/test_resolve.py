"""From what a person names to a record's path."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import DownloadError
from monitor.sources.resolve import resolve_record

NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    (tmp_path / "mitdb").mkdir()
    (tmp_path / "mitdb" / "100.hea").touch()


@pytest.mark.parametrize("name", ["mitdb/100", "mitdb/100.hea", "mitdb/100.dat"])
def test_a_record_that_is_here_is_not_fetched(name: str) -> None:
    """With or without the suffix of one of its files."""
    assert resolve_record(name, base_url=NOBODY) == Path("mitdb/100")


@pytest.mark.parametrize(
    "name", [".", "/", "..", "mitdb/101", "mitdb", "night.edf", "mitdb/100.atr"]
)
def test_what_is_meant_as_a_path_is_not_fetched(name: str) -> None:
    """A folder that is here, or a point in the name: opening it says what is wrong with it."""
    assert resolve_record(name, base_url=NOBODY) == Path(name)


@pytest.mark.parametrize("name", ["chfdb/chf07", "mimic/files/p1000/p10000000/s40000000/40000000"])
def test_what_is_neither_here_nor_there_is_said_of_both(name: str) -> None:
    """A path that was mistyped and a PhysioNet name cannot be told apart; both are answered."""
    with pytest.raises(DownloadError, match=r"there is no folder .* here; cannot fetch") as caught:
        resolve_record(name, base_url=NOBODY)
    assert name in str(caught.value)
