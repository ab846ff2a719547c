"""The beats that were kept around an alert, as `show` and the report draw them."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.journal.kept_beats import LeadBeat
from monitor.view.patient_view import ShownBeat


def shown_beats(around: Sequence[LeadBeat]) -> list[ShownBeat]:
    """Return the beats with their verdicts.

    A journal of before scores were kept shows losses over their threshold.
    """
    return [_shown(beat) for beat in around]


def is_by_evidence(around: Sequence[LeadBeat]) -> bool:
    """Tell whether evidence judged any of them: scores are to be drawn then, not losses."""
    return any(beat.weighed for beat in around)


def _shown(beat: LeadBeat) -> ShownBeat:
    if beat.weighed and beat.score is None:  # in noise there are losses, but they say nothing
        return ShownBeat(beat.sample, None, anomalous=False)
    is_above = beat.loss is not None and beat.loss > beat.threshold
    return ShownBeat(
        beat.sample,
        beat.loss,
        anomalous=is_above if beat.score is None else beat.score > 1,
        threshold=beat.threshold,
        score=beat.score if beat.weighed else None,
    )
