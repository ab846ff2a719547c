"""Curves as Braille characters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from monitor.view.braille import characters, curve, envelope

FloatArray = NDArray[np.float32]


def naive_envelope(values: FloatArray, n_dots: int) -> FloatArray:
    """Return the same by the obvious loop."""
    columns = np.full((2, n_dots), np.nan, np.float32)
    for dot in range(n_dots):
        start = dot * len(values) // n_dots
        stop = max((dot + 1) * len(values) // n_dots, start + 1)
        present = [v for v in values[start:stop] if not np.isnan(v)]
        if present:
            columns[:, dot] = min(present), max(present)
    return columns


@given(
    arrays(
        np.float32,
        st.integers(1, 60),
        elements=st.one_of(st.just(float("nan")), st.floats(-5, 5, width=32)),
    ),
    st.integers(1, 40),
)
def test_envelope_is_that_of_the_obvious_loop(values: FloatArray, n_dots: int) -> None:
    """Each dot has the extremes of its values, NaN only where all are missing."""
    np.testing.assert_array_equal(envelope(values, n_dots), naive_envelope(values, n_dots))


def test_nothing_gives_an_empty_envelope() -> None:
    """No values, or no dots: missing everywhere."""
    assert np.isnan(envelope(np.empty(0, np.float32), 3)).all()
    assert envelope(np.ones(5, np.float32), 0).shape == (2, 0)


def test_a_ramp_goes_from_the_lower_left_to_the_upper_right() -> None:
    """One row of cells, eight values: the picture is known."""
    values = np.array([0, 0, 1, 1, 2, 2, 3, 3], np.float32)
    assert characters(curve(envelope(values, 8), 0, 3, 1)) == ["⣀⠤⠒⠉"]


def test_a_gap_is_left_empty_and_not_bridged() -> None:
    """Missing values draw no dot, and the sides of a gap are not joined."""
    values = np.array([0, 0, np.nan, np.nan, 3, 3], np.float32)
    assert characters(curve(envelope(values, 6), 0, 3, 1)) == ["⣀ ⠉"]


def test_a_steep_edge_is_a_connected_line() -> None:
    """Between two values far apart no dot of the height is missing."""
    values = np.array([0, 10, 0], np.float32)
    dots = curve(envelope(values, 3), 0, 10, 5)
    assert dots.any(axis=1).all()


@pytest.mark.parametrize("far", [1e6, -1e6])
def test_what_lies_outside_is_drawn_at_the_edge(far: float) -> None:
    """A value beyond the scale does not vanish."""
    dots = curve(envelope(np.full(4, far, np.float32), 4), 0, 1, 2)
    assert dots[0 if far > 0 else -1].all()
    assert dots.sum() == 4


def test_every_dot_has_its_character() -> None:
    """All eight dots of a cell, one by one, as Unicode numbers them."""
    shown = []
    for row in range(4):
        for column in range(2):
            dots = np.zeros((4, 2), np.bool_)
            dots[row, column] = True
            shown += characters(dots)
    assert shown == ["⠁", "⠈", "⠂", "⠐", "⠄", "⠠", "⡀", "⢀"]
