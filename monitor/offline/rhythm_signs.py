"""From a record's samples to the moments that the named alarms are decided on.

As the stages do it: the leads have R peaks in common, and `segmenter` returns the signs of hops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.detection.rhythm.moments import Hop, WatchState, hops, moment
from monitor.detection.rhythm.signs import PulseSigns, RhythmMoment
from segmenter.beat import BeatSpec
from segmenter.hops import HOP_S
from segmenter.pulse_wave import PulseDetector, PulseHop
from segmenter.stream import Segmenter

CHUNK_S = 10.0  # of signal that is segmented at once; the result does not depend on it


@dataclass(frozen=True)
class RecordFindings:
    """All that was found in a record's ECG leads and pulse waves."""

    fs_hz: float
    hops: list[Hop]
    waves: list[list[PulseHop]]


def findings(
    leads: NDArray[np.float32], waves: NDArray[np.float32] | None, fs_hz: float
) -> RecordFindings:
    """Find all that the named alarms need in a record's signals.

    Parameters
    ----------
    leads : np.ndarray, shape (leads, n), float32
        mV.
    waves : np.ndarray, shape (waves, n), float32, optional
        Pulse waves, in whatever unit.
    """
    segmenter = Segmenter(fs_hz, BeatSpec(), len(leads), measure_signs=True)
    chunk = round(CHUNK_S * fs_hz)
    found: list[Hop] = []
    for start in range(0, leads.shape[1], chunk):
        found += hops(segmenter.update(leads[:, start : start + chunk]).signs)
    detected = [PulseDetector(fs_hz).update(wave) for wave in (() if waves is None else waves)]
    return RecordFindings(fs_hz, found, detected)


def moments(found: RecordFindings) -> Iterator[RhythmMoment]:
    """Yield the moments of a record, in order."""
    hop_samples = round(HOP_S * found.fs_hz)
    state = WatchState()
    for hop in found.hops:
        waves = [wave[hop.end_sample // hop_samples - 1] for wave in found.waves]
        hop = hop._replace(waves=tuple(PulseSigns(one.readable, one.pulses) for one in waves))
        state, now = moment(state, hop, found.fs_hz)
        yield now


def without_waves(now: RhythmMoment) -> RhythmMoment:
    """Return a moment without its pulse waves."""
    return msgspec.structs.replace(now, waves=())
