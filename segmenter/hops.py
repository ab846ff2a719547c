"""Windows at fixed places of the stream: what is computed on them does not know how it was cut.

Each half second the last four seconds are handed on as one array. A hop ends at a multiple of the
hop's length, whatever the chunks were, so a plain function of the window is a streaming detector.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmenter.errors import InvalidSignal, InvalidState
from segmenter.rates import check_rate
from segmenter.state import Arrays, pack, real, unpack, whole

MAGIC = b"ecghops1"
HOP_S = 0.5  # an event is noticed so much later at most
WINDOW_S = 4.0  # asystole and fibrillation are called after four seconds (challenge of 2015)
MAX_POSITION = 1 << 53


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

    Raises
    ------
    InvalidSignal
        If the sampling rate is out of bounds.

    Examples
    --------
    >>> import numpy as np
    >>> windows = HopWindows(100.0)
    >>> [end for end, _ in windows.update(np.zeros(120))]
    [50, 100]
    >>> [(end, len(window)) for end, window in windows.update(np.ones(30))]
    [(150, 400)]
    """

    def __init__(self, fs_hz: float) -> None:
        check_rate(fs_hz)
        self.fs_hz = float(fs_hz)
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

    def skip(self, n_samples: int) -> None:
        """Miss samples: what is kept is missing too, and the windows that end in them are not cut.

        Behind a window that was missing as a whole, so is each of these.
        """
        self.position += n_samples
        self._kept = np.full(self.width + self.position % self.hop, np.nan, np.float32)

    def to_bytes(self) -> bytes:
        """Return the whole state; `from_bytes` goes on from it as if nothing had happened."""
        return pack(MAGIC, *self.lift())

    @classmethod
    def from_bytes(cls, state: bytes) -> HopWindows:
        """Return windows with a state that `to_bytes` gave; InvalidState if it cannot be one."""
        return cls.settled(*unpack(MAGIC, state))

    def lift(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the state as plain values and arrays, for one that holds windows."""
        return {"fs_hz": self.fs_hz, "position": self.position}, {"kept": self._kept}

    @classmethod
    def settled(cls, plain: Mapping[str, Any], arrays: Arrays) -> HopWindows:
        """Return windows with a state that `lift` gave; InvalidState if it cannot be one."""
        try:
            windows = cls(real(plain, "fs_hz"))
        except InvalidSignal as error:
            raise InvalidState(f"saved state: {error}") from error
        position = whole(plain, "position", 0, MAX_POSITION)
        kept = arrays.get("kept")
        expected = windows.width + position % windows.hop
        if kept is None or kept.dtype != np.float32 or kept.shape != (expected,):
            raise InvalidState("saved state: the window is missing or has another length")
        windows.position, windows._kept = position, kept
        return windows
