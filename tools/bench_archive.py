"""Annotate an archive with one process and with several: how much faster, and the same bytes.

    python -m tools.bench_archive                          # 8 records of 6 hours, 2 processes
    python -m tools.bench_archive --records 16 --hours 2 --jobs 4 --repeats 5

Simulated records, the shipped model, `ecg-monitor annotate` as a person runs it, each process with
one thread. The ways take turns. The last one is the machine's own limit: as many commands at once,
which share nothing, each with a part of the records.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from statistics import median

from monitor.progress import Show, progress_bar
from monitor.sources.simulated import SimulationSettings, write_record
from tools.measured import run_measured

ONE, SEVERAL, APART = "one process", "processes of one command", "commands at once"


def annotate(records: Sequence[Path], out: Path, jobs: int) -> None:
    """Annotate records; CommandFailed if that cannot be done."""
    checkpoint = resources.files("model") / "checkpoints" / "default.safetensors"
    options = ("--out", str(out), "--checkpoint", str(checkpoint), "--jobs", str(jobs), "--again")
    command = (sys.executable, "-m", "monitor", "annotate", *map(str, records), *options)
    run_measured(command, Path.cwd())


def annotate_apart(records: Sequence[Path], out: Path, commands: int) -> None:
    """Annotate records by several commands at once, each of which has a part of them."""
    with ThreadPoolExecutor(commands) as starters:
        parts = [records[first::commands] for first in range(commands)]
        for started in [starters.submit(annotate, part, out, 1) for part in parts if part]:
            started.result()


def measure(
    records: int, hours: float, jobs: int, repeats: int, show: Show
) -> dict[str, list[float]]:
    """Return the wall times of each way, in seconds; ValueError if their files differ."""
    with tempfile.TemporaryDirectory(prefix="ecg-archive-") as temporary:
        folder = Path(temporary)
        (folder / "archive").mkdir()
        paths = [folder / "archive" / f"r{number}" for number in range(records)]
        for number, path in enumerate(paths):
            show(0.0, f"simulating {number + 1} of {records}")
            write_record(path, SimulationSettings(hours, number))
        ways: dict[str, Callable[[Path], None]] = {
            ONE: lambda out: annotate(paths, out, 1),
            SEVERAL: lambda out: annotate(paths, out, jobs),
            APART: lambda out: annotate_apart(paths, out, jobs),
        }
        walls_s: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(repeats):
            for number, (way, run) in enumerate(ways.items()):
                done = (len(ways) * turn + number) / (len(ways) * repeats)
                show(done, f"{way}, {turn + 1} of {repeats}")
                began_s = time.perf_counter()
                run(folder / way)
                walls_s[way].append(time.perf_counter() - began_s)
        names = [f"{path.name}.{kind}" for path in paths for kind in ("qrs", "alm")]
        for way in (SEVERAL, APART):
            same, _, _ = filecmp.cmpfiles(folder / ONE, folder / way, names, shallow=False)
            if len(same) != len(names):
                raise ValueError(f"{ONE} and {way} wrote different files")
        return walls_s


def table(walls_s: dict[str, list[float]], hours: float, jobs: int) -> str:
    """Return ratios, then medians and spread."""
    one_s = median(walls_s[ONE])
    rows = ["| way | times as fast | wall, s | hours of record a second |"]
    rows.append("| --- | ---: | ---: | ---: |")
    for way, of_way_s in walls_s.items():
        wall_s = median(of_way_s)
        name = way if way == ONE else f"{jobs} {way}"
        rows.append(
            f"| {name} | {one_s / wall_s:.2f} | {wall_s:.1f} ({min(of_way_s):.1f} to "
            f"{max(of_way_s):.1f}) | {hours / wall_s:.2f} |"
        )
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_archive", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--records", type=int, default=8)
    parser.add_argument("--hours", type=float, default=6.0, help="of each record")
    parser.add_argument("--jobs", type=int, default=2, help="processes, beside one")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    if min(options.records, options.repeats) < 1 or options.jobs < 2:
        parser.error("give at least one record, one repeat and two processes")
    os.environ["OMP_NUM_THREADS"] = "1"
    with progress_bar("annotating") as show:
        walls_s = measure(options.records, options.hours, options.jobs, options.repeats, show)
    print(table(walls_s, options.records * options.hours, options.jobs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
