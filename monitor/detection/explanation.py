"""Why a beat was called anomalous: shape or time, where along the beat, and what it is unlike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.prematurity import Timing
from model.scoring import beat_errors
from model.tracking import Normal
from monitor.detection.alert_machine import Verdict
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


def verdict_of(sample: int, loss: float | None, threshold: float, timing: Timing) -> Verdict:
    """Decide about the beat of an R peak: its loss, times what its time adds, over the threshold.

    Parameters
    ----------
    sample : int
        R peak, from the record's start.
    loss : float or None
        None where the beat cannot be judged: there is no verdict then.
    """
    if loss is None:
        return Verdict(sample, None, 0.0)
    why = reasons(loss, threshold, timing)
    return Verdict(sample, bool(why), loss, loss * timing.factor / threshold, why)


def reasons(loss: float, threshold: float, timing: Timing) -> list[Why]:
    """Return what made a beat anomalous; empty where it is not."""
    if loss * timing.factor <= threshold:
        return []
    why: list[Why] = ["shape"] if loss > threshold else []
    if timing.factor > 1 and (not why or not timing.in_time):
        why.append("premature" if timing.deviation > 0 else "late")
    return why


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
