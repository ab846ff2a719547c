"""Technical alerts of the monitor itself: a stage that is down, overload, a journal that fails.

Pure: what is the case goes in, what has changed comes out. They depend on the machine, not on the
record, and so are no part of what a resumed run must say again.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Literal, NamedTuple

from monitor.settings import TechnicalRules
from monitor.wire.messages import StageHealth, StageName, SystemKind

LATE_HEARTBEATS = 3  # in a row, before overload is reported: a pause of a second is not one
CALM_HEARTBEATS = 5  # in a row without lateness or loss, before it is over
NAMED = 3  # patients who are shed, of thousands; the status of each shows it
MORE = 2  # times as many as were reported are reported anew
CALM = 0.5  # of a limit: it must fall so low before an alert is cleared, so that none flutters

LimitKind = Literal[
    "patients", "connections", "requests", "replies", "learning", "journal", "views"
]
LIMIT_TEXTS: dict[LimitKind, str] = {
    "patients": "messages of further patients were refused ({n}), since no more can be monitored; "
    "end the streams of those who left, or start another monitor",
    "connections": "nobody new is let in, since few descriptors are left; close connections, or "
    "raise the limit (ulimit -n) and start again",
    "requests": "requests were refused ({n}), since clients asked for too much; have them ask less "
    "often",
    "views": "subscriptions to waveforms were refused ({n}): too many different ones are open; "
    "close views, or subscribe to all waveforms at once",
    "learning": "too many beats wait for trainings: of a record none is received meanwhile, of a "
    "live source the oldest go without a verdict; learn fewer patients at a time",
    "journal": "no beats are received, since too many alerts wait for the journal; free space on "
    "its disk",
    "replies": "answers were not sent ({n}), since too many wait for clients that do not read; "
    "stop those clients",
}


class Change(NamedTuple):
    """A technical alert that begins, or ends."""

    event: SystemKind
    onset: bool
    text: str


def stage_down(stages: Sequence[StageHealth], rules: TechnicalRules, lasting: bool) -> str | None:
    """Say which stage has not been heard for too long; None if all are."""
    limit_s = rules.stage_down_s * (CALM if lasting else 1.0)
    reasons = [
        f"nothing from the {one.stage} for {one.age_s:.0f} s"
        for one in stages
        if one.age_s > limit_s
    ]
    return ", ".join(reasons) or None


class Overload:
    """Whether the monitor is behind, from one heartbeat to the next.

    Whatever is shed is reported with the next heartbeat; lateness alone once it lasts. Late is what
    has come since the heartbeat before: a patient who sends nothing any more is not late for ever.

    Attributes
    ----------
    is_more : bool
        Whether overload that lasts is to be reported anew: far more patients are shed.
    """

    def __init__(self) -> None:
        self._shed: dict[StageName, int] = {"producer": 0, "consumer": 0}  # by the one before
        self._late = 0
        self._calm = 0
        self._reported = 0  # patients who are shed
        self.is_more = False

    def look(
        self,
        stages: Sequence[StageHealth],
        lag_s: float,
        rules: TechnicalRules,
        lasting: bool,
        shed: Sequence[str] = (),
    ) -> str | None:
        """Say what is shed, or how late beats are; None if all is in time.

        Parameters
        ----------
        stages : sequence of StageHealth
            What producer and consumer have dropped so far: samples, and scores.
        lag_s : float
            How late the latest beats came since the call before, in s.
        lasting : bool
            Whether overload was reported and is not over.
        shed : sequence of str
            The patients of whom nothing is sent.
        """
        limit_s = rules.overload_lag_s * (CALM if lasting else 1.0)
        self._late = self._late + 1 if lag_s > limit_s else 0
        reasons = self._newly_dropped(stages, of_shed=bool(shed))
        if shed:
            reasons.insert(0, shed_text(shed))
        self.is_more = lasting and len(shed) >= max(1, MORE * self._reported)
        if self.is_more or not lasting:
            self._reported = len(shed)
        if self._late >= (1 if lasting else LATE_HEARTBEATS):
            reasons.append(f"beats are scored {lag_s:.1f} s after they were sent")
        self._calm = 0 if reasons else self._calm + 1
        if lasting and 0 < self._calm < CALM_HEARTBEATS:
            return "behind until just now"
        return "; ".join(reasons) or None

    def _newly_dropped(self, stages: Sequence[StageHealth], of_shed: bool) -> list[str]:
        """Say what was dropped; samples not where they are those of patients who are shed."""
        dropped = {one.stage: one.dropped for one in stages if one.stage in self._shed}
        new = {stage: n - self._shed[stage] for stage, n in dropped.items()}
        self._shed.update(dropped)
        texts: dict[StageName, str] = {
            "producer": "the oldest samples were dropped ({}): the source does not wait",
            "consumer": "scores came too late and were not told ({})",
        }
        if of_shed:
            new.pop("producer", None)
        return [texts[stage].format(n) for stage, n in sorted(new.items()) if n > 0]


def shed_text(patients: Sequence[str]) -> str:
    """Say how many patients are shed, and who the first of them are."""
    more = len(patients) - NAMED
    names = ", ".join(patients[:NAMED]) + (f" and {more} more" if more > 0 else "")
    be = "1 patient is" if len(patients) == 1 else f"{len(patients)} patients are"
    return f"{be} not monitored, the machine cannot keep up with more: {names}"


class Limits:
    """Which of the monitor's bounds are reached, from one heartbeat to the next.

    One is over when nothing more was refused for some heartbeats.
    """

    def __init__(self) -> None:
        self._before: dict[LimitKind, int] = {}
        self._reached: dict[LimitKind, int] = {}  # how many were refused since it began
        self._calm: dict[LimitKind, int] = {}  # heartbeats since the last
        self._quiet = 0  # heartbeats in a row in which no bound was reached

    def look(self, refused: Mapping[LimitKind, int], lasting: bool) -> Change | None:
        """Return what is to be reported: a bound that is reached now, too, or that all is over.

        Parameters
        ----------
        refused : mapping
            How many were refused so far at each bound.
        lasting : bool
            Whether a bound was reported as reached and is not over.
        """
        new = {kind: n - self._before.get(kind, 0) for kind, n in refused.items()}
        self._before.update(refused)
        newly = [kind for kind, n in new.items() if n > 0 and kind not in self._reached]
        for kind, n in new.items():
            if n > 0:
                self._reached[kind] = self._reached.get(kind, 0) + n
                self._calm[kind] = 0
            elif kind in self._reached:
                self._calm[kind] += 1
                if self._calm[kind] >= CALM_HEARTBEATS:
                    del self._reached[kind]
        self._quiet = 0 if self._reached else self._quiet + 1
        if newly:
            reasons = [LIMIT_TEXTS[kind].format(n=n) for kind, n in self._reached.items()]
            return Change("limit_reached", True, "; ".join(reasons))
        # After a restart it is not known what had been reached.
        over = bool(self._calm) or self._quiet >= CALM_HEARTBEATS
        if lasting and not self._reached and over:
            return Change("limit_reached", False, "over")
        return None


def changes(
    lasting: Mapping[SystemKind, bool],
    now: Mapping[SystemKind, str | None],
    anew: Container[SystemKind] = (),
) -> list[Change]:
    """Compare what lasts with what is the case now; `now` gives each event's text, or None.

    What stands in `anew` is reported although it lasts.
    """
    return [
        Change(event, text is not None, text or "over")
        for event, text in now.items()
        if lasting.get(event, False) is (text is None) or (text is not None and event in anew)
    ]
