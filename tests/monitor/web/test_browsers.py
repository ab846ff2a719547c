"""One browser that is slow: it loses turns, and nothing waits for it in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from monitor.web.station import Looks, Station
from monitor.wire.messages import Wave
from tests.messages import patient_status, status

pytest.importorskip("starlette", reason="the extra web is not installed")

from monitor.web.browsers import MAX_BROWSERS, TRY_LATER, Browser, Browsers


class SlowSocket:
    """A connection that takes a message only when it is let."""

    def __init__(self) -> None:
        self.taken: list[str | bytes] = []
        self.may = asyncio.Semaphore(0)
        self.closed: int | None = None
        self._left = asyncio.Event()

    async def accept(self) -> None:
        return

    async def send_text(self, text: str) -> None:
        await self.may.acquire()
        self.taken.append(text)

    async def send_bytes(self, content: bytes) -> None:
        await self.may.acquire()
        self.taken.append(content)

    async def receive_text(self) -> str:
        await self._left.wait()
        raise AssertionError("nobody says anything")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed = code


def beat_of(rate: float) -> Any:
    return status(patients=[patient_status(patient="a", heart_rate_bpm=rate)])


def test_a_browser_that_stalls_gets_the_newest_and_a_bounded_past() -> None:
    """A thousand turns that it did not take come as one message, and ten seconds of signal."""

    async def scene() -> SlowSocket:
        station, socket = Station(), SlowSocket()
        browser = Browser(socket)  # type: ignore[arg-type]
        serving = asyncio.create_task(browser.serve(station))
        for n in range(1000):
            station.take(beat_of(60.0 + n % 100), n / 10)
            station.turn(n / 10, 0.0, True, [browser.seat])
            if n == 0:
                browser.seat.look(Looks([1]))
            station.take(Wave(1, "a", 12 * n, 120.0, [0.1] * 12, [], 120.0, "I"), n / 10)
            browser.turned.set()
            await asyncio.sleep(0)
        for _ in range(3):
            socket.may.release()
            browser.turned.set()
            await asyncio.sleep(0.01)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        return socket

    socket = asyncio.run(scene())
    first, signal, second = socket.taken
    assert int(msgspec.json.decode(first)["tiles"][0]["heart_rate"]) < 65  # begun at once
    assert isinstance(signal, bytes)
    assert len(signal) <= 130 * 44  # chunks of twelve values
    assert msgspec.json.decode(second)["tiles"][0]["heart_rate"] == "159"


def test_of_too_many_browsers_none_more_is_served() -> None:
    """It is told to try later; the others stay."""

    async def scene() -> SlowSocket:
        browsers = Browsers(Station())
        open_pages = [
            asyncio.create_task(browsers.admit(SlowSocket()))  # type: ignore[arg-type]
            for _ in range(MAX_BROWSERS)
        ]
        await asyncio.sleep(0.01)
        late = SlowSocket()
        await browsers.admit(late)  # type: ignore[arg-type]
        assert len(browsers.seats) == MAX_BROWSERS
        for page in open_pages:
            page.cancel()
        await asyncio.gather(*open_pages, return_exceptions=True)
        assert len(browsers.seats) == 0
        return late

    assert asyncio.run(scene()).closed == TRY_LATER
