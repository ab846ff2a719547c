"""The rhythm of a night in bins."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.offline.report.trend import (
    CELLS,
    MOST_BINS,
    bin_length_s,
    intervals_of_kept,
    rhythm_trend,
)


def test_the_rate_follows_the_intervals() -> None:
    """An hour at 60, an hour at 120; a bin with too few beats has no rate."""
    slow, fast = np.arange(1, 3600.0), np.arange(7200, 10_800, 0.5)
    at_s = np.concatenate([slow, fast])
    rr_ms = np.concatenate([np.full(len(slow), 1000.0), np.full(len(fast), 500.0)])
    trend = rhythm_trend(at_s, rr_ms, 10_800)
    rate = trend.rate_bpm[:, 1]
    third = len(rate) // 3
    assert rate[0] == rate[third - 1] == pytest.approx(60)
    assert np.isnan(rate[third:-third]).all()
    assert rate[-1] == pytest.approx(120)
    assert trend.density.sum() == len(at_s)
    assert len(trend.rate_bpm) <= MOST_BINS


def test_the_band_holds_what_is_rare() -> None:
    """One beat in ten is early: the median stays, the upper bound shows them."""
    rr_ms = np.tile([500.0, *[800.0] * 9], 60)
    trend = rhythm_trend(np.cumsum(rr_ms) / 1000, rr_ms, 480)
    assert np.nanmedian(trend.rate_bpm[:, 1]) == pytest.approx(75)
    assert np.nanmedian(trend.rate_bpm[:, 2]) > 90
    assert trend.shortest_ms == 500


@pytest.mark.parametrize("rr_ms", [np.nan, 0.0, -5.0, 1e9, np.inf])
def test_absurd_intervals_are_left_out(rr_ms: float) -> None:
    """They have no place on the page."""
    trend = rhythm_trend(np.arange(10.0), np.full(10, rr_ms), 60)
    assert trend.is_empty
    assert np.isnan(trend.median_bpm)
    assert trend.density.shape[0] == CELLS


def test_bins_are_lengths_that_people_count_in() -> None:
    """Five minutes of a day; never more bins than the page is wide."""
    assert [bin_length_s(hours * 3600) for hours in (0.01, 4, 24)] == [10, 60, 300]
    assert rhythm_trend(np.zeros(0), np.zeros(0), 9e7).density.shape[1] <= MOST_BINS + 1


def test_a_hole_between_kept_beats_is_no_interval() -> None:
    """Beats beside two alerts an hour apart."""
    samples = [*range(0, 2500, 250), *range(900_000, 902_500, 250)]
    at_s, rr_ms = intervals_of_kept([*samples, 500], 250.0)
    trend = rhythm_trend(at_s, rr_ms, 3700)
    assert trend.n_intervals == 18
    assert trend.median_bpm == pytest.approx(60)
