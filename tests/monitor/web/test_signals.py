"""The newest signal as bytes: what a browser is sent, and how much is kept."""

from __future__ import annotations

import struct

import msgspec
import numpy as np
import pytest

from monitor.web.signals import KEPT_S, MAX_CHUNKS, MISSING, Signals, chunk
from monitor.wire.messages import OtherLead, Wave

HEADER = struct.Struct("<IBBHfd")


def wave(sample: int, values: list[float | None], **changes: object) -> Wave:
    return msgspec.structs.replace(
        Wave(1, "p", sample, 125.0, values, [], 250.0, "MLII"), **changes
    )


def test_a_chunk_holds_microvolts_and_their_place() -> None:
    """Header and values read back as they were given; a gap has its own value."""
    content = chunk(7, 1, 125.0, 1_000_000_000_000, [0.0, None, -1.234])
    assert HEADER.unpack_from(content) == (7, 1, 0, 3, 125.0, 1e12)
    assert np.frombuffer(content, "<i2", 3, HEADER.size).tolist() == [0, MISSING, -1234]
    assert len(content) % 4 == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e30])
def test_what_cannot_be_drawn_is_missing(value: float) -> None:
    """No value of a message makes an error or a wrapped number."""
    content = chunk(1, 0, 125.0, 0, [value, 40.0, -40.0])
    assert np.frombuffer(content, "<i2", 3, HEADER.size).tolist() == [MISSING, 32767, -32767]


def test_a_browser_gets_what_it_lacks_once_and_in_order() -> None:
    """Behind a number come the later chunks alone."""
    signals = Signals()
    signals.take(1, wave(0, [0.0]), 250.0, 1)
    before = signals.newest
    signals.take(2, wave(0, [0.0]), 250.0, 1)
    signals.take(1, wave(2, [0.1]), 250.0, 1)
    signals.take(1, wave(4, [0.2]), 250.0, 1)
    firsts = [HEADER.unpack_from(one)[5] for one in signals.since(1, before)]
    assert firsts == [1.0, 2.0]
    assert list(signals.since(1, signals.newest)) == []
    assert list(signals.since(99, 0)) == []


def test_leads_are_sent_only_where_they_are_shown() -> None:
    """A tile has the first lead, a page all."""
    signals = Signals()
    told = wave(0, [0.0, 0.0], others=[OtherLead("V1", [0.1, 0.1])])
    signals.take(1, told, 250.0, 1)
    signals.take(1, told, 250.0, 2)
    one, both = signals.since(1, 0)
    assert len(both) == 2 * len(one)


def test_what_is_kept_is_bounded() -> None:
    """However long nobody takes it; the whole past replaces what was had before."""
    signals = Signals()
    for place in range(3 * MAX_CHUNKS):
        signals.take(1, wave(2 * place, [0.0]), 250.0, 1)
    assert len(list(signals.since(1, 0))) == MAX_CHUNKS
    signals.take(1, wave(0, [0.0] * round(KEPT_S * 125)), 250.0, 1)
    assert len(list(signals.since(1, 0))) == 1
    signals.keep(set())
    assert list(signals.since(1, 0)) == []
