"""One task a record, in several processes: each has one core, and Ctrl-C ends all in order.

Workers are forked from a process that has imported what they need, and nothing else: it has no
threads, whose locks a fork would copy, and importing takes longer than a short record does.

All workers hold one end of a pipe, the parent the other. When that is closed they are to stop: by
the parent, or by the system when the parent is gone, however it went. A flag in shared memory would
have a lock, which a worker that is killed may hold.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver, get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from typing import TypeVar

from monitor.errors import InvalidOption, StageFailed
from monitor.interrupts import Interrupts
from monitor.safe_imports import safe_environment

MAX_JOBS = 256
THREADS = "OMP_NUM_THREADS"

Task = TypeVar("Task")
Result = TypeVar("Result")


class RunEnded(Exception):
    """The run was interrupted."""


_until_stop: Connection | None = None  # of this worker process; set once, by _start_worker
_at_work = threading.Lock()


def check_stop() -> None:
    """Raise RunEnded if this worker's run is to end; long tasks ask now and then."""
    if _until_stop is not None and _until_stop.poll():
        raise RunEnded


def check_jobs(jobs: int | None) -> None:
    """Raise InvalidOption if the number of processes is out of range."""
    if jobs is not None and not 1 <= jobs <= MAX_JOBS:
        raise InvalidOption(f"--jobs {jobs} is out of range; use 1 to {MAX_JOBS}")


def prepare_workers(module: str, jobs: int | None) -> None:
    """Begin to start what `run_tasks` forks its workers from, if there will be any.

    It imports beside the caller, who has imports of its own to do.

    Parameters
    ----------
    module : str
        Where `work` lies.
    jobs : int, optional
        As `run_tasks` takes it.
    """
    if (jobs or os.cpu_count() or 1) == 1:
        return
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", module])  # no news to one that runs already
    with safe_environment():
        _start_origin()


def _start_origin() -> None:
    """Start what workers are forked from; what is started here, and all its forks, inherit it."""
    resource_tracker.ensure_running()  # first, since it lets interrupts through when it has begun
    threads = os.environ.get(THREADS)
    os.environ[THREADS] = "1"  # one core a worker; read when libraries are imported
    try:
        with _interrupts_held():
            forkserver.ensure_running()
    finally:
        os.environ.pop(THREADS)
        if threads is not None:
            os.environ[THREADS] = threads


def run_tasks(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    jobs: int | None,
    tell: Callable[[Result, int, int], None],
) -> list[Result]:
    """Return what `work` makes of each task, in their order.

    Parameters
    ----------
    work : callable
        Of a module, so that other processes find it.
    jobs : int, optional
        Processes; as many as there are cores by default. One works in this process.
    tell : callable
        Told of each result when it is there, how many there are, and of how many.

    Raises
    ------
    InvalidOption
        If the number of jobs is out of bounds.
    StageFailed
        If a worker process died.
    """
    check_jobs(jobs)
    if not tasks:
        return []
    n_workers = min(jobs or os.cpu_count() or 1, len(tasks))
    if n_workers > 1:
        return _run_in_processes(work, tasks, n_workers, tell)
    done: list[Result] = []
    for task in tasks:
        done.append(work(task))
        tell(done[-1], len(done), len(tasks))
    return done


def _run_in_processes(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    n_workers: int,
    tell: Callable[[Result, int, int], None],
) -> list[Result]:
    prepare_workers(work.__module__, n_workers)
    context = get_context("forkserver")
    until_stop, running = context.Pipe(duplex=False)
    with (
        until_stop,
        running,
        ProcessPoolExecutor(n_workers, context, _start_worker, (until_stop,)) as workers,
    ):
        futures: list[Future[Result]] = []
        try:
            with _interrupts_held():  # or a worker would receive half of its task
                for task in tasks:
                    futures.append(workers.submit(_do, work, task))
            for n_done, future in enumerate(as_completed(futures), 1):
                tell(future.result(), n_done, len(tasks))
        except BrokenProcessPool as error:
            n_done = sum(one.done() and one.exception() is None for one in futures)
            raise StageFailed(
                f"a worker process died after {n_done} of {len(tasks)} records, perhaps for lack "
                "of memory; try again with fewer --jobs"
            ) from error
        finally:  # Ctrl-C comes here: workers leave when they next ask
            running.close()
            workers.shutdown(wait=True, cancel_futures=True)
    return [future.result() for future in futures]


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM until the block is left, and Ctrl-C from what it starts.

    A terminal sends Ctrl-C to all processes; a worker would answer with a traceback, even while it
    starts, before any handler of ours is in place. It would also if the parent were interrupted
    while it tells the worker what to do: a mask alone does not help there, since any other thread
    may take the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with Interrupts() as interrupts:
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if interrupts.happened:
        raise KeyboardInterrupt


def _start_worker(until_stop: Connection) -> None:
    """Prepare a worker: the parent alone handles Ctrl-C, and tells it by closing the pipe."""
    global _until_stop
    _until_stop = until_stop
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """End this worker when its parent was killed; it would wait for the next task for ever."""
    parent = parent_process()
    if parent is None:
        raise RuntimeError("no parent process to watch; start workers with run_tasks")
    parent.join()
    with _at_work:  # its task sees that it is to stop, and leaves no part-written files
        os._exit(1)


def _do(work: Callable[[Task], Result], task: Task) -> Result:
    with _at_work:
        return work(task)
