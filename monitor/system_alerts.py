"""Technical alerts of the monitor itself: a stage that is down, overload, a journal that fails.

Pure: what is the case goes in, what has changed comes out. They depend on the machine, not on the
record, and so are no part of what a resumed run must say again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from monitor.rules import TechnicalRules
from monitor.wire import StageHealth, Status, SystemKind

CALM_HEARTBEATS = 5  # in which no samples are dropped, before overload is over
CALM = 0.5  # of a limit: it must fall so low before an alert is cleared, so that none flutters


class Change(NamedTuple):
    """A technical alert that begins, or ends."""

    event: SystemKind
    onset: bool
    text: str


def stage_down(stages: Sequence[StageHealth], rules: TechnicalRules, lasting: bool) -> str | None:
    """Say which stage has not been heard for too long; None if all are."""
    limit_s = rules.stage_down_s * (CALM if lasting else 1.0)
    said = [
        f"nothing from the {one.stage} for {one.age_s:.0f} s"
        for one in stages
        if one.age_s > limit_s
    ]
    return ", ".join(said) or None


class Overload:
    """Whether the monitor is behind, from one heartbeat to the next."""

    def __init__(self) -> None:
        self._dropped = 0  # samples, as the producer said in the heartbeat before
        self._calm = CALM_HEARTBEATS

    def look(self, status: Status, rules: TechnicalRules, lasting: bool) -> str | None:
        """Say how far behind the beats are, or what was dropped; None if all is in time."""
        dropped = sum(one.dropped for one in status.stages if one.stage == "producer")
        lost, self._dropped = dropped - self._dropped, dropped
        self._calm = 0 if lost > 0 else self._calm + 1
        limit_s = rules.overload_lag_s * (CALM if lasting else 1.0)
        if status.ward.lag_s > limit_s:
            return f"beats are scored {status.ward.lag_s:.0f} s after they were sent"
        if lost > 0:
            return f"the oldest {lost} samples were dropped: the source does not wait"
        return "samples were dropped just now" if lasting and self._calm < CALM_HEARTBEATS else None


def changes(
    lasting: Mapping[SystemKind, bool], now: Mapping[SystemKind, str | None]
) -> list[Change]:
    """Compare what lasts with what is the case now; `now` gives each event's text, or None."""
    return [
        Change(event, text is not None, text or "over")
        for event, text in now.items()
        if lasting.get(event, False) is (text is None)
    ]
