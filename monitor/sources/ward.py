"""A ward made of a few records in memory: each patient plays one, from a place of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.sources.source import RecordSource


@dataclass(frozen=True)
class InMemory:
    """A source whose samples are held: shape (leads, n), float32, mV."""

    record: str
    leads: tuple[str, ...]
    fs_hz: float
    samples: NDArray[np.float32]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: RecordSource) -> InMemory:
        """Read a whole source."""
        samples = source.read(0, source.n_samples)
        return cls(source.record, source.leads, source.fs_hz, samples, source.warnings)

    @property
    def n_samples(self) -> int:
        """Samples held of each lead."""
        return int(self.samples.shape[1])

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the samples [start, stop)."""
        return self.samples[:, start:stop]

    def close(self) -> None:
        """Do nothing: other beds play it, too."""


@dataclass(frozen=True)
class Bed:
    """Which record a patient plays, from which sample on, in blocks of which length."""

    patient: str
    source: InMemory
    first_sample: int
    block_s: float


def bed_name(number: int) -> str:
    """Return the name of a ward's patient, from 1.

    Examples
    --------
    >>> bed_name(7)
    'bed-00007'
    """
    return f"bed-{number:05d}"


def beds(
    sources: list[InMemory], patients: int, block_s: tuple[float, ...], seed: int
) -> list[Bed]:
    """Fill a ward; the same seed gives the same one."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(sources), size=patients).tolist()
    places = rng.random(patients).tolist()
    blocks = rng.choice(block_s, size=patients).tolist()
    return [
        Bed(
            bed_name(number),
            sources[which],
            int(place * sources[which].n_samples),
            block,
        )
        for number, (which, place, block) in enumerate(
            zip(chosen, places, blocks, strict=True), start=1
        )
    ]
