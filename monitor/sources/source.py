"""What the producer asks of a source: leads of one record, read window by window."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class Source(Protocol):
    """Leads of one record, of one sampling rate."""

    @property
    def record(self) -> str:
        """Short name of the record, for messages and file names."""
        ...

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the leads, of which no two are alike; at least one, at most 16."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the record and is read all the same, and which leads are not."""
        ...

    @property
    def fs_hz(self) -> float:
        """Sampling rate of the leads."""
        ...

    @property
    def n_samples(self) -> int:
        """Samples of each lead, from the record's start to its end."""
        ...

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the samples [start, stop), 0 <= start <= stop <= n_samples.

        Returns
        -------
        np.ndarray, shape (leads, stop - start), float32
            Millivolts; NaN where the record has no valid sample.

        Raises
        ------
        monitor.errors.RecordError
            If the record cannot be read.
        """
        ...


@runtime_checkable
class WaveSource(Source, Protocol):
    """A source that may have pulse waves beside its leads, at their rate."""

    @property
    def waves(self) -> tuple[str, ...]:
        """Names of the pulse waves, at most 4, none of them a lead's."""
        ...

    def read_waves(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples [start, stop) of the waves as `read` does, in their own units."""
        ...
