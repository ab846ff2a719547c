"""Who is served when not all can be: those admitted first; the others are shed, whole and for long.

A detector learns a patient's levels for seconds and a verdict needs the beats around: a patient
with holes is never judged, and holes cost as much as samples. So what is beyond the capacity goes
by patient. Nothing here knows a socket or reads a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

LATE_S = 0.25  # what waits longer than this is behind; a pause of a stage is shorter
LOOK_S = 1.0  # over which is measured what the next stage takes; it takes a few bundles at a time
STUBBORN_LOOKS = 5  # in a row in which what waits became no more, but stayed late
ROOM = 0.92  # of the measured capacity that is used: the rest is for what waits to be caught up
LEAST_KEPT = 0.5  # of the served at one look: the next look corrects a measure that was too low
STEP = 0.05  # of all patients who are served again at a time
CALM_S = 3.0  # without anything late, before a step
MOST_CALM_S = 60.0  # it doubles up to this where steps turned out too large
PROVED_S = 30.0  # after so long without being late a step was not too large


class Serving:
    """Divides patients, in the order in which they were admitted, into served and shed.

    Parameters
    ----------
    patients : iterable of str
        Those known from the start, in the order of their admission.

    Examples
    --------
    >>> serving = Serving(["bed-1", "bed-2", "bed-3", "bed-4"])
    >>> serving.look(0.0, late_s=0.5, offered=0, taken=0)
    []
    >>> serving.look(1.0, late_s=1.0, offered=1000, taken=600)  # four offer, two can be taken
    ['bed-4', 'bed-3']
    """

    def __init__(self, patients: Iterable[str]) -> None:
        self._served = dict.fromkeys(patients)
        self._waiting: deque[str] = deque()  # the next to be served again last
        self._shed: set[str] = set()
        self._behind: tuple[float, float, int, int] | None = None  # the look's beginning
        self._looks = 0  # since it is behind
        self._calm_from_s: float | None = None
        self._calm_s = CALM_S
        self._stepped_s: float | None = None

    @property
    def n_shed(self) -> int:
        """How many patients are shed."""
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
            self._behind, self._looks = None, 0
            self._stay_calm(now_s)
            return []
        self._calm_from_s = None
        if self._behind is None:
            self._behind = now_s, late_s, offered, taken
            return []
        began_s, late_before_s, offered_before, taken_before = self._behind
        if now_s - began_s < LOOK_S:
            return []
        self._behind = now_s, late_s, offered, taken
        self._looks += 1
        new = offered - offered_before
        share = (taken - taken_before) / new if new else 1.0
        is_stubborn = self._looks >= STUBBORN_LOOKS
        # A next stage that takes nothing at all hangs or is down: that says nothing of capacity.
        if share == 0 or not (late_s > late_before_s or is_stubborn):
            return []
        return self._shed_beyond(min(share, 1.0), now_s)

    def _shed_beyond(self, share: float, now_s: float) -> list[str]:
        """Shed who was admitted last, so that about this share of what is offered is left."""
        self._looks = 0
        if self._stepped_s is not None and now_s - self._stepped_s < PROVED_S:
            self._calm_s = min(2 * self._calm_s, MOST_CALM_S)
            self._stepped_s = None
        n_served = len(self._served)
        n_kept = max(1, int(n_served * max(share * ROOM, LEAST_KEPT)))
        shed = [self._served.popitem()[0] for _ in range(n_served - n_kept)]
        self._waiting.extend(shed)
        self._shed.update(shed)
        return shed

    def _stay_calm(self, now_s: float) -> None:
        """Serve some patients again once nothing was late for long enough."""
        if self._calm_from_s is None:
            self._calm_from_s = now_s
        if self._stepped_s is not None and now_s - self._stepped_s >= PROVED_S:
            self._stepped_s, self._calm_s = None, CALM_S
        if self._shed and now_s - self._calm_from_s >= self._calm_s:
            step = max(1, round(STEP * (len(self._served) + len(self._shed))))
            for _ in range(min(step, len(self._shed))):
                patient = self._waiting.pop()
                self._shed.remove(patient)
                self._served[patient] = None
            self._calm_from_s = self._stepped_s = now_s
