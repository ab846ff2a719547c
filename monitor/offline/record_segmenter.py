"""A record's samples in, its beats and signs out, block by block; on another core if one is spare.

What is found is the same to the bit in this process and in another: the same steps are taken.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.freed_memory import keep_freed_memory
from monitor.offline.worker_processes import check_stop, mapped_beside
from monitor.sources.source import RecordSource, WaveSource
from segmenter.beat import Beats, BeatSpec
from segmenter.stream import Segmented, Segmenter

BLOCK_S = 60.0  # signal between two looks at whether to stop


class _Block(NamedTuple):
    """The next samples, shape (leads + waves, n); none of the last block, which ends the stream."""

    samples: NDArray[np.float32] | None
    stop: int  # the sample after them


def segmented(
    source: RecordSource,
    spec: BeatSpec,
    until_sample: int,
    *,
    measure_signs: bool = False,
    beside: bool = False,
) -> Generator[tuple[Segmented, int]]:
    """Yield what is found in a source's first samples, block by block, and up to which sample.

    Parameters
    ----------
    source : RecordSource
    spec : BeatSpec
    until_sample : int
    measure_signs : bool
        Measure signs for named alarms, and read pulse waves.
    beside : bool
        Find it in another process, which works while what was found is used. The source is read
        here.

    Raises
    ------
    RecordError, SegmenterError
        If the source cannot be read, or its rate not be segmented.
    StageFailed
        If the other process died.
    """
    waves = waves_of(source) if measure_signs else None
    n_waves = 0 if waves is None else len(waves.waves)
    form = (source.fs_hz, spec, len(source.leads), n_waves, measure_signs)
    blocks = _blocks(source, waves, until_sample)
    if beside:
        yield from mapped_beside(_BlockSegmenter, form, blocks)
    else:
        yield from map(_BlockSegmenter(*form), blocks)


def segment(source: RecordSource, spec: BeatSpec, until_sample: int) -> Iterator[Beats]:
    """Yield the beats of a source's first samples, block by block."""
    for found, _ in segmented(source, spec, until_sample):
        yield found.beats


def waves_of(source: RecordSource) -> WaveSource | None:
    """Return a source's pulse waves; none where it has none."""
    return source if isinstance(source, WaveSource) and source.waves else None


def _blocks(source: RecordSource, waves: WaveSource | None, until_sample: int) -> Iterator[_Block]:
    length = max(1, round(BLOCK_S * source.fs_hz))
    for start in range(0, until_sample, length):
        check_stop()
        stop = min(start + length, until_sample)
        samples = source.read(start, stop)
        if waves is not None:
            samples = np.concatenate((samples, waves.read_waves(start, stop)))
        yield _Block(samples, stop)
    yield _Block(None, until_sample)


class _BlockSegmenter:
    """A segmenter that takes block after block, and is flushed by the last."""

    def __init__(
        self, fs_hz: float, spec: BeatSpec, leads: int, waves: int, measure_signs: bool
    ) -> None:
        keep_freed_memory()
        self._segmenter = Segmenter(fs_hz, spec, leads, waves, measure_signs=measure_signs)

    def __call__(self, block: _Block) -> tuple[Segmented, int]:
        if block.samples is None:
            return self._segmenter.flush(), block.stop
        return self._segmenter.update(block.samples), block.stop
