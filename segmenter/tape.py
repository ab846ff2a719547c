"""The latest samples of many patients, side by side; the oldest fall off."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


class Tape(Generic[Scalar]):
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
    value : float
        What the past holds at first.

    Attributes
    ----------
    columns : np.ndarray, shape (rows, width)
        All that is stored; the newest sample is column end - 1. Old samples are moved to the front
        when the end is reached, not with every chunk.
    end : int
    flat : np.ndarray, shape (rows * width,)
        The same memory, row after row.
    """

    def __init__(
        self, rows: int, keep: int, room: int, dtype: DTypeLike, value: float = 0.0
    ) -> None:
        self._memory: NDArray[Scalar] = np.full((rows, keep + max(keep, room)), value, dtype)
        self.columns = self._memory
        self.flat = self.columns.reshape(-1)  # the rows end to end, of the same memory
        self.keep = keep
        self.end = keep

    def extend(self, n: int) -> NDArray[Scalar]:
        """Make room for n samples; return their columns, shape (rows, n), to be written to."""
        if self.end + n > self.columns.shape[1]:
            self.columns[:, : self.keep] = self.columns[:, self.end - self.keep : self.end]
            self.end = self.keep
        self.end += n
        return self.columns[:, self.end - n : self.end]

    def lay(self, past: NDArray[Scalar]) -> None:
        """Hold other rows, whose past is given: shape (rows, keep)."""
        if len(past) > len(self._memory):
            self._memory = np.empty((len(past), self._memory.shape[1]), self._memory.dtype)
        self.columns = self._memory[: len(past)]
        self.flat = self.columns.reshape(-1)
        self.columns[:, : self.keep] = past
        self.end = self.keep

    def latest(self, row: int | slice) -> NDArray[Any]:
        """Return a view of one row's past, shape (keep,), or of some rows'."""
        return self.columns[row, self.end - self.keep : self.end]
