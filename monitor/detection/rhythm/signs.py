"""What the named alarms are decided on: beats, signs of each lead, pulses; plain values.

Every half second of signal makes one `RhythmMoment`. Nothing here knows where it comes from: a
record of any leads, or a table in a test.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Beat(msgspec.Struct, frozen=True):
    """One beat, as far as its rhythm goes.

    Attributes
    ----------
    r_sample : int
        From the record's start.
    rr_ms : float or None
        To the beat before; None where there is none, or the signal between could not be read.
    rr_after_ms : float or None
        To the beat after, whose R peak is known though the beat is still open; None where there
        is none.
    judgeable : bool
        Whether its signal was good.
    rr_over_usual : float
        The interval before it over the patient's usual one: below 1 it is early; 1 where unknown.
    ventricular : float or None
        Evidence of its shape that it is ventricular, log odds, over all leads: above 0 it rather
        is. None where unknown.
    like_last : float or None
        Correlation of its shape with that of the beat before; None where unknown.
    height_ratio : float
        Its height over that of the patient's usual beats.
    lead_heights : tuple of float or None
        The same of each lead; None where unknown.
    correlation : float
        Of its shape with that of the patient's usual beats; 0.5 where unknown.
    good_share : float
        Of the leads, those whose signal was good; 1 where unknown.
    tonal_share : float
        How far the last four seconds are an oscillation: see `segmenter.oscillation`. Mean over
        the leads, at the moment at which the beat became known; 0.5 where unknown.
    """

    r_sample: int
    rr_ms: float | None = None
    rr_after_ms: float | None = None
    judgeable: bool = True
    rr_over_usual: float = 1.0
    ventricular: float | None = None
    like_last: float | None = None
    height_ratio: float = 1.0
    lead_heights: tuple[float | None, ...] = ()
    correlation: float = 0.5
    good_share: float = 1.0
    tonal_share: float = 0.5


class LeadSigns(msgspec.Struct, frozen=True):
    """What one lead's signal shows at a moment, without beats.

    Attributes
    ----------
    readable : bool
        Whether it is there, moves, and its electrodes hold.
    quiet_s : float
        How long nothing as high as a QRS complex of this patient was seen; 0 where unknown.
    leakage, far_share, dominant_hz : float
        Of the last four seconds: see `segmenter.oscillation`.
    height_mv : float
        Highest over lowest of the last four seconds.
    noisy : bool
        Whether the noise of muscles covers what it shows: see `heard`.
    """

    readable: bool
    quiet_s: float = 0.0
    leakage: float = 1.0
    far_share: float = 0.0
    dominant_hz: float = 0.0
    height_mv: float = 0.0
    noisy: bool = False


def heard(leads: Sequence[LeadSigns]) -> list[LeadSigns]:
    """Return the leads that are asked: those that can be read, without the noisy ones of them.

    Noise is as loud as QRS complexes and has no period, so it would deny a silence or a
    fibrillation that another lead shows. Where every lead is noisy, all are asked, and deny it.
    """
    readable = [lead for lead in leads if lead.readable]
    return [lead for lead in readable if not lead.noisy] or readable


class PulseSigns(msgspec.Struct, frozen=True):
    """What one pulse wave shows at a moment.

    Attributes
    ----------
    readable : bool
        Whether the wave has shown pulses as long as it was read, and moves.
    pulses : tuple of int
        Samples of the pulses that became known.
    """

    readable: bool
    pulses: tuple[int, ...] = ()


class RhythmMoment(msgspec.Struct, frozen=True):
    """Half a second of one patient.

    Attributes
    ----------
    sample : int
        Up to which the signal was seen.
    beats : tuple of Beat
        Those that became known: the leads have R peaks in common.
    leads : tuple of LeadSigns
    waves : tuple of PulseSigns
    """

    sample: int
    beats: tuple[Beat, ...] = ()
    leads: tuple[LeadSigns, ...] = ()
    waves: tuple[PulseSigns, ...] = ()
