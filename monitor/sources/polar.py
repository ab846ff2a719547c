"""A Polar H10 strap over Bluetooth: `ecg-monitor replay polar:ADDRESS`; needs the extra `[ble]`.

    polar:                      the strap that is found first
    polar:A1B2C3D4              its number, as printed on it
    polar:24:AC:AC:00:11:22     its address (on macOS the identity that the system gives it)

130 Hz, one lead. Timestamps are the strap's own (`stamped_samples`). Tested against a simulated
strap, at the level of what is written to it and what it notifies; no strap was at hand.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import numpy as np

from monitor.errors import RecordError
from monitor.sources.given import refuse_rate, refuse_units
from monitor.sources.inbox import Received, SampleInbox
from monitor.sources.polar_frames import (
    CONTROL,
    DATA,
    FS_HZ,
    START_ECG,
    decode_frame,
    require_started,
    stamps_s,
)
from monitor.sources.source import LiveKind, LiveSource, LiveStream, SourceOptions
from monitor.sources.stamped_samples import StampedSamples

SCAN_S = 5.0
CALL_S = 4.0
TICK_S = 0.1
SILENT_S = 5.0  # without a frame the connection is made anew: a strap sends two a second
AGAIN_S = 1.0
NAME = "Polar H10"
LEAD = "ECG"
_ADDRESS = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}|[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}")
_NUMBER = re.compile(r"[0-9A-F]{6,8}")


class StrapClient(Protocol):
    """What of bleak's client is used; a simulated strap is one, too."""

    async def connect(self) -> Any:  # noqa: ANN401  what it returns differs by version
        """Connect."""

    async def start_notify(self, characteristic: str, callback: Callable[[Any, Any], None]) -> Any:  # noqa: ANN401
        """Have a callback take what is notified."""

    async def write_gatt_char(self, characteristic: str, data: bytes, response: bool) -> Any:  # noqa: ANN401
        """Write."""

    async def disconnect(self) -> Any:  # noqa: ANN401
        """Leave."""

    @property
    def is_connected(self) -> bool:
        """Whether it is connected."""
        ...


Connect = Callable[[str], Awaitable[StrapClient | None]]  # None: no such strap is near


def _library() -> Any:  # noqa: ANN401  what is not installed has no types
    try:
        import bleak
    except ImportError as error:
        raise RecordError(
            "Bluetooth needs the extra ble: pip install 'ecg-monitor[ble]'"
        ) from error
    return bleak


async def _found(wanted: str) -> StrapClient | None:
    """Look for a strap; return a client of it that is not connected yet."""
    bleak = _library()
    try:
        device = await bleak.BleakScanner.find_device_by_filter(
            lambda device, advertised: is_wanted(
                wanted, device.address, advertised.local_name or device.name or ""
            ),
            timeout=SCAN_S,
        )
    except (bleak.BleakError, OSError) as error:
        raise ConnectionError(f"Bluetooth cannot be used ({error})") from error
    if device is None:
        return None
    client: StrapClient = bleak.BleakClient(device, timeout=CALL_S)
    return client


def is_wanted(wanted: str, address: str, name: str) -> bool:
    """Tell whether a device is the strap that a person named.

    Examples
    --------
    >>> is_wanted("", "24:AC:AC:00:11:22", "Polar H10 A1B2C3D4")
    True
    >>> is_wanted("a1b2c3d4", "24:AC:AC:00:11:22", "Polar H10 A1B2C3D4")
    True
    >>> is_wanted("24:ac:ac:00:11:22", "24:AC:AC:00:11:22", "")
    True
    """
    if _ADDRESS.fullmatch(wanted.upper()):
        return address.upper() == wanted.upper()
    return name.startswith(NAME) and name.upper().endswith(wanted.upper())


class StrapReception:
    """One strap, connected again whenever it is lost: what runs in the source's thread.

    Parameters
    ----------
    find : callable
        Returns a client of the strap; bleak's, or in a test a simulated one.
    """

    def __init__(self, wanted: str, inbox: SampleInbox, find: Connect = _found) -> None:
        self._wanted = wanted
        self._where = f"source polar:{wanted}"
        self._inbox = inbox
        self._find = find
        self._stream = LiveStream((LEAD,), FS_HZ)
        self._samples = StampedSamples(self._stream)
        self._heard_s = 0.0
        self._refused_frames = 0
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._is_open = False

    async def run(self) -> None:
        """Receive until the source is closed.

        Raises
        ------
        RecordError
            If there is no such strap, or it does not start.
        """
        while not self._inbox.closing.is_set():
            try:
                client = await self._find(self._wanted)
                if client is not None:
                    await self._receive(client)
                elif not self._is_open:
                    raise RecordError(
                        f"{self._where}: no such strap is near; wear it, so that it is on, and "
                        "end other programs that read it"
                    )
            except (OSError, TimeoutError, EOFError) as error:
                self._lost(str(error) or type(error).__name__)
            except Exception as error:  # bleak's errors, of each system its own
                if isinstance(error, RecordError) or "leak" not in type(error).__name__:
                    raise
                self._lost(str(error))
            await asyncio.sleep(AGAIN_S)

    def _lost(self, reason: str) -> None:
        if not self._is_open:
            raise RecordError(
                f"{self._where}: {reason}; is an adapter there and on, and the strap near?"
            )
        self._inbox.notice(f"the strap was lost ({reason}); it is looked for again")

    async def _receive(self, client: StrapClient) -> None:
        self._answers = asyncio.Queue()  # an answer of before is none to this start
        await client.connect()
        try:
            await client.start_notify(CONTROL, self._take_answer)
            await client.start_notify(DATA, self._take_frame)
            await client.write_gatt_char(CONTROL, START_ECG, response=True)
            require_started(self._where, await asyncio.wait_for(self._answers.get(), CALL_S))
            if self._is_open:
                self._inbox.notice("the strap is back")
            self._is_open = True
            self._inbox.announce([self._stream])
            self._heard_s = time.monotonic()
            while client.is_connected and not self._inbox.closing.is_set():
                await asyncio.sleep(TICK_S)
                now_s = time.monotonic()
                self._inbox.put(self._samples.quiet(now_s))
                if now_s - self._heard_s > SILENT_S:
                    raise TimeoutError("nothing came for some seconds")
            if not self._inbox.closing.is_set():
                raise EOFError("it is no longer connected")
        finally:
            await client.disconnect()

    def _take_answer(self, _sender: object, answer: bytearray) -> None:
        self._answers.put_nowait(bytes(answer))

    def _take_frame(self, _sender: object, content: bytearray) -> None:
        frame = decode_frame(bytes(content))
        if frame is None:
            self._refused_frames += 1
            if self._refused_frames == 1:
                self._inbox.notice(f"a frame is no ECG: {bytes(content[:12]).hex()}…")
            return
        self._heard_s = time.monotonic()
        millivolts = (frame.microvolts.astype(np.float64) * 1e-3).astype(np.float32)[None]
        self._inbox.put(self._samples.put(millivolts, stamps_s(frame), self._heard_s))


def _receive(wanted: str, inbox: SampleInbox) -> None:
    asyncio.run(StrapReception(wanted, inbox).run())


def _open(rest: str, options: SourceOptions) -> LiveSource:
    where = f"polar:{rest}"
    refuse_rate(where, options)
    refuse_units(where, options)
    if rest and not (_ADDRESS.fullmatch(rest.upper()) or _NUMBER.fullmatch(rest.upper())):
        raise RecordError(
            f"source {where}: name the strap by its number (polar:A1B2C3D4) or address, or none"
        )
    _library()
    return Received(partial(_receive, rest), where, "wear the strap, so that it is on")


async def _discovered() -> list[str]:
    bleak = _library()
    try:
        devices = await bleak.BleakScanner.discover(timeout=SCAN_S)
    except (bleak.BleakError, OSError) as error:
        raise RecordError(f"Bluetooth cannot be used ({error})") from error
    return [
        f"polar:{one.address} ({one.name}, 1 lead, {FS_HZ:g} Hz)"
        for one in devices
        if (one.name or "").startswith(NAME)
    ]


def _find() -> list[str]:
    return asyncio.run(_discovered())


LIVE = LiveKind("Polar H10 straps, over Bluetooth", _open, "polar:", extra="ble", find=_find)
