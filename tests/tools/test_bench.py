"""All benchmarks in turn: none is forgotten, and each is really run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tools import bench

ROOT = Path(bench.__file__).resolve().parents[1]


def test_no_benchmark_is_forgotten() -> None:
    """Those that lie in tools/ are run; one that asks for an older revision is run alone."""
    names = {file.stem.removeprefix("bench_") for file in (ROOT / "tools").glob("bench_*.py")}
    assert {*bench.BENCHES, "against"} == names


def test_a_benchmark_is_run_in_a_process_of_its_own() -> None:
    """Quickly: what it found is shown, and nothing is written."""
    command = [sys.executable, "-m", "tools.bench", "--quick", "--only", "scoring"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "benchmark: scoring" in done.stderr
    assert "| beats of a call |" in done.stdout
    assert "Ratios" not in done.stdout
