"""An older revision beside this tree: memory of processes, and a revision that is not there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitor.detection.rules import load_rules
from tools.bench_against import main, proportional_mb, watched_memory
from tools.measured import tree_memory_mb
from tools.replays import rules_without_alarms

linux = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux alone says")


def test_rules_without_alarms_turn_all_off(tmp_path: Path) -> None:
    """So that no signs are measured: the same work as before there were any."""
    assert load_rules(rules_without_alarms(tmp_path)).alarms.on == ()


@linux
def test_memory_is_that_of_all_that_descend(tmp_path: Path) -> None:
    """A child of a child is one of them; one that has gone takes nothing."""
    nested = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", nested], stdin=subprocess.PIPE) as process:
        found: list[int] = []
        while len(found) < 2:
            found = [*tree_memory_mb(process.pid)]
        assert all(one in tree_memory_mb(os.getpid()) for one in found)
        assert proportional_mb(process.pid) > 1
        process.communicate(b"\n")
    assert proportional_mb(process.pid) == 0.0


def test_a_revision_that_is_not_there_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    """In one line, and nothing is left behind."""
    assert main(["no-such-revision", "--python", sys.executable]) == 1
    assert "no-such-revision" in capfd.readouterr().err


@linux
def test_what_started_the_others_may_be_left_out() -> None:
    """The listener of a ward is no part of the monitor."""
    nested = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    sums: list[float] = []
    for but_first in (False, True):
        with (
            watched_memory(but_first=but_first) as held_mb,
            subprocess.Popen([sys.executable, "-c", nested], stdin=subprocess.PIPE) as process,
        ):
            while len(tree_memory_mb(process.pid)) < 2:
                time.sleep(0.01)
            n_before = len(held_mb)
            while len(held_mb) < n_before + 2:
                time.sleep(0.01)
            process.communicate(b"\n")
        sums.append(max(held_mb))
    assert sums[0] > sums[1] > 1
