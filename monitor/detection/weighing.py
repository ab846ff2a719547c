"""From the losses of a beat's leads to one score: above 1 the beat is anomalous. Pure.

All beats of a step are weighed at once, as arrays. A way of weighing is one function, `Weigh`; what
it remembers of a patient goes from step to step and to the journal as a `WeighState`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from model.prematurity import Timing
from monitor.settings import VerdictRule
from segmenter.beat import Beats

if TYPE_CHECKING:  # these modules need each other's types alone
    from monitor.detection.desk import PatientModel


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
    models : mapping of str to PatientModel
        What judges each patient.
    """

    of: Sequence[tuple[str, int]]
    beats: Beats
    inputs: NDArray[np.float32]
    reconstructions: NDArray[np.float32]
    losses: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    timings: Sequence[Timing]
    models: Mapping[str, PatientModel]


class WeighState(msgspec.Struct, frozen=True):
    """What weighing remembers of one patient: nothing, by the bare rule."""


class Weigh(Protocol):
    """A way of weighing."""

    def __call__(
        self, states: Mapping[str, WeighState], given: Unweighed, /
    ) -> tuple[dict[str, WeighState], NDArray[np.float64]]:
        """Return where the patients are now, and the scores, shape (n,): NaN without a verdict.

        Any cut of the same beats gives the same scores, to the bit.
        """


def by_loss(
    states: Mapping[str, WeighState], given: Unweighed
) -> tuple[dict[str, WeighState], NDArray[np.float64]]:
    """Weigh by the bare rule: the loss times what the beat's time adds, over the threshold.

    Of several leads the largest counts: one that rings is enough.
    """
    factors = np.array([timing.factor for timing in given.timings], np.float64)
    of_leads = given.losses * factors[:, None] / given.thresholds  # (n, leads)
    return dict(states), np.fmax.reduce(of_leads, axis=1)  # NaN only where all are


WAYS: Mapping[VerdictRule, Weigh] = {"loss": by_loss}


def worst_leads(losses: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return of each beat the lead whose loss is the largest share of its threshold, shape (n,).

    Where no lead has a loss: the first lead that is judged.
    """
    if losses.shape[1] == 1:
        return np.zeros(len(losses), np.intp)
    shares = np.where(np.isnan(losses), -1.0, losses / thresholds)
    return np.asarray(np.argmax(np.where(np.isnan(thresholds), -np.inf, shares), axis=1))
