"""An anomalous beat and what explains it."""

from __future__ import annotations

import numpy as np

from monitor.view.anomalous_beat import MAX_NEIGHBOURS, anomalous_beat
from monitor.wire.messages import MAX_BEAT_LENGTH, LossByPart, Neighbour
from tests.messages import alert

PARTS = LossByPart(p=0.2, qrs=0.5, t=0.3)


def test_the_errors_are_absolute() -> None:
    """Sample by sample: they are what the loss is made of."""
    beat = anomalous_beat(alert(beat=[1.0, -2.0, 0.5], reconstruction=[0.0, 1.0, 0.5]))
    np.testing.assert_allclose(beat.errors, [1.0, 3.0, 0.0])


def test_a_reconstruction_of_another_length_is_compared_as_far_as_it_goes() -> None:
    """A sender's mistake draws less, and fails nothing."""
    beat = anomalous_beat(alert(beat=[1.0, 2.0, 3.0], reconstruction=[0.0]))
    np.testing.assert_allclose(beat.errors, [1.0])


def test_the_wave_with_the_largest_share_is_named() -> None:
    """And none where the shares are not known."""
    beat = anomalous_beat(alert(parts=PARTS))
    assert (beat.shares, beat.worst_part) == ({"P": 0.2, "QRS": 0.5, "T": 0.3}, "QRS")
    unknown = anomalous_beat(alert())
    assert (unknown.shares, unknown.worst_part) == ({}, None)


def test_of_a_beat_that_evidence_judged_its_score_is_shown() -> None:
    """Its loss alone may be below the threshold; by the bare rule the loss is what counts."""
    assert anomalous_beat(alert(ratio=0.6, score=2.5, family=3)).ratio == 2.5
    assert anomalous_beat(alert(ratio=0.6, score=2.5)).ratio == 0.6
    assert anomalous_beat(alert(ratio=0.6, score=None, family=3)).ratio == 0.6


def test_what_an_alert_may_claim_is_bounded() -> None:
    """Lengths, numbers and values; nothing that cannot be drawn is kept."""
    beat = anomalous_beat(
        alert(
            beat=[1e308] * 10_000,
            reconstruction=[-1e308] * 10_000,
            why=["shape"] * 500,
            neighbours=[Neighbour(1.0, [0.0] * 10_000)] * 500,
        )
    )
    assert len(beat.beat) == len(beat.reconstruction) == MAX_BEAT_LENGTH
    assert np.isfinite(beat.errors).all()
    assert len(beat.why) <= 3
    assert [len(near.values) for near in beat.neighbours] == [MAX_BEAT_LENGTH] * MAX_NEIGHBOURS
