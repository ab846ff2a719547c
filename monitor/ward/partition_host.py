"""One partition served by a worker: samples read, steps made, all that comes of them committed.

The order is the guarantee: judge, commit alerts and positions together, and only then answer whom
asked. Alerts need no sending: who follows the stream gets what is committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from model.checkpoint import Checkpoint
from monitor.delivery.metrics import Metrics
from monitor.detection.patient import UNHEARD_S
from monitor.detection.patient_messages import is_numbered
from monitor.detection.system_alerts import Change
from monitor.errors import InvalidMessage
from monitor.journal.writer import Progress
from monitor.settings import ConsumerSettings
from monitor.step_result import StepResult
from monitor.text import counted
from monitor.ward.common_segmenter import CommonSegmenter
from monitor.ward.link import WardLink
from monitor.ward.names import (
    SAMPLES,
    WardIdentity,
    ask_subject,
    beat_subject,
    status_subject,
    wave_subject,
)
from monitor.ward.partition_steps import PartitionSteps, now_ns
from monitor.ward.stream_reader import Stored, StreamReader
from monitor.ward.ward_journal import WardJournal, purge
from monitor.wire.codec import Encoded, all_encoded, decode_request, encode_json
from monitor.wire.messages import (
    AckRequest,
    Alert,
    BeatScored,
    Done,
    MarkRequest,
    Message,
    Refused,
    RelearnRequest,
    Reply,
    Technical,
    ThresholdRequest,
)

# Between two steps, at least: what comes within it is judged together, in fewer, larger steps.
# Shorter than producers' blocks, so that a step follows them however late the one before it was.
ROUND_S = 0.15
READ_S = 0.2  # the longest wait for samples: requests and the heartbeat are looked at after it
# What waits is taken together, however many producers it is of; a heartbeat can wait for so much.
READ_MESSAGES, READ_BYTES = 256, 1 << 22
COMMIT_S = 2.0  # how old a committed position may get while there are no alerts
STATUS_S = 1.0
TIDY_S = 20.0
MOST_LISTENED_S = 1.5 * STATUS_S
SILENT_S = UNHEARD_S - 1.0  # of listening, without anything of a producer: it is down
AGAIN_S = 5.0  # for all of its patients to be heard again
MOST_NAMED = 5
GAP_S = 2.5  # without a commit of a worker that did not give the partition up: it is gone
MOST_REQUESTS = 256  # that wait
_KINDS = (AckRequest, ThresholdRequest, MarkRequest, RelearnRequest)


class ProducerSilence:
    """For how long nothing has come of producers whose patients have not ended. Pure."""

    def __init__(self) -> None:
        self._listened_s = 0.0
        self._heard_s: dict[str, float] = {}
        self._silent_s = -AGAIN_S  # when it was silent last

    @property
    def is_lately(self) -> bool:
        """Whether something is silent, or was so lately that not all can have been heard again."""
        return self._listened_s - self._silent_s < AGAIN_S

    def heard(self, sender: str) -> None:
        """Take note that something came."""
        self._heard_s[sender] = self._listened_s

    def listened(self, seconds: float, senders: Mapping[str, Collection[str]], n: int) -> str:
        """Take note of time in which all would have been heard; return what is silent, if any.

        Parameters
        ----------
        senders : mapping of str to collection of str
            Patients of each producer that have not ended.
        n : int
            Patients who are monitored: with none heard at all, they are silent.
        """
        self._listened_s += seconds
        bound_s = self._listened_s - SILENT_S
        silent = {one for sender, at in self._heard_s.items() if at <= bound_s
                  for one in senders.get(sender, ())}  # fmt: skip
        if silent:
            self._silent_s = self._listened_s
            names = sorted(silent)
            more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
            return f"no samples come of {', '.join(names[:MOST_NAMED])}{more}: a producer is down"
        if not self._heard_s and n and bound_s >= 0:
            self._silent_s = self._listened_s
            return f"no samples come of {counted(n, 'patient')}: no producer sends"
        return ""


@dataclass(frozen=True)
class Hosting:
    """What all partitions of a worker share."""

    link: WardLink
    ward: WardIdentity
    worker: str
    checkpoint: Checkpoint
    settings: ConsumerSettings
    executor: Executor
    segmenter: CommonSegmenter
    shown: Callable[[str], bool]
    say: Callable[[str], None]
    metrics: Metrics = field(default_factory=Metrics)


class PartitionHost:
    """Serves one partition until it is told to leave, or another has taken it over."""

    def __init__(self, hosting: Hosting, partition: int) -> None:
        self._of, self._partition = hosting, partition
        self._journal = WardJournal(hosting.link, hosting.ward, partition, hosting.worker)
        self._leaving = False
        self._requests: deque[Any] = deque()
        self._progress: dict[str, Progress[Any]] = {}
        self._alerts: list[Encoded[Alert | Technical]] = []
        self._producers: dict[str, int] = {}  # the newest message of each
        self._silence = ProducerSilence()
        self._silent = ""
        now_s = time.monotonic()
        self._commit_due_s = now_s + COMMIT_S
        self._status_due_s = now_s
        self._tidy_due_s = now_s + TIDY_S * (0.5 + partition % 10 / 10)
        self._listened_s = now_s
        self.patients = 0
        self.reached_s = 0.0  # how old the newest sample judged was

    def leave(self) -> None:
        """Have it commit, give the partition up and end."""
        self._leaving = True

    @property
    def is_leaving(self) -> bool:
        """Whether it was told to leave."""
        return self._leaving

    async def run(self) -> None:
        """Serve the partition.

        Raises
        ------
        Fenced
            If another worker has taken it over.
        Unanswered
            If JetStream does not answer while it is taken over.
        """
        await self._journal.open()
        of, journal = self._of, self._journal
        steps = PartitionSteps(
            of.checkpoint,
            of.settings,
            journal,
            journal.models,
            of.executor,
            of.segmenter,
            list(journal.rows.values()),
            journal.head.taken,
            journal.head.needed,
        )
        self._steps = steps
        samples = f"ecg.samples.{self._partition}.>"
        reader = StreamReader(of.link, SAMPLES, samples, journal.head.needed)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(steps.close)
            stack.push_async_callback(reader.close)
            self._report_gap()
            asked = await of.link.client.subscribe(
                ask_subject(self._partition),
                cb=self._hear_request,
                pending_msgs_limit=MOST_REQUESTS,
            )
            stack.push_async_callback(_unsubscribe, asked)
            while not self._leaving:
                await self._serve(reader)
            await self._commit(released=True)

    async def _serve(self, reader: StreamReader) -> None:
        """Take in what waits, once round."""
        # All partitions of a worker wait for the same moment, so that they share the next step.
        due_s = self._of.segmenter.stepped_s + ROUND_S
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        stored = await reader.read(READ_MESSAGES, READ_S, READ_BYTES)
        for slice_ in self._steps.sliced(stored):
            await self._take(await self._steps.gathered_step(slice_, now_ns))
        for one in stored:
            self._producers[one.subject] = one.number
            self._silence.heard(one.subject)
            self._steps.took(one.number)
        if not stored:
            await self._take(self._steps.step([], now_ns()))
        await self._answer_requests()
        now_s = time.monotonic()
        if now_s >= self._commit_due_s:
            await self._commit()
        if now_s >= self._status_due_s:
            await self._tell(now_s, stored, reader)
        if now_s >= self._tidy_due_s:
            self._tidy_due_s = now_s + TIDY_S
            await self._tidy()

    async def _take(self, result: StepResult[Message]) -> None:
        """Take in what a step led to: an alert is committed now, the rest when it is due."""
        self._of.metrics.take(result.messages)
        self._progress |= {one.patient: one for one in result.progress}
        alerts = [one for one in result.messages if is_numbered(one)]
        if alerts:
            self._alerts += [Encoded(one, encode_json(one)) for one in alerts]
            self._journal.newest_seq = alerts[-1].seq
            await self._commit({one.patient for one in alerts})
        await self._show(result)

    async def _show(self, result: StepResult[Message]) -> None:
        """Send what views show of patients whom somebody looks at."""
        link = self._of.link
        for message in result.messages:
            if isinstance(message, BeatScored) and self._of.shown(message.patient):
                subject = beat_subject(self._partition, message.patient)
                await link.publish(subject, encode_json(message))
        for wave in result.waves:
            await link.publish(wave_subject(self._partition, wave.patient), encode_json(wave))

    async def _commit(
        self, patients: Iterable[str] | None = None, *, released: bool = False
    ) -> None:
        """Commit alerts, and the progress of these patients, or of all."""
        names = list(self._progress) if patients is None else patients
        chosen = [self._progress.pop(one) for one in names if one in self._progress]
        alerts, self._alerts = self._alerts, []
        steps = self._steps
        saved = steps.saved(chosen)
        await self._journal.commit(
            alerts,
            saved,
            steps.taken,
            steps.needed,
            released=released,
        )
        forgotten = steps.committed(saved)
        self._journal.forget(forgotten)
        if patients is None:
            self._commit_due_s = time.monotonic() + COMMIT_S

    def _report_gap(self) -> None:
        """Report for how long nobody served the partition, unless it was given up in order."""
        before, patients = self._journal.before, self._steps.patients
        if before is None or before.released or not patients:
            return
        gap_s = (time.time_ns() - before.written_ns) / 1e9
        if gap_s < GAP_S:
            return
        text = (
            f"partition {self._partition} ({counted(patients, 'patient')}) had no worker "
            f"for {gap_s:.0f} s: {before.worker} is gone; {self._of.worker} goes on"
        )
        self._steps.report(Change("stage_down", True, text))
        self._steps.report(Change("stage_down", False, text))
        self._of.say(text)

    async def _hear_request(self, message: Any) -> None:  # noqa: ANN401
        if len(self._requests) < MOST_REQUESTS and message.reply:
            self._requests.append(message)

    async def _answer_requests(self) -> None:
        """Carry out what is asked, commit it, and only then answer."""
        while self._requests:
            message = self._requests.popleft()
            await self._of.link.publish(
                message.reply, encode_json(await self._answer(message.data))
            )

    async def _answer(self, content: bytes) -> Reply:
        try:
            request = decode_request(content)
        except InvalidMessage as error:
            return Refused(f"not a request of this protocol: {error}")
        if not isinstance(request, _KINDS):
            return Refused("a ward's alerts are read from its stream, not asked for")
        try:
            answer = self._steps.carry_out(request)
        except LookupError as error:
            return Refused(str(error.args[0]))
        await self._take(self._steps.step([], now_ns()))
        await self._commit()
        return Done(answer)

    async def _tell(self, now_s: float, stored: list[Stored], reader: StreamReader) -> None:
        """Send the heartbeat; look who is silent where nothing waits to be judged."""
        self._status_due_s = now_s + STATUS_S
        seconds = min(now_s - self._listened_s, MOST_LISTENED_S)
        self._listened_s = now_s
        status = self._steps.status(now_s)
        self.patients = status.ward.monitoring + status.ward.learning
        if reader.hears and reader.waiting == 0:
            silent = self._silence.listened(seconds, self._steps.senders, self.patients)
            # A producer that is down is said once, as on one machine; of a patient who alone is
            # silent the engine says it.
            self._steps.engine.listened(seconds, report=not self._silence.is_lately)
            self._report_silence(silent)
        if stored:
            self.reached_s = (time.time_ns() - stored[-1].time_ns) / 1e9
        self._of.metrics.heartbeat(status, str(self._partition))
        (heartbeat,) = all_encoded([status])
        await self._of.link.publish(status_subject(self._partition), heartbeat.json)

    def _report_silence(self, silent: str) -> None:
        """Report that nothing comes of a producer's patients, or comes again."""
        if bool(silent) != bool(self._silent):
            again = f"partition {self._partition}: samples come again"
            self._steps.report(Change("stage_down", bool(silent), silent or again))
            self._silent = silent

    async def _tidy(self) -> None:
        """Have samples removed that nobody needs; of each producer the newest message stays."""
        newest = min(self._producers.values(), default=0)
        before = min(self._journal.head.needed, newest)
        if before > 1:
            await purge(self._of.link, SAMPLES, f"ecg.samples.{self._partition}.>", before)
        await self._journal.tidy()


async def _unsubscribe(subscription: Any) -> None:  # noqa: ANN401
    with contextlib.suppress(Exception):
        await subscription.unsubscribe()
