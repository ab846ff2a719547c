"""How quiet a lead is beside the patient's own QRS complexes, and whether it can be read: a step.

Asystole is called where a detector misses QRS complexes, and missed where it takes noise, P waves
or pacing spikes for them. This view has no beats: it compares the energy in the QRS band with what
is usual in this lead of this patient.
"""

from __future__ import annotations

import msgspec

from monitor.detection.rhythm.signs import LeadSigns
from segmenter.hops import HOP_S, WINDOW_S
from segmenter.signs import QRS_DELAY_S, SignalWindow

QUIET = 0.25  # of the usual QRS complexes; P waves reach .07 in the QRS band (segmenter/qrs.py)
USUAL_EVERY_HOPS = 8  # a value for each window of 4 s
USUAL_KEPT = 45  # values: three minutes
BEATS_S = 2.25  # a window that was quiet for no longer holds beats
FEWEST_USUAL = 5  # values before anything is usual: 20 s
MOST_MISSING = 0.2  # of a window's samples
MOST_STILL = 0.3  # of a window's steps: a lead that came off is constant, a heart at rest is not
NOISE = 0.2  # muscle share: .1 % of the windows of MIT-BIH reach it; muscles have .3 and more
LOUD_S = 1.0  # what was quiet for so long is not noise but what is left where there is no signal
LOOSE_S = 15.0  # so long after an electrode came off, what is quiet may hang on it


class LeadWatchState(msgspec.Struct, frozen=True):
    """All that is remembered of one lead."""

    hops: int = 0
    usual_mv: tuple[float, ...] = ()  # highest of the QRS band in windows with beats
    loud_sample: int = -1  # the last at which the QRS band was as high as a complex
    still: bool = False
    loose_sample: int = -1  # where it last became still


def watch_lead(
    state: LeadWatchState, window: SignalWindow, fs_hz: float
) -> tuple[LeadWatchState, LeadSigns]:
    """Take the next window of a lead; return what it shows."""
    end = window.end_sample
    still = window.still > MOST_STILL or window.missing > MOST_MISSING
    loose = end if still and not state.still and state.usual_mv else state.loose_sample
    level = sorted(state.usual_mv)[len(state.usual_mv) // 2] if state.usual_mv else 0.0
    if not still and state.loud_sample - loose > round(WINDOW_S * fs_hz):
        loose = -1  # it holds again: complexes have been seen since
    known = len(state.usual_mv) >= FEWEST_USUAL
    loud = state.loud_sample
    width = round(HOP_S * fs_hz / len(window.qrs_mv))
    quiet = QUIET * level
    for k, height in enumerate(reversed(window.qrs_mv)):
        if not height < quiet:  # NaN is no silence
            loud = end - round(QRS_DELAY_S * fs_hz) - k * width
            break
    if not known:
        loud = end
    quiet_s = max(0, end - loud) / fs_hz
    usual = state.usual_mv
    if state.hops % USUAL_EVERY_HOPS == 0 and not still and (not known or quiet_s < BEATS_S):
        usual = (*usual, window.qrs_highest_mv)[-USUAL_KEPT:]
    signs = LeadSigns(
        readable=not still,
        quiet_s=0.0 if still else quiet_s,
        leakage=window.leakage,
        far_share=window.far_share,
        dominant_hz=window.dominant_hz,
        height_mv=window.height_mv,
        noisy=window.muscle_share > NOISE and quiet_s < LOUD_S,
    )
    return LeadWatchState(state.hops + 1, usual, loud, still, loose), signs


def is_loose(state: LeadWatchState, sample: int, fs_hz: float) -> bool:
    """Tell whether an electrode of this lead came off a short while ago."""
    return state.loose_sample >= 0 and sample - state.loose_sample <= LOOSE_S * fs_hz
