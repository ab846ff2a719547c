"""Trainings in processes of their own: the same bits, and no process that stays or is missed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from model.errors import CannotLearn
from monitor.detection.training_task import learn
from monitor.stages import training_processes, training_worker
from monitor.stages.training_processes import TrainingProcesses
from tests.monitor.detection.test_training_task import task_of
from tests.monitor.run.test_replay import is_alive

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 100.0
# Learns one patient in another process, which it names first.
LEARNS = (
    "import sys\n"
    "from monitor.detection.training_task import learn\n"
    "from monitor.stages.training_processes import TrainingProcesses\n"
    "from tests.monitor.detection.test_training_task import task_of\n"
    "with TrainingProcesses(1) as trainings:\n"
    "    training = trainings.submit(learn, task_of())\n"
    "    while not trainings.pids: pass\n"
    "    print(*trainings.pids, flush=True)\n"
    "    print(training.result().checkpoint.identity, 'torch' in sys.modules, flush=True)\n"
)


@pytest.fixture
def trainings() -> Iterator[TrainingProcesses]:
    """Return an executor of at most two processes; what it started is gone in the end."""
    with TrainingProcesses(2) as trainings:
        yield trainings
        pids = trainings.pids
    assert not any(map(is_alive, pids))


def pid_of(trainings: TrainingProcesses, other_than: set[int]) -> int | None:
    """Return the process that trains, once there is another one."""
    return next((pid for pid in trainings.pids if pid not in other_than), None)


def until_gone(pid: int) -> None:
    """Wait until a process has ended."""
    deadline_s = time.monotonic() + LIMIT_S
    while is_alive(pid):
        assert time.monotonic() < deadline_s, "a training outlived its parent"
        time.sleep(0.01)


def until_killed(trainings: TrainingProcesses, times: int, training: Future[Any]) -> None:
    """Kill the process of a training as soon as it is there, so many times."""
    killed: set[int] = set()
    deadline_s = time.monotonic() + LIMIT_S
    while len(killed) < times:
        assert not training.done()
        assert time.monotonic() < deadline_s
        pid = pid_of(trainings, killed)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)


def test_what_is_learnt_is_the_same_wherever_and_beside_whom(trainings: TrainingProcesses) -> None:
    """In this process and in another, alone and beside two others, to the bit."""
    tasks = [task_of(n_beats, seed) for seed, n_beats in enumerate((80, 120, 100))]
    beside = [trainings.submit(learn, task) for task in tasks]
    identities = [one.result(LIMIT_S).checkpoint.identity for one in beside]
    assert len(trainings.pids) == 2
    assert identities == [learn(task).checkpoint.identity for task in tasks]
    alone = trainings.submit(learn, tasks[1]).result(LIMIT_S)
    assert alone.checkpoint.identity == identities[1]


def test_beats_that_cannot_be_learnt_are_no_death(trainings: TrainingProcesses) -> None:
    """Why comes back, and the next patient is learnt by the same process; it gives way to all."""
    with pytest.raises(CannotLearn, match="10 beats are too few"):
        trainings.submit(learn, task_of(10)).result(LIMIT_S)
    pids = trainings.pids
    assert trainings.submit(learn, task_of()).result(LIMIT_S).n_given == 80
    assert trainings.pids == pids
    assert [os.getpriority(os.PRIO_PROCESS, pid) for pid in pids] == [
        min(19, os.getpriority(os.PRIO_PROCESS, 0) + training_worker.NICENESS)
    ]


def test_a_training_whose_process_is_killed_is_done_again(trainings: TrainingProcesses) -> None:
    """The patient is learnt as if nothing had been."""
    training = trainings.submit(learn, task_of())
    until_killed(trainings, 1, training)
    expected = learn(task_of()).checkpoint.identity
    assert training.result(LIMIT_S).checkpoint.identity == expected


def test_one_that_is_killed_again_is_given_up_and_says_why(trainings: TrainingProcesses) -> None:
    """The patient learns on, as where the beats do not do; others are not held up."""
    training = trainings.submit(learn, task_of())
    until_killed(trainings, 2, training)
    with pytest.raises(CannotLearn, match=r"died \(signal 9\), 2 times .* enough memory"):
        training.result(LIMIT_S)
    assert trainings.submit(learn, task_of()).result(LIMIT_S).n_given == 80


def test_one_that_dies_of_itself_is_told_with_its_own_exit_code(
    trainings: TrainingProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as killed, which would point to the memory."""
    monkeypatch.setattr(training_processes, "encode_task", lambda _: b"no task")
    with pytest.raises(CannotLearn, match=r"died \(exit code 1\), 2 times"):
        trainings.submit(learn, task_of()).result(LIMIT_S)


def test_nobody_waits_for_a_training_to_leave(caplog: pytest.LogCaptureFixture) -> None:
    """What is trained and what waits is given up; the process is gone, and died of nothing."""
    with TrainingProcesses(1) as trainings:
        begun = [trainings.submit(learn, task_of()) for _ in range(50)]
        while not (pids := trainings.pids):
            assert not begun[0].done()
    assert not any(map(is_alive, pids))
    assert all(one.done() for one in begun)
    assert begun[-1].cancelled()
    assert "died" not in caplog.text  # whoever reads the log would look for a cause


def test_no_other_work_is_taken(trainings: TrainingProcesses) -> None:
    """It is an executor of trainings: a function cannot be sent to its processes."""
    with pytest.raises(ValueError, match="submit `learn`"):
        trainings.submit(len, [])


def started(folder: Path) -> subprocess.Popen[str]:
    """Start a program that learns in a folder."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}"}
    command = [sys.executable, "-P", "-c", LEARNS]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=env)


def test_a_training_does_not_outlive_who_asked_for_it(tmp_path: Path) -> None:
    """However that one went."""
    with started(tmp_path) as program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        program.kill()
    until_gone(pid)


def test_who_asks_loads_no_torch_and_nothing_of_the_working_directory(tmp_path: Path) -> None:
    """Neither does the process that trains run what happens to lie there."""
    for name in ("torch", "numpy", "model", "queue", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w'); raise SystemExit(3)\n")
    program = LEARNS.replace("import sys\n", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n")
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        timeout=LIMIT_S,
        check=False,
    )
    expected = f"{learn(task_of()).checkpoint.identity} False"
    assert ran.stdout.splitlines()[1:] == [expected], ran.stderr
    assert not (tmp_path / "ran").exists()


def test_a_process_with_nothing_to_do_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory is wanted elsewhere; so does one whose input has ended."""
    monkeypatch.setattr(training_worker, "IDLE_S", 0.01)
    tasks, writes = os.pipe()
    outcomes_end, outcomes = os.pipe()
    with os.fdopen(tasks, "rb") as reading, os.fdopen(outcomes, "wb") as answering:
        training_worker.serve(reading, answering)
        os.close(writes)
        training_worker.serve(reading, answering)
    with os.fdopen(outcomes_end, "rb") as said:
        assert said.read() == b""
