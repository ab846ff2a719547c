"""A run's folder lives as long as who holds its lock, wherever that process is."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.run.folder import run_folder


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have runs make their folders in the test's own, whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="ecgt-", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_a_folder_is_private_and_removed_at_the_end(base: Path) -> None:
    """With all that lies in it."""
    with run_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "journal.sqlite").write_text("kept while the run goes on")
    assert not list(base.iterdir())


@pytest.mark.parametrize("pid", ["1", "999999999", "12345678901234567890", "0"])
def test_a_folder_of_a_run_that_goes_on_stays(base: Path, pid: str) -> None:
    """Whatever the process number in its name means here: its owner may live in a container."""
    with run_folder() as folder:
        elsewhere = folder.rename(base / f"ecgm-{pid}-abc")
        with run_folder():
            assert elsewhere.is_dir()
        elsewhere.rename(folder)


def test_a_folder_of_a_run_that_was_killed_is_removed(base: Path) -> None:
    """Also where another process has its number by now."""
    code = (
        "import os, sys, tempfile\n"
        f"tempfile.tempdir = {str(base)!r}\n"
        "from monitor.run.folder import run_folder\n"
        "with run_folder() as folder: print(folder, flush=True); os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    left.rename(base / "ecgm-1-abc")
    with run_folder() as folder:
        assert list(base.iterdir()) == [folder]


def test_what_is_no_folder_of_a_run_stays(base: Path) -> None:
    """Files, links, folders of other names; those of version 0.1, which locked none."""
    (base / "ecgm-1-file").write_text("a file")
    for name in ("elsewhere", "ecgm-12345-old", "ecgm-chaos-abc"):
        (base / name).mkdir()
    (base / "ecgm-1-link").symlink_to(base / "elsewhere")
    with run_folder():
        pass
    left = {"ecgm-1-file", "elsewhere", "ecgm-1-link", "ecgm-12345-old", "ecgm-chaos-abc"}
    assert {one.name for one in base.iterdir()} == left


def test_two_that_begin_together_do_not_take_each_other_s(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making a folder and locking it, another may take it for one left behind."""
    make, made = tempfile.mkdtemp, list[Path]()

    def make_and_lose(*, prefix: str, dir: Path) -> str:
        folder = make(prefix=prefix, dir=dir)
        made.append(Path(folder))
        if len(made) == 1:
            made[0].rmdir()
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", make_and_lose)
    with run_folder() as folder:
        assert folder == made[1]
        assert folder.is_dir()
