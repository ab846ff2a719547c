"""One task a record: in this process, in several of this machine, or on a Dask cluster.

What a worker does to a record never depends on where it runs, so the results are the same to the
bit. A worker that dies takes nothing with it: its record is tried again, and passed over after
three deaths.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from monitor.errors import InvalidOption
from monitor.offline.worker_processes import run_in_processes, with_spare_core

MAX_JOBS = 256
MAX_SHARDS = 100_000

Task = TypeVar("Task")
Result = TypeVar("Result")


class Shard(NamedTuple):
    """One part of all records, for a run that is divided among jobs which know nothing of another.

    Attributes
    ----------
    number, of : int
        From 1; every `of`-th record from there on.
    """

    number: int
    of: int

    def part(self, records: Sequence[Task]) -> list[Task]:
        """Return this part's records, in order.

        Examples
        --------
        >>> Shard(2, 3).part(["100", "101", "102", "103", "104"])
        ['101', '104']
        """
        return list(records[self.number - 1 :: self.of])


def parse_shard(text: str) -> Shard:
    """Return what `3/40` means; InvalidOption if it means nothing.

    Examples
    --------
    >>> parse_shard("3/40")
    Shard(number=3, of=40)
    """
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    number, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= of <= MAX_SHARDS:
        raise InvalidOption(
            f"--shard {text[:40]!r} is no part; give the number of the part and how many there "
            f"are, such as 3/40, at most {MAX_SHARDS:,}"
        )
    return Shard(number, of)


@dataclass(frozen=True)
class Workers:
    """Where tasks are done.

    Parameters
    ----------
    jobs : int, optional
        Processes of this machine, or of a Dask cluster on it; as many as it has cores by default.
    dask : str, optional
        Address of a Dask scheduler (`tcp://HOST:PORT`), path of its scheduler file, or `local`.

    Raises
    ------
    InvalidOption
        If the number of jobs is out of range, or is given for a cluster that is there already.
    """

    jobs: int | None = None
    dask: str | None = None

    def __post_init__(self) -> None:
        if self.jobs is not None and not 1 <= self.jobs <= MAX_JOBS:
            raise InvalidOption(f"--jobs {self.jobs} is out of range; use 1 to {MAX_JOBS}")
        if self.jobs is not None and self.dask not in (None, "local"):
            raise InvalidOption(
                f"--jobs says nothing to the cluster at {self.dask}, which has workers of its own; "
                "leave it out"
            )


def run_tasks(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: Workers,
    tell: Callable[[Result, int, int], None],
    gave_up: Callable[[Task, str], Result],
) -> list[Result]:
    """Return what `work` makes of each task, in their order.

    Parameters
    ----------
    work : callable
        Of a module, so that other processes find it.
    tell : callable
        Told of each result when it is there, how many there are, and of how many.
    gave_up : callable
        Returns what becomes of a task over which workers died, from the task and a text.

    Raises
    ------
    StageFailed
        If no worker can be started, or the cluster cannot be reached.
    """
    if not tasks:
        return []
    if workers.dask is not None:
        from monitor.offline.dask_cluster import run_on_dask

        return run_on_dask(work, tasks, workers.dask, workers.jobs, tell, gave_up)
    n_cores = workers.jobs or os.cpu_count() or 1
    n_workers = min(n_cores, len(tasks))
    if n_workers > 1:
        return run_in_processes(work, tasks, n_workers, tell, gave_up)
    done: list[Result] = []
    for task in tasks:
        with with_spare_core(n_cores > n_workers):
            done.append(work(task))
        tell(done[-1], len(done), len(tasks))
    return done
