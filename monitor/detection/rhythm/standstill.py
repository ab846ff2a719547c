"""Asystole: no QRS complex for four seconds, in a signal in which one would be seen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from monitor.detection.rhythm.life_cycle import Condition
from monitor.detection.rhythm.limits import RhythmLimits
from monitor.detection.rhythm.signs import LeadSigns, PulseSigns

TRANSIT_S = 0.8  # a pulse may come so long after its QRS complex
FEWEST_PULSES = 2  # one may be the last beat's, or an artefact
KEPT_PULSES = 24
USUAL_PULSES = 10  # before: whose intervals say whether the wave is to be trusted
FEWEST_USUAL = 5
NEAR = 0.35  # of the median interval: a regular one
REGULAR_SHARE = 0.7  # of the intervals


class PulsesState(msgspec.Struct, frozen=True):
    """The latest pulses of one wave."""

    pulses: tuple[int, ...] = ()
    readable: bool = False


def follow_pulses(state: PulsesState, signs: PulseSigns) -> PulsesState:
    """Take in what a wave showed."""
    return PulsesState((*state.pulses, *signs.pulses)[-KEPT_PULSES:], signs.readable)


def beats_on(
    waves: Sequence[PulsesState], since_sample: int, sample: int, fs_hz: float
) -> bool:
    """Tell whether a pulse wave shows that the heart has gone on beating since a sample."""
    start = since_sample + round(TRANSIT_S * fs_hz)
    return any(wave.readable and _goes_on(wave.pulses, start, sample) for wave in waves)


def _goes_on(pulses: Sequence[int], start: int, stop: int) -> bool:
    """Tell whether pulses that were regular before `start` have come alike since.

    An artefact makes pulses, too, but not at the intervals of the heart.
    """
    before = [pulse for pulse in pulses if pulse < start][-USUAL_PULSES - 1 :]
    since = [pulse for pulse in pulses if start <= pulse <= stop]
    if len(before) <= FEWEST_USUAL or len(since) < FEWEST_PULSES:
        return False
    intervals = [b - a for a, b in pairwise(before)]
    usual = sorted(intervals)[len(intervals) // 2]
    near = [abs(interval - usual) <= NEAR * usual for interval in intervals]
    alike = [abs(b - a - usual) <= NEAR * usual for a, b in pairwise(since)]
    enough = len(since) >= (stop - start) / usual / 2
    return enough and _share(near) >= REGULAR_SHARE and _share(alike) >= REGULAR_SHARE


def _share(marks: Sequence[bool]) -> float:
    return sum(marks) / len(marks)


def asystole(
    leads: Sequence[LeadSigns],
    waves: Sequence[PulsesState],
    limits: RhythmLimits,
    sample: int,
    fs_hz: float,
) -> Condition:
    """Tell whether every readable lead has been quiet for long, and no pulse wave denies it."""
    quiet = [lead.quiet_s for lead in leads if lead.readable]
    if not quiet or min(quiet) < limits.asystole_s:
        return Condition(False)
    since = sample - round(min(quiet) * fs_hz)
    return Condition(not beats_on(waves, since, sample, fs_hz), since)
