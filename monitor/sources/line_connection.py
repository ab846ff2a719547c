"""Lines of samples over a connection that may be lost: what tcp, ws and serial share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from monitor.errors import RecordError
from monitor.sources.arrival_positions import ArrivalPositions
from monitor.sources.inbox import SampleInbox
from monitor.sources.sample_lines import Piece, SampleLines
from monitor.sources.source import LiveBlock, SourceOptions

READ_S = 0.1
AGAIN_S = 1.0  # between two tries to connect


class LineConnection(Protocol):
    """A connection that brings text."""

    def read(self, wait_s: float) -> bytes:
        """Return what came, nothing if nothing did; OSError when the connection is lost."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


def receive_lines(
    where: str,
    connect: Callable[[], LineConnection],
    options: SourceOptions,
    inbox: SampleInbox,
    *,
    begins_within: bool = False,
) -> None:
    """Receive until the inbox closes; what a lost connection missed is measured on the clock here.

    Parameters
    ----------
    connect : callable
        Connects, or raises OSError.
    begins_within : bool
        Whether the first line of a connection may be cut.

    Raises
    ------
    RecordError
        If nobody answers at first, or what comes is no ECG.
    """
    LineReception(where, options, inbox, begins_within=begins_within).run(connect)


class LineReception:
    """One source's lines on their way to blocks."""

    def __init__(
        self, where: str, options: SourceOptions, inbox: SampleInbox, *, begins_within: bool
    ) -> None:
        self._where = where
        self._inbox = inbox
        self._begins_within = begins_within
        self._lines = SampleLines(where, options, may_begin_within=begins_within)
        self._positions: ArrivalPositions | None = None

    def run(self, connect: Callable[[], LineConnection]) -> None:
        """Connect, and again behind each loss."""
        was_open = False
        while not self._inbox.closing.is_set():
            try:
                connection = connect()
            except OSError as error:
                if not was_open:
                    reason = error.strerror or str(error) or type(error).__name__
                    raise RecordError(
                        f"source {self._where}: {reason}; is it there, and on?"
                    ) from error
                self._inbox.closing.wait(AGAIN_S)
                continue
            if was_open:
                self._inbox.notice("connected again")
            was_open = True
            try:
                self._receive(connection)
            except OSError as error:
                reason = error.strerror or str(error) or type(error).__name__
                self._inbox.notice(f"the connection was lost ({reason}); it is tried again")
                self._lines.restart(cut=self._begins_within)
                if self._positions is not None:
                    self._positions.lost()
            finally:
                connection.close()

    def _receive(self, connection: LineConnection) -> None:
        while not self._inbox.closing.is_set():
            text = connection.read(READ_S)
            if not text:
                continue
            now_s = time.monotonic()
            pieces = self._lines.feed(text)
            for notice in self._lines.take_notices():
                self._inbox.notice(notice)
            if self._lines.stream is None:
                continue
            if self._positions is None:
                self._positions = ArrivalPositions(self._lines.stream.fs_hz)
                self._inbox.announce([self._lines.stream], self._lines.warnings)
            self._inbox.put(
                block for piece in pieces for block in self._blocks(piece, self._positions, now_s)
            )

    def _blocks(self, piece: Piece, positions: ArrivalPositions, now_s: float) -> list[LiveBlock]:
        assert self._lines.stream is not None
        n_samples = piece.samples.shape[1]
        first, n_old = positions.place_counted(piece.position, n_samples, now_s)
        if n_old >= n_samples:
            return []
        samples = np.ascontiguousarray(piece.samples[:, n_old:])
        return [LiveBlock(self._lines.stream, first, samples, round(1e9 * now_s))]
