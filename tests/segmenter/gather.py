"""Runs a segmenter over a signal in pieces and joins what it gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmenter.beat import Beats, BeatSpec, joined_beats
from segmenter.signs import Signs, joined_signs
from segmenter.stream import Segmented, Segmenter
from segmenter.tracker import SignalEvent


@dataclass
class Whole:
    """Everything a segmenter said of a stream."""

    beats: Beats
    events: list[SignalEvent]
    r_samples: NDArray[np.int64]
    seconds: NDArray[np.int64]
    seconds_quality: NDArray[np.uint16]
    signs: Signs

    def same_as(self, other: Whole) -> bool:
        """Tell whether two are equal to the bit."""
        arrays = [
            (self.r_samples, other.r_samples),
            (self.seconds, other.seconds),
            (self.seconds_quality, other.seconds_quality),
            *((getattr(self.beats, n), getattr(other.beats, n)) for n in vars(self.beats)),
            *((getattr(self.signs, n), getattr(other.signs, n)) for n in vars(self.signs)),
        ]
        return self.events == other.events and all(
            a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
            for a, b in arrays
        )


def gather(outputs: Iterable[Segmented], length: int = 140, leads: int = 1) -> Whole:
    """Join the outputs of many updates."""
    said = list(outputs)
    return Whole(
        joined_beats([s.beats for s in said], length, leads),
        [event for s in said for event in s.events],
        np.concatenate([s.r_samples for s in said]),
        np.concatenate([s.seconds for s in said]),
        np.concatenate([s.seconds_quality for s in said]),
        joined_signs([s.signs for s in said], leads),
    )


def segment(
    signal: NDArray[np.floating],
    fs_hz: float,
    cuts: Iterable[int] = (),
    spec: BeatSpec | None = None,
) -> Whole:
    """Segment a whole signal, shape (n,) or (leads, n), cut at the given samples."""
    spec = spec or BeatSpec()
    leads = np.atleast_2d(signal)
    segmenter = Segmenter(fs_hz, spec, len(leads), measure_signs=True)
    said = [segmenter.update(piece) for piece in np.split(leads, sorted(cuts), axis=1)]
    return gather([*said, segmenter.flush()], spec.length, len(leads))
