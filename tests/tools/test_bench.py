"""All benchmarks in turn: each in its own process, failures said, the page at the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools import bench
from tools.figures import keep

ROOT = Path(bench.__file__).resolve().parents[1]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    commands: list[list[str]] = []

    def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[bytes]:
        commands.append(command[2:])
        return subprocess.CompletedProcess(command, int("tools.bench_archive" in command))

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_every_benchmark_is_run(started: list[list[str]], tmp_path: Path) -> None:
    """Those that lie in tools/, with the folder of the pages; one that fails does not end it."""
    assert bench.main(["--out", str(tmp_path)]) == 1
    names = {file.stem for file in (ROOT / "tools").glob("bench_*.py")}
    assert {command[0] for command in started} == {f"tools.{name}" for name in names}
    assert all(command[1:] == ["--out", str(tmp_path)] for command in started)


def test_what_was_measured_is_shown(
    started: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of some, the page of all figures that are known."""
    keep({"view.share": [9.0]}, "a tool", tmp_path)
    assert bench.main(["--only", "view", "record", "--out", str(tmp_path)]) == 0
    assert [command[0] for command in started] == ["tools.bench_view", "tools.bench_record"]
    assert "| 9.0 | 1 | at most 15.0 | met | `a tool` |" in capsys.readouterr().out


def test_a_quick_run_says_which_failed(
    started: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is told to be quick; no page is shown, since none was written."""
    assert bench.main(["--quick", "--only", "archive", "view"]) == 1
    assert all(command[1:] == ["--quick"] for command in started)
    said = capsys.readouterr()
    assert "failed: archive" in said.err
    assert "Ratios" not in said.out


@pytest.mark.parametrize("name", bench.BENCHES)
def test_each_takes_what_it_is_given(name: str) -> None:
    """--quick and --out are options of every benchmark."""
    asked = [sys.executable, "-m", f"tools.bench_{name}", "--help"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert "--quick" in told
    assert "--out" in told
