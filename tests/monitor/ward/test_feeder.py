"""A producer sends what is due of many patients together, once a block."""

from __future__ import annotations

import heapq

import pytest

from monitor.settings import BLOCK_S
from monitor.ward.feeder import Pace


def times_sent(patients: int, seconds: float, stalled_s: float = 0.0) -> list[tuple[float, int]]:
    """Return when something was sent, and how many blocks, of patients due one after another.

    Parameters
    ----------
    stalled_s : float
        How long the first sending takes.
    """
    dues_s = [(BLOCK_S * (1 + one / patients), one) for one in range(patients)]
    heapq.heapify(dues_s)
    pace, now_s = Pace(), 0.0
    sent: list[tuple[float, int]] = []
    while now_s < seconds:
        wait_s = pace.wait_s(now_s, dues_s[0][0])
        if wait_s > 0:
            now_s += wait_s + 1e-4  # a sleep is never shorter
            continue
        pace.took(now_s)
        taken = []
        while dues_s and dues_s[0][0] <= now_s:
            taken.append(heapq.heappop(dues_s))
        for due_s, patient in taken:
            heapq.heappush(dues_s, (due_s + BLOCK_S, patient))
        sent.append((now_s, len(taken)))
        now_s += stalled_s if len(sent) == 1 else 0.01
    return sent


@pytest.mark.parametrize("patients", [1, 7, 2000])
def test_it_sends_once_a_block_however_many_patients(patients: int) -> None:
    """Each message costs the server a write; no block waits for more than another's time."""
    sent = times_sent(patients, 10.0)
    assert 10.0 / BLOCK_S - 2 <= len(sent) <= 10.0 / BLOCK_S + 1
    assert sum(n for _, n in sent) == pytest.approx(patients * 10.0 / BLOCK_S, rel=0.05)


def test_who_is_late_waits_for_nothing() -> None:
    """After a stall each patient's blocks are sent one after the other."""
    sent = times_sent(5, 6.0, stalled_s=3.0)
    caught_up = [at for at, n in sent if n == 5 and 3.0 <= at < 3.5]
    assert len(caught_up) > 10
