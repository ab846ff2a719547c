"""A simulated Polar H10, at the level of what is written to it and what it notifies.

No strap was at hand: what it sends is as Polar's description says, in frames of 73 samples.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.sources.inbox import Received, SampleInbox
from monitor.sources.kinds import open_live
from monitor.sources.polar import StrapClient, StrapReception
from monitor.sources.polar_frames import CONTROL, DATA, FS_HZ, START_ECG, decode_frame
from monitor.sources.source import SourceOptions
from tests.monitor.sources.conformance import take

FRAME = 73
Microvolts = NDArray[np.int64]


def frame(microvolts: Microvolts, last_ns: int) -> bytes:
    """Return a frame as the strap notifies it."""
    samples = b"".join(int(one).to_bytes(3, "little", signed=True) for one in microvolts)
    return bytes([0]) + last_ns.to_bytes(8, "little") + bytes([0]) + samples


class Strap:
    """The peripheral; also what bleak's client would be."""

    def __init__(self, answer: bytes = bytes([0xF0, 2, 0, 0, 0])) -> None:
        self._answer = answer
        self._notify: dict[str, Callable[[Any, Any], None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.written: list[tuple[str, bytes]] = []
        self.is_near = True
        self.is_connected = False
        self.started, self.left = threading.Event(), threading.Event()

    async def find(self, wanted: str) -> StrapClient | None:
        """Be found."""
        self._loop = asyncio.get_running_loop()
        await asyncio.sleep(0.01)
        return self if self.is_near else None

    async def connect(self) -> None:
        self.is_connected = True

    async def start_notify(self, characteristic: str, callback: Callable[[Any, Any], None]) -> None:
        self._notify[characteristic] = callback

    async def write_gatt_char(self, characteristic: str, data: bytes, response: bool) -> None:
        self.written.append((characteristic, bytes(data)))
        self._notify[CONTROL](None, bytearray(self._answer))
        self.started.set()

    async def disconnect(self) -> None:
        self.is_connected = False
        self.started.clear()
        self.left.set()

    def notify(self, content: bytes) -> None:
        """Send a frame."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._notify[DATA], None, bytearray(content))

    def leave(self) -> None:
        """Be out of reach."""
        self.is_near = self.is_connected = False


def _run(strap: Strap, inbox: SampleInbox) -> None:
    asyncio.run(StrapReception("", inbox, strap.find).run())


@contextmanager
def received(strap: Strap) -> Iterator[Received]:
    source = Received(partial(_run, strap), "polar:", "wear it")
    try:
        yield source
    finally:
        source.close()


def ecg(n: int) -> Microvolts:
    return np.random.default_rng(1).integers(-30_000, 30_000, n)


def test_every_sample_of_every_frame_is_taken() -> None:
    """Behind the command that starts the ECG, in millivolts, from position 0 on."""
    strap, microvolts = Strap(), ecg(10 * FRAME)
    with received(strap) as source:
        (stream,) = source.streams
        assert (stream.leads, stream.fs_hz) == (("ECG",), 130.0)
        assert strap.written == [(CONTROL, START_ECG)]
        for n in range(10):
            last_ns = 599_616_000_000_000_000 + round((n + 1) * FRAME / FS_HZ * 1e9)
            strap.notify(frame(microvolts[n * FRAME : (n + 1) * FRAME], last_ns))
        taken = take(source, len(microvolts), 5.0)
    assert taken.positions.tolist() == list(range(len(microvolts)))
    assert np.array_equal(taken.samples[0], (microvolts * 1e-3).astype(np.float32))


def test_a_frame_that_was_lost_is_a_gap_of_its_length() -> None:
    """By the strap's own timestamps; other measurements and frames that are cut are no ECG."""
    strap, microvolts = Strap(), ecg(4 * FRAME)
    with received(strap) as source:
        for n in (0, 1, 3):
            last_ns = round((n + 1) * FRAME / FS_HZ * 1e9)
            strap.notify(frame(microvolts[n * FRAME : (n + 1) * FRAME], last_ns))
            strap.notify(b"\x02" + bytes(20))
            strap.notify(frame(microvolts[:2], 5)[:-1])
        taken = take(source, 3 * FRAME, 5.0)
        (notice,) = source.take_notices()
    assert taken.holes == [FRAME]
    assert "a frame is no ECG" in notice


def test_a_strap_that_was_out_of_reach_goes_on_behind_a_gap() -> None:
    """It is connected and started anew, and a person is told."""
    strap, microvolts = Strap(), ecg(2 * FRAME)
    with received(strap) as source:
        strap.notify(frame(microvolts[:FRAME], 10**12))
        assert take(source, FRAME, 5.0).holes == []
        strap.leave()
        assert strap.left.wait(20)  # until the source has noticed
        strap.is_near = True
        assert strap.started.wait(5)
        strap.notify(frame(microvolts[FRAME:], 10**12 + round(1e9 * (3.0 + FRAME / FS_HZ))))
        taken = take(source, FRAME, 5.0)
        notices = source.take_notices()
    assert taken.positions[0] - FRAME == pytest.approx(3.0 * FS_HZ, abs=1)
    assert any("was lost" in one for one in notices)
    assert notices[-1] == "the strap is back"
    assert strap.written == [(CONTROL, START_ECG)] * 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (bytes([0xF0, 2, 0, 13]), "it is charging"),
        (bytes([0xF0, 2, 0, 99]), "error 99"),
        (b"\x01", "answers 01"),
    ],
)
def test_a_strap_that_does_not_start_says_why(answer: bytes, error: str) -> None:
    """In one line, with what to do."""
    with pytest.raises(RecordError, match=error), received(Strap(answer)):
        pass


def test_a_strap_that_is_not_near_is_said() -> None:
    """At once, after the look."""
    strap = Strap()
    strap.is_near = False
    with pytest.raises(RecordError, match="no such strap is near; wear it"), received(strap):
        pass


@pytest.mark.parametrize(
    "content", [b"", b"\0", bytes(10), bytes(12), b"\2" + bytes(12), bytes(9) + b"\1" + bytes(3)]
)
def test_what_is_no_frame_of_ecg_is_passed_over(content: bytes) -> None:
    """Cut, of another measurement, of another form."""
    assert decode_frame(content) is None


def test_what_cannot_be_a_strap_is_refused() -> None:
    """Before anything is looked for."""
    with pytest.raises(RecordError, match="by its number"):
        open_live("polar:my strap", SourceOptions())
    with pytest.raises(RecordError, match="leave --fs out"):
        open_live("polar:", SourceOptions(fs_hz=130))
