"""Pulses in a plethysmogram or an arterial pressure, as a witness beside the ECG.

A pulse is a steep rise. The slope sum function adds the rises of the last 128 ms; its peaks above
a share of the usual ones are pulses. What the wave shows is mechanical: a heart that the ECG's
noise hides still makes pulses, and one that stands still makes none.

Source
------
Zong, Heldt, Moody, Mark: An open-source algorithm to detect onset of arterial blood pressure
pulses. Computers in Cardiology 30 (2003) 259-262. Departures: any unit (the wave is measured
against itself); peaks are sought in windows at fixed places instead of sample by sample; a pulse
must be as long as others (no spike) and its place is that of the steepest rise.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmenter.errors import InvalidState
from segmenter.hops import MAX_POSITION, HopWindows
from segmenter.state import Arrays, listing, pack, real, unpack, whole

MAGIC = b"ecgpuls1"

SLOPE_SUM_S = 0.128
SMOOTH_S = 0.06  # the wave is averaged over it: its rises last longer
DOMINANCE_S = 0.25  # no two pulses closer: 240 a minute
THRESHOLD = 0.4  # of the usual height of the slope sum
GIANT = 3.5  # times the usual: an artefact of movement
FEWEST = 4  # pulses before anything is too high
KEPT = 15  # pulses whose median is the usual height
DECAY = 0.97  # a hop without a pulse: levels follow a fall of the amplitude within half a minute
SPREAD = 3.0  # peaks of the slope sum stand so far above its mean while levels are learnt
NOT_PULSES = 1e-6  # of the wave's level: rounding


class PulseHop(NamedTuple):
    """What a hop made known: the stretch up to `upto_sample` has been searched.

    Attributes
    ----------
    upto_sample : int
        Every pulse before it is known.
    pulses : tuple of int
        Samples of the steepest rise.
    readable : bool
        Whether the wave moves at all and is not missing.
    is_there : bool
        Whether any of the last four seconds is there.
    """

    upto_sample: int
    pulses: tuple[int, ...]
    readable: bool
    is_there: bool = True


class PulseDetector:
    """Find the pulses of one wave as samples arrive.

    Parameters
    ----------
    fs_hz : float
        Sampling rate, 100 to 2000 Hz.
    """

    def __init__(self, fs_hz: float) -> None:
        self.fs_hz = float(fs_hz)
        self._windows = HopWindows(fs_hz)
        self._heights: tuple[float, ...] = ()
        self._level = 0.0
        self._last = -1
        self._smooth = max(1, round(SMOOTH_S * fs_hz))
        self._sum = max(1, round(SLOPE_SUM_S * fs_hz))
        self._dominance = round(DOMINANCE_S * fs_hz)

    def update(self, chunk: ArrayLike) -> list[PulseHop]:
        """Take the next samples of the wave, any unit; return what became known."""
        return [self._hop(end, window) for end, window in self._windows.update(chunk)]

    def _hop(self, end: int, window: NDArray[np.float32]) -> PulseHop:
        hop, reach = self._windows.hop, self._dominance
        upto = end - reach
        present = np.isfinite(window)
        if not present[-hop - 2 * reach :].all():
            return PulseHop(upto, (), False, bool(present.any()))
        wave = window.astype(np.float64)
        slope_sum = self._slope_sum(np.where(present, wave, wave[present][0]))
        recent = wave[-4 * hop :]
        readable = float(np.nanmax(recent) - np.nanmin(recent)) > NOT_PULSES * (
            1 + float(np.nanmax(np.abs(recent)))
        )
        mean = float(slope_sum.mean())
        found = [
            end - len(window) + at
            for at in self._peaks(slope_sum, len(window) - reach - hop, len(window) - reach)
            if self._is_pulse(end - len(window) + at, float(slope_sum[at]), mean)
        ]
        if not found:
            self._level *= DECAY
            self._heights = tuple(DECAY * height for height in self._heights)
        return PulseHop(upto, tuple(found), readable)

    def _is_pulse(self, sample: int, height: float, mean: float) -> bool:
        """Decide on a peak of the slope sum, and follow the usual height."""
        if self._last >= 0 and sample - self._last < self._dominance:
            return False
        limit = THRESHOLD * self._level if self._level > 0 else SPREAD * mean
        if height < limit or height <= 0:
            return False
        self._heights = (*self._heights, min(height, GIANT * (self._level or height)))[-KEPT:]
        self._level = sorted(self._heights)[len(self._heights) // 2]
        if len(self._heights) >= FEWEST and height > GIANT * self._level:
            return False
        self._last = sample
        return True

    def _slope_sum(self, wave: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of rises before each sample, shape (n,); zero near the window's start."""
        sums = np.cumsum(wave - wave[0])
        width = self._smooth
        smooth = np.concatenate((np.zeros(width), (sums[width:] - sums[:-width]) / width))
        smooth[:width] = smooth[width]
        rises = np.maximum(np.diff(smooth, prepend=smooth[0]), 0)
        added = np.cumsum(rises)
        slope_sum = added.copy()
        slope_sum[self._sum :] -= added[: -self._sum]
        return slope_sum

    def _peaks(self, heights: NDArray[np.float64], start: int, stop: int) -> list[int]:
        """Return where, in [start, stop), it is the highest within `DOMINANCE_S` to either side."""
        reach = self._dominance
        peaks = []
        at = start
        while at < stop:
            around = heights[at - reach : at + reach + 1]
            highest = int(np.argmax(around))
            if highest == reach:
                peaks.append(at)
                at += reach
            at += 1 if highest <= reach else min(highest - reach, stop - at)
        return peaks

    @property
    def position(self) -> int:
        """Samples seen so far."""
        return self._windows.position

    def skip(self, n_samples: int) -> None:
        """Miss samples behind four seconds and more that are missing: they show nothing."""
        self._windows.skip(n_samples)

    def to_bytes(self) -> bytes:
        """Return the whole state; `from_bytes` goes on from it as if nothing had happened."""
        return pack(MAGIC, *self.lift())

    @classmethod
    def from_bytes(cls, state: bytes) -> PulseDetector:
        """Return a detector with a state that `to_bytes` gave; InvalidState if it cannot be one."""
        return cls.settled(*unpack(MAGIC, state))

    def lift(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the state as plain values and arrays, for one that holds detectors."""
        plain, arrays = self._windows.lift()
        plain |= {"heights": list(self._heights), "level": self._level, "last": self._last}
        return plain, arrays

    @classmethod
    def settled(cls, plain: Mapping[str, Any], arrays: Arrays) -> PulseDetector:
        """Return a detector with a state that `lift` gave; InvalidState if it cannot be one."""
        windows = HopWindows.settled(plain, arrays)
        detector = cls(windows.fs_hz)
        detector._windows = windows
        heights = listing(plain, "heights", KEPT)
        if any(type(height) is not float or not isfinite(height) for height in heights):
            raise InvalidState("saved state: a pulse's height is not a number")
        detector._heights = tuple(heights)
        detector._level = real(plain, "level")
        detector._last = whole(plain, "last", -1, MAX_POSITION)
        return detector
