"""Pulse waves as witnesses: has the heart gone on, and has its rhythm changed at all? Pure.

What a plethysmogram or an arterial pressure shows is mechanical: noise in the ECG leaves it as it
was, and a heart that stands still makes no pulses. A witness says nothing where its own pulses
were not regular before.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from monitor.detection.rhythm.signs import PulseSigns

TRANSIT_S = 0.8  # a pulse may come so long after its QRS complex
WITNESS_S = 4.0  # what came before says nothing of now
FEWEST_PULSES = 2  # one may be the last beat's, or an artefact
KEPT_PULSES = 24
USUAL_PULSES = 10  # before: whose intervals say whether the wave is to be trusted
FEWEST_USUAL = 5
NEAR = 0.35  # of the median interval: a regular one
REGULAR_SHARE = 0.7  # of the intervals
STEADY_S = 10.0
FEWEST_STEADY = 8  # pulses in it: 48 a minute
EVEN = 0.15  # of the median interval; breathing changes intervals by less
LATE_S = 0.75  # a hop, and as long as no higher rise may follow


class PulsesState(msgspec.Struct, frozen=True):
    """The latest pulses of one wave."""

    pulses: tuple[int, ...] = ()
    readable: bool = False


def follow_pulses(state: PulsesState, signs: PulseSigns) -> PulsesState:
    """Take in what a wave showed."""
    return PulsesState((*state.pulses, *signs.pulses)[-KEPT_PULSES:], signs.readable)


def beats_on(waves: Sequence[PulsesState], since_sample: int, sample: int, fs_hz: float) -> bool:
    """Tell whether a pulse wave shows that the heart has gone on beating since a sample."""
    start = max(since_sample + round(TRANSIT_S * fs_hz), sample - round(WITNESS_S * fs_hz))
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


def is_steady(waves: Sequence[PulsesState], sample: int, fs_hz: float) -> bool:
    """Tell whether a wave's pulses of the last ten seconds are as even as a clock's.

    A ventricular tachycardia that begins is early, so that the pulses change: in rate, in height,
    or they fail.
    """
    return any(wave.readable and _is_even(wave.pulses, sample, fs_hz) for wave in waves)


def _is_even(pulses: Sequence[int], sample: int, fs_hz: float) -> bool:
    start = sample - round(STEADY_S * fs_hz)
    recent = [pulse for pulse in pulses if start < pulse <= sample]
    if len(recent) < FEWEST_STEADY:
        return False
    intervals = [b - a for a, b in pairwise(recent)]
    usual = sorted(intervals)[len(intervals) // 2]
    known = round(LATE_S * fs_hz)  # a pulse is known so long after it
    whole = recent[0] - start < 1.5 * usual and sample - recent[-1] < 1.5 * usual + known
    return whole and all(abs(one - usual) <= EVEN * usual for one in intervals)
