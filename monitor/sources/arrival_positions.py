"""Positions of samples without timestamps: by counting, and over a loss by the clock here."""

from __future__ import annotations

from dataclasses import dataclass

MAX_JUMP_S = 3600.0  # a sender's count that jumps further says nothing


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
    _offset: int | None = None  # from the sender's count to ours

    def lost(self) -> None:
        """Take note that samples may be missing before the next block, and counts begin anew."""
        self._lost = True
        self._offset = None

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

    def place_counted(
        self, position: int | None, n_samples: int, received_s: float
    ) -> tuple[int, int]:
        """Return the position of a block's first sample, and how many of it came before.

        Parameters
        ----------
        position : int or None
            Of the first sample as the sender counts; None if it does not. The one that comes first
            says where it counts from.
        """
        if position is not None and self._offset is not None:
            missing = position + self._offset - self.reached
            if not -n_samples <= missing <= MAX_JUMP_S * self.fs_hz:
                self.lost()  # it began to count anew
            else:
                self.reached += max(0, missing)
                n_old = max(0, -missing)
                return self.place(n_samples - n_old, received_s), n_old
        first = self.place(n_samples, received_s)
        self._offset = None if position is None else first - position
        return first, 0
