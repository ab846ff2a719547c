"""Ventricular fibrillation and flutter: an oscillating waveform instead of QRS complexes. Pure.

The limits of the leakage are those of Kuo and Dillman (1978): .406 where the wave is as high as QRS
complexes, .625 else; see Amann, Tratnig, Unterkofler 2005.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.detection.rhythm.life_cycle import ABSENT, Condition
from monitor.detection.rhythm.pulses import PulsesState, beats_on
from monitor.detection.rhythm.signs import LeadSigns
from segmenter.hops import WINDOW_S

CLEAR_LEAKAGE = 0.406  # of a lead that oscillates
OTHER_LEAKAGE = 0.625  # of one that shows no QRS complexes: Kuo, Dillman 1978
FAR_SHARE = 0.48  # of the samples far from the baseline (Arafat 2011)
SLOWEST_HZ = 3.0  # 180 a minute: slower is a tachycardia of wide complexes
LEAST_MV = 0.1  # of coarse fibrillation


def fibrillation(
    leads: Sequence[LeadSigns],
    waves: Sequence[PulsesState],
    sample: int,
    fs_hz: float,
) -> Condition:
    """Tell whether one of the leads that are heard oscillates, and none shows QRS complexes."""
    oscillates = False
    for lead in leads:
        if lead.height_mv >= LEAST_MV:
            if not _has_no_complexes(lead):
                return ABSENT  # nearly always
            oscillates = oscillates or _oscillates(lead)
    if not oscillates:
        return ABSENT
    since = sample - round(WINDOW_S * fs_hz)
    return Condition(not beats_on(waves, since, sample, fs_hz), since)


def _oscillates(lead: LeadSigns) -> bool:
    return (
        lead.leakage < CLEAR_LEAKAGE
        and lead.far_share > FAR_SHARE
        and lead.dominant_hz >= SLOWEST_HZ
    )


def _has_no_complexes(lead: LeadSigns) -> bool:
    return lead.leakage < OTHER_LEAKAGE and lead.far_share > FAR_SHARE
