"""Losses -> alerts: a pure state machine, one a patient; no clock, no socket, no model.

A beat that the model or its time marks is anomalous. The life cycle of an episode:

             n of the last m beats anomalous: onset
    quiet ------------------------------------------> active    each further anomalous beat, or
          <------------------------------------------           every k-th: ongoing
             clear_after calm beats in a row: cleared

One of the n must be of a kind that may begin an episode (`Verdict.begins`): a shape that was heard
before is absorbed. What a person called normal counts as a calm beat, unless the episode is high:
nobody's word shortens that. Fewer than n are pending: no alert yet. A beat without a verdict (bad
signal) changes nothing. A normal beat just below the threshold is not calm (`clear_ratio`):
hysteresis.
An episode of high priority latches: it asks to be acknowledged, also after it has ended.
Technical events (lead off, noise, silence) have a life of their own. They inhibit verdicts by way
of the beats' quality: a beat of an unreadable stretch carries its flags and has no verdict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from monitor.settings import AlertRule
from monitor.wire.messages import Priority, Why

EpisodeState = Literal["onset", "ongoing", "cleared", "acknowledged"]
NORMAL = -1  # stands for a normal beat among the samples of anomalous ones


class Verdict(NamedTuple):
    """What is decided about one beat: made once, stepped by the machine, carried to its messages.

    Attributes
    ----------
    anomalous : bool or None
        None where no verdict is possible.
    loss : float
        Of the worst lead.
    ratio : float
        The beat's score: above 1 it is anomalous.
    why : sequence of str
        What made it anomalous; empty where it is not.
    lead : int
        The worst.
    threshold : float
        Of that lead.
    begins : bool
        Whether it may begin an episode: `model.families` absorbs beats of shapes that were heard.
    family : int or None
        Number of its family; None where families are not told apart.
    called_normal : bool
        Whether a person called its family normal.
    """

    sample: int
    anomalous: bool | None
    loss: float
    ratio: float = 0.0
    why: Sequence[Why] = ()
    lead: int = 0
    threshold: float = 1.0
    begins: bool = True
    family: int | None = None
    called_normal: bool = False

    @property
    def share(self) -> float:
        """The loss over its lead's threshold: what losses of several leads are compared by."""
        return self.loss / self.threshold


class AlertState(msgspec.Struct, frozen=True):
    """All that the machine remembers of one patient; encodes to a few bytes of JSON."""

    recent: tuple[int, ...] = ()  # the last m judged beats: sample of an anomalous one, or NORMAL
    begins: int = NORMAL  # the last anomalous one that may begin an episode
    active: bool = False
    episode_start_sample: int = 0
    episode_last_sample: int = 0  # of its newest anomalous beat
    episode_beats: int = 0
    peak_loss: float = 0.0  # of the episode's worst beat
    peak_share: float = 0.0  # of its threshold
    peak_lead: int = 0
    unsaid: int = 0  # anomalous beats since the episode was last spoken of
    priority: Priority = "medium"  # the highest of the episode so far
    run: int = 0  # anomalous beats in a row up to now
    calm_run: int = 0
    latched: bool = False  # a high alert was not acknowledged
    latched_from: int = 0  # sample from which the oldest such alert counts
    acknowledged: bool = False  # the episode that lasts was
    technical: tuple[str, ...] = ()  # technical events that last


@dataclass(frozen=True)
class Transition:
    """What a beat changed, for an alert to say."""

    state: EpisodeState
    priority: Priority
    episode_start_sample: int
    episode_last_sample: int
    episode_beats: int
    peak_loss: float
    peak_lead: int


class AlertMachine:
    """The rule applied: `(state, verdict) -> (state, transition or None)`."""

    def __init__(self, rule: AlertRule | None = None) -> None:
        self.rule = rule or AlertRule()

    def beat(self, state: AlertState, verdict: Verdict) -> tuple[AlertState, Transition | None]:
        """Take one beat in; return what changed, if anything did."""
        if verdict.anomalous is None:
            return state, None
        if verdict.called_normal and not (state.active and state.priority == "high"):
            verdict = verdict._replace(anomalous=False, ratio=0.0)
        state = self._remember(state, verdict)
        if not state.active:
            return self._perhaps_begin(state, verdict)
        if verdict.anomalous:
            return self._go_on(state, verdict)
        if state.calm_run >= self.rule.clear_after:
            return self._end(state)
        return state, None

    def acknowledge(self, state: AlertState) -> tuple[AlertState, Transition | None]:
        """Take note that a person has seen the high alert; None if there is none to see."""
        if not state.latched:
            return state, None
        of_this_one = state.active and state.priority == "high"  # not of one that is over
        state = replace_state(state, latched=False, acknowledged=of_this_one)
        return state, self._transition("acknowledged", "low", state)

    def technical(self, state: AlertState, event: str, onset: bool) -> tuple[AlertState, bool]:
        """Begin or end a technical event; the second value tells whether it is new."""
        lasting = event in state.technical
        if lasting == onset:
            return state, False
        others = tuple(kind for kind in state.technical if kind != event)
        return replace_state(state, technical=(*others, event) if onset else others), True

    def finish(self, state: AlertState) -> tuple[AlertState, Transition | None]:
        """End the episode that is open when the record ends."""
        return self._end(state) if state.active else (state, None)

    def _remember(self, state: AlertState, verdict: Verdict) -> AlertState:
        anomalous = bool(verdict.anomalous)
        calm = not anomalous and verdict.ratio <= self.rule.clear_ratio
        mark = verdict.sample if anomalous else NORMAL
        recent = (*state.recent, mark)[-self.rule.m :]
        if anomalous and verdict.begins and not state.active:
            state = replace_state(state, begins=verdict.sample)
        run = state.run + 1 if anomalous else 0
        calm_run = state.calm_run + 1 if calm and state.active else 0
        if (recent, run, calm_run) == (state.recent, state.run, state.calm_run):
            return state  # most beats: a normal one among normal ones
        return replace_state(state, recent=recent, run=run, calm_run=calm_run)

    def _perhaps_begin(
        self, state: AlertState, verdict: Verdict
    ) -> tuple[AlertState, Transition | None]:
        if not verdict.anomalous:
            return state, None
        anomalous = [sample for sample in state.recent if sample != NORMAL]
        if len(anomalous) < self.rule.n or state.begins not in anomalous:
            return state, None
        state = replace_state(
            state,
            active=True,
            episode_start_sample=anomalous[0],
            episode_last_sample=verdict.sample,
            episode_beats=len(anomalous),
            **_peak(verdict),
            unsaid=0,
            priority="medium",
        )
        state = self._raise(state)
        return state, self._transition("onset", self._now(state), state)

    def _go_on(self, state: AlertState, verdict: Verdict) -> tuple[AlertState, Transition | None]:
        before = state.priority
        state = self._raise(
            replace_state(
                state,
                episode_last_sample=verdict.sample,
                episode_beats=state.episode_beats + 1,
                **(_peak(verdict) if verdict.share > state.peak_share else {}),
                unsaid=state.unsaid + 1,
            )
        )
        if state.unsaid < self.rule.repeat_beats and state.priority == before:
            return state, None
        state = replace_state(state, unsaid=0)
        return state, self._transition("ongoing", self._now(state), state)

    def _raise(self, state: AlertState) -> AlertState:
        """Raise the priority of an episode with a run in it; it then asks to be acknowledged."""
        if state.run < self.rule.run_beats:
            return state
        latched = state.latched or (self.rule.latch and not state.acknowledged)
        since = state.latched_from if state.latched else state.episode_start_sample
        return replace_state(state, priority="high", latched=latched, latched_from=since)

    def _now(self, state: AlertState) -> Priority:
        return "high" if state.run >= self.rule.run_beats else "medium"

    def _end(self, state: AlertState) -> tuple[AlertState, Transition]:
        transition = self._transition("cleared", "low", state)
        state = replace_state(state, active=False, acknowledged=False, recent=(), run=0, calm_run=0)
        return state, transition

    def _transition(self, kind: EpisodeState, priority: Priority, state: AlertState) -> Transition:
        return Transition(
            kind,
            priority,
            state.episode_start_sample,
            state.episode_last_sample,
            state.episode_beats,
            state.peak_loss,
            state.peak_lead,
        )


def _peak(verdict: Verdict) -> dict[str, object]:
    """Return what is remembered of an episode's worst beat."""
    return {
        "peak_loss": verdict.loss,
        "peak_share": verdict.share,
        "peak_lead": verdict.lead,
    }


def high_since(state: AlertState) -> int | None:
    """Return the sample at which the high alert that stands began; None where none stands.

    It stands until it is over and acknowledged.
    """
    begun = [state.latched_from] if state.latched else []
    if state.active and state.priority == "high":
        begun.append(state.episode_start_sample)
    return min(begun, default=None)


def replace_state(state: AlertState, **changes: object) -> AlertState:
    """Return the state with some fields changed."""
    return msgspec.structs.replace(state, **changes)


def alert_identity(*parts: str | int) -> str:
    """Return 16 hex digits of patient, record, sample, rule, model and state.

    The same beat judged again by the same model under the same rule gets the same identity, so a
    restart that goes over it once more can see that it was raised already.
    """
    joined = "\x1f".join(str(part) for part in parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:16]
