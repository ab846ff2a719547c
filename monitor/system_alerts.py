"""Technical alerts of the monitor itself: a stage that is down, overload, a journal that fails.

Pure: what is the case goes in, what has changed comes out. They depend on the machine, not on the
record, and so are no part of what a resumed run must say again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from monitor.rules import TechnicalRules
from monitor.wire import PatientStatus, StageHealth, SystemKind

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


def overload(patients: Sequence[PatientStatus], rules: TechnicalRules, lasting: bool) -> str | None:
    """Say how far behind the beats are; None if they are in time."""
    limit_s = rules.overload_lag_s * (CALM if lasting else 1.0)
    worst = max((one.lag_s for one in patients if one.state == "monitoring"), default=0.0)
    return f"beats are scored {worst:.0f} s after they were sent" if worst > limit_s else None


def changes(
    lasting: Mapping[SystemKind, bool], now: Mapping[SystemKind, str | None]
) -> list[Change]:
    """Compare what lasts with what is the case now; `now` gives each event's text, or None."""
    return [
        Change(event, text is not None, text or "over")
        for event, text in now.items()
        if lasting.get(event, False) is (text is None)
    ]
