"""Thresholds without labels: rates met, monotone, honest about few losses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.errors import InvalidBeats, InvalidConfig
from model.thresholds import Threshold, moved_into_gap, threshold_from_losses

DRAWS = {
    "exponential": lambda generator, n: 10 + generator.exponential(5, n),
    "log-normal": lambda generator, n: generator.lognormal(2.5, 0.3, n),
    "gamma": lambda generator, n: generator.gamma(9, 2, n),
}


@pytest.mark.parametrize("kind", DRAWS)
def test_stated_rate_is_met_far_out_in_the_tail(kind: str) -> None:
    """Set from 400 losses at 1 in 4,500: never many more false alerts, nor a useless threshold."""
    target = 1 / 4500
    generator = np.random.default_rng(1)
    unseen = DRAWS[kind](generator, 400_000)
    thresholds = [threshold_from_losses(DRAWS[kind](generator, 400), target) for _ in range(20)]
    rates = [float((unseen > threshold.value).mean()) for threshold in thresholds]
    assert np.mean(rates) < 2 * target
    assert np.median([t.value for t in thresholds]) < 1.4 * np.quantile(unseen, 1 - target)


@pytest.mark.parametrize("kind", DRAWS)
def test_interval_holds_the_true_quantile_mostly(kind: str) -> None:
    """The stated interval covers the true value in most of 20 samples, though not in 90 %."""
    target = 0.002
    generator = np.random.default_rng(2)
    truth = float(np.quantile(DRAWS[kind](generator, 400_000), 1 - target))
    thresholds = [threshold_from_losses(DRAWS[kind](generator, 1000), target) for _ in range(20)]
    covered = [
        t.low <= truth <= t.high for t in thresholds if t.low is not None and t.high is not None
    ]
    assert sum(covered) >= 11


@settings(max_examples=25, deadline=None)
@given(
    st.integers(20, 300),
    st.integers(0, 1000),
    st.floats(1e-6, 0.5),
    st.floats(1e-6, 0.5),
)
def test_threshold_falls_as_the_target_rises(n: int, seed: int, one: float, other: float) -> None:
    """More false alerts allowed never means a higher threshold."""
    losses = np.random.default_rng(seed).gamma(4, 3, n)
    low, high = sorted((one, other))
    assert threshold_from_losses(losses, high).value <= threshold_from_losses(losses, low).value * (
        1 + 1e-9
    )


def test_few_losses_use_the_robust_rule_and_ignore_an_outlier() -> None:
    """Below 40 losses one absurd loss moves the threshold by little."""
    losses = np.random.default_rng(3).normal(20, 2, 35)
    clean = threshold_from_losses(losses, 0.001)
    spoilt = threshold_from_losses(np.append(losses, 1e6), 0.001)
    assert clean.method == "log-normal"
    assert spoilt.value < 1.1 * clean.value


def test_many_losses_use_the_tail() -> None:
    """From 40 losses on the tail is fitted, and the interval encloses the value."""
    threshold = threshold_from_losses(np.random.default_rng(4).gamma(9, 2, 500), 0.001)
    assert threshold.method == "tail"
    assert threshold.n_losses == 500
    assert threshold.low is not None
    assert threshold.high is not None
    assert threshold.low <= threshold.value <= threshold.high


@pytest.mark.parametrize("n", [30, 200])
def test_equal_losses_give_that_loss(n: int) -> None:
    """Losses without any spread have a threshold all the same."""
    assert threshold_from_losses(np.full(n, 7.0), 0.001).value == pytest.approx(7.0)


def test_same_losses_give_the_same_threshold() -> None:
    """The bootstrap has a seed of its own."""
    losses = np.random.default_rng(5).gamma(9, 2, 150)
    assert threshold_from_losses(losses, 0.01) == threshold_from_losses(losses, 0.01)


@pytest.mark.parametrize(
    "losses",
    [
        np.ones(19),
        np.ones((20, 2)),
        np.append(np.ones(30), np.nan),
        np.append(np.ones(30), np.inf),
        np.append(np.ones(30), -1.0),
        np.zeros(30),
        np.array([]),
    ],
)
def test_losses_that_say_nothing_are_refused(losses: NDArray[np.float64]) -> None:
    """Too few, NaN, infinite, negative or all zero."""
    with pytest.raises(InvalidBeats):
        threshold_from_losses(losses, 0.01)


@pytest.mark.parametrize("target", [0.0, -0.1, 0.6, math.nan])
def test_absurd_target_is_refused(target: float) -> None:
    """A share of beats lies between 0 and a half."""
    with pytest.raises(InvalidConfig):
        threshold_from_losses(np.ones(30), target)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 0.0, 1e-320, 1e300, None, "9", True])
def test_threshold_is_a_positive_number(value: object) -> None:
    """No other value can be put into a checkpoint."""
    with pytest.raises(InvalidConfig):
        Threshold(value)  # type: ignore[arg-type]


def test_threshold_given_by_hand() -> None:
    """A person's threshold needs a value only."""
    assert Threshold(26.0).method == "manual"


@pytest.mark.parametrize(
    ("losses", "value"),
    [
        ([5, 8, 60, 70, 80], math.sqrt(10 * 40)),  # nothing between: half-way to the limit
        ([5, 12, 14, 33, 60], math.sqrt(14 * 33)),  # into the widest gap
        ([5, 12, 14, 17, 20, 25, 30, 35, 60], 10.0),  # no gap: the threshold stays
        ([5, 12, 14], 10.0),  # nothing far above: no gap has an upper edge
        ([5, 8], 10.0),
        ([], 10.0),
    ],
)
def test_threshold_moves_into_a_clear_gap(losses: list[float], value: float) -> None:
    """Where anomalies stand apart, the threshold goes between; it never falls."""
    moved = moved_into_gap(Threshold(10.0), losses)
    assert moved.value == pytest.approx(value)
    assert moved.method == ("manual" if value == 10.0 else "gap")
