"""What the evidence for a beat depends on, where one lead found it and another did not."""

from __future__ import annotations

import pytest

from segmenter.lead_trust import Claim, LeadTrust, evidence, probability
from segmenter.qrs import Detection

# One of two clear leads that never erred finds a beat of the usual height when one is due.
CLAIM = Claim(1.0, 4.0, 0.0, 0.0, 0.0, 1.0, False)


@pytest.mark.parametrize(
    ("claim", "is_beat"),
    [
        (CLAIM, True),
        (CLAIM._replace(interval=0.5), False),  # between two beats: noise, or a T wave
        (CLAIM._replace(interval=0.5, pause=True), True),  # no other beat comes where one is due
        (CLAIM._replace(height=0.4), False),
        (CLAIM._replace(height=0.4, echo=0.4), True),  # as low in the lead that passed it over
        (CLAIM._replace(height=12.0), False),  # a spike: no QRS complex is so high
        (CLAIM._replace(crest=1.6), False),  # it does not stand out of the lead's noise
        (CLAIM._replace(invented=0.4), False),
        (CLAIM._replace(invented=0.4, missed=0.4), True),  # the other one misses as many
        (CLAIM._replace(interval=0.5, missed=0.4), True),
    ],
)
def test_what_one_lead_finds_alone(claim: Claim, is_beat: bool) -> None:
    """Height, rhythm, crest and what either lead did of late decide."""
    assert (evidence(claim) > 0) == is_beat


def test_evidence_is_finite_for_whatever_is_claimed() -> None:
    """Nothing, and far too much, have an evidence and a probability."""
    for value in (0.0, 1e-9, 1e9):
        claim = Claim(value, value, min(value, 1.0), value, min(value, 1.0), value, False)
        assert 0.0 <= probability(evidence(claim)) <= 1.0


def found(lead: LeadTrust, heights: list[float]) -> None:
    """Let a lead find beats of these heights, a second apart, in an envelope of a quarter mV."""
    for k, height in enumerate(heights):
        lead.found(Detection(250 * k, 250 * k + 60, False, False, 250 * k, height, 250 * k))
        lead.shows(height)


def test_the_crest_is_height_over_the_mean_of_the_envelope() -> None:
    """Once three beats were found; the envelope has four steps a millivolt here."""
    lead = LeadTrust()
    found(lead, [1.0])
    assert lead.crest(4.0) == 2.0  # not yet known
    lead = LeadTrust()
    found(lead, [1.0, 1.1, 0.9, 1.0])
    assert lead.level == 1.0
    assert lead.crest(4.0) == pytest.approx(1.0 / 0.25)


def test_misses_and_inventions_fade() -> None:
    """What a lead did wrong once is forgotten within a minute; what it always does is not."""
    lead = LeadTrust()
    lead.misses(1.0)
    lead.judged(0.0)
    once = lead.missed, lead.invented
    assert min(once) > 0.05
    for _ in range(60):
        lead.misses(0.0)
        lead.judged(1.0)
    assert max(lead.missed, lead.invented) < 0.01
    for _ in range(60):
        lead.misses(1.0)
    assert lead.missed > 0.9
