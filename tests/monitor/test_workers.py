"""One task a record: in order, in this process or in several."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from monitor.errors import InvalidOption, StageFailed
from monitor.workers import run_tasks


def doubled(number: int) -> int:
    return 2 * number


def killed(number: int) -> int:
    os.kill(os.getpid(), 9)
    return number


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_the_tasks_order(jobs: int) -> None:
    """Whoever is done first; each is told once."""
    told: list[tuple[int, int, int]] = []
    results = run_tasks(doubled, [3, 1, 2], jobs, lambda *one: told.append(one))
    assert results == [6, 2, 4]
    assert sorted(one[0] for one in told) == [2, 4, 6]
    assert [one[1:] for one in told] == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("jobs", [0, -1, 1000])
def test_absurd_numbers_of_processes_are_refused(jobs: int) -> None:
    """Before anything is started."""
    with pytest.raises(InvalidOption, match="jobs"):
        run_tasks(doubled, [1], jobs, lambda *_: None)


def test_a_worker_that_dies_at_once_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where that is noticed while others are being started."""

    def broken(*_: object) -> None:
        raise BrokenProcessPool("died")

    monkeypatch.setattr(ProcessPoolExecutor, "submit", broken)
    with pytest.raises(StageFailed, match="after 0 of 2"):
        run_tasks(doubled, [1, 2], 2, lambda *_: None)


def test_a_worker_that_dies_is_an_error() -> None:
    """It says what may help."""
    with pytest.raises(StageFailed, match="fewer jobs"):
        run_tasks(killed, [1, 2], 2, lambda *_: None)
