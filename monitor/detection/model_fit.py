"""Whether a model fits a record at all: decided from the losses of the first judged beats. Pure.

A model that knows other patients calls every beat of a record anomalous. Those verdicts say nothing
of the heart, so an alert of half an hour is made of them. What the losses show:

- 22 records of MIT-BIH by the checkpoint that ships: of the first 20 judged beats 20 lie above the
  threshold in every record but 108, where 16 do.
- The same by models of another record: 0 to 20 of 20, mostly one end or the other.
- The same, each by its own model after five minutes: 0 to 10 of the first 20, but 17 in record
  205, which goes into a tachycardia there.

A patient in whom every beat is anomalous from the first one on looks the same: no rule without
labels tells the two apart, so the message names both. For that reason only a model that was never
seen to fit is doubted. One that fitted the record once, or was learnt from this patient, stands:
when all beats become anomalous after that, it is the patient.

Each lead has its own. A lead whose model does not fit is left out while another's may fit; where
none fits, the patient's verdicts raise no alert.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

JUDGED_BEATS = 20  # the last so many count: a quarter of a minute
UNFIT_ABOVE = 18  # of them above the threshold, nearly all: the model does not fit
FITS_ABOVE = 10  # at most, half of them: it does; between the two nothing is decided yet


class ModelFit(msgspec.Struct, frozen=True):
    """What is known of a model's fit to one lead of a patient; a few bytes of a patient's state."""

    above: tuple[bool, ...] = ()  # of the last judged beats, oldest first, while undecided or unfit
    state: Literal["undecided", "fits", "unfit"] = "undecided"

    @property
    def is_unfit(self) -> bool:
        """Whether the verdicts of this model say nothing."""
        return self.state == "unfit"


FITS = ModelFit(state="fits")  # of a model that was learnt from the patient


def follow_fit(fit: ModelFit, loss: float | None, threshold: float) -> ModelFit:
    """Take one beat in.

    Beat by beat, so that any cut of the stream gives the same. The beat's time does not count:
    a premature beat says nothing about the model.

    Parameters
    ----------
    loss : float or None
        None where the beat has no verdict: it changes nothing.
    threshold : float
        By which this beat is judged.

    Examples
    --------
    >>> fit = ModelFit()
    >>> for _ in range(20):
    ...     fit = follow_fit(fit, 90.0, threshold=26.0)
    >>> fit.state
    'unfit'
    """
    if loss is None or fit.state == "fits":
        return fit
    above = (*fit.above, loss > threshold)[-JUDGED_BEATS:]
    if len(above) < JUDGED_BEATS:
        return ModelFit(above, fit.state)
    if sum(above) <= FITS_ABOVE:
        return FITS
    return ModelFit(above, "unfit" if sum(above) >= UNFIT_ABOVE else fit.state)


def follow_fits(
    fits: tuple[ModelFit, ...], losses: Sequence[float], thresholds: Sequence[float]
) -> tuple[ModelFit, ...]:
    """Take one beat of a patient in, a loss and a threshold a lead; the loss is NaN of none."""
    return tuple(
        follow_fit(fit, None if math.isnan(loss) else loss, threshold)
        for fit, loss, threshold in zip(fits, losses, thresholds, strict=True)
    )


def all_fit(fits: Sequence[ModelFit]) -> bool:
    """Tell whether every lead's model is known to fit: nothing changes that any more."""
    return all(fit.state == "fits" for fit in fits)


def no_lead_fits(fits: Sequence[ModelFit]) -> bool:
    """Tell whether the verdicts on this patient say nothing.

    A lead that was never read tells nothing of the model, for it or against it.
    """
    judged = [fit for fit in fits if fit != ModelFit()]
    return bool(judged) and all(fit.is_unfit for fit in judged)


def unfit_leads(fits: Sequence[ModelFit]) -> list[int]:
    """Return the leads that are left out since their model does not fit; none where none does."""
    if no_lead_fits(fits):
        return []
    return [lead for lead, fit in enumerate(fits) if fit.is_unfit]


def leads_without_fit(fits: Sequence[ModelFit]) -> list[int]:
    """Return the leads that have no part in the verdicts: `unfit_leads`, and those in doubt.

    In doubt is, until it is decided, a lead with most beats above the threshold while another has
    most below: otherwise a lead that the model does not know raises alerts for twenty beats.
    """
    mostly_above = [fit.is_unfit or 2 * sum(fit.above) > len(fit.above) for fit in fits]
    known = [above for above, fit in zip(mostly_above, fits, strict=True) if fit != ModelFit()]
    if all(known):
        return unfit_leads(fits)
    return [lead for lead, above in enumerate(mostly_above) if above]


def doubted_anew(fits: Sequence[ModelFit]) -> tuple[ModelFit, ...]:
    """Return what is known after the threshold has moved: nothing of a model that did not fit."""
    return tuple(fit if fit.state == "fits" else ModelFit() for fit in fits)


def unfit_text(fits: Sequence[ModelFit]) -> str:
    """Return what to say where no lead's model fits, and what to do."""
    above = max((fit.above for fit in fits if fit.is_unfit), key=sum)
    return (
        f"this model does not fit, or every beat is anomalous, {sum(above)} of "
        f"{len(above)}: learn the patient, key r or --learn 5:00"
    )
