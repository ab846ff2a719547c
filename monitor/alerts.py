"""Losses -> alerts: a pure state machine, one a patient; no clock, no socket, no model.

A beat whose loss exceeds the threshold is anomalous. The life cycle of an episode:

             n of the last m beats anomalous: onset
    quiet ------------------------------------------> active    each further anomalous beat: ongoing
          <------------------------------------------
             clear_after normal beats in a row: cleared

Fewer than n are pending: nothing is said. A beat without a verdict (bad signal) changes nothing.
Technical events (lead off, noise, silence) have a life of their own. They inhibit verdicts by way
of the beats' quality: a beat of an unreadable stretch carries its flags and has no verdict.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import msgspec

from monitor.errors import InvalidOption

EpisodeState = Literal["onset", "ongoing", "cleared"]
Priority = Literal["high", "medium", "low"]


@dataclass(frozen=True)
class AlertRule:
    """When an episode begins and ends.

    Parameters
    ----------
    n, m : int
        An episode begins when n of the last m judged beats are anomalous. The default, 1 of 1,
        says every anomalous beat: in chf07 most premature beats come alone.
    clear_after : int
        Normal beats in a row that end it. The default, 5, makes bigeminy and trigeminy one episode.
    run_beats : int
        Anomalous beats in a row that raise the priority to high (three are a run of
        premature beats).
    """

    n: int = 1
    m: int = 1
    clear_after: int = 5
    run_beats: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.n <= self.m <= 64:
            raise InvalidOption(f"alert rule {self.n} of {self.m}: use 1 <= n <= m <= 64")
        if not 1 <= self.clear_after <= 1000 or not 1 <= self.run_beats <= 1000:
            raise InvalidOption("alert rule: clear_after and run_beats are 1 to 1000")

    @property
    def name(self) -> str:
        """What an alert names as its rule."""
        return f"loss-{self.n}-of-{self.m}"


@dataclass(frozen=True)
class Verdict:
    """One beat as the machine sees it: `anomalous` is None where no verdict is possible."""

    sample: int
    anomalous: bool | None
    loss: float


class AlertState(msgspec.Struct, frozen=True):
    """All that the machine remembers of one patient; encodes to a few bytes of JSON."""

    recent: tuple[bool, ...] = ()  # anomalous or not, the last m judged beats
    active: bool = False
    episode_start_sample: int = 0
    episode_beats: int = 0
    peak_loss: float = 0.0  # of the episode
    run: int = 0  # anomalous beats in a row up to now
    normal_run: int = 0
    technical: tuple[str, ...] = ()  # technical events that last


@dataclass(frozen=True)
class Transition:
    """What a beat changed, for an alert to say."""

    state: EpisodeState
    priority: Priority
    episode_start_sample: int
    episode_beats: int
    peak_loss: float


class AlertMachine:
    """The rule applied: `(state, verdict) -> (state, transition or None)`."""

    def __init__(self, rule: AlertRule | None = None) -> None:
        self.rule = rule or AlertRule()

    def beat(self, state: AlertState, verdict: Verdict) -> tuple[AlertState, Transition | None]:
        """Take one beat in; say what changed, if anything did."""
        if verdict.anomalous is None:
            return state, None
        state = self._remember(state, verdict.anomalous)
        if not state.active:
            return self._perhaps_begin(state, verdict)
        if verdict.anomalous:
            peak_loss = max(state.peak_loss, verdict.loss)
            state = replace_state(state, episode_beats=state.episode_beats + 1, peak_loss=peak_loss)
            return state, self._transition("ongoing", state)
        if state.normal_run >= self.rule.clear_after:
            return self._end(state)
        return state, None

    def technical(self, state: AlertState, event: str, onset: bool) -> tuple[AlertState, bool]:
        """Begin or end a technical event; the second value says whether that was news."""
        lasting = event in state.technical
        if lasting == onset:
            return state, False
        others = tuple(kind for kind in state.technical if kind != event)
        return replace_state(state, technical=(*others, event) if onset else others), True

    def finish(self, state: AlertState) -> tuple[AlertState, Transition | None]:
        """End the episode that is open when the record ends."""
        return self._end(state) if state.active else (state, None)

    def _remember(self, state: AlertState, anomalous: bool) -> AlertState:
        return replace_state(
            state,
            recent=(*state.recent, anomalous)[-self.rule.m :],
            run=state.run + 1 if anomalous else 0,
            normal_run=0 if anomalous else state.normal_run + 1,
        )

    def _perhaps_begin(
        self, state: AlertState, verdict: Verdict
    ) -> tuple[AlertState, Transition | None]:
        anomalous_beats = sum(state.recent)
        if not state.recent[-1] or anomalous_beats < self.rule.n:
            return state, None
        state = replace_state(
            state,
            active=True,
            episode_start_sample=verdict.sample,
            episode_beats=anomalous_beats,
            peak_loss=verdict.loss,
        )
        return state, self._transition("onset", state)

    def _end(self, state: AlertState) -> tuple[AlertState, Transition]:
        transition = self._transition("cleared", state)
        return replace_state(state, active=False, episode_beats=0, recent=()), transition

    def _transition(self, kind: EpisodeState, state: AlertState) -> Transition:
        if kind == "cleared":
            priority: Priority = "low"
        else:
            priority = "high" if state.run >= self.rule.run_beats else "medium"
        return Transition(
            kind, priority, state.episode_start_sample, state.episode_beats, state.peak_loss
        )


def replace_state(state: AlertState, **changes: object) -> AlertState:
    """Return the state with some fields changed."""
    return msgspec.structs.replace(state, **changes)


def alert_identity(*parts: str | int) -> str:
    """Return 16 hex digits of patient, record, sample, rule, model and state.

    The same beat judged again by the same model under the same rule gets the same identity, so a
    restart that goes over it once more can see that it has been told already.
    """
    joined = "\x1f".join(str(part) for part in parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:16]
