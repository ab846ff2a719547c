"""Windows at fixed places of the stream: what is computed on them does not know how it was cut.

Each half second the last four seconds are handed on as one array. A hop ends at a multiple of the
hop's length, whatever the chunks were, so a plain function of the window is a streaming detector.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmenter.errors import InvalidSignal, InvalidState
from segmenter.rates import check_rate

HOP_S = 0.5  # an event is noticed so much later at most
WINDOW_S = 4.0  # asystole and fibrillation are called after four seconds (challenge of 2015)


class HopState(msgspec.Struct, frozen=True):
    """The last window and what came after it, as little-endian float32."""

    fs_hz: float
    position: int
    samples: bytes


class HopWindows:
    """Cut one lead into windows of `WINDOW_S` that end every `HOP_S`.

    Parameters
    ----------
    fs_hz : float
        Sampling rate, 100 to 2000 Hz.

    Attributes
    ----------
    hop, width : int
        Samples of a hop and of a window.
    position : int
        Samples seen so far.
    """

    def __init__(self, fs_hz: float) -> None:
        check_rate(fs_hz)
        self.fs_hz = fs_hz
        self.hop = round(HOP_S * self.fs_hz)
        self.width = round(WINDOW_S / HOP_S) * self.hop
        self.position = 0
        # Before the stream began nothing is known; fewer than a hop of samples wait at the end.
        self._kept = np.full(self.width, np.nan, np.float32)

    def update(self, chunk: ArrayLike) -> list[tuple[int, NDArray[np.float32]]]:
        """Take the next samples; return the sample after each window, and the window.

        Parameters
        ----------
        chunk : np.ndarray, shape (n,), real
            Continues the previous chunk; NaN is missing.

        Raises
        ------
        InvalidSignal
            If the chunk is not one-dimensional or not of real numbers.
        """
        samples = np.asarray(chunk)
        if samples.ndim != 1 or samples.dtype.kind not in "fiu":
            raise InvalidSignal(
                f"a chunk must be a one-dimensional array of real numbers, not {samples.dtype} "
                f"of shape {samples.shape}"
            )
        joined = np.concatenate((self._kept, samples.astype(np.float32)))
        done = self.position // self.hop  # hops that were handed on
        self.position += len(samples)
        n_hops = self.position // self.hop - done
        windows = [
            ((done + k) * self.hop, joined[k * self.hop : k * self.hop + self.width])
            for k in range(1, n_hops + 1)
        ]
        waiting = self.position % self.hop
        self._kept = joined[len(joined) - self.width - waiting :].copy()
        return windows

    def to_state(self) -> HopState:
        """Return the whole state; `from_state` goes on from it."""
        return HopState(self.fs_hz, self.position, self._kept.astype("<f4").tobytes())

    @classmethod
    def from_state(cls, state: HopState) -> HopWindows:
        """Return windows that go on from a state; InvalidState if it cannot be one."""
        try:
            windows = cls(state.fs_hz)
        except InvalidSignal as error:
            raise InvalidState(f"saved state: {error}") from error
        expected = windows.width + state.position % windows.hop
        if state.position < 0 or len(state.samples) != 4 * expected:
            raise InvalidState(f"saved state: {len(state.samples)} bytes of a window, not {4 * expected}")
        windows.position = state.position
        windows._kept = np.frombuffer(state.samples, "<f4").astype(np.float32)
        return windows
