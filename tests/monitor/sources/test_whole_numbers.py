"""Whole numbers that left the range of their type."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.sources.whole_numbers import MOST_WRAPPED_S, RangeWatch

FS_HZ = 250.0


def outside(signal: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Return which samples of a lead are not believed, as int16, so many at a time."""
    sent = signal.astype(np.int16)[None].astype(np.int64)
    watch = RangeWatch(16, 1, FS_HZ)
    found = [watch.outside(sent[:, n : n + size])[0] for n in range(0, sent.shape[1], size)]
    return np.concatenate(found)


def ecg() -> NDArray[np.int64]:
    """Return a sine of 30,000 units with QRS complexes that leave the range, up and down."""
    n = np.arange(5000)
    signal = 20_000 * np.sin(n / 40)
    qrs = np.exp(-(((n % 250) - 63) ** 2) / 30) * 30_000
    return (signal + np.where(n < 2500, qrs, -qrs)).astype(np.int64)


def test_samples_beyond_the_range_are_missing_and_no_others() -> None:
    """40,000 came as -25,536; with any cut."""
    signal = ecg()
    beyond = (signal > 32_767) | (signal < -32_768)
    assert beyond.any()
    for size in (1, 3, 100, 5000):
        assert np.array_equal(outside(signal, size), beyond)


def test_an_ordinary_signal_is_believed() -> None:
    """Up to the limits; a saturated one, too."""
    signal = np.clip(ecg(), -32_768, 32_767)
    assert not outside(signal, 50).any()


def test_a_step_of_the_signal_itself_is_not_missing_for_ever() -> None:
    """From one end of the range to the other, as where a lead comes off."""
    signal = np.r_[np.full(500, -32_768), np.full(1000, 32_767)].astype(np.int64)
    found = outside(signal, 100)
    assert not found[:500].any()
    assert found[500:].sum() == round(MOST_WRAPPED_S * FS_HZ)


def test_leads_are_watched_on_their_own() -> None:
    """One that wraps takes no other with it."""
    sent = np.array([[30_000, -25_536, 30_000], [1, 2, 3]])
    assert RangeWatch(16, 2, FS_HZ).outside(sent).tolist() == [[False, True, False], [False] * 3]
