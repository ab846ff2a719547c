"""Small drawings."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread

from monitor.offline.report.svg import band, density_png, line, scaled, ticks


def test_a_line_breaks_where_nothing_is_known() -> None:
    """NaN is a hole, not a bridge; nothing at all is no line."""
    y = np.array([np.nan, 1, 2, np.nan, 3, 4])
    drawn = line(np.arange(6.0), y, "trace")
    assert drawn == (
        '<polyline class="trace" points="1.0,1.0 2.0,2.0"/>'
        '<polyline class="trace" points="4.0,3.0 5.0,4.0"/>'
    )
    assert line(np.arange(2.0), np.full(2, np.nan), "trace") == ""
    assert band(np.arange(6.0), y, y + 1, "range").count("<polygon") == 2


def test_what_is_out_of_bounds_is_drawn_at_the_edge() -> None:
    """The upper edge is 0."""
    assert scaled(np.array([-9.0, 0, 5, 10, 99]), 0, 10).tolist() == [100, 100, 50, 0, 0]


@pytest.mark.parametrize("length_s", [1.0, 10.5, 3600, 86_400, 7 * 86_400, 9999 * 3600])
@pytest.mark.parametrize("first_s", [0.0, 7200.5])
def test_an_axis_has_few_labels_within_it(first_s: float, length_s: float) -> None:
    """Whatever the length."""
    labels = ticks(first_s, length_s)
    assert 1 <= len(labels) <= 8
    assert all(0 <= at <= 1 for at, _ in labels)


def test_a_density_is_a_picture_of_its_counts() -> None:
    """White where there are none, darkest where there are most; the first row is the lowest."""
    address = density_png(np.array([[9, 0], [1, 0], [0, 4]]))
    picture = imread(io.BytesIO(base64.b64decode(address.partition(",")[2])), format="png")
    dark = 1 - picture[..., 0]
    assert picture.shape[:2] == (3, 2)
    assert dark[2].tolist() == [1, 0]
    assert dark[0].tolist() == [0, 1]
    assert 0 < dark[1, 0] < 1
