"""Beats around an alert are shown by what judged them."""

from __future__ import annotations

import pytest

from monitor.journal.kept_beats import LeadBeat
from monitor.offline.beats_around import is_by_evidence, shown_beats


@pytest.mark.parametrize(
    ("loss", "score", "weighed", "anomalous", "times_above"),
    [
        (13.0, 2.5, True, True, 2.5),  # evidence, though the loss is below the threshold
        (52.0, 0.5, True, False, 0.5),
        (20.8, 1.2, False, True, 0.8),  # the bare rule: premature
        (52.0, None, False, True, 2.0),  # a journal of before scores were kept
        (13.0, None, False, False, 0.5),
        (52.0, None, True, False, None),  # in noise there are losses, but they say nothing
        (None, None, False, False, None),
    ],
)
def test_the_verdict_is_what_was_decided(
    loss: float | None,
    score: float | None,
    weighed: bool,
    anomalous: bool,
    times_above: float | None,
) -> None:
    """By the score where there is one; drawn is the score only where evidence judged."""
    around = [LeadBeat(3600, loss, 26.0, b"", score, weighed)]
    (beat,) = shown_beats(around)
    assert (beat.anomalous, beat.times_above) == (anomalous, times_above)
    assert is_by_evidence(around) == weighed
