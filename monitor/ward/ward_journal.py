"""What is kept of a partition: its head, its patients, its alerts; and what is read of it again.

A commit is one atomic batch: alerts, then models, then how far patients are, then the head, which
is the fence. Patients' states lie many in a message, since each message goes to disk by itself; the
head says with which message one who reads them must begin, and what lies far behind is written
again, so that this is never far.
"""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from model.checkpoint import Checkpoint, checkpoint_bytes, parse_checkpoint
from monitor.errors import InvalidMessage, JournalFailed
from monitor.journal.writer import Progress, StoredProgress, stored
from monitor.ward.batch import MOST, BatchMessage, commit_batch
from monitor.ward.link import JetStreamError, Unanswered, WardLink
from monitor.ward.names import (
    WARD,
    WardIdentity,
    alert_subject,
    head_subject,
    model_subject,
    states_subject,
    token,
)
from monitor.ward.stream_reader import StreamReader, read_all
from monitor.wire.codec import Encoded, decode_numbered
from monitor.wire.messages import Alert, Count, Stream, Technical

STATES_BYTES = 1 << 19  # a message of states, about
FAR_BEHIND = 64  # messages of states that who takes over reads, about
AGAIN = 32  # patients a commit whose states are written again
MOST_ALERTS = 800  # a batch


class PatientRow(msgspec.Struct, frozen=True, array_like=True):
    """How far one patient is; `taken`: the samples' message that the segmenter's state has seen."""

    stream: Stream
    taken: Count
    progress: bytes


class Head(msgspec.Struct, frozen=True):
    """How far a partition is.

    Attributes
    ----------
    worker : str
        Who wrote it.
    newest_seq : int
        Number of the newest alert.
    taken, needed : int
        Messages of samples: the last one judged, and the first that a restart needs again.
    states_from, n_states : int
        Where the patients' states begin in the stream; of none before, the last so many before
        the head.
    alerts_from : int
        Alerts from here on may come again when the samples are read again.
    written_ns : int
        Wall time.
    released : bool
        Whether the worker has given the partition up in order.
    """

    worker: str
    newest_seq: Count = 0
    taken: Count = 0
    needed: Count = 1
    states_from: Count = 0
    n_states: Count = 0
    alerts_from: Count = 1
    written_ns: int = 0
    released: bool = False


_heads = msgspec.msgpack.Decoder(Head)
_rows = msgspec.msgpack.Decoder(Annotated[list[PatientRow], Meta(max_length=10_000)])
_progress = msgspec.msgpack.Decoder(StoredProgress)


@dataclass
class WardModels:
    """Learnt models, which go to the stream with the states that name them."""

    identity: str
    kept: dict[str, bytes] = field(default_factory=dict)
    unwritten: dict[str, bytes] = field(default_factory=dict)
    replaced: dict[str, set[str]] = field(default_factory=dict)  # by patient
    leaving: set[str] = field(default_factory=set)
    removable: list[str] = field(default_factory=list)

    def save(
        self, patient: str, checkpoints: Sequence[Checkpoint | None], before: Iterable[str], /
    ) -> list[str | None]:
        """Keep the models of a patient's leads in the place of others; return their names."""
        files: list[str | None] = []
        for one in checkpoints:
            file = None
            if one is not None:
                file = f"learned-{self.identity}-{token(patient)}-{one.identity}.safetensors"
                self.kept[file] = self.unwritten[file] = checkpoint_bytes(one)
            files.append(file)
        gone = {*self.replaced.get(patient, ()), *before}.difference(files)
        self.replaced[patient] = gone
        self.leaving.difference_update(one for one in files if one is not None)
        return files

    def load(self, file: str, /) -> Checkpoint:
        """Return a model by its name."""
        if file not in self.kept:
            raise JournalFailed(f"the ward lacks the learnt model {file}; learn the patient anew")
        return parse_checkpoint(self.kept[file], file)

    def write_held(self) -> None:
        """Do nothing: models go to the stream with the states that name them."""

    def take_progress(self, patients: Iterable[str], /) -> None:
        """Take note that what is committed next names these patients' newest models."""
        for patient in patients:
            self.leaving |= self.replaced.pop(patient, set())

    def forget(self, files: Iterable[str], /) -> None:
        """Take note that models will not be named any more."""
        self.leaving.update(files)

    def remove_replaced(self) -> None:
        """Give up what is no longer named."""
        self.removable += self.leaving
        for file in self.leaving:
            self.kept.pop(file, None)
        self.leaving.clear()

    def remove_all_but(self, named: Collection[str], /) -> None:
        """Nothing: others may just be writing."""


class WardJournal:
    """One partition's journal, as its engine and its host know it.

    Parameters
    ----------
    link : WardLink
    ward : WardIdentity
    partition : int
    worker : str
        Who writes.
    """

    def __init__(self, link: WardLink, ward: WardIdentity, partition: int, worker: str) -> None:
        self._link = link
        self.identity = self.origin = ward.journal(partition)
        self.models = WardModels(ward.identity)
        self._partition = partition
        self._worker = worker
        self._expected = 0  # the head's number in the stream
        self.head = Head(worker)
        self.before: Head | None = None
        self.rows: dict[str, PatientRow] = {}  # as they were written last
        self._row_at: dict[str, int] = {}  # in which message of the stream
        self._states: deque[int] = deque()  # numbers of the newest messages of states
        self._marks: deque[tuple[int, int]] = deque()  # heads: what was taken, and their numbers
        self._known: set[str] = set()
        self.newest_seq = 0

    async def open(self) -> None:
        """Take the partition over: fence off whoever had it, then read how far it is.

        Raises
        ------
        Fenced
            If another takes it over at the same time.
        Unanswered
            If JetStream does not answer.
        """
        subject = head_subject(self._partition)
        found = await self._link.last(WARD, subject)
        if found is not None:
            self._expected = int(found["seq"])
            self.before = head = _head(found)
            states_from = head.states_from or (self._expected - head.n_states)
            self.head = msgspec.structs.replace(
                head, worker=self._worker, states_from=states_from, n_states=0, released=False
            )
        fence = BatchMessage(subject, msgspec.msgpack.encode(self.head), True)
        self._expected = await commit_batch(self._link, WARD, [], fence, self._expected)
        self.newest_seq = self.head.newest_seq
        if found is None:
            return
        await self._read_states()
        await self._read_alerts()
        await self._read_models()

    async def _read_states(self) -> None:
        states = StreamReader(
            self._link, WARD, states_subject(self._partition), self.head.states_from
        )
        for message in await read_all(states):
            for row in _decoded(_rows, message.content):
                self.rows[row.stream.patient] = row
                self._row_at[row.stream.patient] = message.number
            self._states.append(message.number)

    async def _read_alerts(self) -> None:
        alerts = StreamReader(
            self._link, WARD, f"ecg.alert.{self._partition}.>", self.head.alerts_from
        )
        for message in await read_all(alerts):
            self._known.add(decode_numbered(message.content).id)

    async def _read_models(self) -> None:
        models = StreamReader(
            self._link, WARD, f"ecg.model.{self._partition}.>", newest_of_each=True
        )
        for message in await read_all(models):
            self.models.kept[f"{message.subject.split('.', 3)[3]}.safetensors"] = message.content

    def holds(self, identity: str, /) -> bool:
        """Tell whether an alert that may come again was committed."""
        return identity in self._known

    def progress(self) -> list[StoredProgress]:
        """Return how far each patient was."""
        return [_decoded(_progress, row.progress) for row in self.rows.values()]

    async def commit(
        self,
        alerts: Sequence[Encoded[Alert | Technical]],
        progress: Iterable[tuple[Progress[Any], Stream, int]],
        taken: int,
        needed: Callable[[dict[str, PatientRow]], int],
        *,
        released: bool = False,
    ) -> None:
        """Write alerts, progress and head, all or nothing; it waits as long as that takes.

        Parameters
        ----------
        alerts : sequence
            In the order of their numbers.
        progress : iterable
            Of each patient: how far, the stream, and which message of samples the state has seen.
        taken : int
            The last message of samples judged.
        needed : callable
            Returns which message of samples a restart needs first, of what is then written.
        released : bool
            Whether this is the last commit of this worker.

        Raises
        ------
        Fenced
            If another worker has taken the partition over.
        """
        # A batch takes so many messages. Alerts that go ahead of their patients' progress are known
        # again by their identities.
        while len(alerts) > MOST_ALERTS:
            await self._write(alerts[:MOST_ALERTS], [], self.head.taken, self.head.needed)
            alerts = alerts[MOST_ALERTS:]
        rows = [PatientRow(stream, at, stored(one)) for one, stream, at in progress]
        written = self.rows | {row.stream.patient: row for row in rows}
        rows += self._far_behind({row.stream.patient for row in rows})
        await self._write(alerts, rows, taken, needed(written), released=released)

    def forget(self, patients: Iterable[str]) -> None:
        """Give up how far patients were who ended long ago; their alerts stay."""
        for name in patients:
            self.rows.pop(name, None)
            self._row_at.pop(name, None)

    async def _write(
        self,
        alerts: Sequence[Encoded[Alert | Technical]],
        rows: list[PatientRow],
        taken: int,
        needed: int,
        *,
        released: bool = False,
    ) -> None:
        messages = [
            BatchMessage(alert_subject(self._partition, one.message.patient), one.json)
            for one in alerts
        ]
        models = self.models.unwritten
        messages += [
            BatchMessage(model_subject(self._partition, file), content, True)
            for file, content in models.items()
        ]
        states = _in_messages(rows)
        messages += [
            BatchMessage(states_subject(self._partition), msgspec.msgpack.encode(one))
            for one in states
        ]
        assert len(messages) < MOST
        fresh = {row.stream.patient for row in rows}
        before = [at for name, at in self._row_at.items() if name not in fresh]
        newest = alerts[-1].message.seq if alerts else self.head.newest_seq
        head = Head(
            worker=self._worker,
            newest_seq=newest,
            taken=taken,
            needed=needed,
            states_from=min(before, default=0),
            n_states=len(states),
            alerts_from=self._alerts_from(needed),
            written_ns=time.time_ns(),
            released=released,
        )
        fence = BatchMessage(head_subject(self._partition), msgspec.msgpack.encode(head), True)
        self._expected = await commit_batch(self._link, WARD, messages, fence, self._expected)
        self.head = head
        self._marks.append((taken, self._expected))
        self.models.unwritten = {}
        for place, one in enumerate(states):
            number = self._expected - len(states) + place
            self._states.append(number)
            for row in one:
                self.rows[row.stream.patient] = row
                self._row_at[row.stream.patient] = number
        while len(self._states) > FAR_BEHIND:
            self._states.popleft()

    def _far_behind(self, fresh: set[str]) -> list[PatientRow]:
        """Return rows that lie far behind in the stream, to be written again."""
        if len(self._states) < FAR_BEHIND:
            return []
        bound = self._states[len(self._states) // 2]
        behind = [name for name, at in self._row_at.items() if at < bound and name not in fresh]
        behind.sort(key=lambda name: self._row_at[name])
        return [self.rows[name] for name in behind[:AGAIN]]

    def _alerts_from(self, needed: int) -> int:
        """Return behind which head alerts lie that samples from `needed` on may raise again."""
        first = self.head.alerts_from
        # Alerts of a batch are of messages up to the one behind `taken`, in which it may lie.
        while self._marks and self._marks[0][0] + 1 < needed:
            first = self._marks.popleft()[1] + 1
        return first

    async def tidy(self) -> None:
        """Have the server remove states and models that are not needed any more."""
        purges = []
        if self.head.states_from:
            purges.append((states_subject(self._partition), self.head.states_from))
        files, self.models.removable = self.models.removable, []
        purges += [(model_subject(self._partition, file), 0) for file in files]
        for subject, number in purges:
            await purge(self._link, WARD, subject, number)


async def purge(link: WardLink, stream: str, subject: str, before: int) -> None:
    """Have a stream remove a subject's messages before a number, or all where it is 0."""
    wanted: dict[str, Any] = {"filter": subject}
    if before:
        wanted["seq"] = before
    try:
        await link.jetstream(f"STREAM.PURGE.{stream}", wanted)
    except (JetStreamError, Unanswered):
        return  # next time


def patient_rows(content: bytes) -> list[PatientRow]:
    """Return the rows of a message of states.

    Raises
    ------
    JournalFailed
        If it holds none.
    """
    rows: list[PatientRow] = _decoded(_rows, content)
    return rows


def _in_messages(rows: list[PatientRow]) -> list[list[PatientRow]]:
    """Lay rows together, in order, into messages of a bounded size."""
    messages: list[list[PatientRow]] = []
    size = 0
    for row in rows:
        if not messages or size > STATES_BYTES:
            messages.append([])
            size = 0
        messages[-1].append(row)
        size += len(row.progress)
    return messages


def _head(found: dict[str, Any]) -> Head:
    head: Head = _decoded(_heads, base64.b64decode(found.get("data", "")))
    return head


def _decoded(decoder: Any, content: bytes) -> Any:  # noqa: ANN401
    try:
        return decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidMessage) as error:
        raise JournalFailed(f"the ward's stream holds what is no state: {error}") from error
