"""From a record's samples to the moments that the named alarms are decided on.

As the stages do it: the leads have R peaks in common, and `segmenter` returns the signs of hops.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.detection.rhythm.moments import WatchState, hops, moment
from monitor.detection.rhythm.signs import RhythmMoment
from segmenter.beat import BeatSpec
from segmenter.stream import Segmenter

CHUNK_S = 10.0  # of signal that is segmented at once; the result does not depend on it


def moments(
    leads: NDArray[np.float32], waves: NDArray[np.float32] | None, fs_hz: float
) -> Iterator[RhythmMoment]:
    """Yield the moments of a record, in order.

    Parameters
    ----------
    leads : np.ndarray, shape (leads, n), float32
        mV.
    waves : np.ndarray, shape (waves, n), float32, optional
        Pulse waves, in whatever unit.
    """
    signals = leads if waves is None else np.concatenate([leads, waves])
    n_waves = len(signals) - len(leads)
    segmenter = Segmenter(fs_hz, BeatSpec(), len(leads), n_waves, measure_signs=True)
    state, chunk = WatchState(), round(CHUNK_S * fs_hz)
    for start in range(0, signals.shape[1], chunk):
        for hop in hops(segmenter.update(signals[:, start : start + chunk]).signs):
            state, now = moment(state, hop, fs_hz)
            yield now


def without_waves(now: RhythmMoment) -> RhythmMoment:
    """Return a moment without its pulse waves."""
    return msgspec.structs.replace(now, waves=())
