"""What every source must do; `test_conformance.py` holds all of them to it.

A source that is added brings a `RecordCase` or a `LiveCase`: how a small one of its kind is made,
and what must come out, as the format's own library or the sender says.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.settings import ProducerSettings
from monitor.sources.kinds import open_record
from monitor.sources.source import LiveSource, RecordSource, SourceOptions
from monitor.stages.playback import Pacer, open_sources
from monitor.wire.messages import EndHeader, SamplesMessage

Signal = NDArray[np.float32]
NO_OPTIONS = SourceOptions()
MEMORY_BYTES = 24_000_000  # while windows of ten seconds are read, of a day of two leads (173 MB)
MOST_WAITING_S = 40.0  # of a live source that nobody takes from: its 30 s, and a block


# --- records ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """A record on disk, and what its own library reads of it.

    Attributes
    ----------
    path : Path
        As a person names it.
    signal : np.ndarray, shape (leads, n), float32
        Millivolts, NaN where nothing is; to the bit.
    """

    path: Path
    leads: tuple[str, ...]
    fs_hz: float
    signal: Signal
    options: SourceOptions = NO_OPTIONS


@dataclass(frozen=True)
class RecordCase:
    """One kind of record.

    Attributes
    ----------
    write : callable
        Makes a record of some minutes, with a gap if the format can say so, in a folder.
    write_long : callable
        Makes one of a day, of two leads at 250 Hz, or one that takes far more than `memory_bytes`.
    by_content : bool
        Whether a file of another name is known for what it is.
    """

    name: str
    write: Callable[[Path], Written]
    write_long: Callable[[Path], Path]
    long_options: SourceOptions = NO_OPTIONS
    by_content: bool = True
    memory_bytes: int = MEMORY_BYTES


def same_bits(one: Signal, other: Signal) -> bool:
    """Return whether two signals are alike to the bit; any NaN is like any other."""
    missing = np.isnan(one)
    return (
        one.shape == other.shape
        and one.dtype == other.dtype == np.float32
        and bool(np.array_equal(missing, np.isnan(other)))
        and bool(np.array_equal(one[~missing].view(np.int32), other[~missing].view(np.int32)))
    )


def read_all(record: RecordSource) -> Signal:
    """Return all samples of a record."""
    return record.read(0, record.n_samples)


def check_bits(written: Written) -> None:
    """Leads, rate, length and every sample are what the format's own library says."""
    with open_record(written.path, written.options) as record:
        assert record.leads == written.leads
        assert record.fs_hz == written.fs_hz
        assert record.n_samples == written.signal.shape[1]
        assert len(record.channels) == len(record.leads)
        assert same_bits(read_all(record), written.signal)


def check_windows(written: Written) -> None:
    """Windows of any size, in any order, hold the same bits as the whole; others are refused."""
    rng = np.random.default_rng(1)
    n_samples = written.signal.shape[1]
    with open_record(written.path, written.options) as record:
        for size in (0, 1, 7, 250, 5000, n_samples):
            for start in rng.integers(0, n_samples - min(size, n_samples) + 1, 12).tolist():
                stop = min(start + size, n_samples)
                assert same_bits(record.read(start, stop), written.signal[:, start:stop])
        for start, stop in ((-1, 5), (5, 4), (0, n_samples + 1)):
            with pytest.raises(ValueError, match="window"):
                record.read(start, stop)


def check_again(written: Written) -> None:
    """A record that is opened again, or closed and read, gives the same bits: a run can resume."""
    with open_record(written.path, written.options) as record:
        middle = record.n_samples // 2
        before = record.read(middle, record.n_samples)
    with open_record(written.path, written.options) as record:
        assert same_bits(record.read(middle, record.n_samples), before)


def check_leads(written: Written) -> None:
    """A lead is chosen by name or number; one that is not there is refused with those that are."""
    last = len(written.leads) - 1
    for asked in (written.leads[last], str(_channel(written, last))):
        options = _with_leads(written.options, asked)
        with open_record(written.path, options) as record:
            assert record.leads == (written.leads[last],)
            assert same_bits(read_all(record), written.signal[last:])
    with pytest.raises(RecordError, match=written.leads[0]) as caught:
        open_record(written.path, _with_leads(written.options, "no such lead"))
    check_one_line(caught.value)


def check_known_by_content(written: Written, folder: Path) -> None:
    """What the file is called does not matter."""
    for name in ("unnamed", "wrong.mp3"):
        copy = folder / name
        copy.write_bytes(written.path.read_bytes())
        with open_record(copy, written.options) as record:
            assert same_bits(read_all(record), written.signal)


def check_memory(path: Path, options: SourceOptions, most_bytes: int) -> None:
    """A window of a long record takes the memory of the window, wherever it lies."""
    with open_record(path, options) as record:
        ten_s = round(10 * record.fs_hz)
        record.read(0, ten_s)  # what is imported and looked up once
    tracemalloc.start()
    try:
        with open_record(path, options) as record:
            for start in (0, record.n_samples // 2, record.n_samples - ten_s):
                record.read(start, start + ten_s)
        assert tracemalloc.get_traced_memory()[1] < most_bytes
    finally:
        tracemalloc.stop()


def check_cut_short(written: Written, files: list[Path]) -> None:
    """A file that was not copied whole is refused in one line, or read as far as it goes."""
    for file in files:
        content = file.read_bytes()
        for share in (0.0, 0.01, 0.3, 0.5, 0.9, 0.999):
            file.write_bytes(content[: round(share * len(content))])
            try:
                with open_record(written.path, written.options) as record:
                    signal = read_all(record)
            except RecordError as error:
                check_one_line(error)
                continue
            n_same = min(signal.shape[1], written.signal.shape[1])
            there = ~np.isnan(signal[:, :n_same])
            assert np.array_equal(signal[:, :n_same][there], written.signal[:, :n_same][there]), (
                "what is read is right, or missing"
            )
        file.write_bytes(content)


def check_played(written: Written) -> None:
    """The producer sends all of it, once, in order, and then its end."""
    settings = ProducerSettings(
        records=[str(written.path)],
        samples="ipc:///unused",
        leads=[str(one) for one in written.options.leads or ()],
        fs_hz=written.options.fs_hz,
        units=written.options.units,
    )
    pacer = Pacer(open_sources(settings).playbacks, None, now_s=0.0)
    blocks: list[Signal] = []
    sent = 0
    while pacer:
        for message in pacer.take_due(1e9, 0):
            if isinstance(message, SamplesMessage):
                assert message.header.position == sent
                blocks.append(message.samples)
                sent += message.header.n_samples
            else:
                assert isinstance(message, EndHeader)
                assert message.position == sent
    assert same_bits(np.concatenate(blocks, axis=1), written.signal)


def check_one_line(error: RecordError) -> None:
    """An error is one line that a person can read."""
    text = str(error)
    assert text.isprintable(), text
    assert 10 < len(text) < 1500, text


def _with_leads(options: SourceOptions, lead: str) -> SourceOptions:
    return SourceOptions([lead], options.fs_hz, options.units)


def _channel(written: Written, lead: int) -> int:
    with open_record(written.path, written.options) as record:
        return record.channels[lead]


# --- live sources -----------------------------------------------------------------------------


class Sender(Protocol):
    """The other end of a live source: a device, or what stands for it in a test."""

    def send(self, samples: Signal) -> None:
        """Send samples in mV, shape (leads, n), that follow the ones before at once."""

    def pause(self, seconds: float) -> None:
        """Lose the connection, and so much of the signal, and come back."""

    def end(self) -> None:
        """End the stream where its kind can; otherwise do nothing."""


@dataclass(frozen=True)
class LiveCase:
    """One kind of live source.

    Attributes
    ----------
    open : callable
        Starts a sender and opens the source on it.
    fs_hz : float
        Of the stream; the sender has two leads.
    lost_within_s : float
        How exactly the source knows how long it was lost.
    ends : bool
        Whether the sender can end the stream.
    holds_s : float
        How much of the signal may wait at most, where nobody takes it.
    settle_s : float
        How long what was sent may be on its way.
    exact_mv : float
        How exactly a sample arrives, in mV: 0 is to the bit.
    waits : bool
        Whether what is not taken waits at the sender, who then is never lost either.
    needs : str
        The module that its extra installs; without it the case is skipped.
    """

    name: str
    open: Callable[[], tuple[LiveSource, Sender]]
    fs_hz: float
    lost_within_s: float = 0.1
    ends: bool = False
    holds_s: float = MOST_WAITING_S
    settle_s: float = 5.0
    exact_mv: float = 0.0
    waits: bool = False
    needs: str = ""


@dataclass
class Taken:
    """What a source gave: each sample with its position."""

    positions: NDArray[np.int64]
    samples: Signal

    @property
    def holes(self) -> list[int]:
        """How many samples are missing in each hole."""
        steps = np.diff(self.positions)
        return [int(step) - 1 for step in steps if step != 1]


def take(source: LiveSource, n_samples: int, settle_s: float) -> Taken:
    """Take from a source until it gave so many samples, ends, or nothing comes any more."""
    blocks: list[tuple[int, Signal]] = []
    deadline_s = time.monotonic() + settle_s
    n_taken, reached, received_ns = 0, 0, 0
    while n_taken < n_samples and time.monotonic() < deadline_s and not source.ended:
        for block in source.take():
            assert block.samples.dtype == np.float32
            assert block.samples.shape[0] == len(block.stream.leads)
            assert block.samples.shape[1] >= 1
            assert block.first_sample >= reached, "it counts back"
            assert received_ns <= block.received_ns <= time.monotonic_ns()
            reached, received_ns = block.first_sample + block.samples.shape[1], block.received_ns
            n_taken += block.samples.shape[1]
            blocks.append((block.first_sample, block.samples))
        time.sleep(0.005)
    positions = [np.arange(first, first + one.shape[1], dtype=np.int64) for first, one in blocks]
    empty = np.empty((0, 0), np.float32)
    return Taken(
        np.concatenate([np.empty(0, np.int64), *positions]),
        np.concatenate([one for _, one in blocks], axis=1) if blocks else empty,
    )


def noise(seconds: float, fs_hz: float, seed: int = 1) -> Signal:
    """Return two leads of chance, in mV, on a grid of 1/1024 mV that any device can send."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-2000, 2000, (2, round(seconds * fs_hz)))
    return (steps / 1024).astype(np.float32)


def check_live_bits(case: LiveCase) -> None:
    """Every sample that is sent is taken once, in order, from position 0 on, as it was sent."""
    source, sender = case.open()
    try:
        (stream,) = source.streams
        assert len(stream.leads) == len(set(stream.leads)) == 2
        assert stream.fs_hz == case.fs_hz
        signal = noise(3, case.fs_hz)
        for part in np.array_split(signal, 30, axis=1):
            sender.send(part)
        taken = take(source, signal.shape[1], case.settle_s)
        assert taken.positions[0] == 0
        assert taken.holes == []
        assert_sent(case, taken.samples, signal)
    finally:
        source.close()
        source.close()  # twice does no harm


def assert_sent(case: LiveCase, taken: Signal, sent: Signal) -> None:
    """Assert that samples came as they were sent."""
    if case.exact_mv == 0:
        assert same_bits(taken, sent)
    else:
        np.testing.assert_allclose(taken, sent, rtol=0, atol=case.exact_mv)


def check_nothing_waits(case: LiveCase) -> None:
    """Taking returns at once where nothing came."""
    source, _ = case.open()
    try:
        for _ in range(100):
            assert source.take() == []
        assert not source.ended
    finally:
        source.close()


def check_lost_and_back(case: LiveCase, seconds: float = 2.0) -> None:
    """Behind a lost connection positions go on by as much as the source's clock says."""
    source, sender = case.open()
    try:
        sender.send(noise(1, case.fs_hz, 1))
        before = take(source, round(case.fs_hz), case.settle_s)
        sender.pause(seconds)
        sender.send(noise(1, case.fs_hz, 2))
        after = take(source, round(case.fs_hz), case.settle_s + seconds)
        lost_s = (int(after.positions[0]) - int(before.positions[-1]) - 1) / case.fs_hz
        assert lost_s == pytest.approx(seconds, abs=case.lost_within_s)
        assert_sent(case, after.samples, noise(1, case.fs_hz, 2))
        assert source.take_notices(), "a person should know"
        assert source.take_notices() == []
    finally:
        source.close()


def check_late(case: LiveCase) -> None:
    """Of what nobody takes the newest waits, with its positions; the rest is a hole."""
    source, sender = case.open()
    try:
        signal = noise(4 * case.holds_s, case.fs_hz)
        for part in np.array_split(signal, 100, axis=1):
            sender.send(part)
        time.sleep(min(1.0, case.settle_s))
        taken = take(source, signal.shape[1], case.settle_s)
        assert taken.samples.shape[1] <= case.holds_s * case.fs_hz
        held = [one for one in pairwise(taken.positions.tolist()) if one[1] <= one[0]]
        assert held == []
        for position, sample in zip(taken.positions[::97], taken.samples.T[::97], strict=True):
            if position < signal.shape[1]:
                assert_sent(case, sample[:, None], signal[:, position : position + 1])
    finally:
        source.close()


def check_end(case: LiveCase) -> None:
    """A stream that ends is taken whole first."""
    source, sender = case.open()
    try:
        signal = noise(1, case.fs_hz)
        sender.send(signal)
        sender.end()
        taken = take(source, signal.shape[1] + 1, case.settle_s)
        assert_sent(case, taken.samples, signal)
        assert source.ended
        assert source.take() == []
    finally:
        source.close()
