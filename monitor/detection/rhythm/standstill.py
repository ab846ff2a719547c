"""Asystole: no QRS complex for four seconds, in a signal in which one would be seen. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.alarm_limits import RhythmLimits
from monitor.detection.rhythm.life_cycle import ABSENT, Condition
from monitor.detection.rhythm.pulses import PulsesState, beats_on
from monitor.detection.rhythm.signs import LeadSigns


def asystole(
    leads: Sequence[LeadSigns],
    waves: Sequence[PulsesState],
    limits: RhythmLimits,
    sample: int,
    fs_hz: float,
) -> Condition:
    """Tell whether all leads that are heard have long been quiet, and no pulse wave denies it."""
    quiet = [lead.quiet_s for lead in leads]
    if not quiet or min(quiet) < limits.asystole_s:
        return ABSENT
    since = sample - round(min(quiet) * fs_hz)
    return Condition(not beats_on(waves, since, sample, fs_hz), since)
