"""Positions of samples without timestamps: by counting, and over a loss by the clock here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class ArrivalPositions:
    """Where each block of one stream lies.

    Attributes
    ----------
    reached : int
        The position that follows.
    """

    fs_hz: float
    reached: int = 0
    _last_s: float | None = None
    _lost: bool = False

    def lost(self) -> None:
        """Take note that samples may be missing before the next block."""
        self._lost = True

    def place(self, n_samples: int, received_s: float) -> int:
        """Return the position of a block's first sample.

        Parameters
        ----------
        received_s : float
            When its last sample came, on the monotonic clock.
        """
        if self._lost and self._last_s is not None:
            missing_s = received_s - self._last_s - n_samples / self.fs_hz
            self.reached += max(0, round(missing_s * self.fs_hz))
        self._lost, self._last_s = False, received_s
        first = self.reached
        self.reached += n_samples
        return first
