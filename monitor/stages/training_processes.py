"""Where patients' models are trained: processes of their own, beside the one that judges.

A thread of the consumer would hold the interpreter's lock while others wait for their verdicts, and
keep torch's 200 MB. A process gives way to the stages (`nice`), goes when it has nothing to do, and
its death costs a patient ten seconds more of learning, or a minute at most.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from model.errors import CannotLearn
from monitor.detection.training_task import TrainingTask, decode_outcome, encode_task, learn
from monitor.safe_imports import PYTHON, environment
from monitor.stages.training_worker import read_framed, write_framed

if TYPE_CHECKING:
    from model.learning import Learned

MAX_PROCESSES = 4  # 270 MB each
ENDING_S = 5.0  # a process that died of itself closes its pipes first; its own exit code is told
ATTEMPTS = 2  # one that is killed for lack of memory may find it the next time
_log = logging.getLogger(__name__)


class TrainingDied(Exception):
    """The process that trained is gone."""


class TrainingProcesses(Executor):
    """An executor that does one kind of work, `learn`, and each in a process of its own.

    Processes are started when there is something to train, one a core at most, and leave when
    nothing more comes. What is learnt is the same to the bit as in this process, however many train
    beside it.

    Parameters
    ----------
    most : int, optional
        Processes at a time; by default one a core, four at most.
    """

    def __init__(self, most: int | None = None) -> None:
        self._threads = ThreadPoolExecutor(most or min(_cores(), MAX_PROCESSES), "training")
        self._of_thread = threading.local()
        self._lock = threading.Lock()
        self._processes: set[_TrainingProcess] = set()
        self._leaving = False

    @property
    def pids(self) -> list[int]:
        """The processes that are there now."""
        with self._lock:
            return sorted(one.pid for one in self._processes if one.is_alive)

    def submit(
        self,
        work: Callable[..., Any],
        /,
        *args: Any,  # noqa: ANN401
        **named: Any,  # noqa: ANN401
    ) -> Future[Any]:
        """Train as `learn` and its task say; CannotLearn where the process died twice, too."""
        if work is not learn or named:
            raise ValueError(f"{work!r} is not what these processes do; submit `learn` and a task")
        return self._threads.submit(self._learn, *args)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all processes at once; what they train is given up."""
        with self._lock:
            self._leaving = True
            for one in self._processes:
                one.kill()
        self._threads.shutdown(cancel_futures=True)  # none waits any more
        for one in self._processes:
            one.close()

    def _learn(self, task: TrainingTask) -> Learned:
        told, how = encode_task(task), ""
        for _ in range(ATTEMPTS):
            process = self._process()
            try:
                return decode_outcome(process.ask(told))
            except TrainingDied as death:
                how = str(death)
                if self._is_leaving:
                    raise  # it was ended with the run: no death that anyone should look into
                _log.warning("the training of a patient %s", how)
        raise CannotLearn(f"its training {how}, {ATTEMPTS} times in a row; is there enough memory?")

    @property
    def _is_leaving(self) -> bool:
        with self._lock:
            return self._leaving

    def _process(self) -> _TrainingProcess:
        """Return this thread's process; start one if there is none, or none any more."""
        process: _TrainingProcess | None = getattr(self._of_thread, "process", None)
        if process is not None and process.is_alive:
            return process
        with self._lock:
            if self._leaving:
                raise TrainingDied("was given up")
            if process is not None:
                self._processes.discard(process)
                process.close()
            self._of_thread.process = process = _TrainingProcess()
            self._processes.add(process)
        _log.info("started process %d to train", process.pid)
        return process


class _TrainingProcess:
    """One process that trains, as the thread sees it that started it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [*PYTHON, "-m", "monitor.stages.training_worker"],
            env={**environment(), "OMP_NUM_THREADS": "1"},  # one core; read at import
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # a terminal's Ctrl-C is not for it
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, told: bytes) -> bytes:
        """Return what came of a task; TrainingDied if the process dies of it, or is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        outcome = None
        with contextlib.suppress(OSError):
            write_framed(self._process.stdin, told)
            outcome = read_framed(self._process.stdout)
        if outcome is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(ENDING_S)
            self.kill()
            code = self._process.returncode
            raise TrainingDied(f"died ({f'signal {-code}' if code < 0 else f'exit code {code}'})")
        return outcome

    def kill(self) -> None:
        """End it, if it is not gone."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Let go what is kept of one that is gone."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # a task that it did not read
                pipe.close()


def _cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
