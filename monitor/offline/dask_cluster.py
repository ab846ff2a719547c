"""Tasks on a Dask cluster: one that is there, or one of this machine.

The scheduler starts a worker that died anew and gives its tasks to others; a task over which
workers died again and again comes back as lost. Extra `[dask]`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, as_completed
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from monitor.errors import InvalidOption, StageFailed
from monitor.offline.worker_processes import MOST_DEATHS

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "local"
CONNECT_S = 10.0
LOST = "workers of the cluster died over it again and again, perhaps for lack of memory"

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_on_dask(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    address: str,
    jobs: int | None,
    tell: Callable[[Result, int, int], None],
    gave_up: Callable[[Task, str], Result],
) -> list[Result]:
    """Do as `workers.run_tasks` says, on the cluster at an address.

    Raises
    ------
    StageFailed
        If the cluster cannot be reached, is lost, or its workers cannot do such tasks.
    """
    with _connected(address, jobs) as client:
        from distributed.scheduler import KilledWorker

        executor = client.get_executor(pure=False)
        here = version("ecg-monitor")
        results: dict[int, Result] = {}
        futures = {executor.submit(_do, here, work, task): k for k, task in enumerate(tasks)}
        try:
            for future in as_completed(futures):
                index = futures[future]
                try:
                    results[index] = future.result()
                except KilledWorker:
                    results[index] = gave_up(tasks[index], LOST)
                tell(results[index], len(results), len(tasks))
        except (CancelledError, OSError) as error:
            raise StageFailed(
                f"the Dask cluster at {address} was lost after {len(results)} of {len(tasks)} "
                "records; start it and this command again"
            ) from error
        except (ImportError, AttributeError) as error:
            raise StageFailed(
                f"a worker of the Dask cluster at {address} cannot do this: {error}; install "
                f"ecg-monitor {here} where its workers run"
            ) from error
        finally:
            executor.shutdown(wait=False)  # cancels what is left
    return [results[index] for index in range(len(tasks))]


def _do(version_here: str, work: Callable[[Task], Result], task: Task) -> Result:
    """Do a task on a worker; StageFailed if the worker is not fit for it."""
    from distributed import get_worker

    if (there := version("ecg-monitor")) != version_here:
        raise StageFailed(
            f"a worker has ecg-monitor {there}, and this is {version_here}; install the same"
        )
    if get_worker().state.nthreads != 1:  # records side by side in one process would share state
        raise StageFailed(
            "a worker does several tasks at a time; start workers with `dask worker --nthreads 1 "
            "--nworkers N`"
        )
    return work(task)


@contextmanager
def _connected(address: str, jobs: int | None) -> Iterator[Client]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise InvalidOption(
            "--dask needs Dask's distributed; install it: pip install 'ecg-monitor[dask]'"
        ) from error
    import dask

    quiet: dict[str, Any] = {
        "distributed.scheduler.allowed-failures": MOST_DEATHS - 1,
        "logging.distributed": "error",
    }
    with dask.config.set(quiet):
        if address == LOCAL:
            n_workers = jobs or os.cpu_count() or 1
            with (
                LocalCluster(
                    n_workers=n_workers, threads_per_worker=1, dashboard_address=None
                ) as cluster,
                Client(cluster) as client,
            ):
                yield client
            return
        try:
            if Path(address).is_file():
                client = Client(scheduler_file=address, timeout=CONNECT_S)
            else:
                client = Client(address, timeout=CONNECT_S)
        except (OSError, ValueError, TimeoutError) as error:
            raise InvalidOption(
                f"no Dask scheduler answers at {address}: {error}; give its address "
                "(tcp://HOST:8786), its scheduler file, or `local`"
            ) from error
        with client:
            yield client
