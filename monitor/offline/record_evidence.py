"""Evidence of a record that was judged: what its beats are weighed by, and what weights make of it.

Records are learnt and judged once. For `--leave-one-out` and for tools/fit_evidence.py their beats
are then weighed as often as there are weights, and heard as the monitor would have heard them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.checkpoint import Checkpoint
from model.evidence import (
    BeatRows,
    EvidenceState,
    EvidenceWeights,
    Measured,
    UsualLead,
    measure,
    usual_lead,
)
from model.families import FamiliesState, hear
from model.scoring import Scorer
from model.tracking import Scored, TrackState, score_tracked
from monitor.detection.alert_machine import AlertMachine, AlertState, Verdict
from monitor.offline.record_judge import Judged
from monitor.settings import AlertRule


@dataclass(frozen=True)
class RecordEvidence:
    """What the beats of a record can be weighed by: n rows in the order of the R peaks.

    Attributes
    ----------
    rows : BeatRows
        Without losses where the record was learnt.
    r_sample : np.ndarray, shape (n,), int64
    fs_hz : float
    measured : Measured
    """

    rows: BeatRows
    r_sample: NDArray[np.int64]
    fs_hz: float
    measured: Measured

    def heard(self, weights: EvidenceWeights, rule: AlertRule | None = None) -> HeardBeats:
        """Return the verdicts and the alerts that come of weights."""
        machine, alerts, families = AlertMachine(rule), AlertState(), FamiliesState()
        measured, ratios = self.measured, weights.ratios(self.measured.measures)
        known = np.isfinite(self.rows.losses)
        verdicts, begun, ended = np.full(len(ratios), np.nan), list[int](), list[int]()
        for row, sample in enumerate(self.r_sample.tolist()):
            families, heard = hear(
                families,
                self.rows.inputs[row],
                known[row].tolist(),
                sample / self.fs_hz,
                float(ratios[row]),
                float(measured.early[row]),
                doubt=float(measured.doubt[row]),
                during_alert=alerts.active,
            )
            begins = heard.placed is not None and heard.placed.onset != ""
            if heard.anomalous is not None:
                verdicts[row] = ratios[row]
            verdict = Verdict(sample, heard.anomalous, 0.0, float(ratios[row]), begins=begins)
            alerts, transition = machine.beat(alerts, verdict)
            if transition is not None and transition.state == "onset":
                begun.append(transition.episode_start_sample)
                ended.append(transition.episode_last_sample)
            elif transition is not None:
                ended[-1] = transition.episode_last_sample
        _, transition = machine.finish(alerts)
        if transition is not None:
            ended[-1] = transition.episode_last_sample
        return HeardBeats(verdicts, begun, ended, families.next_number - 1)


@dataclass(frozen=True)
class HeardBeats:
    """What a person hears of a record.

    Attributes
    ----------
    ratio : np.ndarray, shape (n,), float64
        Above 1 a beat is anomalous; NaN where it has no verdict.
    begun, ended : list of int
        R peaks of the first and the last anomalous beat of each alert.
    n_families : int
    """

    ratio: NDArray[np.float64]
    begun: list[int]
    ended: list[int]
    n_families: int


def record_evidence(judged: Judged, fs_hz: float) -> RecordEvidence:
    """Return the evidence of a record, judged with its values kept.

    Every lead's beats are laid on its template and reconstructed again, behind what was learnt.
    """
    beats = judged.beats
    n, n_leads, length = beats.values.shape
    judgeable = beats.lead_judgeable & beats.judgeable[:, None]
    intervals_ms = np.where(beats.judgeable, beats.rr_before_ms, np.nan).astype(np.float64)
    is_tested = beats.r_sample >= judged.learnt_until
    inputs = beats.values.copy()
    reconstructions = np.zeros((n, n_leads, length), np.float32)
    for lead, model in enumerate(judged.models):
        if model is not None and model.normal is not None:
            of_lead = beats.values[:, lead]
            scored = _scored(model, of_lead, intervals_ms, judgeable[:, lead], is_tested)
            inputs[is_tested, lead] = scored.tracked.inputs
            reconstructions[is_tested, lead] = scored.reconstructions
    losses = np.where(judgeable & is_tested[:, None], judged.losses, np.nan)
    after_ms = beats.rr_after_ms.astype(np.float64)
    rows = BeatRows(
        losses, beats.values, inputs, reconstructions, judgeable, intervals_ms, after_ms
    )
    return RecordEvidence(rows, beats.r_sample, fs_hz, _measured(rows, judged, is_tested))


def _measured(rows: BeatRows, judged: Judged, is_tested: NDArray[np.bool_]) -> Measured:
    """Measure as the monitor does: of what is learnt rhythm and shapes are followed."""
    nothing_known = (None,) * rows.losses.shape[1]
    state, learnt = measure(EvidenceState(), nothing_known, _some(rows, ~is_tested))
    if not is_tested.all():
        state = state.learnt()
    _, tested = measure(state, _usual(judged.models), _some(rows, is_tested))
    return Measured(
        np.concatenate([learnt.measures, tested.measures]),
        np.concatenate([learnt.early, tested.early]),
        np.concatenate([learnt.doubt, tested.doubt]),
    )


def _some(rows: BeatRows, which: NDArray[np.bool_]) -> BeatRows:
    return BeatRows(
        rows.losses[which],
        rows.beats[which],
        rows.inputs[which],
        rows.reconstructions[which],
        rows.readable[which],
        rows.rr_before_ms[which],
        rows.rr_after_ms[which],
    )


def _scored(
    model: Checkpoint,
    values: NDArray[np.float32],
    intervals_ms: NDArray[np.float64],
    judgeable: NDArray[np.bool_],
    is_tested: NDArray[np.bool_],
) -> Scored:
    scorer, learnt = Scorer(model.autoencoder), ~is_tested
    parts = values[learnt], intervals_ms[learnt], judgeable[learnt]
    state, _ = score_tracked(scorer, None, TrackState(), *parts)  # the rhythm goes on
    parts = values[is_tested], intervals_ms[is_tested], judgeable[is_tested]
    return score_tracked(scorer, model.normal, state, *parts)[1]


def _usual(models: Sequence[Checkpoint | None]) -> tuple[UsualLead | None, ...]:
    return tuple(
        None
        if model is None or model.normal is None
        else usual_lead(model.normal, model.autoencoder.template)
        for model in models
    )
