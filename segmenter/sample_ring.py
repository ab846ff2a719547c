"""The latest samples of many patients, side by side; the oldest fall off."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


class SampleRing(Generic[Scalar]):
    """Rows of samples that grow at one end, in memory of a fixed size.

    Parameters
    ----------
    rows : int
        Patients.
    keep : int
        Samples of the past that are always at hand.
    room : int
        Samples that `extend` may add at once.
    dtype : dtype

    Attributes
    ----------
    columns : np.ndarray, shape (rows, width)
        All that is stored; the newest sample is column end - 1. Old samples are moved to the front
        when the end is reached, not with every chunk.
    end : int
    """

    def __init__(self, rows: int, keep: int, room: int, dtype: DTypeLike) -> None:
        self.keep = keep
        self._memory: NDArray[Scalar] = np.zeros(rows * self._width(room), dtype)
        self.columns: NDArray[Scalar] = self._memory.reshape(rows, -1)
        self.end = keep

    def _width(self, room: int) -> int:
        return self.keep + max(self.keep, room)

    def extend(self, n: int) -> NDArray[Scalar]:
        """Make room for n samples; return their columns, shape (rows, n), to be written to."""
        if self.end + n > self.columns.shape[1]:
            self.columns[:, : self.keep] = self.columns[:, self.end - self.keep : self.end]
            self.end = self.keep
        self.end += n
        return self.columns[:, self.end - n : self.end]

    def lay(self, past: NDArray[Scalar], room: int) -> None:
        """Hold other rows, whose past is given, shape (rows, keep); `extend` may add `room`."""
        size = len(past) * self._width(room)
        if size > len(self._memory):
            self._memory = np.empty(size, self._memory.dtype)
        self.columns = self._memory[:size].reshape(len(past), -1)
        self.columns[:, : self.keep] = past
        self.end = self.keep

    def latest(self, row: int | slice) -> NDArray[Any]:
        """Return a view of one row's past, shape (keep,), or of some rows'."""
        return self.columns[row, self.end - self.keep : self.end]
