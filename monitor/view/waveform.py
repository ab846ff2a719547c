"""The newest stretch of a patient's signal, as a view keeps it: pure, bounded whatever is sent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from monitor.wire.messages import Wave

WAVE_S = 12.0  # signal kept a patient; the view shows 10 s at most
MAX_WAVE_VALUES = 8192  # the same at 680 Hz; a message may claim any rate
MAX_R_PEAKS = 64  # 12 s at 320 beats a minute
MAX_MILLIVOLTS = 1000.0  # far outside any ECG; keeps float32 arithmetic finite


@dataclass(frozen=True, eq=False)
class Waveform:
    """The newest stretch of a patient's signal.

    Attributes
    ----------
    values : np.ndarray, shape (n,), float32
        Millivolts, oldest first; NaN where the signal is missing.
    fs_hz : float
        Rate of the values.
    first_index : int
        Index of values[0], counted at fs_hz from the record's start.
    r_indices : tuple of int
        R peaks, in the same count.
    """

    values: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    fs_hz: float = 125.0
    first_index: int = 0
    r_indices: tuple[int, ...] = ()

    @property
    def end_index(self) -> int:
        """Index after the newest value."""
        return self.first_index + len(self.values)


def add_wave(ring: Waveform, wave: Wave, record_fs_hz: float) -> Waveform:
    """Append a stretch of signal; what it overlaps is replaced, a hole before it is missing."""
    if ring.fs_hz != wave.fs_hz:
        ring = Waveform(fs_hz=wave.fs_hz)
    per_sample = wave.fs_hz / record_fs_hz
    capacity = min(math.ceil(WAVE_S * wave.fs_hz), MAX_WAVE_VALUES)
    first = round(wave.sample * per_sample)
    if len(ring.values) == 0:
        ring = replace(ring, first_index=first)
    if abs(first - ring.end_index) <= 1:
        first = ring.end_index  # the rounding of the place is no hole
    hole = min(max(first - ring.end_index, 0), capacity)
    # A stretch without values only tells of R peaks.
    kept = ring.values[: max(first - ring.first_index, 0)] if wave.values else ring.values
    missing = np.full(hole if wave.values else 0, np.nan, np.float32)
    values = np.concatenate([kept, missing, finite_values(wave.values)])[-capacity:]
    values.flags.writeable = False
    end = first + len(wave.values) if wave.values else ring.end_index
    first_index = end - len(values)
    peaks = {*ring.r_indices, *(round(sample * per_sample) for sample in wave.r_samples)}
    shown = sorted(i for i in peaks if first_index <= i < first_index + len(values))
    return Waveform(values, wave.fs_hz, first_index, tuple(shown[-MAX_R_PEAKS:]))


def finite_values(values: Sequence[float | None]) -> NDArray[np.float32]:
    """Return float32 with NaN for None, clipped to what float32 can draw."""
    signal = np.array(values, dtype=np.float64)  # None becomes NaN
    return np.clip(signal, -MAX_MILLIVOLTS, MAX_MILLIVOLTS).astype(np.float32)
