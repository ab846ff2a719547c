"""What patients share: a model that is ready to score, and the desk that reports go over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.checkpoint import Checkpoint
from model.scoring import Scorer
from monitor.detection.alert_machine import AlertMachine, Verdict
from segmenter.beat import BeatSpec, Window

if TYPE_CHECKING:  # these modules need each other's types alone
    from monitor.detection.scored_beats import ScoredBeat


@dataclass(frozen=True)
class Model:
    """A checkpoint ready to score."""

    checkpoint: Checkpoint
    scorer: Scorer
    window: Window

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Model:
        """Make a checkpoint ready."""
        window = BeatSpec.from_mapping(checkpoint.spec).window
        return cls(checkpoint, Scorer(checkpoint.autoencoder), window)


@dataclass(frozen=True)
class Desk:
    """What patients share: the alert rule, the sequence, the journal, the wall time.

    `holds` tells whether the journal has an alert of this identity: a patient that is learnt
    anew after a restart comes past the same events again. `on_verdict` hears of each beat and what
    was decided about it; a beat of a patient who is learning has no verdict.
    """

    machine: AlertMachine
    identity: Callable[[], str]
    holds: Callable[[str], bool]
    next_seq: Callable[[], int]
    wall_time: Callable[[], str]
    on_verdict: Callable[[ScoredBeat, Verdict], None] | None = None

    @property
    def journal(self) -> str:
        """The journal's identity, which may change: it may turn out to be an older copy."""
        return self.identity()
