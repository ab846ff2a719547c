"""Who is served when not all can be: those admitted first; the others are shed, whole and for long.

A detector learns a patient's levels for seconds and a verdict needs the beats around: a patient
with holes is never judged, and holes cost as much as samples. So what is beyond the capacity goes
by patient. Nothing here knows a socket or reads a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import NamedTuple

LATE_S = 0.25  # what waits longer than this is behind; a pause of a stage is shorter
LOOK_S = 1.0  # over which is measured what the next stage takes; it takes a few bundles at a time
SETTLE_S = 1.0  # after shedding: what is under way is still of all
STUBBORN_S = 6.0  # so long behind, and no less late than at first, is too much though all is taken
ROOM = 0.88  # of the measured capacity that is used: the rest is for what waits to be caught up
AT_LEAST = 0.02  # of the served are shed at a time
LEAST_KEPT = 0.2  # of the served at one look: the next look corrects a measure that was too low
STEP = 0.05  # of the served, who are served again at first; twice as many at each further step,
LARGEST_STEP = 0.5  # up to this
SURE_STEP = 0.2  # after one so large there is room, and the next come sooner
CALM_S = 3.0  # without anything late, before a step
MOST_CALM_S = 30.0  # it doubles up to this where steps turned out too large
PROVED_S = 30.0  # after so long without being late a step was not too large


# A large ward begins with so many patients, and twice as many at each step while nothing is late: a
# patient's first block costs the stages 20 times as much as the next.
AT_FIRST = 500
START_S = 1.0


class Look(NamedTuple):
    """What was known at a moment."""

    now_s: float
    late_s: float
    offered: int
    taken: int


class Serving:
    """Divides patients, in the order in which they were admitted, into served and shed.

    Parameters
    ----------
    patients : iterable of str
        Those known from the start, in the order of their admission.

    Attributes
    ----------
    is_starting : bool
        Whether those who are not served have not been begun with yet, and nobody is shed.

    Examples
    --------
    >>> serving = Serving(["bed-1", "bed-2", "bed-3", "bed-4"])
    >>> serving.look(0.0, late_s=0.5, offered=0, taken=0)
    []
    >>> serving.look(0.5, late_s=0.7, offered=500, taken=300)
    []
    >>> serving.look(1.0, late_s=1.0, offered=1000, taken=600)  # four offer, two can be taken
    ['bed-4', 'bed-3']
    """

    def __init__(self, patients: Iterable[str]) -> None:
        known = list(patients)
        self._served = dict.fromkeys(known[:AT_FIRST])
        self._waiting = deque(reversed(known[AT_FIRST:]))  # the next to be served last
        self._shed = set(self._waiting)
        self.is_starting = bool(self._shed)
        self._first: Look | None = None  # since it is behind
        self._before: Look | None = None
        self._half: Look | None = None  # between that and the next
        self._settles_s = -inf
        self._calm_from_s: float | None = None
        self._calm_s = CALM_S
        self._step = STEP
        self._stepped_s: float | None = None

    @property
    def n_shed(self) -> int:
        """How many patients are shed, or not begun with."""
        return len(self._shed)

    def is_shed(self, patient: str) -> bool:
        """Tell whether a patient is shed; one who is new is admitted last."""
        if patient in self._served:
            return False
        if patient not in self._shed:
            if not self._shed:
                self._served[patient] = None
                return False
            self._shed.add(patient)
            self._waiting.appendleft(patient)
        return True

    def end(self, patient: str) -> None:
        """Forget a patient of whom no more will come."""
        self._served.pop(patient, None)
        if patient in self._shed:
            self._shed.remove(patient)
            self._waiting.remove(patient)

    def look(self, now_s: float, late_s: float, offered: int, taken: int) -> list[str]:
        """Look at how the next stage keeps up; return who is shed from now on, the latest first.

        To be called several times a second.

        Parameters
        ----------
        now_s : float
            A monotonic clock, in s.
        late_s : float
            For how long the oldest block has waited to be taken; 0 where none waits.
        offered, taken : int
            Samples so far: of the patients served, and those that the next stage took.
        """
        if late_s <= LATE_S:
            self._forget_looks()
            self._stay_calm(now_s)
            return []
        self._calm_from_s = None
        if now_s < self._settles_s:
            return []
        look = Look(now_s, late_s, offered, taken)
        if self._first is None or self._before is None:
            self._first = self._before = look
            return []
        if self._half is None and now_s - self._before.now_s >= LOOK_S / 2:
            self._half = look
        if self._half is None or now_s - self._before.now_s < LOOK_S:
            return []
        before, half, self._before, self._half = self._before, self._half, look, None
        # A next stage that takes nothing for so long hangs or is down, and one that catches up did:
        # neither says what its capacity is.
        if not before.taken < half.taken < taken:
            self._first = look
            return []
        share = min(1.0, (taken - before.taken) / max(1, offered - before.offered))
        grows = share < 1.0 and before.late_s < half.late_s < late_s
        is_stubborn = now_s - self._first.now_s >= STUBBORN_S and late_s >= self._first.late_s
        return self._shed_beyond(share, now_s) if grows or is_stubborn else []

    def _shed_beyond(self, share: float, now_s: float) -> list[str]:
        """Shed who was admitted last, where so much of what is offered can be taken.

        What is beyond it and as much again, but no more than leaves `ROOM`.
        """
        self._forget_looks()
        self.is_starting = False
        self._settles_s = now_s + SETTLE_S
        if self._stepped_s is not None and now_s - self._stepped_s < PROVED_S:
            self._calm_s = min(2 * self._calm_s, MOST_CALM_S)
        self._stepped_s, self._step = None, STEP
        n_served = len(self._served)
        kept = max(share * ROOM, 2 * share - 1 - AT_LEAST, LEAST_KEPT)
        n_kept = max(1, int(n_served * kept))
        shed = [self._served.popitem()[0] for _ in range(n_served - n_kept)]
        self._waiting.extend(shed)
        self._shed.update(shed)
        return shed

    def _serve(self, most: int) -> None:
        """Serve so many more, the earliest admitted first."""
        for _ in range(min(most, len(self._waiting))):
            patient = self._waiting.pop()
            self._shed.remove(patient)
            self._served[patient] = None

    def _forget_looks(self) -> None:
        self._first = self._before = self._half = None

    def _stay_calm(self, now_s: float) -> None:
        """Serve some patients again once nothing was late for long enough."""
        if self._calm_from_s is None:
            self._calm_from_s = now_s
        calm_s = now_s - self._calm_from_s
        if self.is_starting and calm_s >= START_S:
            self._calm_from_s = now_s
            self._serve(len(self._served))
            self.is_starting = bool(self._shed)
        elif self._shed and not self.is_starting and calm_s >= self._calm_s:
            self._calm_from_s = self._stepped_s = now_s
            self._serve(max(1, round(self._step * len(self._served))))
            if self._step > SURE_STEP:
                self._calm_s = max(CALM_S, self._calm_s / 2)
            self._step = min(2 * self._step, LARGEST_STEP)
