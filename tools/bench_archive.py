"""Annotate an archive with one process, with several, and on Dask: how fast, and the same bytes.

    python -m tools.bench_archive                          # 8 records of 6 hours, 2 processes
    python -m tools.bench_archive --records 16 --hours 2 --jobs 4 --times 5
    python -m tools.bench_archive --records 40 --hours 2   # what Dask costs over the processes
    python -m tools.bench_archive --quick                  # 2 records of 6 minutes; writes nothing

Simulated records, the shipped model, `ecg-monitor annotate` as a person runs it, each process with
one thread, after one record that does not count. The ways take turns. Processor time is that of all
processes, the command's, its workers' and the scheduler's: a busy machine changes it little.
docs/PERFORMANCE.md has the machine's own limit: as many commands at once, which share nothing, each
with a part of the records.
"""

from __future__ import annotations

import filecmp
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from unittest.mock import patch

from monitor.cli.progress import Show, progress_bar
from monitor.sources.simulated import SimulationSettings, write_record
from tools.measured import CommandFailed, Measured, run_measured
from tools.pages import PROGRAM, spread, table
from tools.parts import Found, Plan, measure_parts, option

ONE, SEVERAL, DASK = "one process", "processes", "workers of Dask"
ONE_WORKER = "one worker of Dask"


@dataclass(frozen=True, kw_only=True)
class Archive(Plan):
    """What is annotated, and how."""

    records: int = option(8, 2)
    hours: float = option(6.0, 0.1, "of each record")
    jobs: int = option(2, 2, "processes, or workers of Dask, beside one process")


def annotate(records: Sequence[Path], out: Path, jobs: int, *where: str) -> Measured:
    """Annotate records; CommandFailed if that cannot be done."""
    checkpoint = resources.files("model") / "checkpoints" / "default.safetensors"
    options = (
        "--out",
        str(out),
        "--checkpoint",
        str(checkpoint),
        "--jobs",
        str(jobs),
        "--again",
        *where,
    )
    return run_measured([*PROGRAM, "annotate", *map(str, records), *options], Path.cwd())


def measure(archive: Archive, show: Show) -> dict[str, list[Measured]]:
    """Return what each way took, in each turn.

    Raises
    ------
    CommandFailed
        If one failed, or they wrote different files.
    """
    folder = archive.folder
    (folder / "archive").mkdir()
    paths = [folder / "archive" / f"r{number}" for number in range(archive.records)]
    for number, path in enumerate(paths):
        show(0.0, f"simulating {number + 1} of {archive.records}")
        write_record(path, SimulationSettings(archive.hours, number))
    ways: dict[str, Callable[[Path], Measured]] = {
        ONE: lambda out: annotate(paths, out, 1),
        SEVERAL: lambda out: annotate(paths, out, archive.jobs),
    }
    if find_spec("distributed") is not None:
        ways[ONE_WORKER] = lambda out: annotate(paths, out, 1, "--dask", "local")
        ways[DASK] = lambda out: annotate(paths, out, archive.jobs, "--dask", "local")
    took: dict[str, list[Measured]] = {way: [] for way in ways}
    annotate(paths[:1], folder / "warm", 1)
    for turn in range(archive.times):
        for number, (way, run) in enumerate(ways.items()):
            done = (len(ways) * turn + number) / (len(ways) * archive.times)
            show(done, f"{way}, {turn + 1} of {archive.times}")
            took[way].append(run(folder / way))
    names = [f"{path.name}.{kind}" for path in paths for kind in ("qrs", "alm")]
    for way in ways:
        same, _, _ = filecmp.cmpfiles(folder / ONE, folder / way, names, shallow=False)
        if len(same) != len(names):
            raise CommandFailed(f"{ONE} and {archive.jobs} {way} wrote different files")
    return took


def archive_part(archive: Archive) -> Found:
    """Compare the ways: ratios of the same turn, then times."""
    with patch.dict(os.environ, OMP_NUM_THREADS="1"), progress_bar("annotating") as show:
        took = measure(archive, show)
    walls_s = {way: [one.wall_s for one in turns] for way, turns in took.items()}
    cpus_s = {way: [one.tree_cpu_s for one in turns] for way, turns in took.items()}
    ratios = {way: turn_ratios(walls_s, way) for way in walls_s}
    hours = archive.records * archive.hours
    rows = [
        [
            way if way in (ONE, ONE_WORKER) else f"{archive.jobs} {way}",
            spread(ratios[way], ".2f"),
            spread(of_way_s, ".1f"),
            f"{hours / median(of_way_s):.2f}",
            f"{3600 * archive.records / median(of_way_s):.0f}",
            spread(cpus_s[way], ".1f"),
            f"{median(cpus_s[way]) / median(cpus_s[ONE]) - 1:+.1%}",
            f"{3600 * archive.records / median(cpus_s[way]):.0f}",
        ]
        for way, of_way_s in walls_s.items()
    ]
    headings = [
        "way",
        "times as fast, of the same turn",
        "wall, s",
        "hours of record a second",
        "records an hour",
        "processor, s",
        "over one process",
        "records an hour of processor",
    ]
    asked = archive.is_whole("records", "hours", "jobs")
    return Found(
        f"{archive.records} simulated records of {archive.hours:g} h, `ecg-monitor annotate DIR "
        f"--jobs {archive.jobs}` beside `--jobs 1`, the same files from each; {archive.times} "
        f"turns.\n\n{table(headings, rows)}",
        {"archive.times_faster": ratios[SEVERAL]} if asked else {},
    )


def turn_ratios(walls_s: dict[str, list[float]], way: str) -> list[float]:
    """Return how many times as fast as one process a way was, in each turn."""
    return [one_s / way_s for one_s, way_s in zip(walls_s[ONE], walls_s[way], strict=True)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; return the exit code."""
    page, parts = ("program.md", "The program"), {"archive": archive_part}
    return measure_parts("bench_archive", __doc__, page, parts, Archive, arguments)


if __name__ == "__main__":
    sys.exit(main())
