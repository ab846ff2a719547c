"""Standard input as a source: `COMMAND | ecg-monitor replay - --fs 250`.

What is not taken waits in the pipe, so nothing is dropped, and the monitor takes it as fast as it
can. Positions count the samples: a pipe has no clock, and samples that come late are not missing.
"""

from __future__ import annotations

import os
import select
import sys
import time

import numpy as np

from monitor.errors import RecordError
from monitor.sources.arrival_positions import ArrivalPositions
from monitor.sources.sample_lines import Piece, SampleLines
from monitor.sources.source import (
    OPEN_S,
    LiveBlock,
    LiveKind,
    LiveSource,
    LiveStream,
    SourceOptions,
)

WHERE = "standard input"
READ_BYTES = 1 << 16


class Pipe:
    """Lines from a descriptor; a `LiveSource`."""

    def __init__(self, descriptor: int, options: SourceOptions, open_s: float = OPEN_S) -> None:
        self._descriptor = descriptor
        self._lines = SampleLines(WHERE, options)
        self._over = False
        self._first: list[Piece] = []
        deadline_s = time.monotonic() + open_s
        while self._lines.stream is None and not self._over:
            self._first += self._read(deadline_s - time.monotonic())
            if self._lines.stream is None and time.monotonic() >= deadline_s:
                raise RecordError(
                    f"{WHERE}: no sample came within {open_s:g} s; pipe one in a line"
                )
        if self._lines.stream is None:
            raise RecordError(f"{WHERE} ended before the first sample; pipe one in a line")
        self._stream: LiveStream = self._lines.stream
        self._positions = ArrivalPositions(self._stream.fs_hz)

    @property
    def streams(self) -> tuple[LiveStream, ...]:
        """The one stream."""
        return (self._stream,)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Which columns are not read."""
        return self._lines.warnings

    @property
    def ended(self) -> bool:
        """Whether the pipe was closed and all was taken."""
        return self._over and not self._first

    def take(self) -> list[LiveBlock]:
        """Return what can be read now, at most `READ_BYTES` of text."""
        pieces, self._first = self._first, []
        if not self._over:
            pieces += self._read(0.0)
        return [one for piece in pieces for one in self._blocks(piece)]

    def take_notices(self) -> list[str]:
        """Return which lines were no samples."""
        return self._lines.take_notices()

    def close(self) -> None:
        """Leave the descriptor to whoever opened it."""

    def _read(self, wait_s: float) -> list[Piece]:
        """Read what is there, waiting at most so long for anything."""
        readable, _, _ = select.select([self._descriptor], [], [], max(0.0, wait_s))
        if not readable:
            return []
        text = os.read(self._descriptor, READ_BYTES)
        self._over = not text
        return self._lines.feed(text, ended=self._over)

    def _blocks(self, piece: Piece) -> list[LiveBlock]:
        now_ns = time.monotonic_ns()
        n_samples = piece.samples.shape[1]
        first, n_old = self._positions.place_counted(piece.position, n_samples, now_ns / 1e9)
        if n_old >= n_samples:
            return []
        samples = np.ascontiguousarray(piece.samples[:, n_old:])
        return [LiveBlock(self._stream, first, samples, now_ns)]


def _open(rest: str, options: SourceOptions) -> LiveSource:
    if rest:
        raise RecordError(f"stdin:{rest}: nothing can stand behind the colon; name it - instead")
    if sys.stdin is not None and os.isatty(0):
        raise RecordError(
            f"{WHERE} is a terminal; pipe samples into it: COMMAND | ecg-monitor replay - --fs 250"
        )
    return Pipe(0, options)


LIVE = LiveKind("standard input, a sample a line", _open, example="-", waits=True)
