"""From the losses of a beat's leads to one score: above 1 the beat is anomalous. Pure.

All beats of a step are weighed at once, as arrays. A way of weighing is one `Weigh`; what it
remembers of a patient goes from step to step and to the journal as an `EvidenceState`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from model.evidence import BeatRows, EvidenceState, EvidenceWeights, UsualLead, measure_all
from model.prematurity import Timing
from segmenter.beat import Beats


@dataclass(frozen=True)
class Unweighed:
    """What is known of n beats of patients who have as many leads.

    Attributes
    ----------
    of : sequence of (str, int)
        Whose beats the next rows are, and how many; the same patient may come again.
    beats : Beats
        The cut beats, RR intervals, and the quality of each lead.
    inputs, reconstructions : np.ndarray, shape (n, leads, length), float32
        What the autoencoders were to reconstruct; what they made of the beats as they came.
    losses : np.ndarray, shape (n, leads), float64
        NaN where a lead gives none: it cannot be read, it is left out, or the patient is learnt.
    thresholds : np.ndarray, shape (n, leads), float64
        By which each lead's loss is judged; NaN of a lead that is left out.
    timings : sequence of Timing, length n
    usual : mapping of str to sequence of UsualLead or None
        What was learnt of the leads of each patient who is learnt, or is being learnt; not of those
        whom the model that they began with judges.
    factors : np.ndarray, shape (n,), float64
        By how much the thresholds were moved, by a person or an option.
    """

    of: Sequence[tuple[str, int]]
    beats: Beats
    inputs: NDArray[np.float32]
    reconstructions: NDArray[np.float32]
    losses: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    timings: Sequence[Timing]
    usual: Mapping[str, Sequence[UsualLead | None]]
    factors: NDArray[np.float64]


class Weighed(NamedTuple):
    """What became of n beats.

    Attributes
    ----------
    scores : np.ndarray, shape (n,), float64
        NaN without a verdict.
    early : np.ndarray, shape (n,), float64
        log(usual RR / RR); NaN where the bare rule decided.
    doubt : np.ndarray, shape (n,), float64
        How far a score must lie from 1 to be believed, in log; 0 outside noise.
    """

    scores: NDArray[np.float64]
    early: NDArray[np.float64]
    doubt: NDArray[np.float64]


class Weigh(Protocol):
    """A way of weighing."""

    def __call__(
        self, states: Mapping[str, EvidenceState], given: Unweighed, /
    ) -> tuple[dict[str, EvidenceState], Weighed]:
        """Return where the patients are now, and what became of their beats.

        Any cut of the same beats gives the same, to the bit.
        """


def by_loss(
    states: Mapping[str, EvidenceState], given: Unweighed
) -> tuple[dict[str, EvidenceState], Weighed]:
    """Weigh by the bare rule: the loss times what the beat's time adds, over the threshold.

    Of several leads the largest counts: one above its threshold is enough.
    """
    factors = np.array([timing.factor for timing in given.timings], np.float64)
    of_leads = given.losses * factors[:, None] / given.thresholds  # (n, leads)
    scores = np.fmax.reduce(of_leads, axis=1)  # NaN only where all are
    n_beats = len(scores)
    return dict(states), Weighed(scores, np.full(n_beats, np.nan), np.zeros(n_beats))


@dataclass(frozen=True)
class ByEvidence:
    """Weigh learnt patients by evidence that was weighed on other patients' labels.

    Evidence counts in the units of the patient, so one of whom nothing was learnt is judged by the
    bare rule.
    """

    weights: EvidenceWeights

    def __call__(
        self, states: Mapping[str, EvidenceState], given: Unweighed, /
    ) -> tuple[dict[str, EvidenceState], Weighed]:
        """Weigh; see `Weigh`."""
        after, weighed = by_loss(states, given)
        of = [(name, n_beats) for name, n_beats in given.of if name in given.usual]
        of_learnt = [name in given.usual for name, _ in given.of]
        rows = np.flatnonzero(np.repeat(of_learnt, [n_beats for _, n_beats in given.of]))
        if not len(rows):
            return after, weighed
        after, measured = measure_all(after, of, given.usual, _rows(given, rows))
        weighed.scores[rows] = self.weights.ratios(measured.measures) / given.factors[rows]
        weighed.early[rows], weighed.doubt[rows] = measured.early, measured.doubt
        return after, weighed


def _rows(given: Unweighed, rows: NDArray[np.intp]) -> BeatRows:
    beats = given.beats
    before_ms = np.where(beats.judgeable, beats.rr_before_ms, np.nan).astype(np.float64)
    every = len(rows) == len(beats)
    which = slice(None) if every else rows  # nearly always: nothing is copied
    return BeatRows(
        given.losses[which],
        beats.values[which],
        given.inputs[which],
        given.reconstructions[which],
        (beats.lead_judgeable & beats.judgeable[:, None])[which],
        before_ms[which],
        beats.rr_after_ms.astype(np.float64)[which],
    )


def worst_leads(losses: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return of each beat the lead whose loss is the largest share of its threshold, shape (n,).

    Where no lead has a loss: the first lead that is judged.
    """
    if losses.shape[1] == 1:
        return np.zeros(len(losses), np.intp)
    shares = np.where(np.isnan(losses), -1.0, losses / thresholds)
    return np.asarray(np.argmax(np.where(np.isnan(thresholds), -np.inf, shares), axis=1))
