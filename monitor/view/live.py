"""Draw snapshots on the terminal's whole screen, not more often than the eye needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleDimensions
from rich.live import Live

from monitor.view.layout import render
from monitor.view.snapshot import MAX_FOLLOWED, Snapshot

REDRAW_S = 0.1
WARD_REDRAW_S = 0.2  # of many patients: each redraw puts all of them in order


class LiveView:
    """The live view on a console, while the with-block lasts.

    Parameters
    ----------
    console : Console
        A terminal; its size is asked anew at every redraw, so resizing works.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._clock = clock
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

    def show(self, snapshot: Snapshot, *, at_once: bool = False) -> bool:
        """Draw the snapshot if it or the terminal's size changed and a redraw is due.

        Call again with the newest snapshot: one that came too early is not kept.

        Parameters
        ----------
        at_once : bool
            It is due: a person waits for what a key does.

        Returns
        -------
        bool
            Whether it was drawn.
        """
        size = self._console.size
        if self._drawn is not None and self._drawn[0] is snapshot and self._drawn[1] == size:
            return False
        now_s = self._clock()
        if self._drawn is not None and now_s < self._due_s and not at_once:
            return False
        self._live.update(render(snapshot, size.width, size.height), refresh=True)
        is_ward = len(snapshot.patients) > MAX_FOLLOWED
        self._due_s = now_s + (WARD_REDRAW_S if is_ward else REDRAW_S)
        self._drawn = snapshot, size
        return True
