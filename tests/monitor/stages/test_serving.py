"""Who is served when not all can be: whole patients, those admitted first, for long."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from monitor.stages.shedding import CALM_S, LATE_S, MOST_CALM_S, Serving

TICK_S = 0.05
NAMES = [f"bed-{number:03}" for number in range(1, 101)]
SAMPLES_PER_S = 250


class Queue:
    """Each patient offers samples; so many patients' are taken, or none while it hangs."""

    def __init__(self, names: list[str]) -> None:
        self.serving = Serving(names)
        self.names = names
        self.now_s = 0.0
        self.offered = self.taken = 0.0
        self.lates_s: list[float] = []
        self.n_served: list[int] = []

    def run(self, seconds: float, capacity: Callable[[float], float]) -> list[str]:
        """Let time pass; return who was shed meanwhile, in order."""
        shed: list[str] = []
        for _ in range(round(seconds / TICK_S)):
            self.now_s += TICK_S
            n_served = sum(not self.serving.is_shed(one) for one in self.names)
            self.offered += n_served * SAMPLES_PER_S * TICK_S
            most = capacity(self.now_s) * SAMPLES_PER_S * TICK_S
            self.taken = min(self.offered, self.taken + most)
            late_s = (self.offered - self.taken) / max(1, n_served) / SAMPLES_PER_S
            self.lates_s.append(late_s)
            self.n_served.append(n_served)
            new = self.serving.look(self.now_s, late_s, round(self.offered), round(self.taken))
            # Those who are shed take along what waits of them.
            self.offered -= (self.offered - self.taken) * len(new) / max(1, n_served)
            shed += new
        return shed

    @property
    def shed(self) -> list[str]:
        return [one for one in self.names if self.serving.is_shed(one)]


def patients(number: float) -> Callable[[float], float]:
    return lambda _: number


def test_all_are_served_while_all_can_be() -> None:
    """Nobody is shed by a stage that keeps up."""
    queue = Queue(NAMES)
    assert queue.run(60, patients(100)) == []
    assert queue.serving.n_shed == 0


@pytest.mark.parametrize("capacity", [90, 50, 25, 10])
def test_most_of_the_capacity_is_used_and_none_is_late_for_long(capacity: int) -> None:
    """Those admitted last are shed, the latest first; who is admitted first is served throughout.

    What is served comes near to the capacity, whatever that is, and what is offered is taken soon.
    """
    queue = Queue(NAMES)
    first = queue.run(4, patients(capacity))
    assert first == NAMES[::-1][: len(first)]
    queue.run(116, patients(capacity))
    assert queue.shed == NAMES[-len(queue.shed) :]
    n = len(queue.n_served)
    used = queue.n_served[n // 4 :]
    assert sum(used) / len(used) >= 0.8 * capacity
    late = sorted(queue.lates_s[n // 4 :])
    assert late[round(0.9 * len(late))] < 1.0
    assert max(queue.lates_s) < 2.5
    assert not set(NAMES[: capacity // 2]) & set(first)


def test_a_change_of_who_is_served_becomes_rare() -> None:
    """Steps that turn out too large come ever more seldom: nobody flutters."""
    queue = Queue(NAMES)
    queue.run(120, patients(50))
    before = len(queue.n_served)
    queue.run(240, patients(50))
    n_served = queue.n_served[before:]
    changes = sum(a != b for a, b in pairwise(n_served))
    assert changes <= 240 / MOST_CALM_S * 4
    assert min(n_served) >= 30


def test_all_are_served_again_when_there_is_room() -> None:
    """Within a minute or two after the load has gone."""
    queue = Queue(NAMES)
    queue.run(60, patients(25))
    assert queue.serving.n_shed > 60
    queue.run(120, patients(200))
    assert queue.serving.n_shed == 0
    assert queue.lates_s[-1] == 0


@pytest.mark.parametrize("hang_s", [0.2, 2.0, 30.0])
def test_who_takes_nothing_at_all_does_not_show_its_capacity(hang_s: float) -> None:
    """A stage that hangs, or is started anew, sheds nobody; nor while it catches up."""
    queue = Queue(NAMES)
    queue.run(10, patients(100))
    assert queue.run(hang_s, patients(0)) == []
    assert queue.run(60, patients(300)) == []


def test_a_patient_who_comes_while_others_are_shed_waits_behind_them() -> None:
    """And is served when nobody is; one who ends is forgotten."""
    serving = Serving(["bed-1", "bed-2", "bed-3", "bed-4"])
    serving.look(0.0, 1.0, 0, 0)
    serving.look(0.5, 1.5, 500, 250)
    assert serving.look(1.0, 2.0, 1000, 500) == ["bed-4", "bed-3", "bed-2"]
    assert serving.is_shed("bed-5")
    serving.end("bed-3")
    assert serving.n_shed == 3
    again: list[str] = []
    for tick in range(round(4 * MOST_CALM_S / TICK_S)):
        serving.look(10.0 + tick * TICK_S, LATE_S, 1000, 1000)
        new = [one for one in ("bed-2", "bed-4", "bed-5") if not serving.is_shed(one)]
        again += [one for one in new if one not in again]
    assert again == ["bed-2", "bed-4", "bed-5"]
    assert not serving.is_shed("bed-6")


def test_nobody_is_served_again_before_it_was_calm() -> None:
    """For some seconds in a row nothing may be late."""
    queue = Queue(NAMES)
    queue.run(3, patients(50))
    n_shed = queue.serving.n_shed
    assert n_shed
    queue.lates_s.clear()
    queue.run(CALM_S - TICK_S, patients(100))
    assert queue.serving.n_shed == n_shed


def test_a_large_ward_begins_with_some_and_has_all_in_seconds() -> None:
    """Nobody is shed meanwhile; where not all can be served, the rest is not begun with."""
    names = [f"bed-{number}" for number in range(10_000)]
    serving = Serving(names)
    assert [serving.is_shed(one) for one in names] == [False] * 500 + [True] * 9500
    served, starting = [], [serving.is_starting]
    for tick in range(round(6 / TICK_S)):
        assert serving.look(tick * TICK_S, 0.0, tick, tick) == []
        served.append(10_000 - serving.n_shed)
        starting.append(serving.is_starting)
    assert sorted(set(served)) == [500, 1000, 2000, 4000, 8000, 10_000]
    assert (starting[0], starting[-1]) == (True, False)
    beyond = Queue(names[:2000])
    beyond.run(12, patients(900))
    assert not beyond.serving.is_starting
    assert 720 <= 2000 - beyond.serving.n_shed <= 1000
    assert max(beyond.n_served) <= 2000
