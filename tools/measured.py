"""Run a command and measure its wall time and the peak memory of it and of all it starts."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
SAMPLE_S = 0.1  # between two looks; what grows after the last one is not seen
PROC = Path("/proc")
T = TypeVar("T")
_RESIDENT = re.compile(r"^VmHWM:\s+(\d+) kB\nVmRSS:\s+(\d+) kB$", re.MULTILINE)


class CommandFailed(Exception):
    """A command that was to be measured ended with an error."""


@dataclass(frozen=True)
class Measured:
    """One run of a command.

    Attributes
    ----------
    output : str
        Its standard output.
    wall_s : float
        From its start to its end.
    cpu_s : float
        Computed by it and by all it started and waited for.
    peaks_mb : tuple of float
        Largest resident memory of each process, in the order in which they were started, the
        command first. Where there is no /proc: of the largest process alone.
    held_mb : tuple of (float, float)
        Resident memory of all of them, after so many seconds; empty where there is no /proc.
    tree_cpu_s : float
        Computed by it and by all that descend from it, waited for or not, as last seen; `cpu_s`
        where there is no /proc.
    """

    output: str
    wall_s: float
    cpu_s: float
    peaks_mb: tuple[float, ...]
    held_mb: tuple[tuple[float, float], ...] = ()
    tree_cpu_s: float = 0.0

    @property
    def peak_mb(self) -> float:
        """Sum of the processes' peaks; pages that they share count in each."""
        return sum(self.peaks_mb)


def run_measured(command: Sequence[str], folder: Path) -> Measured:
    """Run a command in a folder until it ends.

    Raises
    ------
    CommandFailed
        If its exit code is not 0.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began_s = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=errors)
        peaks_mb: dict[int, float] = {}
        held_mb: list[tuple[float, float]] = []
        computed_s: dict[int, float] = {}
        try:
            while True:
                resident = tree_memory_mb(process.pid)
                computed_s |= {pid: s for pid in resident if (s := own_cpu_s(pid))}
                peaks_mb |= {pid: peak_mb for pid, (peak_mb, _) in resident.items()}
                if resident:
                    sum_mb = sum(now_mb for _, now_mb in resident.values())
                    held_mb.append((time.perf_counter() - began_s, sum_mb))
                ended, status, usage = os.wait4(process.pid, os.WNOHANG)
                if ended:
                    break
                time.sleep(SAMPLE_S)
        except BaseException:  # Ctrl-C above all
            process.terminate()
            process.wait()
            raise
        wall_s = time.perf_counter() - began_s
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            said = errors.read().decode(errors="replace").strip().splitlines()
            last = said[-1] if said else "nothing on standard error"
            raise CommandFailed(f"{' '.join(command)}: exit code {process.returncode}: {last}")
        cpu_s = usage.ru_utime + usage.ru_stime
        largest_mb = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
        return Measured(
            output=output.read().decode(errors="replace"),
            wall_s=wall_s,
            cpu_s=cpu_s,
            peaks_mb=tuple(peaks_mb.values()) or (largest_mb,),
            held_mb=tuple(held_mb),
            tree_cpu_s=max(cpu_s, sum(computed_s.values())),
        )


def on_one_core(measure: Callable[..., T], *arguments: object) -> T:
    """Run a function on one core, in a process that has done nothing before."""
    with (
        patch.dict(os.environ, ONE_CORE),  # inherited by that process, and by no later one
        ProcessPoolExecutor(1, get_context("spawn")) as process,
    ):
        return process.submit(measure, *arguments).result()


def tree_memory_mb(pid: int) -> dict[int, tuple[float, float]]:
    """Return the resident memory of a process and of all that descend from it.

    Returns
    -------
    dict of int to (float, float)
        The largest so far, and now, by process identity: parents before children, in the order in
        which they were started. Pages that they share count in each. Empty where the system does
        not say.
    """
    folder = PROC / str(pid)
    try:
        tasks = list((folder / "task").iterdir())
        children = [int(one) for task in tasks for one in (task / "children").read_text().split()]
        found = _RESIDENT.search((folder / "status").read_text())
    except OSError:  # no such system, or the process has just gone
        return {}
    of_each = {} if found is None else {pid: (int(found[1]) / 1e3, int(found[2]) / 1e3)}
    for child in children:  # none is found of a zombie
        of_each |= tree_memory_mb(child)
    return of_each


def own_cpu_s(pid: int) -> float:
    """Return what a process has computed, its children not; 0 where the system does not say."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just gone
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb() -> float:
    """Return the largest resident memory of this process so far, in MB."""
    own = tree_memory_mb(os.getpid())
    if own:  # ru_maxrss counts the parent's memory in a forked child
        return own[os.getpid()][0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
