"""From a record's samples to the moments that the named alarms are decided on.

Each ECG lead is segmented on its own, and each has beats of its own: `RhythmMoment.series` holds
one series a lead. Once leads have R peaks in common there is one; nothing else here or in the
rules depends on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.detection.rhythm.lead_watch import LeadWatchState, is_loose, watch_lead
from monitor.detection.rhythm.signs import Beat, LeadSigns, PulseSigns, RhythmMoment
from monitor.detection.rhythm.ventricular_shape import log_odds
from segmenter.beat import UNJUDGEABLE, BeatSpec
from segmenter.hops import HOP_S
from segmenter.oscillation import SignalWindow, measure, signal_windows
from segmenter.pulse_wave import PulseDetector, PulseHop
from segmenter.qrs_shape import QrsShape
from segmenter.signs import Signs, joined_signs
from segmenter.stream import Segmenter

CHUNK_S = 10.0  # of signal that is segmented at once; the result does not depend on it
USUAL_BEATS = 64  # a run of 30 beats does not become usual
SAME_BEAT_S = 0.15  # two leads' R peaks of one beat lie closer (EC57's match window)


@dataclass(frozen=True)
class LeadFindings:
    """All that was found in one lead, with the samples at which it was known."""

    windows: list[SignalWindow]
    r_samples: NDArray[np.int64]
    rr_ms: NDArray[np.float64]
    rr_after_ms: NDArray[np.float64]
    judgeable: NDArray[np.bool_]
    known: NDArray[np.int64]
    shapes: dict[int, QrsShape]  # by R peak


@dataclass(frozen=True)
class RecordFindings:
    """All that was found in a record's ECG leads and pulse waves."""

    fs_hz: float
    leads: list[LeadFindings]
    waves: list[list[PulseHop]]


def find_in_lead(samples: NDArray[np.float32], fs_hz: float) -> LeadFindings:
    """Segment one lead and measure it, shape (n,), mV."""
    segmenter = Segmenter(fs_hz, BeatSpec(), measure_signs=True)
    chunk = round(CHUNK_S * fs_hz)
    found = [segmenter.update(samples[k : k + chunk]) for k in range(0, len(samples), chunk)]
    signs = joined_signs([one.signs for one in found])
    complexes, shapes = signs.complexes, signs.shapes[:, 0]
    r_samples = complexes["r_sample"]
    whole = np.isfinite(shapes["width_ms"])
    return LeadFindings(
        windows=_of_every_hop(signs, round(HOP_S * fs_hz), len(samples)),
        r_samples=r_samples,
        rr_ms=complexes["rr_before_ms"].astype(np.float64),
        rr_after_ms=complexes["rr_after_ms"].astype(np.float64),
        judgeable=(complexes["quality"] & int(UNJUDGEABLE)) == 0,
        known=complexes["end_sample"],
        shapes=dict(
            zip(r_samples[whole].tolist(), map(QrsShape._make, shapes[whole].tolist()), strict=True)
        ),
    )


def _of_every_hop(signs: Signs, hop: int, n_samples: int) -> list[SignalWindow]:
    """Return the windows of a lead's hops, unknown where they were left out in a long gap."""
    found = signal_windows(signs.end_sample, signs.windows[:, 0])
    by_end = {window.end_sample: window for window in found}
    nothing = np.full(1, np.nan, np.float32)
    return [by_end.get(end) or measure(end, nothing) for end in range(hop, n_samples + 1, hop)]


def find_in_wave(samples: NDArray[np.float32], fs_hz: float) -> list[PulseHop]:
    """Find the pulses of one wave."""
    return PulseDetector(fs_hz).update(samples)


def moments(found: RecordFindings) -> Iterator[RhythmMoment]:
    """Yield the moments of a record, in order."""
    fs_hz = found.fs_hz
    series = [_beats(k, found) for k in range(len(found.leads))]
    states = [LeadWatchState() for _ in found.leads]
    n = len(found.leads[0].windows) if found.leads else 0
    done = [0] * len(series)
    for k in range(n):
        sample = found.leads[0].windows[k].end_sample
        signs: list[LeadSigns] = []
        for i, lead in enumerate(found.leads):
            states[i], sign = watch_lead(states[i], lead.windows[k], fs_hz)
            signs.append(sign)
        loose = any(is_loose(state, sample, fs_hz) for state in states)
        new = []
        for i, (lead, beats) in enumerate(zip(found.leads, series, strict=True)):
            stop = int(np.searchsorted(lead.known, sample, side="right"))
            new.append(tuple(beats[done[i] : stop]))
            done[i] = stop
        yield RhythmMoment(
            sample,
            tuple(new),
            tuple(_unless_loose(sign, loose) for sign in signs),
            tuple(PulseSigns(wave[k].readable, wave[k].pulses) for wave in found.waves),
        )


def _unless_loose(signs: LeadSigns, loose: bool) -> LeadSigns:
    """Leads share electrodes: where one came off, the quiet of the others proves nothing."""
    if not loose:
        return signs
    return LeadSigns(
        signs.readable, 0.0, signs.leakage, signs.far_share, signs.dominant_hz, signs.height_mv
    )


def _beats(own: int, found: RecordFindings) -> list[Beat]:
    """Return the beats of one lead, with what all leads say of their shapes."""
    lead = found.leads[own]
    usual = _usual_rr_ms(lead.rr_ms)
    odds = [_log_odds(one) for one in found.leads]
    r_of = [np.array(sorted(each), np.int64) for each in odds]
    reach = SAME_BEAT_S * found.fs_hz
    beats = []
    for k, r_sample in enumerate(lead.r_samples.tolist()):
        own_shape = lead.shapes.get(r_sample)
        said = [odds[own].get(r_sample)]
        for i, at in enumerate(r_of):
            if i != own:
                said += [odds[i][int(r)] for r in at[np.abs(at - r_sample) <= reach][:1]]
        known = [value for value in said if value is not None]
        rr_ms, rr_after_ms = _known(lead.rr_ms[k]), _known(lead.rr_after_ms[k])
        usual_ms = usual[k]
        beats.append(
            Beat(
                r_sample=r_sample,
                rr_ms=rr_ms,
                rr_after_ms=rr_after_ms,
                judgeable=bool(lead.judgeable[k]),
                rr_over_usual=1.0 if rr_ms is None or usual_ms is None else rr_ms / usual_ms,
                ventricular=sum(known) / len(known) if known else None,
                like_last=None if own_shape is None else own_shape.like_last,
                height_ratio=1.0 if own_shape is None else own_shape.height_ratio,
            )
        )
    return beats


def _known(value: float) -> float | None:
    return float(value) if value == value else None  # NaN


def _usual_rr_ms(rr_ms: NDArray[np.float64]) -> list[float | None]:
    """Return the usual RR interval before each beat: the median of the last; None for none."""
    latest: deque[float] = deque(maxlen=USUAL_BEATS)
    usual: list[float | None] = []
    for rr in rr_ms.tolist():
        usual.append(sorted(latest)[len(latest) // 2] if latest else None)
        if rr == rr:
            latest.append(rr)
    return usual


def _log_odds(lead: LeadFindings) -> dict[int, float | None]:
    """Return the evidence of each beat's shape in a lead, by R peak."""
    return {r_sample: log_odds(shape) for r_sample, shape in lead.shapes.items()}


def findings(
    leads: Sequence[NDArray[np.float32]], waves: Sequence[NDArray[np.float32]], fs_hz: float
) -> RecordFindings:
    """Find all that the named alarms need in a record's signals."""
    return RecordFindings(
        fs_hz,
        [find_in_lead(samples, fs_hz) for samples in leads],
        [find_in_wave(samples, fs_hz) for samples in waves],
    )
