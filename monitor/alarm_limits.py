"""The limits of the named alarms, in seconds and beats a minute.

Sources: the definitions of the PhysioNet/CinC Challenge 2015 (Clifford and others, Computing in
Cardiology 42 (2015) 273-276) for the five kinds that threaten life; ANSI/AAMI EC13 (IEC 60601-2-27)
for what a rate may be off: 10 % or 5 a minute.
"""

from __future__ import annotations

import msgspec


class RhythmLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When each alarm begins and ends."""

    asystole_s: float = 3.5  # of quiet; seen half a second later at most: 4 s after the last R peak
    fibrillation_s: float = 4.0  # an oscillating waveform: the window of `segmenter.oscillation`
    ventricular_run_beats: int = 3
    ventricular_tachycardia_beats: int = 5
    ventricular_per_minute: float = 100.0
    extreme_tachycardia_per_minute: float = 140.0
    extreme_tachycardia_beats: int = 17
    extreme_bradycardia_per_minute: float = 40.0
    extreme_bradycardia_beats: int = 5
    rate_tolerance: float = 0.05  # of a rate, within which a limit counts as reached
    pause_s: float = 2.0
    pause_ratio: float = 1.8  # times the usual RR interval
    tachycardia_per_minute: float = 120.0
    bradycardia_per_minute: float = 50.0
    rate_beats: int = 8
    irregular_beats: int = 64
    clear_s: float = 5.0  # an alarm ends so long after its condition
