"""The ten beats on either side of an alert, kept with it: pure, one state a patient.

What is kept are the beats as the model saw them (cut, standardised); the samples themselves stay
with their source.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

BEATS_AROUND = 10  # on either side of an alerted beat: about eight seconds


class KeptBeat(msgspec.Struct, frozen=True):
    """One beat beside an alert, or the alerted one: a loss, a threshold and a cut beat a lead."""

    patient: str
    sample: int  # R peak, from the record's start
    leads: tuple[str, ...]
    losses: tuple[float | None, ...]  # none where a lead gave none
    thresholds: tuple[float, ...]  # NaN of a lead that is not judged
    values: bytes  # float32, little-endian, standardised, lead after lead
    # Of all leads, what is held against 1; none without a verdict, and in journals of before.
    score: float | None = None
    weighed: bool = False  # by evidence; otherwise the losses were, with the beat's time

    def in_lead(self, name: str) -> LeadBeat:
        """Return what one lead showed; the first lead where there is none of that name."""
        lead = self.leads.index(name) if name in self.leads else 0
        size = len(self.values) // len(self.leads)
        values = self.values[lead * size : (lead + 1) * size]
        of_lead = self.losses[lead], self.thresholds[lead], values
        return LeadBeat(self.sample, *of_lead, self.score, self.weighed)


class LeadBeat(NamedTuple):
    """A kept beat in one lead."""

    sample: int
    loss: float | None
    threshold: float
    values: bytes  # float32, little-endian, standardised
    score: float | None = None  # as of the kept beat
    weighed: bool = False


class AlertContext(msgspec.Struct, frozen=True):
    """The newest beats that are not kept yet, and how many of the next ones will be."""

    recent: tuple[KeptBeat, ...] = ()
    owed: int = 0


def take_beat(
    context: AlertContext, beat: KeptBeat, *, alerted: bool
) -> tuple[AlertContext, tuple[KeptBeat, ...]]:
    """Take one beat in; the second value is what is to be kept now, oldest first."""
    if alerted:
        return AlertContext((), BEATS_AROUND), (*context.recent, beat)
    if context.owed:
        return AlertContext((), context.owed - 1), (beat,)
    return AlertContext((*context.recent, beat)[-BEATS_AROUND:], 0), ()
