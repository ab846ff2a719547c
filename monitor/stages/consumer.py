"""The consumer's process: scores all beats that wait in one batch, alerts, journals, publishes.

The order is the guarantee: score, step the alert machine, commit alerts and position together, and
only then publish.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import get_args

import msgspec
import zmq

from model.checkpoint import Checkpoint, load_checkpoint, load_shipped
from monitor.delivery.audience import Audience
from monitor.delivery.metrics import Metrics
from monitor.delivery.metrics_server import served
from monitor.delivery.publisher import Publisher
from monitor.detection.desk import of_everybody
from monitor.detection.engine import Engine, EngineReport
from monitor.detection.learning_phase import Held
from monitor.detection.model_store import ModelStore
from monitor.detection.patient_messages import is_numbered
from monitor.detection.system_alerts import (
    Change,
    LimitKind,
    Limits,
    Overload,
    changes,
    stage_down,
)
from monitor.errors import InvalidMessage, JournalFailed, SpecMismatch
from monitor.journal.buffer import JournalBuffer
from monitor.journal.own_time import LOOK_S
from monitor.journal.writer import Journal
from monitor.settings import ConsumerSettings, wall_time_text
from monitor.stages.host import Counters, StageHost, StageStopped, Waits
from monitor.stages.training_processes import TrainingProcesses
from monitor.step_result import StepResult
from monitor.text import counted, were
from monitor.wire.codec import Encoded, all_encoded, encoded
from monitor.wire.messages import (
    ALL_BEATS,
    MONITOR,
    Alert,
    BeatScored,
    BeatsMessage,
    ControlRequest,
    EndHeader,
    HealthHeader,
    Message,
    SamplesMessage,
    ShedHeader,
    StageHealth,
    StageMessage,
    StageName,
    Status,
    SystemKind,
    Technical,
)
from monitor.wire.sockets import parse_endpoint, queue_messages, requests_endpoint
from segmenter.beat import BeatSpec

SYSTEM_KINDS: tuple[SystemKind, ...] = get_args(SystemKind)
STATUS_S = 1.0
IN_TIME_S = 2.5 * STATUS_S  # a stage that was heard so lately is alive: it says so once a second
MOST_LISTENED_S = 1.5 * STATUS_S  # between two heartbeats; what is longer was no listening
STATUS_PATIENTS = 200  # a heartbeat speaks of, in turn; the last one of a run of all
MAX_ROUND = 1024  # messages a step, whose beats are scored in few batches
SHED_LAG_S = 2.0  # of a source that does not wait, beats are not published so late; alerts are
COMMIT_S = 1.0  # how old the journaled position may get while there are no alerts


def load_model(settings: ConsumerSettings) -> Checkpoint:
    """Load the checkpoint asked for; SpecMismatch if this segmenter cannot cut its beats."""
    path = settings.checkpoint
    checkpoint = load_shipped() if path is None else load_checkpoint(Path(path))
    if BeatSpec.from_mapping(checkpoint.spec).identity != checkpoint.spec_identity:
        raise SpecMismatch(
            f"{path}: the checkpoint's beat spec and its identity disagree; train it again"
        )
    return checkpoint


class Heartbeat:
    """The status message: the stages' latest counters and all patients, once a second."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._due_s = 0.0
        self._lists_patients = False
        self._began: tuple[float, float] | None = None  # when, and how much was judged by then
        self._upstream: dict[StageName, tuple[StageHealth, float]] = {}

    def heard(self, health: StageHealth, now_s: float) -> None:
        """Keep the counters of a stage before this one."""
        self._upstream[health.stage] = (health, now_s)

    def due(self, now_s: float, has_patients: bool) -> bool:
        """Whether a second has passed since the last one, or the first patients have come."""
        return now_s >= self._due_s or (has_patients and not self._lists_patients)

    def status(self, report: EngineReport, now_s: float) -> Status:
        """Return the status; the next is due in a second."""
        self._due_s = now_s + STATUS_S
        self._lists_patients = bool(report.patients)
        replayed_s = report.replayed_s
        if self._began is None and replayed_s > 0:
            self._began = now_s, replayed_s  # after a restart, or at full speed, not at 0
        began_s, before_s = self._began or (now_s, 0.0)
        elapsed_s = now_s - began_s
        stages = [
            msgspec.structs.replace(health, age_s=round(now_s - heard_s, 1))
            for health, heard_s in self._upstream.values()
        ]
        return Status(
            schema=1,
            newest_seq=report.newest_seq,
            journal=report.journal,
            origin=report.origin,
            wall_time=utc_now(),
            speed=round((replayed_s - before_s) / elapsed_s, 3) if elapsed_s > 0 else None,
            patients=report.patients,
            ward=report.ward,
            stages=[*stages, self._counters.health()],
            model=report.model,
        )


def utc_now() -> str:
    """Return the wall time, for display and for the record only."""
    return _utc_text(time.time_ns() // 1_000_000)


@lru_cache(maxsize=1)  # many beats are judged in the same millisecond
def _utc_text(since_epoch_ms: int) -> str:
    return wall_time_text(datetime.fromtimestamp(since_epoch_ms / 1000, UTC))


def run(settings: ConsumerSettings) -> Counters:
    """Judge what comes until told to stop, or until the last stream has ended.

    Raises
    ------
    MonitorError
        If an endpoint or the journal cannot be used.
    ModelError
        If the checkpoint cannot be used.
    """
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(StageHost("consumer", settings))
        receiver = host.sockets.pull(settings.beats, queue_messages(settings.live))
        checkpoint = load_model(settings)
        journal = stack.enter_context(Journal(Path(settings.journal)))
        executor = stack.enter_context(TrainingProcesses())
        models = ModelStore(Path(settings.journal).parent, journal.identity)
        audience = Audience(ALL_BEATS)
        engine = Engine(
            checkpoint,
            settings,
            journal,
            models,
            executor,
            utc_now,
            # Metrics count every beat.
            hears_beats=audience.may_want if settings.metrics is None else of_everybody,
            source_waits=not settings.live,
        )
        on_tcp = host.keys is not None and not parse_endpoint(settings.alerts).path
        commanders = host.keys.control if host.keys is not None and on_tcp else None
        consumer = ConsumerStage(settings, host, engine, journal, receiver, commanders, audience)
        with contextlib.suppress(StageStopped):
            start = host.ready(
                spec=dict(checkpoint.spec), meanwhile=consumer.be_heard, journal=journal.identity
            )
            journal.begin(engine.journaled_run(start.streams))
            engine.expect(start.streams)
            host.say(
                f"listens for beats on {settings.beats}, publishes alerts on {settings.alerts}, "
                f"takes requests on {requests_endpoint(settings.alerts)}; "
                f"journal {settings.journal}, model {checkpoint.identity[:8]}"
            )
            if settings.restarted:
                consumer.report_restart(settings.restarted)
            if settings.metrics is not None:
                stack.enter_context(served(consumer.metrics, settings.metrics))
            host.run(consumer)
    return host.counters


class ConsumerStage:
    """Beats in, alerts out: judges, commits, publishes; after the last stream it still answers."""

    most = MAX_ROUND
    done = False  # it stays to answer what others missed

    def __init__(
        self,
        settings: ConsumerSettings,
        host: StageHost,
        engine: Engine,
        journal: Journal,
        receiver: zmq.Socket[bytes],
        commanders: frozenset[str] | None = None,
        audience: Audience | None = None,
    ) -> None:
        self.metrics = Metrics()
        self._host = host
        self._engine = engine
        self._journal = journal
        self._receiver = receiver
        self._publisher = Publisher(
            host.sockets,
            settings.alerts,
            journal,
            self.carry_out,
            commanders,
            audience=audience,
        )
        self._heartbeat = Heartbeat(host.counters)
        self._commit_due_s = 0.0
        self._truncate_due_s = 0.0
        self._settings = settings
        self._buffer = JournalBuffer(journal, engine.write_models)
        self._lasting: dict[SystemKind, bool] = {
            event: event in journal.lasting(MONITOR) for event in SYSTEM_KINDS
        }
        self._overload = Overload()
        self._limits = Limits()
        # Heartbeats in which nobody new was let in, and in which a training or a journal that fails
        # held up everything.
        self._crowded = self._held_by_training = self._held_by_journal = 0
        self._lag_s = 0.0  # the largest since the last heartbeat
        self._listened_s = time.monotonic()  # up to when it was looked for silent patients
        self._last = False
        self._told_finished = False
        self._told_renewed = False
        self._foreign_specs: set[str] = set()

    def be_heard(self) -> None:
        """Send a heartbeat, so that who listens knows that the line is open."""
        self._publisher.publish([encoded(self._status(time.monotonic(), whole=True))])

    def report_restart(self, reason: str) -> None:
        """Report to the world, and to the journal, that stages were down, and why."""
        if not self._lasting["stage_down"]:
            self._engine.report_monitor(Change("stage_down", True, reason))
        again = f"{reason}; all stages were restarted from the journal"
        self._engine.report_monitor(Change("stage_down", False, again))
        self._lasting["stage_down"] = False

    def inlets(self) -> Sequence[zmq.Socket[bytes]]:
        """Return the socket of beats; none while a training or a full disk holds them up."""
        return () if self._engine.learner.full or self._buffer.full else (self._receiver,)

    def waits_for(self) -> Waits:
        """Wait for beats and for requests."""
        return Waits(readable=[self._publisher.requests])

    def step(self, messages: Sequence[StageMessage], now_s: float) -> StepResult[Message]:
        """Answer the requests that wait, then judge what can be judged."""
        self._publisher.listen()
        malformed_before = self._publisher.malformed
        self._publisher.answer_waiting()
        self._host.counters.malformed += self._publisher.malformed - malformed_before
        admitted = [one for one in (self._admit(one, now_s) for one in messages) if one is not None]
        self._host.say_who_came(admitted)
        return self._engine.step(admitted, round(1e9 * now_s))

    def carry_out(self, request: ControlRequest) -> str:
        """Do what was asked and commit it; only then it is answered.

        Raises
        ------
        LookupError
            If it cannot be done, or the journal cannot keep it; its text says why.
        """
        answer = self._engine.carry_out(request)
        now_s = time.monotonic()
        self._commit_and_publish(self._engine.step([], round(1e9 * now_s)), now_s, commit=True)
        if self._buffer.failing is not None:
            raise LookupError(
                f"done, but a restart would forget it: {self._buffer.failing}; "
                "ask again when there is space"
            )
        return answer

    def pass_on(self, result: StepResult[Message], now_s: float) -> None:
        """Commit what a step led to, then publish it.

        1. What is late and can be missed is left out; the rest is encoded, once.
        2. Alerts, progress and kept beats go into the journal, in one transaction.
        3. Only then messages are published, and the heartbeat when it is due.
        4. Once the last stream has ended and all is kept, the supervisor hears of it.
        """
        self._commit_and_publish(result, now_s)
        if not self._told_finished and self._host.supervised and self._is_done():
            self._told_finished = True
            self._commit_and_publish(StepResult(), now_s, whole=True)
            self._host.tell_finished()

    def _commit_and_publish(
        self,
        result: StepResult[Message],
        now_s: float,
        commit: bool = False,
        whole: bool = False,
    ) -> None:
        """Take steps 1 to 3; `commit` now, `whole` with a heartbeat of all patients now."""
        # Step 1: leave out, encode.
        self._lag_s = max(self._lag_s, result.lag_s)
        messages = result.messages
        if self._settings.metrics is not None:
            self.metrics.take(messages)
        if self._settings.live:
            messages = without_late_beats(messages, result.lag_s)
            self._host.counters.dropped += len(result.messages) - len(messages)
        outgoing = all_encoded(messages)
        # Step 2: commit.
        alerts = numbered(outgoing) if result.alerts else []  # most steps have none
        self._buffer.add(alerts, result.progress, result.kept)
        if result.alerts or commit or whole or now_s >= self._commit_due_s:
            outgoing += all_encoded(self._commit(now_s))
            self._commit_due_s = now_s + COMMIT_S
        if self._buffer.failing is not None:
            outgoing = [as_sent_only(one) for one in outgoing]
        if now_s >= self._truncate_due_s:
            self._truncate_due_s = now_s + LOOK_S
            self._truncate()
        # Step 3: publish.
        self._host.counters.messages_out += len(outgoing)
        self._publisher.publish(outgoing)
        if whole or self._heartbeat.due(now_s, bool(result.messages)):
            status = self._status(now_s, whole)
            self._publisher.publish([encoded(status)])
            self.metrics.heartbeat(status)
            self._report_renewed()
            self._look_after_monitor(status)
            self._look_for_limits(status)
            self._look_for_silent(status, now_s)

    def _status(self, now_s: float, whole: bool) -> Status:
        report = self._engine.report(None if whole else STATUS_PATIENTS)
        return msgspec.structs.replace(
            self._heartbeat.status(report, now_s),
            journal_failing=self._buffer.failing or "",
            refused_clients=self._host.sockets.refused(),
            limited_requests=self._publisher.limited,
        )

    def _is_done(self) -> bool:
        """Whether the last stream has ended, and all that it gave rise to is kept."""
        return self._last and not self._engine.learner.training and not self._buffer.held

    def _admit(self, message: StageMessage, now_s: float) -> Held | None:
        """Check a message; what is not for this stage, or of another spec, is counted, dropped."""
        admission, counters = self._engine.admission, self._host.counters
        try:
            match message:
                case HealthHeader(health=health):
                    self._heartbeat.heard(health, now_s)
                case BeatsMessage():
                    admission.check(message)
                    self._last = False  # another producer came after the last
                    counters.gaps += admission.hole_before(message)
                    return message
                case EndHeader():
                    admission.hole_before(message)
                    self._last = self._last or message.last
                    return message
                case ShedHeader():
                    self._engine.shed(message)
                case SamplesMessage():  # it takes beats
                    counters.malformed += 1
        except SpecMismatch as error:
            self._refuse_spec(error)
        except InvalidMessage:
            counters.malformed += 1
            counters.refused_patients = admission.refused
        return None

    def _refuse_spec(self, error: SpecMismatch) -> None:
        """Report once which beats are refused: it is the user's own doing, not a stranger's."""
        self._host.counters.malformed += 1
        if str(error) not in self._foreign_specs and len(self._foreign_specs) < 10:
            self._foreign_specs.add(str(error))
            sys.stderr.write(f"ecg-monitor consumer: {error}\n")

    def _commit(self, now_s: float) -> list[Message]:
        """Journal what there is; return what is to be reported where that fails, or works again."""
        buffer, engine = self._buffer, self._engine
        was_failing, held = buffer.failing, buffer.held
        if buffer.commit(now_s):
            forgotten = engine.committed()
            if forgotten:
                with contextlib.suppress(JournalFailed):  # rows too many do no harm
                    self._journal.forget(forgotten)
            if was_failing is not None:
                text = f"kept again; {counted(held, 'alert')} {were(held)} kept late"
                engine.report_monitor(Change("journal_failing", False, text))
        elif was_failing is None and buffer.failing is not None:
            return [engine.monitor_alert(Change("journal_failing", True, buffer.failing), seq=0)]
        return []

    def _look_after_monitor(self, status: Status) -> None:
        """Report what has changed of the monitor itself.

        A producer that need not wait may be ahead. While a model is trained, beats wait on
        purpose; after the last stream the stages are done.
        """
        lag_s, self._lag_s = self._lag_s, 0.0
        settings = self._settings
        if self._last or not settings.real_time or self._engine.learner.training:
            return
        rules, lasting = settings.rules.technical, self._lasting
        overload, is_behind = self._overload, lasting["overload"]
        shed = self._engine.shed_patients() if status.ward.shed else []
        now: dict[SystemKind, str | None] = {
            "stage_down": stage_down(status.stages, rules, lasting["stage_down"]),
            "overload": overload.look(status.stages, lag_s, rules, is_behind, shed),
        }
        for change in changes(lasting, now, ["overload"] if overload.is_more else []):
            lasting[change.event] = change.onset
            self._engine.report_monitor(change)

    def _look_for_limits(self, status: Status) -> None:
        """Report which bounds are reached, and when that is over."""
        self._crowded += self._host.sockets.look_for_room()
        self._held_by_training += self._settings.real_time and self._engine.learner.full
        self._held_by_journal += self._buffer.full
        refused: dict[LimitKind, int] = {
            "patients": sum(one.refused_patients for one in status.stages),
            "connections": self._crowded,
            "requests": status.limited_requests,
            "replies": self._publisher.dropped,
            "learning": self._held_by_training + self._engine.learner.let_go,
            "journal": self._held_by_journal,
            "views": sum(one.refused_views for one in status.stages),
        }
        change = self._limits.look(refused, self._lasting["limit_reached"])
        if change is not None:
            self._lasting["limit_reached"] = change.onset
            self._engine.report_monitor(change)

    def _look_for_silent(self, status: Status, now_s: float) -> None:
        """Count the time in which patients could have been heard; report who was not.

        It does not count while a person holds the producer, while beats wait to be received, nor
        while this process itself stood still.
        """
        seconds = min(now_s - self._listened_s, MOST_LISTENED_S)
        self._listened_s = now_s
        before = [one for one in status.stages if one.stage != "consumer"]
        held = any(one.paused for one in before) or self._host.more_waits
        if self._settings.real_time and not (held or self._last) and self.inlets():
            # Whose stages are late or not there yet, after a restart, is not to be blamed.
            in_time = bool(before) and all(one.age_s <= IN_TIME_S for one in before)
            report = in_time and not self._lasting["stage_down"]
            self._engine.listened(seconds, report=report)

    def _report_renewed(self) -> None:
        """Report once that the journal is an older copy, or a copy: it lacks what some had."""
        if self._journal.renewed and not self._told_renewed:
            self._told_renewed = True
            for onset, text in ((True, self._journal.renewed), (False, "numbers go on")):
                self._engine.report_monitor(Change("journal_went_back", onset, text))

    def _truncate(self) -> None:
        with contextlib.suppress(JournalFailed):  # the next commit reports it
            self._journal.truncate(self._settings.keep_s, self._settings.keep_bytes)


def without_late_beats(messages: list[Message], lag_s: float) -> list[Message]:
    """Leave out beats that come too late: a score can be missed, an alert cannot."""
    if lag_s <= SHED_LAG_S:
        return messages
    return [one for one in messages if not isinstance(one, BeatScored)]


def numbered(messages: Iterable[Encoded[Message]]) -> list[Encoded[Alert | Technical]]:
    """Return the messages that carry a sequence number and are journaled."""
    return [Encoded(one.message, one.json) for one in messages if is_numbered(one.message)]


def as_sent_only(outgoing: Encoded[Message]) -> Encoded[Message]:
    """Mark what was sent although the journal could not keep it."""
    message = outgoing.message
    if is_numbered(message):
        return encoded(msgspec.structs.replace(message, durable=False))
    return outgoing
