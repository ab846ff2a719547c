"""An anomalous beat and what explains it, as the view, `show` and the report draw it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.view.waveform import finite_values
from monitor.wire.messages import MAX_BEAT_LENGTH, Alert, LossByPart, measured

MAX_WHY = 3  # shape, premature or late
MAX_NEIGHBOURS = 3


@dataclass(frozen=True, eq=False)
class LearntBeat:
    """A beat of the learnt normal, laid on its template.

    Attributes
    ----------
    distance : float
        Sum of absolute differences to the anomalous beat.
    values : np.ndarray, shape (length,), float32
        Standardised values.
    """

    distance: float
    values: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class AnomalousBeat:
    """An anomalous beat, what the autoencoder made of it, and what it is unlike.

    Attributes
    ----------
    beat, reconstruction : np.ndarray, shape (length,), float32
        Standardised values.
    why : tuple of str
        What it was found by: its shape, or its time.
    parts : LossByPart or None
        Shares of the loss by wave.
    neighbours : tuple of LearntBeat
        The nearest of the learnt normal, nearest first; none where no patient was learnt.
    lead : str
        The lead it is of: of several the worst.
    family : int or None
        The number of the family it is of.
    score : float or None
        Where evidence judged it; it is held against 1.
    """

    sample: int
    time_s: float
    loss: float
    threshold: float
    ratio: float
    rr_before_ms: float | None
    rr_after_ms: float | None
    beat: NDArray[np.float32]
    reconstruction: NDArray[np.float32]
    why: tuple[str, ...] = ()
    parts: LossByPart | None = None
    neighbours: tuple[LearntBeat, ...] = ()
    lead: str = ""
    family: int | None = None
    score: float | None = None

    @property
    def errors(self) -> NDArray[np.float32]:
        """Absolute differences a sample, shape (length,): what the loss is made of."""
        n = min(len(self.beat), len(self.reconstruction))
        return np.asarray(np.abs(self.beat[:n] - self.reconstruction[:n]))

    @property
    def shares(self) -> dict[str, float]:
        """Shares of the loss by the wave they arose in; empty where they are not known."""
        parts = self.parts
        return {} if parts is None else {"P": parts.p, "QRS": parts.qrs, "T": parts.t}

    @property
    def worst_part(self) -> str | None:
        """The wave in which most of the loss arose."""
        return max(self.shares, key=self.shares.__getitem__, default=None)


def anomalous_beat(alert: Alert) -> AnomalousBeat:
    """Return the beat of an alert's onset or continuation; bounded, whatever the alert holds.

    Raises
    ------
    ValueError
        If nothing was measured of a beat, as of a named alarm.
    """
    of_beat = measured(alert)
    if of_beat is None:
        raise ValueError(f"alert {alert.seq} is of no beat")
    return AnomalousBeat(
        sample=alert.sample,
        time_s=alert.time_s,
        loss=of_beat.loss,
        threshold=of_beat.threshold,
        ratio=of_beat.times_above,
        rr_before_ms=alert.rr_before_ms,
        rr_after_ms=alert.rr_after_ms,
        beat=finite_values(alert.beat[:MAX_BEAT_LENGTH]),
        reconstruction=finite_values(alert.reconstruction[:MAX_BEAT_LENGTH]),
        why=tuple(alert.why[:MAX_WHY]),
        parts=alert.parts,
        neighbours=tuple(
            LearntBeat(near.distance, finite_values(near.beat[:MAX_BEAT_LENGTH]))
            for near in alert.neighbours[:MAX_NEIGHBOURS]
        ),
        lead=alert.lead,
        family=alert.family,
        score=of_beat.score,
    )
