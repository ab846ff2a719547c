"""A process beside this one: it is ahead, it keeps what it has made, it ends with this one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from monitor.errors import RecordError, StageFailed
from monitor.offline.worker_processes import AHEAD, has_spare_core, mapped_beside
from monitor.offline.workers import Workers, run_tasks
from segmenter.errors import InvalidSignal


class Summing:
    """Adds what comes to what came before."""

    def __init__(self, start: int) -> None:
        self.total = start

    def __call__(self, item: int) -> tuple[int, int]:
        self.total += item
        return self.total, os.getpid()


class Failing:
    """Takes so many items, and then does not."""

    def __init__(self, n_items: int, how: str) -> None:
        self.left, self.how = n_items, how
        if n_items < 0:
            raise InvalidSignal("a rate that cannot be segmented")

    def __call__(self, item: int) -> int:
        self.left -= 1
        if self.left >= 0:
            return item
        if self.how == "killed":
            os.kill(os.getpid(), 9)
        raise MemoryError if self.how == "memory" else InvalidSignal("a chunk of another shape")


class TooLargeToSend:
    """Cannot be sent for lack of memory."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        raise MemoryError


def oversized(_item: int) -> object:
    return TooLargeToSend()


def make_oversized() -> Callable[[int], object]:
    return oversized


def make_long() -> Callable[[bytes], bytes]:
    return bytes.upper


def told_and_summed() -> Callable[[int], tuple[int, int]]:
    """Tell that the process is there."""
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    return Summing(0)


def spare_core(_: int) -> bool:
    return has_spare_core()


def test_results_are_those_of_a_map() -> None:
    """In order, by one process that keeps its state and is not this one."""
    found = list(mapped_beside(Summing, (5,), range(100)))
    assert [total for total, _ in found] == [5 + sum(range(n + 1)) for n in range(100)]
    (process,) = {process for _, process in found}
    assert process != os.getpid()
    assert multiprocessing.active_children() == []


def test_no_item_gives_no_result() -> None:
    """And no process stays."""
    assert list(mapped_beside(Summing, (0,), [])) == []
    assert multiprocessing.active_children() == []


def test_the_process_is_so_far_ahead_and_no_farther() -> None:
    """What waits must not fill the memory."""
    given: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            given.append(number)
            yield number

    with closing(mapped_beside(Summing, (0,), items())) as found:
        for n_taken, _ in enumerate(islice(found, 50), start=1):
            assert len(given) == n_taken + AHEAD - 1


def test_long_items_and_results_do_not_wait_for_each_other() -> None:
    """Each is more than a pipe holds."""
    long = [bytes([97 + n]) * 2_000_000 for n in range(2 * AHEAD)]
    assert list(mapped_beside(make_long, (), long)) == [one.upper() for one in long]


def test_who_stops_early_ends_the_process() -> None:
    """As soon as the generator is closed."""
    with closing(mapped_beside(Summing, (0,), range(1000))) as found:
        next(found)
        assert len(multiprocessing.active_children()) == 1
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("n_items", "how", "error", "said"),
    [
        (-1, "raises", InvalidSignal, "a rate that cannot be segmented"),
        (3, "raises", InvalidSignal, "a chunk of another shape"),
        (3, "memory", MemoryError, None),
        (3, "killed", StageFailed, "died, perhaps for lack of memory; try again with --jobs 1"),
        (0, "killed", StageFailed, "died, perhaps for lack of memory; try again with --jobs 1"),
    ],
)
def test_what_goes_wrong_there_is_raised_here(
    n_items: int, how: str, error: type[Exception], said: str | None
) -> None:
    """Where the result would have been; nobody waits for ever, and no process stays."""
    taken: list[int] = []
    with pytest.raises(error, match=said):
        taken.extend(mapped_beside(Failing, (n_items, how), range(100)))
    assert multiprocessing.active_children() == []


def test_results_that_cannot_be_sent_end_the_process() -> None:
    """As if it had been killed for lack of memory."""
    with pytest.raises(StageFailed, match="lack of memory"):
        list(mapped_beside(make_oversized, (), range(100)))


def test_what_goes_wrong_with_an_item_is_raised_as_it_is() -> None:
    """Items are made here: a record that cannot be read says so itself."""

    def items() -> Iterator[int]:
        yield from range(3)
        raise RecordError("record r is cut short")

    with pytest.raises(RecordError, match="record r is cut short"):
        list(mapped_beside(Summing, (0,), items()))
    assert multiprocessing.active_children() == []


def test_nobody_stays_when_this_process_is_killed() -> None:
    """The other one leaves when it asks for its next item."""
    program = (
        "import os, time\n"
        "from tests.monitor.offline.test_worker_processes import told_and_summed\n"
        "from monitor.offline.worker_processes import mapped_beside\n"
        "if __name__ == '__main__':\n"
        "    for _ in mapped_beside(told_and_summed, (), range(1000)):\n"
        "        os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
    )
    said, _ = parent.communicate(timeout=30)  # until all have closed the pipe
    assert (said, parent.returncode) == ("begun\n", -9)


def test_ctrl_c_ends_both_processes_without_a_word() -> None:
    """SIGINT to the process group, as a terminal sends it: this one handles it for both."""
    program = (
        "import sys\n"
        "from itertools import count\n"
        "from tests.monitor.offline.test_worker_processes import Summing\n"
        "from monitor.offline.worker_processes import mapped_beside\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        for total, _ in mapped_beside(Summing, (0,), count(1)):\n"
        "            print(total, flush=True) if total == 1 else None\n"
        "    except KeyboardInterrupt:\n"
        "        sys.exit(130)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
        start_new_session=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "1\n"
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.communicate(timeout=30) == ("", "")  # until all have closed the pipes
    assert parent.returncode == 130


@pytest.mark.parametrize(
    ("n_tasks", "jobs", "spare"), [(1, 1, False), (1, 2, True), (2, 1, False), (2, 2, False)]
)
def test_one_task_on_two_cores_has_one_to_spare(n_tasks: int, jobs: int, spare: bool) -> None:
    """As long as it is done; of several each has its own."""
    tasks = list(range(n_tasks))
    found = run_tasks(spare_core, tasks, Workers(jobs), lambda *_: None, lambda *_: True)
    assert found == [spare] * n_tasks
    assert not has_spare_core()
