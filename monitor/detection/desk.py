"""What judges one patient's leads, and the desk that reports of all patients go over."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

from model.checkpoint import Checkpoint
from model.evidence import UsualLead, usual_lead
from model.scoring import Scorer
from monitor.detection.alert_machine import AlertMachine, Verdict
from monitor.settings import AlarmRules
from monitor.wire.messages import AlarmKind
from segmenter.beat import BeatSpec, Window

if TYPE_CHECKING:  # these modules need each other's types alone
    from monitor.detection.scored_beats import ScoredBeat


DEFAULT_ALARMS = AlarmRules()


@dataclass(frozen=True)
class LeadModel:
    """A checkpoint ready to score; leads that share one are scored in one batch."""

    checkpoint: Checkpoint
    scorer: Scorer
    window: Window

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Self:
        """Make a checkpoint ready."""
        window = BeatSpec.from_mapping(checkpoint.spec).window
        return cls(checkpoint, Scorer(checkpoint.autoencoder), window)

    @cached_property
    def usual(self) -> UsualLead | None:
        """The units that evidence counts in; None where nothing was learnt of a patient."""
        normal = self.checkpoint.normal
        return None if normal is None else usual_lead(normal, self.scorer.template)


@dataclass(frozen=True)
class PatientModel:
    """What judges a patient: a model for each lead.

    Attributes
    ----------
    leads : tuple of LeadModel or None
        None of a lead that could not be learnt; at least one is judged.
    threshold : float or None
        Of every lead, instead of its model's own.
    """

    leads: tuple[LeadModel | None, ...]
    threshold: float | None = None

    @cached_property
    def identity(self) -> str:
        """32 hex digits that two share only if they judge every lead alike."""
        of_leads = ["-" if one is None else one.checkpoint.identity for one in self.leads]
        if len(set(of_leads)) == 1:
            return of_leads[0]
        return hashlib.sha256("\x1f".join(of_leads).encode()).hexdigest()[:32]

    @cached_property
    def first(self) -> int:
        """The first lead that is judged."""
        return next(index for index, one in enumerate(self.leads) if one is not None)

    @cached_property
    def usual(self) -> tuple[UsualLead | None, ...] | None:
        """The units that evidence counts in, a lead each; None where nothing was learnt."""
        of_leads = tuple(None if one is None else one.usual for one in self.leads)
        return None if all(one is None for one in of_leads) else of_leads

    @cached_property
    def moved_by(self) -> float:
        """By how much an option moved the threshold of the first lead that is judged."""
        own = self.lead(self.first).checkpoint.threshold.value
        return 1.0 if self.threshold is None else self.threshold / own

    def thresholds(self, factor: float) -> tuple[float, ...]:
        """Return each lead's threshold, times the patient's factor; NaN where it is not judged."""
        return tuple(
            math.nan if one is None else (self.threshold or one.checkpoint.threshold.value) * factor
            for one in self.leads
        )

    def judged(self, lead: int) -> int:
        """Return a lead if it is judged; otherwise the first that is."""
        return self.first if self.leads[lead] is None else lead

    def lead(self, index: int) -> LeadModel:
        """Return the model of a lead that is judged."""
        model = self.leads[index]
        if model is None:
            raise LookupError(f"lead {index} is left out")
        return model


def shared_model(model: LeadModel, n_leads: int, threshold: float | None) -> PatientModel:
    """Return what judges a patient of whom nothing was learnt: one model for every lead."""
    return PatientModel((model,) * n_leads, threshold)


def learnt_model(checkpoints: Sequence[Checkpoint | None], threshold: float | None) -> PatientModel:
    """Return what judges a patient by what was learnt of each lead."""
    of_leads = [None if one is None else LeadModel.of(one) for one in checkpoints]
    return PatientModel(tuple(of_leads), threshold)


def of_everybody(patient: str) -> bool:
    """Tell that somebody hears of each patient's beats."""
    return True


@dataclass(frozen=True)
class Desk:
    """What patients share: the alert rule, the sequence, the journal, the wall time.

    `holds` tells whether the journal has an alert of this identity: a patient that is learnt
    anew after a restart comes past the same events again. `on_verdict` hears of each beat and what
    was decided about it; a beat of a patient who is learning has no verdict. `alarms` says which
    named alarms there are. `hears_beats` tells whether somebody hears of a patient's beats; where
    nobody does, no message is made of each.
    """

    machine: AlertMachine
    identity: Callable[[], str]
    holds: Callable[[str], bool]
    next_seq: Callable[[], int]
    wall_time: Callable[[], str]
    on_verdict: Callable[[ScoredBeat, Verdict], None] | None = None
    alarms: AlarmRules = DEFAULT_ALARMS
    hears_beats: Callable[[str], bool] = of_everybody

    @cached_property
    def alarms_on(self) -> frozenset[AlarmKind]:
        """The named alarms that are raised."""
        return frozenset(self.alarms.on)

    @property
    def journal(self) -> str:
        """The journal's identity, which may change: it may turn out to be an older copy."""
        return self.identity()
