"""What the stages share: how much is taken in at once."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import zmq

from monitor.stages.host import ROUND_BYTES, Counters, StageHost
from monitor.wire.codec import encode_bundle
from monitor.wire.messages import SamplesHeader, SamplesMessage

FS_HZ = 250.0


class Waiting:
    """A socket on which bundles wait."""

    def __init__(self, bundles: list[list[bytes]]) -> None:
        self.bundles = bundles

    def recv_multipart(self, _flags: int) -> list[bytes]:
        if not self.bundles:
            raise zmq.Again
        return self.bundles.pop(0)


def bundles(n: int, seconds: float, *, broken: bool = False) -> Iterator[list[bytes]]:
    samples = np.zeros((1, round(seconds * FS_HZ)), np.float32)
    for number in range(n):
        n = samples.shape[1]
        position = number * n
        header = SamplesHeader(5, "p", "r", number, 0, position, ["I"], FS_HZ, n, 7)
        frames = encode_bundle([SamplesMessage(header, samples)])
        yield [b"\xc1", *frames[1:]] if broken else frames


def host() -> StageHost:
    return cast(StageHost, SimpleNamespace(counters=Counters("consumer", 0), more_waits=False))


def receive(stage: StageHost, waiting: Waiting, most: int) -> int:
    return len(StageHost.receive(stage, cast("zmq.Socket[Any]", waiting), most))


@pytest.mark.parametrize("seconds", [30.0, 300.0])
def test_large_messages_are_taken_in_few_at_a_time(seconds: float) -> None:
    """By their bytes, so that a stage that is behind holds no hours of signal; none is lost."""
    one = len(b"".join(next(bundles(1, seconds))))
    waiting, stage, taken = Waiting([*bundles(20, seconds)] * 8), host(), []
    while waiting.bundles:
        taken.append(receive(stage, waiting, 512))
    assert max(taken) * one < ROUND_BYTES + one
    assert sum(taken) == stage.counters.messages_in == 160


def test_small_messages_are_counted() -> None:
    """Blocks of a ward are a few hundred bytes each."""
    waiting, stage = Waiting([*bundles(30, 0.2)]), host()
    assert receive(stage, waiting, 20) == 20
    assert len(waiting.bundles) == 10
    assert stage.more_waits
    assert receive(stage, waiting, 20) == 10
    assert not stage.more_waits


def test_what_is_no_message_takes_room_too() -> None:
    """Who sends rubbish gains no longer step by it."""
    waiting, stage = Waiting([*bundles(100, 300.0, broken=True)]), host()
    one = len(b"".join(waiting.bundles[0]))
    assert receive(stage, waiting, 512) == 0
    assert stage.counters.malformed == -(-ROUND_BYTES // one) < 100
