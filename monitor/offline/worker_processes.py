"""Worker processes of this machine: each has one core, and Ctrl-C ends all in order.

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
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from multiprocessing import forkserver, get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from monitor.errors import StageFailed
from monitor.interrupts import Interrupts
from monitor.safe_imports import safe_environment

MOST_DEATHS = 3  # of workers over one task, before it is passed over
DIED = f"{MOST_DEATHS} worker processes died over it, perhaps for lack of memory"
THREADS = "OMP_NUM_THREADS"

Task = TypeVar("Task")
Result = TypeVar("Result")
Item = TypeVar("Item")


AHEAD = 8  # items that `mapped_beside` has under way: a minute of signal each, .3 MB
BESIDE_DIED = (
    "the process that worked beside this one died, perhaps for lack of memory; try again with "
    "--jobs 1"
)


class RunEnded(Exception):
    """The run was interrupted."""


_until_stop: Connection | None = None  # of this worker process; set once, by _start_worker
_at_work = threading.Lock()
_spare_core: ContextVar[bool] = ContextVar("spare_core", default=False)


def check_stop() -> None:
    """Raise RunEnded if this worker's run is to end; long tasks ask now and then."""
    if _until_stop is not None and _until_stop.poll():
        raise RunEnded


@contextmanager
def with_spare_core(is_spare: bool) -> Iterator[None]:
    """Say within the block whether the task at hand may have a second process, on a spare core."""
    before = _spare_core.set(is_spare)
    try:
        yield
    finally:
        _spare_core.reset(before)


def has_spare_core() -> bool:
    """Tell whether the task at hand may have a second process; never changes what it results in."""
    return _spare_core.get()


def prepare_workers(module: str, jobs: int | None) -> None:
    """Begin to start what `run_in_processes` forks its workers from, if there will be any.

    It imports beside the caller, who has imports of its own to do.

    Parameters
    ----------
    module : str
        Where `work` lies.
    jobs : int, optional
        As `Workers` takes it.
    """
    if (jobs or os.cpu_count() or 1) > 1:
        start_origin(module)


def start_origin(*modules: str) -> None:
    """Start what workers are forked from: a process that imports modules, and no others' code."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", *modules])  # no news to one that runs already
    with safe_environment():
        _start_origin()


def _start_origin() -> None:
    """Start it; what is started here, and all its forks, inherit what holds here."""
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


def run_in_processes(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    n_workers: int,
    tell: Callable[[Result, int, int], None],
    gave_up: Callable[[Task, str], Result],
) -> list[Result]:
    """Do as `workers.run_tasks` says, in processes of this machine.

    Each process is a pool of its own: where one dies it is known over which task.
    """
    prepare_workers(work.__module__, n_workers)
    context = get_context("forkserver")
    until_stop, running = context.Pipe(duplex=False)
    pools = [_Pool(context, until_stop) for _ in range(n_workers)]
    waiting = deque(range(len(tasks)))
    deaths: Counter[int] = Counter()
    results: dict[int, Result] = {}
    busy: dict[Future[Result], tuple[_Pool, int]] = {}
    with until_stop, running:
        try:
            while waiting or busy:
                with _interrupts_held():  # or a worker would receive half of its task
                    for pool in [pool for pool in pools if pool.is_idle][: len(waiting)]:
                        index = waiting.popleft()
                        busy[pool.submit(work, tasks[index])] = pool, index
                for future in wait(busy, return_when=FIRST_COMPLETED).done:
                    pool, index = busy.pop(future)
                    pool.is_idle = True
                    try:
                        results[index] = future.result()
                    except BrokenProcessPool:
                        pool.end()
                        deaths[index] += 1
                        if deaths[index] < MOST_DEATHS:
                            waiting.append(index)  # last, when there may be more memory
                            continue
                        results[index] = gave_up(tasks[index], DIED)
                    tell(results[index], len(results), len(tasks))
        finally:  # Ctrl-C comes here: workers leave when they next ask
            running.close()
            for pool in pools:
                pool.end()
    return [results[index] for index in range(len(tasks))]


def mapped_beside(
    make: Callable[..., Callable[[Item], Result]],
    arguments: tuple[object, ...],
    items: Iterable[Item],
) -> Generator[Result]:
    """Yield what `map(make(*arguments), items)` does, made in one process beside this one.

    The process keeps what `make` returned, which may change with each item, and is at most AHEAD
    items ahead of who uses the results. Items are made here. Closing the generator ends it.

    Parameters
    ----------
    make : callable
        Of a module, so that the process finds it.

    Raises
    ------
    StageFailed
        If the process died; what it kept is lost with it.
    """
    start_origin(make.__module__)
    here, there = get_context("forkserver").Pipe()
    given, n_under_way = iter(items), 0
    with here, there:
        with _as_one_that_died(), _interrupts_held():
            process = _beside(there, make, arguments)
        there.close()  # the process has it: when it dies, that is the end of what is received
        try:
            while True:
                for item in islice(given, AHEAD - n_under_way):
                    with _as_one_that_died():
                        here.send(item)
                    n_under_way += 1
                if not n_under_way:
                    return
                with _as_one_that_died():
                    made = here.recv()
                if isinstance(made, _Raised):
                    raise made.error
                n_under_way -= 1
                yield made
        finally:  # Ctrl-C comes here, too: the process leaves when it next asks for an item
            here.close()
            process.join()


@contextmanager
def _as_one_that_died() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise StageFailed(BESIDE_DIED) from error


def _beside(
    there: Connection, make: Callable[..., Callable[[Item], Any]], arguments: tuple[object, ...]
) -> ForkServerProcess:
    process = get_context("forkserver").Process(
        target=_work_beside, args=(there, make, arguments), daemon=True
    )
    process.start()
    return process


class _Raised(NamedTuple):
    """What `mapped_beside` is to raise."""

    error: Exception


def _work_beside(
    there: Connection, make: Callable[..., Callable[[Any], Any]], arguments: tuple[object, ...]
) -> None:
    """Do each item that comes, until no more can come.

    What is made is sent by a thread: were this to wait until it is taken, while the other process
    waits until its item is, both would wait for ever.
    """
    results: SimpleQueue[object] = SimpleQueue()
    threading.Thread(target=_send_all, args=(there, results), daemon=True).start()
    items = _received(there)
    try:
        for made in map(make(*arguments), items):
            results.put(made)
    except Exception as error:
        results.put(_Raised(error))
        deque(items, maxlen=0)  # until the other process has heard of it


def _received(there: Connection) -> Iterator[Any]:
    while True:
        try:
            item = there.recv()
        except (EOFError, OSError):  # it is over, or the other process is gone
            return
        yield item


def _send_all(there: Connection, results: SimpleQueue[object]) -> None:
    try:
        while True:
            there.send(results.get())
    finally:  # nobody takes it, or there is no memory to send it
        os._exit(1)


class _Pool:
    """One process, started when it is needed and again when it has died."""

    def __init__(self, context: ForkServerContext, until_stop: Connection) -> None:
        self.is_idle = True
        self._context, self._until_stop = context, until_stop
        self._process: ProcessPoolExecutor | None = None

    def submit(self, work: Callable[[Task], Result], task: Task) -> Future[Result]:
        """Give the process its next task; StageFailed if none can be started."""
        self.is_idle = False
        for _ in range(MOST_DEATHS):
            if self._process is None:
                of_one = (1, self._context, _start_worker, (self._until_stop,))
                self._process = ProcessPoolExecutor(*of_one)
            try:
                return self._process.submit(_do, work, task)
            except BrokenProcessPool:  # it died since its last task
                self.end()
        raise StageFailed(
            "worker processes die before they begin, perhaps for lack of memory; try again with "
            "fewer --jobs"
        )

    def end(self) -> None:
        """Wait for the process to leave."""
        if self._process is not None:
            self._process.shutdown(wait=True, cancel_futures=True)
            self._process = None


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
        raise RuntimeError("no parent process to watch; start workers with run_in_processes")
    parent.join()
    with _at_work:  # its task sees that it is to stop, and leaves no part-written files
        os._exit(1)


def _do(work: Callable[[Task], Result], task: Task) -> Result:
    with _at_work:
        return work(task)
