"""An older revision and this tree in turn, A B A B: CPU a beat, one record, memory, start.

    python -m tools.bench_against ba1c0e0             # 40 minutes; let nothing else compute
    python -m tools.bench_against ba1c0e0 --only record --hours 2
    python -m tools.bench_against ba1c0e0 --python .venv/bin/python   # for both; installs nothing

The revision is checked out beside this tree and gets an environment of its own, with its own
constraints. `loss` is the same work in both: one lead, the bare loss, no named alarms. `all` is
what this tree does unasked: all leads, evidence, named alarms; the older one does what it can.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tools.measured import CommandFailed, run_measured, tree_memory_mb
from tools.pages import spread, table
from tools.parts import say
from tools.replays import rules_without_alarms

ROOT = Path(__file__).parent.parent
HERE = "this tree"
RECORD = "simulated"
FIRST_WITHIN_S = 60.0
PARTS = ("ward", "record", "start")


class Tree(NamedTuple):
    """A revision's files and the interpreter that runs them."""

    name: str
    folder: Path
    python: str

    def command(self, *arguments: str) -> list[str]:
        """Return a command of this revision, whatever else is installed."""
        return ["env", f"PYTHONPATH={self.folder}", self.python, "-m", "monitor", *arguments]


class Work(NamedTuple):
    """What both trees do; the older one knows fewer options."""

    name: str
    leads: int
    options: tuple[str, ...]  # of this tree's commands


@contextlib.contextmanager
def older_tree(revision: str, folder: Path, python: str | None) -> Iterator[Tree]:
    """Check a revision out, with an environment of its own unless an interpreter is given.

    Raises
    ------
    CommandFailed
        If it cannot be checked out or installed.
    """
    where = folder / "older"
    run_measured(["git", "worktree", "add", "--detach", str(where), revision], ROOT)
    try:
        if python is None:
            say(f"installing {revision}")
            run_measured([sys.executable, "-m", "venv", str(folder / "venv")], folder)
            python = str(folder / "venv" / "bin" / "python")
            pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            run_measured([*pip, "--constraint", "constraints.txt", "."], where)
        yield Tree(revision, where, python)
    finally:
        run_measured(["git", "worktree", "remove", "--force", str(where)], ROOT)


# --- ward ---------------------------------------------------------------------------------------


class WardRun(NamedTuple):
    """One ward: of all processes but the listener CPU a beat and memory; how late scores were."""

    cpu_us: float
    p99_ms: float
    lost: int
    memory_mb: float
    kept_up: bool


def ward_run(tree: Tree, folder: Path, patients: int, seconds: float, *options: str) -> WardRun:
    """Let a ward live once."""
    asked = ("--patients", f"{patients}", "--seconds", f"{seconds:g}", "--json", *options)
    with watched_memory(but_first=True) as held_mb:  # the first one listens
        found = json.loads(run_measured(tree.command("bench", "ward", *asked), folder).output)
    cores = sum(share for name, share in found["cores"].items() if name != "subscriber")
    late_ms = found["delay_p99_ms"] or float("inf")
    lost = found["dropped"] + max(0, found["missed"])
    cpu_us = 1e6 * cores / max(1, found["beats_per_s"])
    return WardRun(cpu_us, late_ms, lost, max(held_mb, default=0.0), found["kept_up"])


def ward_part(given: argparse.Namespace, trees: Sequence[Tree], works: Sequence[Work]) -> str:
    """Compare what a beat costs in wards of several sizes."""
    rows = []
    for patients in given.patients:
        for work in works:
            runs: dict[str, list[WardRun]] = {tree.name: [] for tree in trees}
            for _ in range(given.times):
                for tree in trees:
                    leads = ("--leads", f"{work.leads}") if work.leads > 1 else ()
                    options = (*leads, *work.options) if tree.name == HERE else ()
                    say(f"{patients} patients, {work.name}: {tree.name}")
                    runs[tree.name].append(
                        ward_run(tree, given.folder, patients, given.seconds, *options)
                    )
            older = median(one.cpu_us for one in runs[trees[0].name])
            for tree in trees:
                of_tree = runs[tree.name]
                rows.append(
                    [
                        f"{patients:,}",
                        f"{work.name}, {work.leads} leads" if tree.name == HERE else "its own",
                        tree.name,
                        spread([one.cpu_us for one in of_tree], ".0f"),
                        f"{median(one.cpu_us for one in of_tree) / older:.2f}",
                        spread([one.p99_ms for one in of_tree], ".0f"),
                        f"{sum(one.lost for one in of_tree)}",
                        f"{sum(one.kept_up for one in of_tree)} of {len(of_tree)}",
                        f"{max(one.memory_mb for one in of_tree):.0f}",
                    ]
                )
    headings = ["patients", "work", "tree", "CPU us a beat", "ratio", "p99 ms"]
    headings += ["lost", "kept up", "MB (proportional)"]
    return table(headings, rows)


# --- one record ---------------------------------------------------------------------------------


class RecordRun(NamedTuple):
    """One replay: the whole command, and the proportional set size of all processes at most."""

    wall_s: float
    cpu_s: float
    memory_mb: float


def record_run(tree: Tree, folder: Path, *options: str) -> RecordRun:
    """Replay the simulated record once, as fast as it goes."""
    command = tree.command("replay", RECORD, "--speed", "max", "--json", *options)
    with watched_memory() as held_mb:
        found = run_measured(command, folder)
    return RecordRun(found.wall_s, found.cpu_s, max(held_mb, default=0.0))


@contextlib.contextmanager
def watched_memory(*, but_first: bool = False) -> Iterator[list[float]]:
    """Note every fifth of a second the proportional set size of all that this process started.

    `but_first` leaves out the process that it started itself, and takes what descends from that.
    """
    held_mb: list[float] = []
    own, is_over = os.getpid(), threading.Event()

    def watch() -> None:
        while not is_over.wait(0.2):
            started = [pid for pid in tree_memory_mb(own) if pid != own]
            held_mb.append(sum(map(proportional_mb, started[but_first:])))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield held_mb
    finally:
        is_over.set()
        watcher.join()


def proportional_mb(pid: int) -> float:
    """Return a process's proportional set size: pages that n processes share count an nth."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1e3
    return 0.0


def record_part(given: argparse.Namespace, trees: Sequence[Tree], works: Sequence[Work]) -> str:
    """Compare whole commands over one record."""
    simulate = ("simulate", RECORD, "--hours", f"{given.hours:g}", "--seed", "3", "--overwrite")
    run_measured(trees[-1].command(*simulate), given.folder)
    rows = []
    for work in works:
        runs: dict[str, list[RecordRun]] = {tree.name: [] for tree in trees}
        for _ in range(given.times):
            for tree in trees:
                lead = ("--lead", "0") if work.leads == 1 else ()
                options = (*lead, *work.options) if tree.name == HERE else ()
                say(f"{given.hours:g} h, {work.name}: {tree.name}")
                runs[tree.name].append(record_run(tree, given.folder, *options))
        for tree in trees:
            of_tree = runs[tree.name]
            rows.append(
                [
                    f"{work.name}, {work.leads} leads" if tree.name == HERE else "its own",
                    tree.name,
                    spread([one.wall_s for one in of_tree], ".1f"),
                    spread([one.cpu_s for one in of_tree], ".1f"),
                    spread([one.memory_mb for one in of_tree], ".0f"),
                ]
            )
    return table(["work", "tree", "whole command, s", "CPU, s", "MB (proportional)"], rows)


# --- start --------------------------------------------------------------------------------------


def first_beat_s(tree: Tree, folder: Path) -> float:
    """Return how long after the command a first alert or beat is on its standard output."""
    command = tree.command("replay", RECORD, "--speed", "max", "--json", "--loop")
    began_s = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        timer = threading.Timer(FIRST_WITHIN_S, process.kill)
        timer.start()
        assert process.stdout is not None
        said = process.stdout.readline()
        elapsed_s = time.perf_counter() - began_s
        timer.cancel()
        process.terminate()
    if not said:
        raise CommandFailed(f"{tree.name}: nothing was said within {FIRST_WITHIN_S:.0f} s")
    return elapsed_s


def start_part(given: argparse.Namespace, trees: Sequence[Tree], works: Sequence[Work]) -> str:
    """Compare how long it takes to the first line of a replay, which an alert or a beat is."""
    run_measured(
        trees[-1].command("simulate", RECORD, "--hours", "0.1", "--seed", "3", "--overwrite"),
        given.folder,
    )
    found: dict[str, list[float]] = {tree.name: [] for tree in trees}
    for _ in range(max(3, given.times)):
        for tree in trees:
            found[tree.name].append(first_beat_s(tree, given.folder))
    rows = [[tree.name, spread(found[tree.name], ".2f")] for tree in trees]
    return table(["tree", "first line after the command, s"], rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_against", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("revision", help="the older one, as git names it")
    parser.add_argument("--only", action="append", choices=PARTS, help="repeatable")
    parser.add_argument("--work", action="append", choices=("loss", "all"), help="repeatable")
    parser.add_argument("--python", help="interpreter for both trees (default: one is installed)")
    parser.add_argument("--patients", type=int, nargs="+", default=[2000, 5000])
    parser.add_argument("--seconds", type=float, default=30.0, help="of each ward (30)")
    parser.add_argument("--hours", type=float, default=20.0, help="of the record (20)")
    parser.add_argument("--times", type=int, default=2, help="runs of each tree, in turn (2)")
    given = parser.parse_args(arguments)
    measure = {"ward": ward_part, "record": record_part, "start": start_part}
    with tempfile.TemporaryDirectory(prefix="ecgm-against-") as folder:
        given.folder = Path(folder)
        off = str(rules_without_alarms(given.folder))
        works = [Work("loss", 1, ("--verdict", "loss", "--rules", off)), Work("all", 2, ())]
        works = [one for one in works if one.name in (given.work or ("loss", "all"))]
        python = None if given.python is None else str(Path(given.python).absolute())
        try:
            with older_tree(given.revision, given.folder, python) as older:
                trees = [older, Tree(HERE, ROOT, python or sys.executable)]
                for part in given.only or PARTS:
                    print(
                        f"\n## {part.capitalize()}\n\n{measure[part](given, trees, works)}\n",
                        flush=True,
                    )
        except CommandFailed as error:
            say(f"bench_against: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
