"""The life of a named alarm: onset, cleared, latched until a person has seen it. Pure.

                condition holds: onset
    quiet ----------------------------------> active
          <----------------------------------
             it did not hold for `clear_s`: cleared

An alarm of high priority latches: it asks to be acknowledged, also after it has ended.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from monitor.wire.messages import AlarmKind, Priority

PRIORITIES: dict[AlarmKind, Priority] = {  # IEC 60601-1-8: how soon someone must come
    "asystole": "high",
    "ventricular_fibrillation": "high",
    "ventricular_tachycardia": "high",
    "extreme_tachycardia": "high",
    "extreme_bradycardia": "high",
    "ventricular_run": "medium",
    "pause": "medium",
    "tachycardia": "medium",
    "bradycardia": "medium",
    "irregular_rhythm": "low",
}


class AlarmLife(msgspec.Struct, frozen=True):
    """Where one named alarm stands."""

    active: bool = False
    since_sample: int = 0
    held_sample: int = 0  # the last at which its condition held
    latched: bool = False  # of high priority, and nobody acknowledged it
    acknowledged: bool = False  # the one that lasts was


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


def live(
    life: AlarmLife, kind: AlarmKind, condition: Condition, sample: int, clear_samples: int
) -> tuple[AlarmLife, AlarmChange | None]:
    """Take in whether the condition holds at a sample; return what changed."""
    priority = PRIORITIES[kind]
    if condition.holds:
        if life.active:
            return msgspec.structs.replace(life, held_sample=sample), None
        latched = life.latched or priority == "high"
        life = AlarmLife(True, condition.since_sample, sample, latched)
        return life, AlarmChange(kind, "onset", sample, condition.since_sample, priority)
    if life.active and sample - life.held_sample >= clear_samples:
        change = AlarmChange(kind, "cleared", sample, life.since_sample, priority)
        life = msgspec.structs.replace(life, active=False, acknowledged=False)
        return life, change
    return life, None


def acknowledge(
    life: AlarmLife, kind: AlarmKind, sample: int
) -> tuple[AlarmLife, AlarmChange | None]:
    """Take note that a person has seen the alarm; None if there is nothing to see."""
    if not life.latched:
        return life, None
    life = msgspec.structs.replace(life, latched=False, acknowledged=life.active)
    return life, AlarmChange(kind, "acknowledged", sample, life.since_sample, PRIORITIES[kind])
