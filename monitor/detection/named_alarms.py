"""One patient's named alarms beside the beats: signs in, alerts out, in the samples' order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from msgspec.structs import replace

from monitor.detection.alarm_messages import (
    alarm_alert,
    alarm_identity,
    alarm_status,
    inhibited_kinds,
)
from monitor.detection.desk import Desk
from monitor.detection.rhythm import patient_alarms
from monitor.detection.rhythm.absorption import NO_BEATS
from monitor.detection.rhythm.life_cycle import AlarmChange
from monitor.detection.rhythm.moments import Hop, hops
from monitor.detection.rhythm.patient_alarms import AlarmsState, Learning
from monitor.wire.messages import AlarmKind, AlarmStatus, Alert, Stream, Why
from segmenter.signs import Signs

NO_BEAT_S = 1.0  # so long after `no_beat` asystole is known, if it is one
KEPT_S = 10.0  # a beat is judged so long after it closed at most, or held with all that follows


class NoBeat(NamedTuple):
    """The technical event `no_beat`, once it is known to be no asystole."""

    state: Literal["onset", "cleared"]
    sample: int


class NamedAlarms:
    """Steps one patient's alarms.

    Parameters
    ----------
    stream : Stream
        Whose they are.
    state : AlarmsState
        What a restart goes on from.

    Attributes
    ----------
    state : AlarmsState
        All that a restart needs.
    """

    def __init__(self, stream: Stream, state: AlarmsState | None = None) -> None:
        self.state = state or AlarmsState()
        self._stream = stream
        self._waiting: deque[Hop] = deque()

    @property
    def latched(self) -> bool:
        """Whether one asks to be acknowledged."""
        return any(one.latched for one in self.state.told.values())

    @property
    def is_silent(self) -> bool:
        """Whether an alarm lasts in which the heart has no beats, and no rate."""
        return any(kind in self.state.told and self.state.told[kind].lasts for kind in NO_BEATS)

    def learn(self, until_sample: int) -> None:
        """Learn the patient's heart rate until a sample."""
        self.state = replace(self.state, learning=Learning(until_sample))

    def hear(self, signs: Signs | None, desk: Desk) -> None:
        """Take the signs of a message in; those that came before are passed over."""
        if signs is not None and desk.alarms_on:
            reached = self._waiting[-1].end_sample if self._waiting else self.state.reached
            self._waiting.extend([one for one in hops(signs) if one.end_sample > reached])

    def has_ended(self, sample: int | None) -> bool:
        """Tell whether a hop waits to be stepped that ended up to a sample, or any."""
        waiting = self._waiting
        return bool(waiting) and (sample is None or waiting[0].end_sample <= sample)

    def until(self, sample: int | None, desk: Desk) -> Iterator[Alert | NoBeat]:
        """Step what ended up to a sample, or all that was heard; yield what is to be published."""
        fs_hz = self._stream.fs_hz
        while self.has_ended(sample):
            hop = self._waiting.popleft()
            self.state, changes = patient_alarms.take(self.state, hop, fs_hz, desk.alarms)
            for change in changes:
                yield from self._alert(change, change.sample, desk)
            if self.state.no_beat:
                yield from self._decided_no_beat()

    def end(self, sample: int, desk: Desk) -> list[Alert]:
        """End what lasts where the record ends."""
        self._waiting.clear()
        self.state, changes = patient_alarms.end(self.state, sample)
        return [alert for one in changes for alert in self._alert(one, sample, desk)]

    def acknowledge(self, sample: int, desk: Desk) -> list[Alert]:
        """Take note that a person has seen what asks to be acknowledged."""
        self.state, seen = patient_alarms.acknowledge(self.state, sample)
        return [alert for one, onset in seen for alert in self._alert(one, onset, desk)]

    def explains(self, closed_sample: int, why: Sequence[Why]) -> bool:
        """Tell whether an alarm explains that a beat is anomalous."""
        return patient_alarms.explains_beat(self.state, closed_sample, why)

    def explains_episode(self, closed_sample: int, start_sample: int) -> bool:
        """Tell whether an alarm explains all of an episode of anomalous beats."""
        return patient_alarms.explains_episode(self.state, closed_sample, start_sample)

    def judged_up_to(self, sample: int) -> None:
        """Forget which alarms lasted so long before a sample that no beat asks for it."""
        if len(self.state.history) > 1:
            before = sample - round(KEPT_S * self._stream.fs_hz)
            self.state = patient_alarms.judged_up_to(self.state, before)

    def holds_no_beat(self, state: Literal["onset", "cleared"], sample: int, desk: Desk) -> bool:
        """Tell whether the event `no_beat` is held until it is known to be no asystole.

        Where asystole is off or the signal is not measured there is nothing to wait for.
        """
        held = self.state.no_beat
        is_measured = bool(self._waiting) or self.state.reached >= 0
        is_open = len(held) % 2 == 1  # one that has begun, and not ended
        if state == "cleared" and not is_open:
            return False  # of one that was decided
        if state == "onset" and (is_open or not is_measured or "asystole" not in desk.alarms_on):
            return False
        self.state = replace(self.state, no_beat=(*held, sample))
        return True

    def status(self, desk: Desk) -> list[AlarmStatus]:
        """Return the alarms that stand, the most urgent first."""
        return alarm_status(self.state, desk.alarms, self._stream.fs_hz) if self.state.told else []

    def inhibited(self, events: Iterable[str], desk: Desk) -> list[AlarmKind]:
        """Return the alarms that cannot be told now, while these technical events last."""
        unreadable = patient_alarms.unreadable_kinds(self.state, self._stream.fs_hz)
        return inhibited_kinds(desk.alarms, events, unreadable)

    def _decided_no_beat(self) -> Iterator[NoBeat]:
        while self.state.no_beat:
            onset, cleared = self.state.no_beat[0], self.state.no_beat[1:2]
            known = onset + round(NO_BEAT_S * self._stream.fs_hz)
            if self.state.reached < known:
                return
            self.state = replace(self.state, no_beat=self.state.no_beat[2:])
            if any(kind in NO_BEATS for kind in patient_alarms.lasted(self.state, known)):
                continue
            yield NoBeat("onset", onset)
            for sample in cleared:
                yield NoBeat("cleared", sample)

    def _alert(self, change: AlarmChange, of_sample: int, desk: Desk) -> list[Alert]:
        """Make an alert; none where the journal has it: the signal came by here before."""
        kind, stream = change.kind, self._stream
        identity = alarm_identity(stream, change, of_sample)
        if not desk.holds(identity):
            return [alarm_alert(stream, change, identity, desk)]
        seen = replace(change, state="acknowledged")
        is_new = change.state == "onset" and self.state.told[kind].latched
        if is_new and desk.holds(alarm_identity(stream, seen, of_sample)):
            self.state = patient_alarms.without_latch(self.state, kind)
        return []


def acknowledged(state: AlarmsState, kinds: Iterable[AlarmKind]) -> AlarmsState:
    """Return the state of before in which these alarms do not ask to be acknowledged."""
    for kind in kinds:
        if kind in state.told:
            state = patient_alarms.without_latch(state, kind)
    return state
