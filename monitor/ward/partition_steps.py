"""The steps of one partition, without NATS: messages of samples in, alerts and progress out.

It hosts the same `SampleSegmenter` and `Engine` as the stages of one machine. The clock that the
segmenter sees is the time at which the stream took a message, so that who reads the samples again
finds the same.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from model.checkpoint import Checkpoint
from monitor.detection.engine import Engine
from monitor.detection.learning_phase import Held
from monitor.detection.outside import Journaled, Models
from monitor.detection.system_alerts import Change
from monitor.errors import InvalidMessage, SpecMismatch
from monitor.journal.writer import Progress
from monitor.settings import ConsumerSettings, Resume
from monitor.stages.consumer import STATUS_PATIENTS, Heartbeat, utc_now
from monitor.stages.host import Counters
from monitor.step_result import StepResult
from monitor.ward.bundle import decode_samples
from monitor.ward.common_segmenter import TOGETHER_S, CommonSegmenter
from monitor.ward.stream_reader import Stored
from monitor.ward.ward_journal import PatientRow
from monitor.wire.messages import (
    BeatsMessage,
    ControlRequest,
    EndHeader,
    HealthHeader,
    Message,
    SamplesMessage,
    ShedHeader,
    StageMessage,
    Status,
    Stream,
    Wave,
)

SLICE_S = 240.0  # signal a step, of all patients: its alerts fit one batch
# A patient of whom nothing came for so long holds nothing back: samples are kept no longer for the
# second that the saved state may lack.
QUIET_S = 60.0


@dataclass
class PatientPlace:
    """Where in the samples' stream a patient is.

    Attributes
    ----------
    stream : Stream
        Names, leads and rate.
    seen : int
        The last message that was judged.
    seen_s : float
        When the stream took it.
    saved : int
        The message up to which the committed state has seen; none before the first: what the
        patient began with, less one.
    has_state : bool
        Whether one was committed.
    taken : dict
        Of segmenter states that may be committed: which message each has seen.
    """

    stream: Stream
    seen: int
    seen_s: float
    saved: int
    has_state: bool = False
    ended: bool = False
    taken: dict[int, int] = field(default_factory=dict)
    ends: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=128))

    def note_end(self, position: int, number: int) -> None:
        """Take note up to which sample a message goes."""
        self.ends.append((position, number))

    def seen_at(self, position: int) -> int:
        """Return the last message that a segmenter at this position has seen."""
        for end, number in reversed(self.ends):
            if end == position:
                return number
        before = [number for end, number in self.ends if end < position]
        return before[-1] if before else self.saved


class SavedPatient(NamedTuple):
    """Progress of a patient, with what a row of the journal says beside it."""

    progress: Progress[Any]
    stream: Stream
    taken: int


Slice = list[tuple[Stored, list[StageMessage]]]  # messages of the stream, and what is new of each


class PartitionSteps:
    """Engine of one partition, and its part of the worker's segmenter.

    Parameters
    ----------
    checkpoint : Checkpoint
    settings : ConsumerSettings
        What decides the verdicts.
    journal, models, executor
        As an `Engine` takes them.
    rows : iterable of PatientRow
        How far patients are.
    taken, needed : int
        Messages of samples: the last one that was judged before, and the first one to be read.
    segmenter : CommonSegmenter
        Takes the partition's patients in; `close` gives them up.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: ConsumerSettings,
        journal: Journaled,
        models: Models,
        executor: Executor,
        segmenter: CommonSegmenter,
        rows: Iterable[PatientRow] = (),
        taken: int = 0,
        needed: int = 1,
    ) -> None:
        self.taken = taken
        self._judged_before, self._needed_before, self._read = taken, needed, needed - 1
        self.counters = Counters("consumer", 0)
        self._of_segmenter = Counters("segmenter", 0)
        self._heartbeat = Heartbeat(self.counters)
        self.engine = Engine(checkpoint, settings, journal, models, executor, utc_now)
        ended = {reached.patient for reached in journal.progress() if self._has_ended(reached)}
        self.senders: dict[str, set[str]] = {}  # by subject, the patients that have not ended
        self._places = {
            row.stream.patient: PatientPlace(
                row.stream, row.taken, 0.0, row.taken, True, row.stream.patient in ended
            )
            for row in rows
        }
        going_on = [one for one in self._places.values() if not one.ended]
        resume = [
            Resume(reached.patient, reached.position, reached.segmenter_state)
            for reached in journal.progress()
            if reached.patient not in ended
        ]
        for row in rows:
            place = self._places[row.stream.patient]
            place.taken = {
                hash(one.segmenter_state): row.taken
                for one in resume
                if one.patient == row.stream.patient
            }
        self._segmenter = segmenter
        segmenter.expect([one.stream for one in going_on], resume)
        self.engine.expect([one.stream for one in self._places.values()])

    @staticmethod
    def _has_ended(reached: Any) -> bool:  # noqa: ANN401
        from monitor.detection.patient_state import read_saved

        return read_saved(reached.consumer_state, None).ended

    @property
    def patients(self) -> int:
        """How many patients are known here."""
        return len(self._places)

    def sliced(self, stored: Iterable[Stored]) -> Iterator[Slice]:
        """Divide messages of samples, in order, into what one step takes.

        The last part of a message has it counted as taken.
        """
        slice_: Slice = []
        signal_s = 0.0
        for one in stored:
            slice_.append((one, []))
            for message in self._new_of(one):
                length_s = 0.0
                if isinstance(message, SamplesMessage):
                    length_s = message.header.n_samples / message.header.fs_hz
                if signal_s + length_s > SLICE_S and slice_[-1][1]:
                    yield slice_
                    slice_, signal_s = [(one, [])], 0.0
                slice_[-1][1].append(message)
                signal_s += length_s
        if slice_:
            yield slice_

    def _new_of(self, stored: Stored) -> list[StageMessage]:
        """Return what of a message has not been seen; what is malformed is counted."""
        try:
            messages = decode_samples(stored.content).messages()
        except InvalidMessage:
            self._of_segmenter.malformed += 1
            return []
        self._of_segmenter.messages_in += len(messages)
        patients = self.senders.setdefault(stored.subject, set())
        for one in messages:
            if isinstance(one, SamplesMessage):
                patients.add(one.header.patient)
            elif isinstance(one, EndHeader):
                patients.discard(one.patient)
        return [one for one in messages if self._is_new(one, stored)]

    def _is_new(self, message: StageMessage, stored: Stored) -> bool:
        match message:
            case SamplesMessage(header=header):
                name = header.patient
            case EndHeader() | ShedHeader():
                name = message.patient
            case _:
                return True
        place = self._places.get(name)
        if place is not None and stored.number <= place.saved:
            return False
        if isinstance(message, SamplesMessage):
            header = message.header
            if place is None:
                described = Stream(
                    patient=name,
                    record=header.record,
                    leads=header.leads,
                    fs_hz=header.fs_hz,
                    first_sample=header.position,
                    n_samples=None,
                    waves=header.waves,
                )
                place = PatientPlace(described, stored.number, 0.0, stored.number - 1)
                self._places[name] = place
            elif (header.leads, header.fs_hz, header.waves) != (
                place.stream.leads,
                place.stream.fs_hz,
                place.stream.waves,
            ):
                place.stream = msgspec.structs.replace(
                    place.stream,
                    record=header.record,
                    leads=header.leads,
                    fs_hz=header.fs_hz,
                    waves=header.waves,
                )
            place.ended = False
        if place is not None:
            place.seen, place.seen_s = stored.number, stored.time_ns / 1e9
            if isinstance(message, EndHeader):
                place.ended = message.reason == "complete"
        return True

    def step(self, slice_: Slice, now_ns: int) -> StepResult[Message]:
        """Judge a slice; what waits of requests and reports comes out with it."""
        parts = self.samples_of(slice_)
        found = [self._segmenter.step(messages, now_s) for now_s, messages in parts]
        return self.judge(slice_, found, now_ns)

    async def gathered_step(self, slice_: Slice, now_ns: Callable[[], int]) -> StepResult[Message]:
        """Judge a slice as `step` does; other partitions' samples are segmented with it."""
        parts = self.samples_of(slice_)
        found = [await self._segmenter.gathered(messages, now_s) for now_s, messages in parts]
        return self.judge(slice_, found, now_ns())

    def samples_of(self, slice_: Slice) -> list[tuple[float, list[StageMessage]]]:
        """Return what of a slice the segmenter takes at a time, and when the stream took it."""
        for stored, messages in slice_:
            self._note_ends(stored.number, messages)
        return [*together(slice_)]

    def judge(
        self, slice_: Slice, found: Iterable[StepResult[StageMessage]], now_ns: int
    ) -> StepResult[Message]:
        """Judge what the segmenter made of a slice."""
        admitted: list[Held] = []
        waves: list[Wave] = []
        for one in found:
            waves += one.waves
            for message in one.messages:
                if isinstance(message, BeatsMessage) and message.state:
                    place = self._places[message.header.patient]
                    place.taken[hash(message.state)] = place.seen_at(message.header.position)
                held = self._admit(message)
                if held is not None:
                    admitted.append(held)
        result = self.engine.step(admitted, now_ns)
        result.waves = waves
        if slice_:
            self.taken = max(self.taken, slice_[-1][0].number - 1)
        return result

    def close(self) -> None:
        """Give the partition's patients up."""
        self._segmenter.forget(self._places)

    def _note_ends(self, number: int, messages: list[StageMessage]) -> None:
        for message in messages:
            if isinstance(message, SamplesMessage):
                header = message.header
                end = header.position + header.n_samples
                self._places[header.patient].note_end(end, number)
            elif isinstance(message, EndHeader) and message.patient in self._places:
                self._places[message.patient].note_end(message.position, number)

    def took(self, number: int) -> None:
        """Take note that a message of samples was judged to its end."""
        self.taken, self._read = max(self.taken, number), number

    def carry_out(self, request: ControlRequest) -> str:
        """Do what was asked; LookupError if it cannot be done."""
        return self.engine.carry_out(request)

    def report(self, change: Change) -> None:
        """Report of the monitor itself with the next step."""
        self.engine.report_monitor(change)

    def saved(self, progress: Iterable[Progress[Any]]) -> list[SavedPatient]:
        """Return progress with what the journal keeps beside it."""
        found = []
        for one in progress:
            place = self._places.get(one.patient)
            if place is None:
                continue
            taken = place.taken.get(hash(one.segmenter_state), place.saved)
            found.append(SavedPatient(one, place.stream, taken))
        return found

    def committed(self, saved: Iterable[SavedPatient]) -> list[str]:
        """Take note of what was committed; return whom the journal may forget."""
        for one in saved:
            place = self._places[one.progress.patient]
            place.saved, place.has_state = one.taken, True
            place.taken = {key: at for key, at in place.taken.items() if at >= one.taken}
        forgotten = self.engine.committed()
        for name in forgotten:
            self._places.pop(name, None)
        return forgotten

    def needed(self, rows: dict[str, PatientRow]) -> int:
        """Return which message of samples a restart needs first, once these rows are written.

        Who is quiet is told by the stream's own time: a worker that is minutes behind must not take
        everybody for quiet.
        """
        first = self.taken + 1
        # Until all is read again that the one before had judged, it is not known who was in it: a
        # worker that gives the partition up at once must leave it as it was.
        if self._read < self._judged_before:
            first = min(first, self._needed_before)
        newest_s = max((one.seen_s for one in self._places.values()), default=0.0)
        for name, place in self._places.items():
            row = rows.get(name)
            saved = place.saved if row is None else row.taken
            if place.seen <= saved or (place.ended and row is None):  # it was never monitored
                continue
            if row is not None and newest_s - place.seen_s > QUIET_S:
                continue
            first = min(first, saved + 1)
        return first

    def status(self, now_s: float, *, whole: bool = False) -> Status:
        """Return the heartbeat."""
        self._segmenter.count_for(self._of_segmenter)
        self._heartbeat.heard(self._of_segmenter.health(), now_s)
        report = self.engine.report(None if whole else STATUS_PATIENTS)
        return self._heartbeat.status(report, now_s)

    def _admit(self, message: StageMessage) -> Held | None:
        """Check a message as a consumer does; what cannot be judged is counted, dropped."""
        admission, counters = self.engine.admission, self.counters
        try:
            match message:
                case BeatsMessage():
                    admission.check(message)
                    counters.gaps += admission.hole_before(message)
                    counters.messages_in += 1
                    return message
                case EndHeader():
                    admission.hole_before(message)
                    return message
                case ShedHeader():
                    self.engine.shed(message)
                case SamplesMessage() | HealthHeader():
                    pass
        except (InvalidMessage, SpecMismatch):
            counters.malformed += 1
            counters.refused_patients = admission.refused
        return None


def together(slice_: Slice) -> Iterator[tuple[float, list[StageMessage]]]:
    """Lay messages together that the stream took within a moment: many patients cost little more.

    Yields when that was, in seconds, and the messages, in order.
    """
    began_s, messages = 0.0, list[StageMessage]()
    for stored, of_stored in slice_:
        time_s = stored.time_ns / 1e9
        if messages and time_s - began_s > TOGETHER_S:
            yield began_s, messages
            messages = []
        began_s = began_s if messages else time_s
        messages = [*messages, *of_stored]
    if messages:
        yield began_s, messages


def now_ns() -> int:
    """Return the wall time: what the samples' stream stamps its messages with, on any machine."""
    return time.time_ns()
