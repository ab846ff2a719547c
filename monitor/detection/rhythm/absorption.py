"""Which alarm explains what: lesser alarms of one cause, and anomalous beats. Tables, and no more.

Someone who comes for a ventricular tachycardia need not hear that the heart is fast, too, nor that
each of its beats is anomalous.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from monitor.wire.messages import AlarmKind, Why

NO_BEATS: tuple[AlarmKind, ...] = ("asystole", "ventricular_fibrillation")  # the heart has none
VENTRICULAR: tuple[AlarmKind, ...] = ("ventricular_fibrillation", "ventricular_tachycardia")
# What stays silent while one of these lasts.
ABSORBED_BY: dict[AlarmKind, tuple[AlarmKind, ...]] = {
    "asystole": ("ventricular_fibrillation",),  # a slow oscillation is low in the QRS band
    "ventricular_tachycardia": ("ventricular_fibrillation",),
    "extreme_tachycardia": VENTRICULAR,
    "extreme_bradycardia": NO_BEATS,
    "ventricular_run": VENTRICULAR,
    "pause": (*NO_BEATS, "extreme_bradycardia"),
    "tachycardia": (*VENTRICULAR, "extreme_tachycardia"),
    "bradycardia": (*NO_BEATS, "extreme_bradycardia"),
}

Beats = Literal["all", "by time", "premature", "late"]  # by time: premature or late, of usual shape
EXPLAINED_BEATS: dict[AlarmKind, Beats] = {  # of which no episode begins, and none goes on
    "asystole": "late",
    "ventricular_fibrillation": "all",
    "ventricular_tachycardia": "all",
    "extreme_tachycardia": "all",
    "extreme_bradycardia": "late",
    "ventricular_run": "all",
    "pause": "late",
    "tachycardia": "premature",
    "bradycardia": "late",
    "irregular_rhythm": "by time",
}


def explains(lasting: Sequence[AlarmKind], why: Sequence[Why]) -> bool:
    """Tell whether an alarm that lasts explains that a beat is anomalous.

    Parameters
    ----------
    why : sequence of str
        What made the beat anomalous.
    """
    return any(_explains(EXPLAINED_BEATS[kind], why) for kind in lasting)


def _explains(beats: Beats, why: Sequence[Why]) -> bool:
    match beats:
        case "all":
            return True
        case "by time":
            return bool(why) and "shape" not in why
        case _:
            return [*why] == [beats]
