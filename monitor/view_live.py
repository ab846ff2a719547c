"""Draw snapshots on the terminal's whole screen, not more often than the eye needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleDimensions
from rich.live import Live

from monitor.snapshot import Snapshot
from monitor.view import render

REDRAWS_HZ = 10.0


class LiveView:
    """The live view on a console, while the with-block lasts.

    Parameters
    ----------
    console : Console
        A terminal; its size is asked anew at every redraw, so resizing works.
    clock : callable
        Monotonic seconds.
    redraws_hz : float
        The most redraws in a second.
    """

    def __init__(
        self,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
        redraws_hz: float = REDRAWS_HZ,
    ) -> None:
        self._console = console
        self._clock = clock
        self._period_s = 1 / redraws_hz
        self._live = Live(
            console=console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._due_s = 0.0
        self._drawn: tuple[Snapshot, ConsoleDimensions] | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def wait_s(self) -> float:
        """Return the seconds until the next redraw is allowed: a timeout for the caller's poll."""
        return max(self._due_s - self._clock(), 0.0)

    def show(self, snapshot: Snapshot) -> bool:
        """Draw the snapshot if it or the terminal's size changed and a redraw is due.

        Call again with the newest snapshot, at the latest after `wait_s()`: one that came too
        early is not kept.

        Returns
        -------
        bool
            Whether it was drawn.
        """
        size = self._console.size
        if self._drawn is not None and self._drawn[0] is snapshot and self._drawn[1] == size:
            return False
        now_s = self._clock()
        if self._drawn is not None and now_s < self._due_s:
            return False
        self._live.update(render(snapshot, size.width, size.height), refresh=True)
        self._due_s = now_s + self._period_s
        self._drawn = snapshot, size
        return True
