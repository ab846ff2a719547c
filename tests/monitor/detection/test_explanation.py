"""Why a beat was called anomalous."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from model.prematurity import Timing
from model.tracking import Normal
from monitor.detection.explanation import WAVES, loss_by_part, neighbours, reasons
from segmenter.beat import Window


@pytest.mark.parametrize(
    ("loss", "timing", "expected"),
    [
        (30.0, Timing(), ["shape"]),
        (30.0, Timing(2.0, 1.3), ["shape"]),
        (30.0, Timing(6.0, 3.5), ["shape", "premature"]),
        (10.0, Timing(6.0, 3.5), ["premature"]),
        (10.0, Timing(-9.0, 3.0), ["late"]),
        (19.0, Timing(2.0, 1.3), ["premature"]),
        (10.0, Timing(), ["shape"]),  # what else was weighed made it anomalous
    ],
)
def test_what_made_a_beat_anomalous(loss: float, timing: Timing, expected: list[str]) -> None:
    """At a threshold of 20, of an anomalous beat: its shape, its time, or both; never nothing."""
    assert reasons(loss, 20.0, timing) == expected


@pytest.mark.parametrize("window", WAVES)
def test_parts_cover_the_beat(window: Window) -> None:
    """Each sample belongs to one part."""
    edges = [(first, last) for _, first, last in WAVES[window]]
    assert edges[0][0] == 0.0
    assert edges[-1][1] == 1.0
    assert all(one[1] == other[0] for one, other in pairwise(edges))


@pytest.mark.parametrize(("sample", "part"), [(20, "p"), (59, "qrs"), (110, "t")])
def test_the_loss_is_found_where_it_arose(sample: int, part: str) -> None:
    """A bump at the P wave, the R peak or the T wave."""
    beat = np.zeros(140, np.float32)
    beat[sample] = 5.0
    assert getattr(loss_by_part(beat, np.zeros(140, np.float32), "typical"), part) > 0.8


def test_a_beat_without_loss_has_no_part() -> None:
    """No division by zero."""
    beat = np.zeros(140, np.float32)
    parts = loss_by_part(beat, beat, "rr")
    assert (parts.p, parts.qrs, parts.t) == (0.0, 0.0, 0.0)


def test_neighbours_are_the_nearest_learnt_beats() -> None:
    """Nearest first, with their distance; none where nothing was learnt."""
    exemplars = np.arange(5, dtype=np.float32)[:, None] * np.ones((1, 10), np.float32)
    found = neighbours(np.full(10, 2.2, np.float32), Normal(1.0, exemplars))
    assert [one.beat[0] for one in found] == [2.0, 3.0, 1.0]
    assert found[0].distance == pytest.approx(2.0, abs=0.01)
    assert neighbours(exemplars[0], None) == []
