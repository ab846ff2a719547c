"""On a full disk each command says which file could not be written, and what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli.app import app
from monitor.journal.run import JournaledRun
from monitor.journal.writer import Journal
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.wire.codec import all_encoded
from monitor.wire.messages import Stream
from tests.messages import alert

SAID = "No space left on device; free space on its disk, or write elsewhere"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal of one alert, and a record."""
    stream = Stream("119", "119", ["MLII"], 360.0, 0, 650_000)
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.begin(JournaledRun([stream], "m1", "loss-1-of-1", None, None, 1.0))
        journal.commit(all_encoded([alert(seq=1)]), [], [])
    write_record(tmp_path / "sim", SimulationSettings(hours=120 / 3600, seed=1))
    return tmp_path


@pytest.fixture
def full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files can be made, and nothing written to them; errors name none, as the system's do."""

    def refuse(*_given: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setattr(os, "fsync", refuse)
    return folder


@pytest.mark.parametrize(
    ("words", "file"),
    [
        ("history {}/j.sqlite --alm {}/out", "{}/out/119.alm"),
        ("annotate {}/sim --out {}/out", "cannot write {}/out/sim.qrs"),
        ("report {}/j.sqlite --html {}/n.html", "{}/n.html"),
        ("show {}/j.sqlite 1 --html {}/n.html", "{}/n.html"),
        ("show {}/j.sqlite 1 --png {}/n.png", "{}/n.png"),
        ("evaluate --plot {}/n.png", "{}/n.png"),
    ],
)
def test_the_file_is_named(words: str, file: str, full_disk: Path) -> None:
    """One line, exit code 2, and nothing half-written is left."""
    arguments = words.replace("{}", str(full_disk)).split()
    before = set(full_disk.rglob("*"))
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == (
        f"ecg-monitor: {file.replace('{}', str(full_disk))}: {SAID}"
    )
    files = {one for one in full_disk.rglob("*") if one.is_file()}
    assert {one for one in files - before if one.stem != "j"} == set()  # SQLite's own may be


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_what_is_printed_is_named(folder: Path) -> None:
    """Standard output names no file; what else names none are temporary files."""
    command = [sys.executable, "-m", "monitor", "history", str(folder / "j.sqlite"), "--csv"]
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.splitlines() == [f"ecg-monitor: standard output, or a temporary file: {SAID}"]
