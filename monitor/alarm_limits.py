"""The limits of the named alarms, in seconds and beats a minute.

Sources: the definitions of the PhysioNet/CinC Challenge 2015 (Clifford and others, Computing in
Cardiology 42 (2015) 273-276) for the five kinds that threaten life; ANSI/AAMI EC13 (IEC 60601-2-27)
for what a rate may be off: 10 % or 5 a minute.
"""

from __future__ import annotations

import msgspec

from monitor.errors import InvalidOption

MOST_BEATS = 17  # of a rate or a run: so many are remembered of a patient
BOUNDS: dict[str, tuple[float, float]] = {  # what a limit may be, by the unit in its name
    "_s": (0.5, 60.0),
    "_per_minute": (10.0, 400.0),
    "_beats": (2, MOST_BEATS),
    "_ratio": (1.1, 10.0),
    "_tolerance": (0.0, 0.5),
    "_hysteresis": (0.0, 0.5),
}
IRREGULAR_BEATS = (32, 256)
RISING = (  # each below the next, or an alarm could never begin, or never alone
    ("ventricular_run_beats", "ventricular_tachycardia_beats"),
    ("extreme_bradycardia_per_minute", "bradycardia_per_minute"),
    ("bradycardia_per_minute", "tachycardia_per_minute"),
    ("tachycardia_per_minute", "extreme_tachycardia_per_minute"),
)


class RhythmLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When each alarm begins and ends; InvalidOption where one could never begin."""

    asystole_s: float = 3.5  # of quiet; seen half a second later at most: 4 s after the last R peak
    ventricular_run_beats: int = 3
    ventricular_tachycardia_beats: int = 5
    ventricular_per_minute: float = 100.0
    extreme_tachycardia_per_minute: float = 140.0
    extreme_tachycardia_beats: int = 17
    extreme_bradycardia_per_minute: float = 40.0
    extreme_bradycardia_beats: int = 5
    rate_tolerance: float = 0.05  # of a rate, within which a limit counts as reached
    rate_hysteresis: float = 0.1  # of a rate: an alarm lasts until it is so far within its limit
    pause_s: float = 2.0
    pause_ratio: float = 1.8  # times the usual RR interval
    tachycardia_per_minute: float = 120.0
    bradycardia_per_minute: float = 50.0
    rate_beats: int = 8
    irregular_beats: int = 64
    clear_s: float = 5.0  # an alarm ends so long after its condition

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            low, high = IRREGULAR_BEATS if name == "irregular_beats" else _bounds(name)
            if not low <= getattr(self, name) <= high:  # NaN neither
                raise InvalidOption(
                    f"alarm limit {name} {getattr(self, name)} is out of range; use {low:g} to "
                    f"{high:g}"
                )
        for below, above in RISING:
            if not getattr(self, below) < getattr(self, above):
                raise InvalidOption(
                    f"alarm limit {below} {getattr(self, below)} must be below {above} "
                    f"{getattr(self, above)}; change one of them"
                )


def _bounds(name: str) -> tuple[float, float]:
    return next((bounds for unit, bounds in BOUNDS.items() if name.endswith(unit)), (0.0, 1e6))
