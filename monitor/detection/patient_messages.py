"""What is published of one patient: beats, alerts and technical alerts, made of plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeGuard

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.detection.alert_machine import AlertState, Transition, Verdict, alert_identity
from monitor.detection.desk import Desk, PatientModel
from monitor.detection.explanation import leads_above_threshold, loss_by_part, neighbours
from monitor.detection.scored_beats import ScoredBeat
from monitor.detection.verdict_watch import SILENT_S
from monitor.wire.codec import quality_names
from monitor.wire.messages import (
    AlarmKind,
    Alert,
    BeatScored,
    MarkRequest,
    Message,
    PatientKind,
    Stream,
    Technical,
    joined_leads,
)

_NUMBERED = (Alert, Technical)  # a union of types takes time to make, and every beat is asked
TECHNICAL_TEXTS: dict[PatientKind, str] = {
    "lead_off": "lead off or saturated",
    "signal_lost": "no samples arrive",
    "noisy": "too noisy to be read",
    "no_beat": "no beat for 4 s though the signal is good",
    "no_verdict": f"no beat that could be judged for {SILENT_S:g} s",
    "stream_restarted": "the samples began anew, or jumped: counted on from where they were",
    "two_senders": "two producers send this patient's samples: those of the second are refused",
}


def beat_scored(
    stream: Stream,
    beat: ScoredBeat,
    verdict: Verdict,
    desk: Desk,
    sent_ns: int,
    *,
    is_learning: bool,
) -> BeatScored:
    """Make the message of one beat.

    Of one that is learnt it has no threshold, of one without a verdict no loss: in noise there are
    losses, but they say nothing.
    """
    is_judged = beat.score is not None
    loss, losses = beat.loss if is_judged else None, [*map(_rounded_loss, beat.losses)]
    return BeatScored(
        schema=1,
        patient=stream.patient,
        record=stream.record,
        lead=joined_leads(stream.leads) if loss is None else stream.leads[beat.lead],
        sample=beat.sample,
        time_s=_time_s(stream, beat.sample),
        wall_time=desk.wall_time(),
        loss=_rounded_loss(loss),
        threshold=None if is_learning else round(verdict.threshold, 3),
        anomalous=verdict.anomalous is True,
        why=list(verdict.why),
        rr_before_ms=_rounded(beat.rr_before_ms),
        rr_after_ms=_rounded(beat.rr_after_ms),
        quality=quality_names(beat.quality),
        score=None if beat.score is None else round(beat.score, 3),
        weighed=beat.weighed,
        family=verdict.family,
        losses=[] if len(losses) == 1 else losses if is_judged else [None] * len(losses),
        sent_ns=sent_ns,
    )


def beat_alert(
    stream: Stream,
    model: PatientModel,
    thresholds: Sequence[float],
    beat: ScoredBeat,
    verdict: Verdict,
    transition: Transition,
    desk: Desk,
) -> list[Message]:
    """Make an onset or an ongoing alert: it speaks of one beat, shows and explains it."""
    batch, place = beat.batch, (beat.row, beat.lead)
    values, reconstruction = batch.beats.values[place], batch.reconstructions[place]
    judge = model.lead(beat.lead)
    made = _alert(
        stream, model, beat.lead, verdict.threshold, verdict.loss, beat.sample, transition, desk
    )
    return [
        msgspec.structs.replace(
            one,
            rr_before_ms=_rounded(beat.rr_before_ms),
            rr_after_ms=_rounded(beat.rr_after_ms),
            quality=quality_names(beat.quality),
            delay_ms=round(float(batch.beats.delay_ms[beat.row]), 1),
            beat=_listed(values),
            reconstruction=_listed(reconstruction),
            why=list(verdict.why),
            score=round(verdict.ratio, 3),
            parts=loss_by_part(values, reconstruction, judge.window),
            neighbours=neighbours(batch.inputs[place], judge.checkpoint.normal),
            leads=[stream.leads[lead] for lead in leads_above_threshold(beat, thresholds)],
            family=verdict.family,
        )
        for one in made
    ]


def episode_alert(
    stream: Stream,
    model: PatientModel,
    thresholds: Sequence[float],
    sample: int,
    transition: Transition,
    desk: Desk,
) -> list[Message]:
    """Make the alert that ends or acknowledges: it speaks of the whole, and shows no beat."""
    lead = model.judged(transition.peak_lead)  # it may be acknowledged after it was learnt anew
    loss = transition.peak_loss
    return [*_alert(stream, model, lead, thresholds[lead], loss, sample, transition, desk)]


def mark_alert(
    stream: Stream,
    lead: int,
    rule: str,
    model: str,
    sample: int,
    alerts: AlertState,
    mark: MarkRequest,
    desk: Desk,
) -> Alert:
    """Make the alert that keeps a person's word, and who said it; of numbers it has the last ones.

    Of several words at one sample each has an identity: no beat leads to it a second time.
    """
    seq, threshold = desk.next_seq(), 0.0
    if alerts.peak_share > 0:
        threshold = alerts.peak_loss / alerts.peak_share
    said = (str(mark.family), mark.word, str(seq))
    identity = alert_identity(stream.patient, stream.record, sample, rule, model, "marked", *said)
    loss = alerts.peak_loss
    made = _of_episode(stream, lead, loss, threshold, sample, alerts, desk, model, identity, seq)
    return msgspec.structs.replace(
        made,
        state="marked",
        ratio=round(alerts.peak_share, 3),
        family=mark.family,
        word=mark.word,
        by=mark.by,
    )


def _alert(
    stream: Stream,
    model: PatientModel,
    lead: int,
    threshold: float,
    loss: float,
    sample: int,
    transition: Transition,
    desk: Desk,
) -> list[Alert]:
    """Make the alert of a transition without what is of a beat; none that the journal has."""
    rule, judge = desk.machine.rule.name, model.identity
    identity = _identity(stream, sample, rule, judge, transition.state)
    if desk.holds(identity):
        return []
    of = desk, judge, identity, desk.next_seq()
    made = _of_episode(stream, lead, loss, threshold, sample, transition, *of)
    span = transition.episode_last_sample - transition.episode_start_sample
    beats_after_first, duration_s = transition.episode_beats - 1, span / stream.fs_hz
    return [
        msgspec.structs.replace(
            made,
            state=transition.state,
            priority=transition.priority,
            ratio=round(loss / threshold, 3),
            rate_per_min=round(60 * beats_after_first / duration_s, 2) if duration_s else None,
        )
    ]


def _of_episode(
    stream: Stream,
    lead: int,
    loss: float,
    threshold: float,
    sample: int,
    episode: Transition | AlertState,
    desk: Desk,
    model: str,
    identity: str,
    seq: int,
) -> Alert:
    """Make an alert of an episode that shows no beat; its state and ratio are still to be said."""
    span = max(0, episode.episode_last_sample - episode.episode_start_sample)
    return Alert(
        schema=1,
        patient=stream.patient,
        record=stream.record,
        lead=stream.leads[lead],
        sample=sample,
        time_s=_time_s(stream, sample),
        wall_time=desk.wall_time(),
        id=identity,
        seq=seq,
        journal=desk.journal,
        state="cleared",
        priority="low",
        rule=desk.machine.rule.name,
        loss=round(loss, 3),
        threshold=round(threshold, 3),
        ratio=0.0,
        rr_before_ms=None,
        rr_after_ms=None,
        quality=[],
        episode_beats=episode.episode_beats,
        episode_start_sample=episode.episode_start_sample,
        model=model,
        delay_ms=None,
        beat=[],
        reconstruction=[],
        duration_s=round(span / stream.fs_hz, 4),
    )


def technical(
    stream: Stream,
    event: PatientKind,
    state: Literal["onset", "cleared"],
    sample: int,
    text: str,
    desk: Desk,
    leads: Sequence[str] = (),
    inhibits: Sequence[AlarmKind] = (),
) -> list[Message]:
    """Make a technical alert; none where the journal has it: the signal came by here before.

    Parameters
    ----------
    leads : sequence of str
        Which it is of, where not of all.
    inhibits : sequence of str
        Named alarms that cannot be told while it lasts.
    """
    identity = _identity(stream, sample, event, joined_leads(leads), state)
    if desk.holds(identity):
        return []
    return [
        Technical(
            schema=1,
            patient=stream.patient,
            record=stream.record,
            lead=joined_leads(leads or stream.leads),
            sample=sample,
            time_s=_time_s(stream, sample),
            wall_time=desk.wall_time(),
            id=identity,
            seq=desk.next_seq(),
            journal=desk.journal,
            event=event,
            state=state,
            text=text,
            inhibits=[*inhibits],
        )
    ]


def _identity(stream: Stream, sample: int, rule: str, model: str, state: str) -> str:
    return alert_identity(stream.patient, stream.record, sample, rule, model, state)


def _time_s(stream: Stream, sample: int) -> float:
    return round(sample / stream.fs_hz, 4)


def is_numbered(message: Message) -> TypeGuard[Alert | Technical]:
    """Tell whether a message carries a sequence number and is journaled."""
    return isinstance(message, _NUMBERED)


def _rounded(interval_ms: float | None) -> float | None:
    return None if interval_ms is None else round(interval_ms, 1)


def _rounded_loss(loss: float | None) -> float | None:
    return None if loss is None else round(loss, 3)


def _listed(values: NDArray[np.float32]) -> list[float]:
    rounded: list[float] = np.round(values.astype(np.float64), 3).tolist()
    return rounded
