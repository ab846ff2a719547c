"""Ctrl-C and SIGTERM: noted, so that what runs can end in order, or thrown, to end what works."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last: the terminal was closed


class Interrupts:
    """Ctrl-C, SIGTERM and a closed terminal as a question; a second Ctrl-C interrupts for good."""

    def __init__(self) -> None:
        self.happened = False
        self._at_once = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in ENDING}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Have the first signal interrupt the block: it only waits, and has nothing to end."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._at_once or (self.happened and number == signal.SIGINT):
            raise KeyboardInterrupt
        self.happened = True


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Have SIGTERM end the block as Ctrl-C does, so that workers and part-written files go too."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
