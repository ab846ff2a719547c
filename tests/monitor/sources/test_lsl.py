"""LSL streams of real outlets in other processes: numbers, units, and outlets that come back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from monitor.errors import RecordError
from monitor.sources.kinds import live_kind, open_live
from monitor.sources.source import LiveSource, SourceOptions
from tests.monitor.sources.conformance import take
from tests.monitor.sources.lsl_outlet import OutletProcess

pytest.importorskip("pylsl", reason="the extra [lsl] is not installed")

FS_HZ = 250.0
Outlet = Callable[..., OutletProcess]


@pytest.fixture
def outlet() -> Iterator[Outlet]:
    """Start outlets; they are gone behind the test."""
    with ExitStack() as stack:

        def start(name: str, **described: Any) -> OutletProcess:
            told = {"rate": FS_HZ, "labels": ["II", "V5"], "units": "microvolts"}
            one = OutletProcess(name=name, source_id=name, **{**told, **described})
            stack.callback(one.kill)
            return one

        yield start


def opened(rest: str, stack: ExitStack, options: SourceOptions | None = None) -> LiveSource:
    source = open_live(f"lsl:{rest}", options or SourceOptions())
    stack.callback(source.close)
    return source


def name() -> str:
    """Return a stream's name that no other test uses."""
    return f"ecg-{time.monotonic_ns()}"


def test_whole_numbers_that_wrap_are_missing(outlet: Outlet) -> None:
    """40,000 comes as -25,536; it is told once, and said what to do."""
    called = name()
    sender = outlet(called, number="int16", labels=["II"])
    with ExitStack() as stack:
        source = opened(called, stack)
        signal = np.array([[0, 30_000, 40_000, 41_000, 31_000, -7, 0, 5] * 10])
        sender.push(signal, 0.0)
        taken = take(source, signal.shape[1], 5.0).samples[0]
        expected = np.where(signal[0] > 32_767, np.nan, signal[0] * 1e-3).astype(np.float32)
        assert np.array_equal(taken, expected, equal_nan=True)
        (notice,) = source.take_notices()
        assert "leave the range of int16" in notice


@pytest.mark.parametrize(
    ("again", "error"),
    [
        ({"rate": 500.0}, "at 500 Hz, float32, was II, V5 at 250 Hz"),
        ({"labels": ["V5", "II"]}, "V5, II at 250 Hz"),
        ({"units": "millivolts"}, "came back as another stream"),
        ({"labels": ["I", "II", "III"]}, "I, II, III at 250 Hz"),
    ],
)
def test_an_outlet_that_comes_back_as_another_one_ends_the_source(
    again: dict[str, Any], error: str, outlet: Outlet
) -> None:
    """LSL's own recovery would go on under the old description, or wait for ever."""
    called = name()
    first = outlet(called)
    with ExitStack() as stack:
        source = opened(called, stack)
        first.push(np.zeros((2, 100)), 0.0)
        take(source, 100, 5.0)
        first.kill()
        outlet(called, **again)
        with pytest.raises(RecordError, match=error):
            take(source, 1, 15.0)


def test_leads_units_and_rate_are_those_of_the_stream(outlet: Outlet) -> None:
    """Of a stream of type ECG whose channels have no name, each is a lead; others are not read."""
    plain, named = name(), name()
    outlet(plain, labels=["", ""], rate=125.0)
    outlet(named, labels=["Resp", "aVF"], type="ExG")
    with ExitStack() as stack:
        (stream,) = opened(plain, stack).streams
        assert (stream.leads, stream.fs_hz) == (("ECG1", "ECG2"), 125.0)
        source = opened(named, stack)
        assert source.streams[0].leads == ("aVF",)
        assert source.warnings == ("not read: Resp",)
        assert any(f"lsl:{plain} (type ECG" in one for one in live_kind("lsl").find())


def test_a_unit_that_is_not_told_is_not_guessed(outlet: Outlet) -> None:
    """A person can say it."""
    called = name()
    sender = outlet(called, units="", labels=["II"])
    with pytest.raises(RecordError, match="does not say the unit of its samples; give it: --units"):
        open_live(f"lsl:{called}", SourceOptions())
    with ExitStack() as stack:
        source = opened(called, stack, SourceOptions(units="uV"))
        sender.push(np.full((1, 50), 500.0), 0.0)
        assert take(source, 50, 5.0).samples[0, 0] == np.float32(0.5)


def test_of_several_streams_one_must_be_named(outlet: Outlet) -> None:
    """With how each is named."""
    kind = f"type-{time.monotonic_ns()}"
    one, other = name(), name()
    outlet(one, type=kind)
    outlet(other, type=kind)
    with pytest.raises(RecordError, match=f"there are several: .*lsl:source_id={other}"):
        open_live(f"lsl:type={kind}", SourceOptions())


def test_a_stream_that_is_not_there_is_said_with_those_that_are(outlet: Outlet) -> None:
    """Within ten seconds, in one line."""
    called = name()
    outlet(called)
    with pytest.raises(RecordError, match=f"no such stream .* there is .*lsl:{called}"):
        open_live("lsl:nobody", SourceOptions())
