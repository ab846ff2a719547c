"""What the producer asks of a source: one lead of one record, read window by window."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Source(Protocol):
    """One lead of one record."""

    @property
    def record(self) -> str:
        """Short name of the record, for messages and file names."""
        ...

    @property
    def lead(self) -> str:
        """Name of the lead."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the record and is read all the same, a sentence each."""
        ...

    @property
    def fs_hz(self) -> float:
        """Sampling rate of the lead."""
        ...

    @property
    def n_samples(self) -> int:
        """Samples of the lead, from the record's start to its end."""
        ...

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the samples [start, stop), 0 <= start <= stop <= n_samples.

        Returns
        -------
        np.ndarray, shape (stop - start,), float32
            Millivolts; NaN where the record has no valid sample.

        Raises
        ------
        monitor.errors.RecordError
            If the record cannot be read.
        """
        ...
