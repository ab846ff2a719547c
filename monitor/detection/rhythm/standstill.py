"""Asystole: no QRS complex for four seconds, in a signal in which one would be seen. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from monitor.detection.rhythm.life_cycle import Condition
from monitor.detection.rhythm.limits import RhythmLimits
from monitor.detection.rhythm.signs import LeadSigns, PulseSigns

WITNESS_S = 4.0  # a heart that beat within it is not at rest
TRANSIT_S = 0.8  # a pulse may come so long after its QRS complex
FEWEST_PULSES = 2  # one may be the last beat's, or an artefact


class PulsesState(msgspec.Struct, frozen=True):
    """The latest pulses of one wave."""

    pulses: tuple[int, ...] = ()
    readable: bool = False


def follow_pulses(state: PulsesState, signs: PulseSigns) -> PulsesState:
    """Take in what a wave showed."""
    return PulsesState((*state.pulses, *signs.pulses)[-20:], signs.readable)


def beats_on(
    waves: Sequence[PulsesState], since_sample: int, sample: int, fs_hz: float
) -> bool:
    """Tell whether a pulse wave shows that the heart has gone on beating since a sample."""
    start = since_sample + round(TRANSIT_S * fs_hz)
    return any(
        wave.readable and sum(start <= pulse <= sample for pulse in wave.pulses) >= FEWEST_PULSES
        for wave in waves
    )


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
