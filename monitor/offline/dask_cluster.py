"""Tasks on a Dask cluster: one that is there, or one of this machine.

The scheduler starts a worker that died anew and gives its tasks to others; a task over which
workers died again and again comes back as lost. Extra `[dask]`.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, as_completed
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from monitor.errors import InvalidOption, StageFailed
from monitor.offline.worker_processes import MOST_DEATHS, start_origin

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "local"
LOG_LEVEL = "DASK_LOGGING__DISTRIBUTED"
QUIET = "critical"  # what it logs of deaths is told by us, in words
CONNECT_S = 10.0
FILE_S = 30.0  # until a scheduler that is started beside this command has written its file
LOST = "workers of the cluster died over it again and again, perhaps for lack of memory"

Task = TypeVar("Task")
Result = TypeVar("Result")


def require_dask() -> None:
    """Raise InvalidOption if Dask is missing: before anything is made that would be for nothing."""
    if find_spec("distributed") is None:
        raise InvalidOption(
            "--dask needs Dask's distributed; install it: pip install 'ecg-monitor[dask]'"
        )


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
    if address == LOCAL:
        prepare_cluster(work.__module__)
    with _connected(address, jobs) as client:
        from distributed.scheduler import KilledWorker

        executor = client.get_executor(pure=False)
        here, run = version("ecg-monitor"), f"ecg-monitor-{uuid4().hex}"
        results: dict[int, Result] = {}
        n_lost: Counter[int] = Counter()
        left = list(range(len(tasks)))
        try:
            while left:
                futures = {
                    executor.submit(_do, here, run, index, work, tasks[index]): index
                    for index in left
                }
                left = []
                for future in as_completed(list(futures)):
                    index = futures.pop(future)
                    try:
                        results[index] = future.result()
                    except KilledWorker:
                        n_lost[index] += 1
                        if _began(client, run, index) < MOST_DEATHS > n_lost[index]:
                            left.append(index)  # it only waited behind one that killed them
                            continue
                        results[index] = gave_up(tasks[index], LOST)
                    finally:  # else the result would stay on its worker, and be lost with it
                        del future
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


def prepare_cluster(module: str) -> None:
    """Begin to start what workers of a cluster of this machine are forked from.

    Parameters
    ----------
    module : str
        Where `work` lies.
    """
    before = os.environ.get(LOG_LEVEL)
    os.environ[LOG_LEVEL] = QUIET  # read when distributed is imported
    try:
        start_origin(module, "distributed")
    finally:
        os.environ.pop(LOG_LEVEL)
        if before is not None:
            os.environ[LOG_LEVEL] = before


def _do(
    version_here: str, run: str, index: int, work: Callable[[Task], Result], task: Task
) -> Result:
    """Do a task on a worker; StageFailed if the worker is not fit for it."""
    from distributed import get_worker
    from distributed.utils import sync

    if (there := version("ecg-monitor")) != version_here:
        raise StageFailed(
            f"a worker has ecg-monitor {there}, and this is {version_here}; install the same"
        )
    worker = get_worker()
    if worker.state.nthreads != 1:  # records side by side in one process would share state
        raise StageFailed(
            "a worker does several tasks at a time; start workers with `dask worker --nthreads 1 "
            "--nworkers N`"
        )
    sync(worker.loop, worker.scheduler.log_event, topic=run, msg=index)
    return work(task)


def _began(client: Client, run: str, index: int) -> int:
    """Return how often a task began.

    The scheduler counts a death against all tasks that wait at the worker, too.
    """
    return sum(message == index for _, message in client.get_events(run))


@contextmanager
def _connected(address: str, jobs: int | None) -> Iterator[Client]:
    require_dask()
    import dask
    from distributed import Client, LocalCluster

    settings: dict[str, Any] = {
        "distributed.scheduler.allowed-failures": MOST_DEATHS - 1,
        "distributed.worker.multiprocessing-method": "forkserver",  # imports once, from safe places
        # Nobody looks at what a cluster measures of itself many times a second.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.tick.limit": "1min",
        "distributed.admin.system-monitor.interval": "5s",
    }
    with dask.config.set(settings), _quiet():
        if address == LOCAL:
            n_workers = jobs or os.cpu_count() or 1
            with (
                _environment_as_before(),
                LocalCluster(
                    n_workers=n_workers,
                    threads_per_worker=1,
                    dashboard_address=None,
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # 8787 may be taken
                ) as cluster,
                Client(cluster) as client,
            ):
                yield client
            return
        try:
            if _is_scheduler_file(address):
                _wait_for(Path(address))
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


@contextmanager
def _environment_as_before() -> Iterator[None]:
    """Leave the environment as it was: Dask sets in its own what its workers are to inherit.

    What this process starts later would inherit it, too: one thread for its sums, and memory that
    glibc gives back at once. Workers here do not: they are forked from what began before.
    """
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _is_scheduler_file(address: str) -> bool:
    return "://" not in address and ("/" in address or Path(address).suffix == ".json")


def _wait_for(file: Path) -> None:
    until_s = time.monotonic() + FILE_S
    while not (file.is_file() and file.stat().st_size):
        if time.monotonic() > until_s:
            raise TimeoutError("there is no such scheduler file")
        time.sleep(0.1)
