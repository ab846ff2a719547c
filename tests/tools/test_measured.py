"""Measured commands: their output, time, memory, descendants and errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.measured import CommandFailed, run_measured, tree_memory_mb

HOLD_MB = 64
HOLD = f"import time; held = bytearray({HOLD_MB} << 20); print('held'); time.sleep(0.5)"
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="the system has no /proc"
)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_time_and_memory_are_those_of_the_command(tmp_path: Path) -> None:
    """What it printed, at least the time that it slept, at least the memory that it held."""
    measured = run_measured(python(HOLD), tmp_path)
    assert measured.output == "held\n"
    assert measured.wall_s >= 0.5
    assert HOLD_MB < measured.peak_mb < HOLD_MB + 200
    assert all(0 < at_s < measured.wall_s for at_s, _ in measured.held_mb)
    assert 0 < measured.cpu_s < measured.wall_s + 1


@needs_proc
def test_descendants_count_in_the_order_of_their_start(tmp_path: Path) -> None:
    """The command first, then what it started: a small child, then a large one."""
    start_both = (
        "import subprocess, sys; "
        f"run = lambda code: subprocess.Popen([sys.executable, '-c', code]); "
        f"both = [run('import time; time.sleep(0.5)'), run({HOLD!r})]; "
        "[one.wait() for one in both]"
    )
    measured = run_measured(python(start_both), tmp_path)
    parent, small, large = measured.peaks_mb
    assert parent < HOLD_MB
    assert small < HOLD_MB < large
    assert measured.peak_mb == parent + small + large


def test_the_command_runs_in_the_folder(tmp_path: Path) -> None:
    """Names of files in a command are those in its folder."""
    run_measured(python("open('here', 'w').close()"), tmp_path)
    assert (tmp_path / "here").exists()


@pytest.mark.parametrize(
    ("said", "told"),
    [("reading\nno such record\n", "no such record"), ("", "nothing on standard error")],
)
def test_a_command_that_fails_is_no_measurement(tmp_path: Path, said: str, told: str) -> None:
    """The error names the exit code and the last that the command said."""
    code = f"import sys; sys.stderr.write({said!r}); sys.exit(3)"
    with pytest.raises(CommandFailed, match=f"exit code 3: {told}$"):
        run_measured(python(code), tmp_path)


def test_a_process_that_is_gone_has_no_memory() -> None:
    """It ended between two looks: nothing to say, and no error."""
    assert tree_memory_mb(1 << 30) == {}


@needs_proc
def test_memory_now_falls_when_it_is_given_back() -> None:
    """The peak stays, what is held now does not; a process that is gone holds nothing."""
    process = subprocess.Popen(
        python(
            f"held = bytearray({HOLD_MB} << 20); print('held', flush=True); input(); "
            "del held; print('gone', flush=True); input()"
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert tree_memory_mb(process.pid)[process.pid][1] > HOLD_MB
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "gone\n"
    peak_mb, now_mb = tree_memory_mb(process.pid)[process.pid]
    assert now_mb < HOLD_MB < peak_mb
    process.communicate("\n")
    assert tree_memory_mb(process.pid) == {}
