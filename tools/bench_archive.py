"""Annotate an archive with one process and with several: how much faster, and the same bytes.

    python -m tools.bench_archive                          # 8 records of an hour, 2 processes
    python -m tools.bench_archive --records 16 --hours 2 --jobs 4 --repeats 5

Simulated records, the shipped model, `ecg-monitor annotate` as a person runs it, each process with
one thread. Runs with one process and with several take turns. Wall times of a machine that does
other things too are those of no machine: see the processor times beside them.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import resource
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from statistics import median

from monitor.progress import Show, progress_bar
from monitor.sources.simulated import SimulationSettings, write_record
from tools.measured import run_measured


@dataclass(frozen=True)
class Run:
    """One run over the archive, in seconds."""

    wall_s: float
    processor_s: float  # of all processes


def annotate(archive: Path, out: Path, jobs: int) -> Run:
    """Annotate all records of a folder."""
    checkpoint = resources.files("model") / "checkpoints" / "default.safetensors"
    before_s = _children_s()
    options = ("--out", str(out), "--checkpoint", str(checkpoint), "--jobs", str(jobs), "--again")
    command = (sys.executable, "-m", "monitor", "annotate", str(archive), *options)
    measured = run_measured(command, Path.cwd())
    return Run(measured.wall_s, _children_s() - before_s)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(
    records: int, hours: float, jobs: int, repeats: int, show: Show
) -> dict[int, list[Run]]:
    """Return the runs by their number of processes; ValueError if their files differ."""
    with tempfile.TemporaryDirectory(prefix="ecg-archive-") as temporary:
        folder = Path(temporary)
        (folder / "archive").mkdir()
        for number in range(records):
            show(0.0, f"simulating {number + 1} of {records}")
            write_record(folder / "archive" / f"r{number}", SimulationSettings(hours, number))
        runs: dict[int, list[Run]] = {1: [], jobs: []}
        for turn in range(repeats):
            for n in runs:
                share = (2 * turn + (n != 1)) / (2 * repeats)
                show(share, f"{n} process{'es' * (n > 1)}, {turn + 1} of {repeats}")
                runs[n].append(annotate(folder / "archive", folder / f"by-{n}", n))
        names = [f"r{number}.{kind}" for number in range(records) for kind in ("qrs", "alm")]
        same, _, _ = filecmp.cmpfiles(folder / "by-1", folder / f"by-{jobs}", names, shallow=False)
        if len(same) != len(names):
            raise ValueError("one process and several wrote different files")
        return runs


def table(runs: dict[int, list[Run]], hours: float) -> str:
    """Return medians and spread, and how much faster several processes are."""
    rows = ["| processes | wall, s | processor, s | hours of record a second |"]
    rows.append("| ---: | ---: | ---: | ---: |")
    for n, of_n in runs.items():
        walls = [run.wall_s for run in of_n]
        rows.append(
            f"| {n} | {median(walls):.1f} ({min(walls):.1f} to {max(walls):.1f}) | "
            f"{median(run.processor_s for run in of_n):.1f} | {hours / median(walls):.2f} |"
        )
    one, several = (median(run.wall_s for run in of_n) for of_n in runs.values())
    rows.append(f"\n{max(runs)} processes are {one / several:.2f} times faster than one.")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_archive", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--records", type=int, default=8)
    parser.add_argument("--hours", type=float, default=1.0, help="of each record")
    parser.add_argument("--jobs", type=int, default=2, help="processes, beside one")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    if min(options.records, options.repeats) < 1 or options.jobs < 2:
        parser.error("give at least one record, one repeat and two processes")
    os.environ["OMP_NUM_THREADS"] = "1"
    with progress_bar("annotating") as show:
        runs = measure(options.records, options.hours, options.jobs, options.repeats, show)
    print(table(runs, options.records * options.hours))
    return 0


if __name__ == "__main__":
    sys.exit(main())
