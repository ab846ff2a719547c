"""From the signs of a patient's signal to the moments that the rules are decided on. Pure.

The leads have R peaks in common, so a patient has one series of beats. What a complex looks like is
the mean of what the leads show of it; a lead whose signal is not whole there has no part in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from monitor.detection.rhythm.lead_watch import LeadWatchState, is_loose, watch_lead
from monitor.detection.rhythm.signs import Beat, LeadSigns, PulseSigns, RhythmMoment
from monitor.detection.rhythm.ventricular_shape import log_odds
from segmenter.beat import UNJUDGEABLE
from segmenter.qrs_shape import QrsShape
from segmenter.signs import SignalWindow, Signs

USUAL_BEATS = 64  # a run of 30 beats does not become usual
UNKNOWN = 0.5  # a share of which nothing is known
_UNJUDGEABLE = int(UNJUDGEABLE)  # an IntFlag takes a microsecond to combine


class ShownComplex(NamedTuple):
    """One QRS complex, and what each lead shows of it; None of one whose signal is not whole."""

    r_sample: int
    rr_ms: float | None
    rr_after_ms: float | None
    judgeable: bool
    shapes: tuple[QrsShape | None, ...]
    good_share: float = 1.0  # of the leads, those whose signal was good


class Hop(NamedTuple):
    """Half a second of one patient: its windows, and the complexes and pulses known by its end."""

    end_sample: int
    windows: Sequence[SignalWindow]
    complexes: Sequence[ShownComplex] = ()
    waves: tuple[PulseSigns, ...] = ()


class WatchState(msgspec.Struct, frozen=True):
    """What is remembered of a patient's signal, beside what the rules remember.

    Attributes
    ----------
    leads : tuple of LeadWatchState
    rr_ms : tuple of float
        The latest RR intervals.
    """

    leads: tuple[LeadWatchState, ...] = ()
    rr_ms: tuple[float, ...] = ()


def hops(signs: Signs) -> Iterator[Hop]:
    """Yield the hops of signs, in order; numbers are taken out of the arrays once."""
    n_waves = signs.readable.shape[1]
    complexes: dict[int, list[ShownComplex]] = {}
    if len(signs.complexes):
        complexes = _by_hop(_complexes(signs), signs.complexes["end_sample"].tolist())
    waves: list[tuple[PulseSigns, ...]] = [()] * len(signs)
    if n_waves:
        waves = _waves(signs, n_waves)
    rows = zip(signs.end_sample.tolist(), signs.windows.tolist(), waves, strict=True)
    for end, windows, of_waves in rows:
        yield Hop(end, [_window(end, row) for row in windows], complexes.get(end, ()), of_waves)


def _waves(signs: Signs, n_waves: int) -> list[tuple[PulseSigns, ...]]:
    """Return what the pulse waves show in each hop."""
    pulses = _by_hop(signs.pulses.tolist(), signs.pulses["end_sample"].tolist())
    return [
        tuple(
            PulseSigns(readable[wave], tuple(p[1] for p in pulses.get(end, ()) if p[2] == wave))
            for wave in range(n_waves)
        )
        for end, readable in zip(signs.end_sample.tolist(), signs.readable.tolist(), strict=True)
    ]


def moment(state: WatchState, hop: Hop, fs_hz: float) -> tuple[WatchState, RhythmMoment]:
    """Take half a second of a patient's signal; return what the rules are to be asked with."""
    leads, signs = watched(state.leads, hop.windows, fs_hz)
    rr_ms = state.rr_ms
    beats = []
    tonal = [row.tonal_share for row in hop.windows if row.tonal_share == row.tonal_share]
    tonal_share = _mean(tonal) if tonal else UNKNOWN
    for one in hop.complexes:
        beats.append(_beat(one, usual_ms(rr_ms), tonal_share))
        if one.rr_ms is not None:
            rr_ms = (*rr_ms[1 - USUAL_BEATS :], one.rr_ms)
    return WatchState(leads, rr_ms), RhythmMoment(hop.end_sample, tuple(beats), signs, hop.waves)


def watched(
    states: Sequence[LeadWatchState], windows: Sequence[SignalWindow], fs_hz: float
) -> tuple[tuple[LeadWatchState, ...], tuple[LeadSigns, ...]]:
    """Watch the windows of all leads that end at one sample.

    Leads share electrodes: where one came off, the quiet of the others proves nothing.
    """
    known = states if len(states) == len(windows) else [LeadWatchState()] * len(windows)
    pairs = [watch_lead(one, row, fs_hz) for one, row in zip(known, windows, strict=True)]
    after = tuple([state for state, _ in pairs])
    if not any(is_loose(one, windows[0].end_sample, fs_hz) for one in after):
        return after, tuple([signs for _, signs in pairs])
    return after, tuple(msgspec.structs.replace(signs, quiet_s=0.0) for _, signs in pairs)


def usual_ms(rr_ms: Sequence[float]) -> float | None:
    """Return the usual RR interval: the median of the latest; None before the first."""
    return sorted(rr_ms)[len(rr_ms) // 2] if rr_ms else None


def _beat(one: ShownComplex, usual: float | None, tonal_share: float) -> Beat:
    shapes = [shape for shape in one.shapes if shape is not None]
    odds = [value for value in map(log_odds, shapes) if value is not None]
    return Beat(
        r_sample=one.r_sample,
        rr_ms=one.rr_ms,
        rr_after_ms=one.rr_after_ms,
        judgeable=one.judgeable,
        rr_over_usual=1.0 if one.rr_ms is None or usual is None else one.rr_ms / usual,
        ventricular=_mean(odds) if odds else None,
        like_last=_mean([shape.like_last for shape in shapes]) if shapes else None,
        height_ratio=_mean([shape.height_ratio for shape in shapes]) if shapes else 1.0,
        lead_heights=tuple([None if shape is None else shape.height_ratio for shape in one.shapes]),
        correlation=_mean([shape.correlation for shape in shapes]) if shapes else UNKNOWN,
        good_share=one.good_share,
        tonal_share=tonal_share,
    )


def _complexes(signs: Signs) -> Iterator[ShownComplex]:
    rows = zip(signs.complexes.tolist(), signs.shapes.tolist(), strict=True)
    for (_, r_sample, rr_ms, rr_after_ms, quality, good_leads), shapes in rows:
        yield ShownComplex(
            r_sample,
            _known(rr_ms),
            _known(rr_after_ms),
            not quality & _UNJUDGEABLE,
            tuple([QrsShape(*row) if row[0] == row[0] else None for row in shapes]),
            good_leads.bit_count() / len(shapes),
        )


def _by_hop(rows: Iterable[Any], ends: Sequence[int]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for end, row in zip(ends, rows, strict=True):
        found.setdefault(end, []).append(row)
    return found


def _window(end: int, row: tuple[Any, ...]) -> SignalWindow:
    """Return a row of WINDOW_COLUMNS as a window; its QRS band comes as an array."""
    missing, still, height, highest, mean, qrs, *rest = row
    return SignalWindow(end, missing, still, height, highest, mean, tuple(qrs.tolist()), *rest)


def _known(value: float) -> float | None:
    return value if value == value else None  # NaN


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
