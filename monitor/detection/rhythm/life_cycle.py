"""The life of a named alarm's condition: it begins, and ends some seconds after it last held. Pure.

                condition holds: onset
    quiet ----------------------------------> active
          <----------------------------------
             it did not hold for `clear_s`: cleared

What of this people are told, and what latches until one has seen it, is decided in
`patient_alarms`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from monitor.settings import AlarmRules
from monitor.wire.messages import AlarmKind, Priority

DEFAULTS = AlarmRules()


class AlarmLife(msgspec.Struct, frozen=True):
    """Where the condition of one named alarm stands."""

    active: bool = False
    since_sample: int = 0
    held_sample: int = 0  # the last at which it held


class AlarmChange(msgspec.Struct, frozen=True):
    """A named alarm began, ended, or was acknowledged."""

    kind: AlarmKind
    state: Literal["onset", "cleared", "acknowledged"]
    sample: int
    since_sample: int
    priority: Priority


class Condition(msgspec.Struct, frozen=True):
    """Whether what an alarm is about is there; `since_sample` is where it began."""

    holds: bool
    since_sample: int = 0


ABSENT = Condition(False)


def live(
    life: AlarmLife, kind: AlarmKind, condition: Condition, sample: int, clear_samples: int
) -> tuple[AlarmLife, AlarmChange | None]:
    """Take in whether the condition holds at a sample; return what changed.

    The priority is that of the rules' defaults.
    """
    priority = DEFAULTS.priority(kind) or "low"
    if condition.holds:
        if life.active:
            return AlarmLife(True, life.since_sample, sample), None
        change = AlarmChange(kind, "onset", sample, condition.since_sample, priority)
        return AlarmLife(True, condition.since_sample, sample), change
    if life.active and sample - life.held_sample >= clear_samples:
        change = AlarmChange(kind, "cleared", sample, life.since_sample, priority)
        return AlarmLife(False, life.since_sample, life.held_sample), change
    return life, None
