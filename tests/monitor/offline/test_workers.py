"""One task a record: in order, in this process or in several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from monitor.errors import InvalidOption, StageFailed
from monitor.offline.worker_processes import MOST_DEATHS, check_stop
from monitor.offline.workers import Shard, Workers, parse_shard, run_tasks


def doubled(number: int) -> int:
    return 2 * number


def surroundings(_: int) -> tuple[str | None, bool]:
    """Return what a worker finds: threads it may use, and whether Ctrl-C is held back."""
    held = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set())
    return os.environ.get("OMP_NUM_THREADS"), held


def imported(_: int) -> tuple[bool, bool]:
    """Return whether a worker has what `annotate` needs, and torch."""
    return "monitor.offline.annotate" in sys.modules, "torch" in sys.modules


def threads_of_the_origin(_: int) -> int:
    """Return how many threads the process has that this one was forked from."""
    return len(list(Path(f"/proc/{os.getppid()}/task").iterdir()))


def wait_if_first(number: int) -> int:
    """Tell that work has begun; do the first task until the run is stopped."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()
    while number == 0:
        check_stop()
        time.sleep(0.01)
    return number


def killed_if_one(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), 9)
    return number


def killed_twice(kept: Path) -> int:
    """Die twice if the name says so; return how often."""
    deaths = len(list(kept.parent.glob(f"{kept.name}-*")))
    if kept.name == "twice" and deaths < 2:
        Path(f"{kept}-{deaths}").touch()
        os.kill(os.getpid(), 9)
    return deaths


def quietly(*_: object) -> None:
    """Tell nobody of a result."""


def passed_over(_task: object, why: str) -> int:
    raise AssertionError(why)


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_the_tasks_order(jobs: int) -> None:
    """Whoever is done first; each is told once."""
    told: list[tuple[int, int, int]] = []
    results = run_tasks(
        doubled, [3, 1, 2], Workers(jobs), lambda *one: told.append(one), passed_over
    )
    assert results == [6, 2, 4]
    assert sorted(one[0] for one in told) == [2, 4, 6]
    assert [one[1:] for one in told] == [(1, 3), (2, 3), (3, 3)]


def test_workers_have_one_core_and_leave_interrupts_to_the_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What this process says of its own threads stays as it is."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = run_tasks(surroundings, [1, 2, 3], Workers(2), quietly, passed_over)
    assert set(found) == {("1", True)}
    assert os.environ["OMP_NUM_THREADS"] == "7"


def run_prepared(work: str) -> str:
    """Run two tasks as a command does that prepares its workers; return what they found."""
    program = (
        "import sys\n"
        f"from tests.monitor.offline.test_workers import passed_over, quietly, {work}\n"
        "from monitor.offline.worker_processes import prepare_workers\n"
        "from monitor.offline.workers import Workers, run_tasks\n"
        "if __name__ == '__main__':\n"
        "    prepare_workers('monitor.offline.annotate', 2)\n"
        "    assert 'monitor.offline.annotate' not in sys.modules\n"
        f"    print(run_tasks({work}, [0, 1], Workers(2), quietly, passed_over))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return ran.stdout.strip()


def test_workers_are_forked_from_what_is_ready() -> None:
    """A command's workers have imported its module when they begin, and torch only to learn."""
    assert run_prepared("imported") == "[(True, False), (True, False)]"


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no /proc to count threads in")
def test_no_thread_is_there_when_workers_are_forked() -> None:
    """A fork would copy the locks that others hold, and not who lets them go."""
    assert run_prepared("threads_of_the_origin") == "[1, 1]"


def test_nobody_stays_when_the_parent_is_killed() -> None:
    """Neither the worker that works nor the one that waits for its next task."""
    program = (
        "from tests.monitor.offline.test_workers import wait_if_first\n"
        "from monitor.offline.workers import Workers, run_tasks\n"
        "if __name__ == '__main__':\n"
        "    told = lambda *_: print('told', flush=True)\n"
        "    run_tasks(wait_if_first, [0, 1], Workers(2), told, told)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # multiprocessing says there what it clears away
        text=True,
    )
    assert parent.stdout is not None
    assert sorted(parent.stdout.readline() for _ in range(3)) == ["0\n", "1\n", "told\n"]
    parent.kill()
    parent.communicate(timeout=30)  # until all have closed the pipe, which the workers hold too


@pytest.mark.parametrize("jobs", [0, -1, 1000])
def test_absurd_numbers_of_processes_are_refused(jobs: int) -> None:
    """Before anything is started."""
    with pytest.raises(InvalidOption, match="jobs"):
        Workers(jobs)


def test_workers_that_cannot_be_started_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what may help."""

    def broken(*_: object) -> None:
        raise BrokenProcessPool("died")

    monkeypatch.setattr(ProcessPoolExecutor, "submit", broken)
    with pytest.raises(StageFailed, match="fewer --jobs"):
        run_tasks(doubled, [1, 2], Workers(2), quietly, passed_over)


def test_a_task_whose_worker_dies_is_tried_again(tmp_path: Path) -> None:
    """Twice; the others' results are not lost."""
    tasks = [tmp_path / "twice", tmp_path / "never"]
    told: list[tuple[int, int, int]] = []
    results = run_tasks(killed_twice, tasks, Workers(2), lambda *one: told.append(one), passed_over)
    assert results == [2, 0]
    assert sorted(one[1:] for one in told) == [(1, 2), (2, 2)]


def test_a_task_over_which_workers_die_is_passed_over() -> None:
    """After three deaths; the rest is done."""
    reasons: list[tuple[int, str]] = []

    def noted(task: int, why: str) -> int:
        reasons.append((task, why))
        return -1

    assert run_tasks(killed_if_one, [0, 1, 2, 3], Workers(2), quietly, noted) == [0, -1, 2, 3]
    assert [task for task, _ in reasons] == [1]
    assert str(MOST_DEATHS) in reasons[0][1]


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_the_parts_of_a_run_hold_each_record_once(of: int) -> None:
    """Also where there are more parts than records."""
    records = ["100", "101", "102", "103", "104"]
    parts = [Shard(number, of).part(records) for number in range(1, of + 1)]
    assert sorted(one for part in parts for one in part) == records


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "-1/4", "a/b", "1/1000000", "1/2/3"])
def test_a_part_that_is_none_is_refused(text: str) -> None:
    """With an example of one."""
    with pytest.raises(InvalidOption, match="3/40"):
        parse_shard(text)


def test_a_cluster_has_workers_of_its_own() -> None:
    """`--jobs` would say nothing to it."""
    with pytest.raises(InvalidOption, match="--jobs"):
        Workers(2, "tcp://127.0.0.1:8786")


def test_workers_import_nothing_from_the_working_directory(tmp_path: Path) -> None:
    """Neither what they are forked from, nor they themselves, nor who clears up after them."""
    for name in ("queue", "numpy", "secrets", "tempfile", "multiprocessing"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w'); raise SystemExit(3)\n")
    program = (
        "import os, sys\n"
        "from monitor.offline.worker_processes import prepare_workers\n"
        "from monitor.offline.workers import Workers, run_tasks\n"
        "from tests.monitor.offline.test_workers import imported, passed_over, quietly\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "prepare_workers('monitor.offline.annotate', 2)\n"
        "print(run_tasks(imported, [0, 1], Workers(2), quietly, passed_over))\n"
    )
    root = Path(__file__).resolve().parents[3]
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}"},
    )
    assert ran.stdout.strip() == "[(True, False), (True, False)]", ran.stderr
    assert not (tmp_path / "ran").exists()
