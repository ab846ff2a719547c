"""Samples with timestamps, as blocks: positions from the timestamps, and clocks that were set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.sources.sample_clock import BACK_S, PlacedSamples, SampleClock
from monitor.sources.source import LiveBlock, LiveStream

AHEAD_S = 2.0  # no sample comes so much earlier than its timestamp says, after the one before
QUIET_S = 0.5  # without a sample: what is held is decided about


class StampedSamples:
    """One stream's samples on their way to blocks.

    Parameters
    ----------
    stream : LiveStream
        Whose they are.
    """

    def __init__(self, stream: LiveStream) -> None:
        self._stream = stream
        self._clock = SampleClock(stream.fs_hz)
        self._held: NDArray[np.float32] = np.empty((len(stream.leads), 0), np.float32)
        self._position = 0
        self._shift_s = 0.0  # that is added to timestamps, since their clock was set
        self._last: tuple[float, float] | None = None  # a timestamp, and when it came

    @property
    def drift(self) -> float:
        """By how much the device's period is longer than nominal."""
        return self._clock.drift

    @property
    def n_held(self) -> int:
        """How many samples wait until it is known where they lie."""
        return self._clock.n_held

    def put(
        self, samples: NDArray[np.float32], stamps_s: NDArray[np.float64], received_s: float
    ) -> list[LiveBlock]:
        """Take samples in; return the blocks that became known.

        Parameters
        ----------
        samples : np.ndarray, shape (leads, n), float32
            Millivolts.
        stamps_s : np.ndarray, shape (n,)
            When each was taken, on the device's clock.
        received_s : float
            When they came, on this machine's monotonic clock.
        """
        if not len(stamps_s):
            return self.quiet(received_s)
        self._look_at_clock(float(stamps_s[0]), float(stamps_s[-1]), received_s)
        self._last = float(stamps_s[-1]), received_s
        self._held = np.concatenate([self._held, samples], axis=1)
        placed = self._clock.place((stamps_s + self._shift_s).tolist())
        return self._blocks(placed, received_s)

    def quiet(self, now_s: float) -> list[LiveBlock]:
        """Take note that nothing came; return what was held, if nothing has come for a while."""
        if not self._clock.n_held or self._last is None or now_s - self._last[1] < QUIET_S:
            return []
        return self._blocks(self._clock.flush(), now_s)

    def _look_at_clock(self, first_s: float, last_s: float, received_s: float) -> None:
        """Notice a clock that was set, or another one: over that, the clock here tells.

        By the last sample of a chunk, which comes as soon as it was taken.
        """
        if self._last is None:
            return
        before_s, elapsed_s = self._last[0], received_s - self._last[1]
        if first_s - before_s <= -BACK_S or first_s - before_s > elapsed_s + AHEAD_S:
            self._shift_s += elapsed_s - (last_s - before_s)

    def _blocks(self, placed: list[PlacedSamples], received_s: float) -> list[LiveBlock]:
        blocks: list[LiveBlock] = []
        start = 0
        for missing, n_samples in placed:
            self._position += missing
            samples = np.ascontiguousarray(self._held[:, start : start + n_samples])
            received_ns = round(1e9 * received_s)
            blocks.append(LiveBlock(self._stream, self._position, samples, received_ns))
            self._position += n_samples
            start += n_samples
        self._held = self._held[:, start:]
        return blocks
