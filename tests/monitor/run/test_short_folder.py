"""Sockets lie where their paths are short enough."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from monitor.errors import InvalidOption
from monitor.run import short_folder
from monitor.run.folder import run_folder
from monitor.run.replay import ReplayOptions, stage_settings
from monitor.run.short_folder import base_folder, first_short
from monitor.wire.sockets import parse_endpoint


@pytest.fixture
def long_tmpdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder for temporary files, whose path is as long as a batch system's."""
    folder = tmp_path / ("scratch" * 10)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def test_a_short_folder_for_temporary_files_is_used() -> None:
    """As ever."""
    assert base_folder() == Path(tempfile.gettempdir())


def test_of_a_long_one_the_system_s_own_is_used(long_tmpdir: Path) -> None:
    """A run's endpoints are valid, and its folder is removed there."""
    with run_folder() as folder:
        assert not folder.is_relative_to(long_tmpdir)
        settings = stage_settings(ReplayOptions(["a"], "tcp://127.0.0.1:5571"), folder)
        for endpoint in (settings[0].samples, settings[1].beats, f"ipc://{folder / 'lifecycle'}"):
            assert parse_endpoint(endpoint).path
    assert not folder.exists()


def test_what_cannot_be_used_is_passed_over(tmp_path: Path) -> None:
    """Too long, missing, relative, of characters that no endpoint has."""
    long, odd = tmp_path / ("x" * 100), Path(tempfile.mkdtemp(prefix="\n", dir="/tmp"))
    long.mkdir()
    assert first_short([odd]) is None
    odd.rmdir()
    wanted = Path("/")
    assert first_short([long, Path("/no/such"), Path("relative"), wanted]) == wanted
    assert first_short([long, Path("/no/such")]) is None


def test_without_any_the_message_names_what_was_tried(
    long_tmpdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It speaks of TMPDIR, which a person can set, not of a path that nobody gave."""
    monkeypatch.setattr(short_folder, "first_short", lambda _folders: None)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    with pytest.raises(InvalidOption, match=r"/tmp nor in /var/tmp nor in /run/user/7; set TMPDIR"):
        base_folder()
