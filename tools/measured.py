"""Run a command and measure its wall time and the peak memory of it and of all it starts."""

from __future__ import annotations

import os
import re
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
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_NOW = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)


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
    """

    output: str
    wall_s: float
    cpu_s: float
    peaks_mb: tuple[float, ...]

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
        peaks_mb, cpu_s = _watch(process)
        wall_s = time.perf_counter() - began_s
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            said = errors.read().decode(errors="replace").strip().splitlines()
            last = said[-1] if said else "nothing on standard error"
            raise CommandFailed(f"{' '.join(command)}: exit code {process.returncode}: {last}")
        return Measured(output.read().decode(errors="replace"), wall_s, cpu_s, peaks_mb)


def _watch(process: subprocess.Popen[bytes]) -> tuple[tuple[float, ...], float]:
    """Wait for a process; return peaks of it and of all it started, and CPU time of all."""
    peaks_mb: dict[int, float] = {}
    try:
        while True:
            peaks_mb |= tree_peaks_mb(process.pid)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            time.sleep(SAMPLE_S)
    except BaseException:  # Ctrl-C above all
        process.terminate()
        process.wait()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    largest_mb = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    peaks = tuple(peaks_mb.values()) or (largest_mb,)
    return peaks, usage.ru_utime + usage.ru_stime


def on_one_core(measure: Callable[..., T], *arguments: object) -> T:
    """Run a function on one core, in a process that has done nothing before."""
    with (
        patch.dict(os.environ, ONE_CORE),  # inherited by that process, and by no later one
        ProcessPoolExecutor(1, get_context("spawn")) as process,
    ):
        return process.submit(measure, *arguments).result()


def tree_memory_mb(pid: int) -> float:
    """Return the resident memory of a process and of all that descend from it, now; 0 if unknown.

    Pages that they share count in each.
    """
    return sum(_of_tree(pid, _NOW).values())


def tree_peaks_mb(pid: int) -> dict[int, float]:
    """Return the largest resident memory of a process and of all that descend from it, so far.

    Returns
    -------
    dict of int to float
        By process identity, parents before children, in the order in which they were started.
        Empty where the system does not say.
    """
    return _of_tree(pid, _PEAK)


def _of_tree(pid: int, status: re.Pattern[str]) -> dict[int, float]:
    folder = PROC / str(pid)
    try:
        tasks = list((folder / "task").iterdir())
        children = [int(one) for task in tasks for one in (task / "children").read_text().split()]
        found = status.search((folder / "status").read_text())
    except OSError:  # no such system, or the process has just gone
        return {}
    of_each = {} if found is None else {pid: int(found[1]) / 1e3}  # none of a zombie
    for child in children:
        of_each |= _of_tree(child, status)
    return of_each
