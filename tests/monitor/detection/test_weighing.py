"""From the losses of leads to a score, as a table."""

from __future__ import annotations

import numpy as np
import pytest

from model.evidence import EvidenceState
from model.prematurity import Timing
from monitor.detection.weighing import Unweighed, by_loss, worst_leads
from tests.monitor.checkpoints import beats_of_losses

NAN = float("nan")


def unweighed(
    losses: list[list[float]], thresholds: list[float], factors: list[float] | None = None
) -> Unweighed:
    of_leads, beats = np.array(losses, np.float64), beats_of_losses(losses)
    return Unweighed(
        of=[("p", len(losses))],
        beats=beats,
        inputs=beats.values,
        reconstructions=beats.values,
        losses=of_leads,
        thresholds=np.tile(thresholds, (len(losses), 1)),
        timings=[Timing(0.0, factor) for factor in factors or [1.0] * len(losses)],
        usual={},
        factors=np.ones(len(losses)),
    )


@pytest.mark.parametrize(
    ("losses", "thresholds", "factor", "score", "worst"),
    [
        ([13.0], [26.0], 1.0, 0.5, 0),
        ([13.0], [26.0], 4.0, 2.0, 0),
        ([NAN], [26.0], 4.0, NAN, 0),
        ([13.0, 60.0], [26.0, 40.0], 1.0, 1.5, 1),
        ([52.0, 60.0], [26.0, 40.0], 1.0, 2.0, 0),
        ([NAN, 60.0], [26.0, 40.0], 1.0, 1.5, 1),  # a lead that cannot be read
        ([NAN, 10.0], [NAN, 40.0], 2.0, 0.5, 1),  # one that was never learnt
        ([NAN, NAN], [NAN, 40.0], 1.0, NAN, 1),
        ([20.0, 20.0], [40.0, 40.0], 1.0, 0.5, 0),  # the first of two alike
    ],
)
def test_the_lead_that_exceeds_its_threshold_most_decides(
    losses: list[float], thresholds: list[float], factor: float, score: float, worst: int
) -> None:
    """Each lead by its own threshold; the beat's time counts in all alike."""
    given = unweighed([losses], thresholds, [factor])
    _, weighed = by_loss({"p": EvidenceState()}, given)
    np.testing.assert_array_equal(weighed.scores, [score])
    assert np.isnan(weighed.early).all()
    assert worst_leads(given.losses, given.thresholds).tolist() == [worst]


def test_of_one_lead_the_score_is_the_quotient_to_the_bit() -> None:
    """As it was before there were several leads."""
    rng = np.random.default_rng(0)
    losses = rng.uniform(0, 100, 500).astype(np.float32).tolist()
    factors = rng.uniform(1, 20, 500).tolist()
    _, weighed = by_loss({}, unweighed([[one] for one in losses], [26.37], factors))
    expected = [loss * factor / 26.37 for loss, factor in zip(losses, factors, strict=True)]
    assert weighed.scores.tolist() == expected


def test_no_beats_have_no_scores() -> None:
    """Nothing is divided."""
    beats = beats_of_losses([])
    none = np.zeros((0, 2))
    given = Unweighed([], beats, beats.values, beats.values, none, none, [], {}, np.zeros(0))
    assert by_loss({}, given)[1].scores.shape == (0,)
    assert worst_leads(given.losses, given.thresholds).shape == (0,)
