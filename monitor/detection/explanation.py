"""Why a beat was called anomalous: shape or time, where along the beat, and what it is unlike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.families import Placed
from model.prematurity import Timing
from model.scoring import beat_errors
from model.tracking import Normal
from monitor.detection.alert_machine import Verdict
from monitor.detection.scored_beats import ScoredBeat
from monitor.wire.messages import LossByPart, Neighbour, Why
from segmenter.beat import Window

N_NEIGHBOURS = 3
# Where the waves lie in each window, as shares of it: the first and last of each wave's stretches.
# About R the QRS complex takes some 60 ms to either side, at 80 beats a minute .08 of RR.
WAVES: dict[Window, tuple[tuple[str, float, float], ...]] = {
    "typical": (("p", 0.0, 0.34), ("qrs", 0.34, 0.51), ("t", 0.51, 1.0)),
    "midpoint": (("p", 0.0, 0.42), ("qrs", 0.42, 0.58), ("t", 0.58, 1.0)),
    "rr": (("qrs", 0.0, 0.08), ("t", 0.08, 0.60), ("p", 0.60, 0.92), ("qrs", 0.92, 1.0)),
}


def verdict_of(
    beat: ScoredBeat, thresholds: Sequence[float], placed: Placed | None = None
) -> Verdict:
    """Decide about a beat: anomalous where its score is above 1.

    Parameters
    ----------
    thresholds : sequence of float
        Of each lead.
    placed : Placed, optional
        Its family, of an anomalous beat; without one it may begin an alert.
    """
    loss, threshold = beat.loss, thresholds[beat.lead]
    if loss is None or beat.score is None:
        return Verdict(beat.sample, None, 0.0, lead=beat.lead, threshold=threshold)
    anomalous = beat.score > 1
    why = reasons(loss, threshold, beat.timing) if anomalous else []
    verdict = Verdict(beat.sample, anomalous, loss, beat.score, why, beat.lead, threshold)
    if placed is None:
        return verdict
    return verdict._replace(begins=placed.onset != "", family=placed.number)


def reasons(loss: float, threshold: float, timing: Timing) -> list[Why]:
    """Return what made an anomalous beat one, seen in its worst lead."""
    why: list[Why] = ["shape"] if loss > threshold else []
    if timing.factor > 1 and (not why or not timing.in_time):
        why.append("premature" if timing.deviation > 0 else "late")
    return why or ["shape"]


def leads_above_threshold(beat: ScoredBeat, thresholds: Sequence[float]) -> list[int]:
    """Return the leads whose loss, times what the beat's time adds, is above their threshold.

    The worst where none is: evidence joins leads that are each below.
    """
    factor = beat.timing.factor
    of_leads = enumerate(zip(beat.losses, thresholds, strict=True))
    above = [lead for lead, (loss, bound) in of_leads if loss is not None and loss * factor > bound]
    return above or [beat.lead]


def loss_by_part(
    beat: NDArray[np.float32], reconstruction: NDArray[np.float32], window: Window
) -> LossByPart:
    """Return the shares of the squared loss that arose in each wave's part of the window.

    Parameters
    ----------
    beat, reconstruction : np.ndarray, shape (length,)
    window : {"rr", "midpoint", "typical"}
        How the beat was cut.
    """
    errors = beat_errors(beat[None], reconstruction[None])[0] ** 2
    total = float(errors.sum()) or 1.0
    shares = {"p": 0.0, "qrs": 0.0, "t": 0.0}
    for part, first, last in WAVES[window]:
        stretch = errors[round(first * len(errors)) : round(last * len(errors))]
        shares[part] += float(stretch.sum()) / total
    return LossByPart(**{part: round(share, 3) for part, share in shares.items()})


def neighbours(laid: NDArray[np.float32], normal: Normal | None) -> list[Neighbour]:
    """Return the learnt beats nearest to one that was laid on the template, nearest first."""
    if normal is None:
        return []
    distances = np.abs(normal.exemplars - laid).sum(axis=1)
    nearest = np.argsort(distances, kind="stable")[:N_NEIGHBOURS]
    return [
        Neighbour(
            distance=round(float(distances[row]), 3),
            beat=[round(float(value), 3) for value in normal.exemplars[row]],
        )
        for row in nearest
    ]
