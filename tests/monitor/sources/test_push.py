"""Samples that other programs send: what is taken or refused, and who may send them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from monitor import InvalidMessage, PushRefused, SamplePusher, load_keys
from monitor.errors import RecordError
from monitor.sources.inbox import SampleInbox
from monitor.sources.kinds import open_live
from monitor.sources.push import RIVAL_S, PushedStreams
from monitor.sources.source import LiveBlock, SourceOptions
from monitor.wire.curve_keys import init_keys
from monitor.wire.pushed_samples import MAX_PUSH_BYTES, PushRefusal, PushTaken
from tests.monitor.ports import free_port


class Door:
    """A monitor's side without its socket."""

    def __init__(self) -> None:
        self.inbox = SampleInbox()
        self._streams = PushedStreams(self.inbox)

    def send(
        self, now_s: float = 0.0, sender: bytes = b"a", frame: bytes | None = None, **fields: Any
    ) -> str:
        """Send a message; return why it was refused, or nothing."""
        told = {"type": "samples", "schema": 1, "leads": ["II"], "fs_hz": 250, **fields}
        frames = [json.dumps(told).encode(), *([] if frame is None else [frame])]
        reply = self._streams.take(sender, frames, now_s)
        return reply.reason if isinstance(reply, PushRefusal) else ""

    def raw(self, *frames: bytes) -> str:
        """Send bytes."""
        reply = self._streams.take(b"a", list(frames), 0.0)
        assert isinstance(reply, PushRefusal)
        return reply.reason

    def firsts(self) -> list[int]:
        """Return where the blocks begin that came."""
        return [one.first_sample for one in self.inbox.take()]

    def blocks(self) -> list[LiveBlock]:
        return self.inbox.take()


def test_json_alone_or_with_a_frame_of_float32() -> None:
    """In any unit of voltage, null and NaN for what is missing; fields of newer senders pass."""
    door = Door()
    assert door.send(samples=[[500, None]], units="uV", colour="red") == ""
    frame = np.array([[0.25, np.inf]], "<f4").tobytes()
    assert door.send(frame=frame) == ""
    one, other = door.blocks()
    assert np.array_equal(one.samples, np.array([[0.5, np.nan]], np.float32), equal_nan=True)
    assert np.array_equal(other.samples, np.array([[0.25, np.nan]], np.float32), equal_nan=True)
    assert (one.first_sample, other.first_sample) == (0, 2)


def test_a_reply_comes_where_it_is_asked_for() -> None:
    """So a sender in any language can see that it is right."""
    door = Door()
    told = {"type": "samples", "schema": 1, "leads": ["II"], "fs_hz": 250, "samples": [[1, 2]]}
    answer = PushedStreams(door.inbox).take(b"a", [json.dumps({**told, "reply": True}).encode()], 0)
    assert answer == PushTaken(1, 2)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "samples stand in the JSON or in a second frame"),
        ({"samples": [[1], [2]]}, "samples of 2 leads, not of 1"),
        ({"samples": [[1], [2, 3]], "leads": ["I", "II"]}, "not as many samples of each lead"),
        ({"samples": [[1], [2]], "leads": ["I", "I"]}, "two leads have one name"),
        ({"samples": [[1]], "units": "mmHg"}, "unit 'mmHg' is no voltage"),
        ({"samples": [[1]], "fs_hz": 0}, "fs_hz"),
        ({"samples": [["x"]]}, "samples"),
        ({"samples": [[1]], "schema": 2}, "schema"),
        ({"samples": [[1]], "leads": ["I"] * 17}, "leads"),
        ({"samples": [[1]], "patient": "a\u0007b"}, "patient"),
        ({"samples": [[1]], "position": -1}, "position"),
        ({"frame": b"123"}, "3 bytes of samples; send a multiple of 4"),
        ({"samples": [[1]], "frame": b"1234"}, "in one of them"),
    ],
)
def test_what_is_no_message_is_refused_with_the_reason(fields: dict[str, Any], reason: str) -> None:
    """Nothing of it is taken."""
    door = Door()
    assert reason in door.send(**fields)
    assert door.blocks() == []


def test_bytes_that_are_no_json_are_refused() -> None:
    """Neither do they cost memory."""
    door = Door()
    for frames in ([b""], [b"\xff\xfe"], [b"[" * 5000], [b"{}"], [b"{}", b"", b""]):
        assert door.raw(*frames)
    assert "at most" in door.raw(b" " * (MAX_PUSH_BYTES + 1))


def test_a_sender_that_counts_says_what_is_missing() -> None:
    """Also what came twice; one that begins to count anew goes on by the clock here."""
    door = Door()
    assert door.send(now_s=0.0, samples=[[0.0] * 50], position=1000) == ""
    assert door.send(now_s=0.2, samples=[[0.0] * 50], position=1100) == ""  # 50 are missing
    assert door.send(now_s=0.4, samples=[[0.0] * 50], position=1125) == ""  # half came before
    assert door.send(now_s=5.6, samples=[[0.0] * 50], position=0) == ""  # 5 s are missing
    assert door.firsts() == [0, 100, 150, 175 + 1250]


def test_one_patient_has_one_sender_at_a_time() -> None:
    """Another is taken once the first is gone, behind a gap."""
    door = Door()
    assert door.send(now_s=0.0, samples=[[0.0] * 50], patient="bed 1") == ""
    assert "has another sender now" in door.send(
        now_s=0.5, sender=b"b", samples=[[0.0] * 50], patient="bed 1"
    )
    assert door.send(now_s=0.5, sender=b"b", samples=[[0.0] * 50], patient="bed 2") == ""
    back_s = 0.5 + 2 * RIVAL_S
    assert door.send(now_s=back_s, sender=b"b", samples=[[0.0] * 50], patient="bed 1") == ""
    assert [one.patient for one in door.inbox.streams] == ["bed 1", "bed 2"]
    assert door.firsts() == [0, 0, 50 + round((back_s - 0.2) * 250)]
    assert door.inbox.take_notices() == ["patient bed 1: its sender is back"]


def test_a_patient_s_leads_and_rate_stay() -> None:
    """Until the monitor is started anew."""
    door = Door()
    assert door.send(samples=[[0.0]]) == ""
    assert "has leads II at 250 Hz" in door.send(samples=[[0.0]], fs_hz=500)


# --- over a socket ----------------------------------------------------------------------------


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_any_program_that_speaks_zeromq_can_send(stack: ExitStack) -> None:
    """A DEALER, a line of JSON, and the reply."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    source = open_live(f"push:{endpoint}", SourceOptions())
    stack.callback(source.close)
    context = stack.enter_context(zmq.Context())
    socket = stack.enter_context(context.socket(zmq.DEALER))
    socket.linger = 0
    socket.connect(endpoint)
    socket.send(
        b'{"type":"samples","schema":1,"patient":"bed-1","leads":["II"],"fs_hz":250,'
        b'"samples":[[0.1,0.2]],"reply":true}'
    )
    assert socket.poll(5000)
    assert json.loads(socket.recv()) == {"type": "taken", "schema": 1, "n_samples": 2}
    (block,) = source.take()
    assert block.stream.patient == "bed-1"
    socket.send(b"hello")
    assert socket.poll(5000)
    refused = json.loads(socket.recv())
    assert refused["type"] == "refused"
    assert "no message of samples" in refused["reason"]


def test_a_pusher_hears_why_it_is_refused(stack: ExitStack) -> None:
    """With its next samples."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    source = open_live(f"push:{endpoint}", SourceOptions())
    stack.callback(source.close)
    first = stack.enter_context(SamplePusher(endpoint, leads=["II"], fs_hz=250))
    first.push(np.zeros(10))
    second = stack.enter_context(SamplePusher(endpoint, leads=["II"], fs_hz=250))
    with pytest.raises(PushRefused, match="has another sender now"):
        pushed_until_refused(first, second)


def pushed_until_refused(first: SamplePusher, second: SamplePusher) -> None:
    for _ in range(100):
        first.push(np.zeros(10))
        second.push(np.zeros(10))
        time.sleep(0.05)


def test_a_pusher_without_a_monitor_never_waits(stack: ExitStack) -> None:
    """It counts what it drops."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    pusher = SamplePusher(endpoint, leads=["I", "II"], fs_hz=250)
    stack.callback(pusher.close)
    began_s = time.monotonic()
    for _ in range(200):
        pusher.push(np.zeros((2, 50)))
    assert time.monotonic() - began_s < 5
    assert pusher.dropped > 1000


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"leads": []}, "leads"),
        ({"leads": "II"}, "a list of names"),
        ({"fs_hz": -1}, "fs_hz"),
        ({"leads": ["I"] * 2}, "two"),
    ],
)
def test_what_can_never_be_sent_is_refused_at_once(fields: dict[str, Any], error: str) -> None:
    """Before anything is connected."""
    with pytest.raises(InvalidMessage, match=error):
        SamplePusher(**{"leads": ["II"], "fs_hz": 250, **fields})


def test_samples_of_another_shape_are_a_mistake_of_the_program() -> None:
    """Told as one."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with (
        SamplePusher(endpoint, leads=["I", "II"], fs_hz=250) as pusher,
        pytest.raises(ValueError, match=r"send \(2, n\)"),
    ):
        pusher.push(np.zeros((3, 10)))


def test_beyond_this_machine_keys_are_needed() -> None:
    """Nothing would be encrypted otherwise."""
    with pytest.raises(RecordError, match="beyond this machine without keys"):
        open_live("push:tcp://0.0.0.0:5576", SourceOptions())


def test_with_keys_only_who_may_send_is_heard(tmp_path: Path, stack: ExitStack) -> None:
    """Who may only listen is told that it may not."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        init_keys(folder)
    shutil.copy(ours / "server.public", theirs / "server.public")
    shutil.copy(theirs / "client.public", ours / "authorised" / "theirs.public")
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    source = open_live(f"push:{endpoint}", SourceOptions(keys=str(ours)))
    stack.callback(source.close)
    described: dict[str, Any] = {"leads": ["II"], "fs_hz": 250}
    may = stack.enter_context(SamplePusher(endpoint, keys=load_keys(ours), **described))
    may.push(np.zeros(10))
    deadline_s = time.monotonic() + 10
    while not (blocks := source.take()) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert blocks
    may_not = stack.enter_context(
        SamplePusher(endpoint, keys=load_keys(theirs), patient="x", **described)
    )
    with pytest.raises(PushRefused, match="may not send samples there"):
        pushed_until_refused(may, may_not)
    assert [one.patient for one in source.streams] == [""]


def test_an_address_that_is_taken_is_said(stack: ExitStack) -> None:
    """At once."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    source = open_live(f"push:{endpoint}", SourceOptions())
    stack.callback(source.close)
    with pytest.raises(RecordError, match="is in use by another process"):
        open_live(f"push:{endpoint}", SourceOptions())
