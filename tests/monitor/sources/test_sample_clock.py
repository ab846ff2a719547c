"""Positions from timestamps: jitter, drift, gaps, hiccups, and any cut of them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.sources.sample_clock import HELD_S, SampleClock
from monitor.sources.source import LiveStream
from monitor.sources.stamped_samples import StampedSamples

FS_HZ = 250.0
Stamps = NDArray[np.float64]


def positions(stamps: Stamps, size: int = 25, fs_hz: float = FS_HZ) -> NDArray[np.int64]:
    """Return the position of each sample, timestamps taken so many at a time."""
    clock = SampleClock(fs_hz)
    placed = [
        one
        for start in range(0, len(stamps), size)
        for one in clock.place(stamps[start : start + size].tolist())
    ]
    placed += clock.flush()
    found: list[int] = []
    reached = 0
    for missing, n_samples in placed:
        reached += missing
        found += range(reached, reached + n_samples)
        reached += n_samples
    return np.array(found)


def stamped(seconds: float, drift_ppm: float = 0.0) -> Stamps:
    return np.arange(round(seconds * FS_HZ)) / FS_HZ * (1 + drift_ppm * 1e-6)


def chunk_jitter(n: int, scale_s: float, seed: int = 1) -> Stamps:
    """Return the jitter of chunks of 25 samples, which are stamped together."""
    rng = np.random.default_rng(seed)
    return np.repeat(rng.exponential(scale_s, n // 25 + 1), 25)[:n]


@pytest.mark.parametrize("drift_ppm", [0, 50, -200, 10_000, -20_000])
@pytest.mark.parametrize("jitter_s", [0.0, 0.002, 0.015])
def test_drift_and_jitter_are_no_gaps(drift_ppm: float, jitter_s: float) -> None:
    """From a quartz to a device that is two per cent off its rate: no sample is moved."""
    stamps = stamped(600, drift_ppm)
    stamps += chunk_jitter(len(stamps), jitter_s) if jitter_s else 0.0
    assert np.array_equal(positions(stamps), np.arange(len(stamps)))


@pytest.mark.parametrize("drift_ppm", [0, 50, 10_000])
@pytest.mark.parametrize("lost_s", [0.2, 1.0, 5.0, 1800.0])
def test_what_is_lost_is_a_gap_of_its_length(drift_ppm: float, lost_s: float) -> None:
    """To the sample where timestamps are exact, to 10 ms where they jitter by 2 ms.

    Over half an hour the device's rate itself is not known better than to 50 parts in a million.
    """
    stamps = stamped(240 + lost_s, drift_ppm)
    taken = np.ones(len(stamps), np.bool_)
    taken[round(120 * FS_HZ) : round((120 + lost_s) * FS_HZ)] = False
    truth = np.flatnonzero(taken)
    assert np.array_equal(positions(stamps[taken]), truth)
    jittered = stamps[taken] + chunk_jitter(len(truth), 0.002)
    assert np.abs(positions(jittered) - truth).max() <= (0.01 + 5e-5 * lost_s) * FS_HZ


def test_any_cut_of_the_timestamps_gives_the_same_positions() -> None:
    """Also within what is held behind a step."""
    stamps = stamped(60, 50) + chunk_jitter(round(60 * FS_HZ), 0.01)
    stamps[7_000:] += 0.4
    stamps[9_000:9_050] += 0.15
    whole = positions(stamps, len(stamps))
    for size in (1, 7, 61, 62, 63, 500):
        assert np.array_equal(positions(stamps, size), whole)


@pytest.mark.parametrize("stall_s", [0.15, 0.5, 2.0])
def test_a_hiccup_is_no_gap(stall_s: float) -> None:
    """Samples that were stamped when they were let through, late, and caught up in a burst."""
    stamps = stamped(60)
    stall = slice(round(30 * FS_HZ), round((30 + stall_s) * FS_HZ))
    stamps[stall] = np.maximum(stamps[stall], 30 + stall_s)
    assert np.array_equal(positions(stamps), np.arange(len(stamps)))


def test_a_hiccup_that_ends_slowly_is_no_gap() -> None:
    """A first sample that is late, and others that are still a little late."""
    stamps = stamped(60)
    stamps[7_500] += 0.11
    stamps[7_501:7_580] += 0.045
    assert np.array_equal(positions(stamps), np.arange(len(stamps)))


def test_a_clock_that_is_set_back_goes_on_at_once() -> None:
    """No sample is lost, none is moved."""
    stamps = stamped(60)
    stamps[7_000:] -= 3600.0
    assert np.array_equal(positions(stamps), np.arange(len(stamps)))


def test_behind_a_step_little_is_held() -> None:
    """A quarter of a second, so that a verdict is no later."""
    clock = SampleClock(FS_HZ)
    clock.place(stamped(10).tolist())
    held = 0
    for stamp_s in (15 + stamped(1)).tolist():
        clock.place([stamp_s])
        held = max(held, clock.n_held)
    assert held <= HELD_S * FS_HZ
    assert clock.n_held == 0


# --- with the samples -------------------------------------------------------------------------


def placed(chunks: list[tuple[float, float]], seconds: float = 1.0) -> list[tuple[int, int]]:
    """Return first sample and length of the blocks of chunks: timestamp, and when it came."""
    samples = StampedSamples(LiveStream(("I",), FS_HZ))
    blocks = []
    n = round(seconds * FS_HZ)
    for stamp_s, received_s in chunks:
        values = np.zeros((1, n), np.float32)
        blocks += samples.put(values, stamp_s + np.arange(n) / FS_HZ, received_s)
    blocks += samples.quiet(chunks[-1][1] + 10)
    return [(one.first_sample, one.samples.shape[1]) for one in blocks]


def test_another_clock_is_measured_on_the_one_here() -> None:
    """A device that is started again may count from zero, or from another day."""
    for jump_s in (-1e6, 1e6, -60.0):
        chunks = [(100.0, 1.0), (101.0, 2.0), (107.0 + jump_s, 8.0), (108.0 + jump_s, 9.0)]
        found = placed(chunks)
        assert found[0] == (0, 250)
        first = next(first for first, _ in found if first >= 500)
        assert first == pytest.approx(500 + 5 * FS_HZ, abs=1)
        assert sum(n for _, n in found) == 1000


def test_what_is_held_goes_on_when_nothing_follows() -> None:
    """A stream that falls silent right behind a gap."""
    found = placed([(0.0, 1.0), (9.0, 10.0)], seconds=0.1)
    assert found == [(0, 25), (2250, 25)]
