"""The browsers that are connected; each takes what it lacks when it can, and nothing is queued."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection

from starlette.websockets import WebSocket, WebSocketDisconnect

from monitor.errors import InvalidMessage
from monitor.web.station import Seat, Station, parse_looks

MAX_BROWSERS = 64
ALIVE_S = 1.0  # a browser hears this often that the page's server lives
TRY_LATER, NOT_OURS, GOING = 1013, 1003, 1001  # codes of closing


class Browser:
    """One connection: its seat, and the task that sends it what it lacks."""

    def __init__(self, socket: WebSocket) -> None:
        self.seat = Seat()
        self.socket = socket
        self.turned = asyncio.Event()
        self._ending = asyncio.Event()
        self._code: int | None = None  # to close with

    async def serve(self, station: Station) -> None:
        """Tell the browser what it lacks until it leaves; raises what is a fault of ours."""
        work = (self._receive(), self._send(station), self._ending.wait())
        tasks = [asyncio.create_task(one) for one in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                with contextlib.suppress(WebSocketDisconnect):
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._code is not None:  # now that nobody sends any more
            with contextlib.suppress(WebSocketDisconnect):  # it has left by itself
                await self.socket.close(self._code)

    def end(self, code: int) -> None:
        """Have the connection closed."""
        self._code = code
        self._ending.set()

    async def _receive(self) -> None:
        """Take in where the browser looks, until it leaves or says what no page of ours says."""
        try:
            while True:
                self.seat.look(parse_looks(await self.socket.receive_text()))
        except (InvalidMessage, KeyError):  # KeyError: bytes instead of text
            self.end(NOT_OURS)

    async def _send(self, station: Station) -> None:
        """Send, turn after turn; a send that waits for the browser lets turns pass unseen."""
        loop = asyncio.get_running_loop()
        alive_due_s = 0.0
        while True:
            await self.turned.wait()
            self.turned.clear()
            is_due = loop.time() >= alive_due_s
            text = station.lacks(self.seat, is_due)
            if text:
                alive_due_s = loop.time() + ALIVE_S
                await self.socket.send_text(text.decode())
            if page := station.lacks_page(self.seat):
                await self.socket.send_text(page.decode())
            if signal := station.lacks_signal(self.seat):
                await self.socket.send_bytes(signal)


class Browsers:
    """All of them."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._all: set[Browser] = set()

    @property
    def seats(self) -> Collection[Seat]:
        """Where they look."""
        return [browser.seat for browser in self._all]

    async def admit(self, socket: WebSocket) -> None:
        """Serve a browser until it leaves; of too many none more is served."""
        await socket.accept()
        if len(self._all) >= MAX_BROWSERS:
            await socket.close(TRY_LATER, "too many pages are open")
            return
        browser = Browser(socket)
        self._all.add(browser)
        try:
            await browser.serve(self._station)
        finally:
            self._all.discard(browser)

    def turned(self, now_s: float) -> None:
        """The station has turned: whoever waits for it looks what is new."""
        for browser in self._all:
            browser.turned.set()

    def leave(self) -> None:
        """Close all: the server ends."""
        for browser in self._all:
            browser.end(GOING)
