"""An anomalous beat explained in a terminal's cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.view.anomalous_beat import AnomalousBeat, anomalous_beat
from monitor.view.beat_plots import plot_errors, plot_explained, plot_neighbours, share_text
from monitor.view.plots import BARS
from monitor.wire.messages import LossByPart, Neighbour
from tests.monitor.view.scenes import alert, ectopic_beat


def ectopic(n_neighbours: int = 3) -> AnomalousBeat:
    """Return a beat whose loss arose in its T wave mostly, and learnt beats near to it."""
    values = ectopic_beat()[1].tolist()
    return anomalous_beat(
        alert(
            100,
            why=["shape", "premature"],
            parts=LossByPart(p=0.1, qrs=0.3, t=0.6),
            neighbours=[Neighbour(60.0 + n, values) for n in range(n_neighbours)],
        )
    )


def text_of(rows: list[str]) -> str:
    return "\n".join(rows)


def test_errors_stand_under_the_samples_they_are_of() -> None:
    """A column high where the beat is far off, blank where it is as rebuilt."""
    rebuilt = ectopic().beat.copy()
    rebuilt[105:] += 2.0  # the last quarter
    row = plot_errors(replace(ectopic(), reconstruction=rebuilt), 40).plain
    assert row == " " * 30 + BARS[-1] * 10


def test_a_beat_rebuilt_without_loss_has_an_empty_row() -> None:
    """Nothing is divided by nothing."""
    beat = ectopic()
    assert plot_errors(replace(beat, reconstruction=beat.beat), 20).plain == " " * 20


def test_why_and_where_are_said_in_words() -> None:
    """What it was found by, and the share of each wave; without shares, the reason alone."""
    said = "shape, premature  the loss arose in  P 10 %  QRS 30 %  T 60 %"
    assert share_text(ectopic()).plain == said
    assert share_text(replace(ectopic(), parts=None)).plain == "shape, premature"


def test_neighbours_stand_side_by_side_with_their_distances() -> None:
    """Nearest first; on a narrow screen fewer of them."""
    wide = plot_neighbours(ectopic(), 80, 5)
    assert wide[-1].plain.split() == ["distance", "60.0", "distance", "61.0", "distance", "62.0"]
    assert {row.cell_len for row in wide} <= set(range(76, 81))
    narrow = plot_neighbours(ectopic(), 40, 5)
    assert narrow[-1].plain.split() == ["distance", "60.0", "distance", "61.0"]


def test_without_neighbours_the_beat_has_their_room() -> None:
    """A patient on the model that ships has none learnt."""
    rows = [row.plain for row in plot_explained(ectopic(0), 80, 20)]
    assert len(rows) == 20
    assert "nearest" not in text_of(rows)
    assert "nearest beats of the learnt normal" in text_of(
        [row.plain for row in plot_explained(ectopic(), 80, 20)]
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(-2, 200), st.integers(-2, 60), st.integers(0, 3), st.sampled_from([0, 1, 3, 140])
)
def test_an_explanation_has_the_size_asked_for(
    width: int, n_rows: int, n_neighbours: int, n_samples: int
) -> None:
    """Never more rows, never wider, whatever the beat's length; words are cut by the screen."""
    beat = ectopic(n_neighbours)
    beat = replace(beat, beat=beat.beat[:n_samples])
    rows = plot_explained(beat, width, n_rows)
    assert len(rows) <= max(n_rows, 0)
    words = ("nearest", "arose in")
    drawn = [row for row in rows if not any(word in row.plain for word in words)]
    assert all(row.cell_len <= max(width, 0) for row in drawn)


@pytest.mark.parametrize("value", [1e300, -1e300, 0.0])
def test_absurd_values_are_drawn_without_error(value: float) -> None:
    """What a message may claim."""
    beat = anomalous_beat(
        alert(1, beat=[value] * 9, neighbours=[Neighbour(float("inf"), [value] * 3)])
    )
    assert len(plot_explained(beat, 60, 20)) == 20
    assert np.isfinite(beat.errors).all()
