"""The consumer's process: scores all beats that wait in one batch, alerts, journals, publishes.

The order is the guarantee: score, step the alert machine, commit alerts and position together, and
only then publish.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import get_args

import msgspec
import zmq

from model.checkpoint import Checkpoint, load_checkpoint, load_shipped
from monitor.delivery.publisher import Publisher
from monitor.detection.engine import Judge, numbered
from monitor.detection.learning_phase import Held
from monitor.detection.system_alerts import Change, Overload, changes, stage_down
from monitor.errors import InvalidMessage, JournalFailed, SpecMismatch
from monitor.journal.buffer import Ledger
from monitor.journal.writer import Journal
from monitor.settings import ConsumerSettings, wall_time_text
from monitor.stages.host import Counters, StageHost, Stopped
from monitor.wire.messages import (
    MONITOR,
    Alert,
    BeatScored,
    BeatsMessage,
    EndHeader,
    HealthHeader,
    Message,
    SamplesMessage,
    StageHealth,
    StageMessage,
    StageName,
    Status,
    SystemKind,
    Technical,
)
from monitor.wire.sockets import parse_endpoint
from segmenter.beat import BeatSpec

SYSTEM_KINDS: tuple[SystemKind, ...] = get_args(SystemKind)
STATUS_S = 1.0
STATUS_PATIENTS = 200  # a heartbeat speaks of, in turn; the last one of a run of all
MAX_ROUND = 1024  # messages a step, whose beats are scored in few batches
TRUNCATE_S = 60.0  # between two looks at what retention removes
SHED_LAG_S = 2.0  # beats of a source that does not wait are not told so late; alerts are
COMMIT_S = 1.0  # how old the journaled position may get while there are no alerts


def load_model(settings: ConsumerSettings) -> Checkpoint:
    """Load the checkpoint asked for; SpecMismatch if its beats are none this segmenter cuts."""
    path = settings.checkpoint
    checkpoint = load_shipped() if path is None else load_checkpoint(Path(path))
    if BeatSpec.from_mapping(checkpoint.spec).identity != checkpoint.spec_identity:
        raise SpecMismatch(
            f"{path}: the checkpoint's beat spec and its identity disagree; train it again"
        )
    return checkpoint


def load_torch() -> None:
    """Make torch ready to train; a core is left to the stages before."""
    from model.training import use_threads

    use_threads(max(1, (os.cpu_count() or 2) - 1))


class Heartbeat:
    """The status message: what the stages last said of themselves, once a second."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._due_s = 0.0
        self._began: tuple[float, float] | None = None  # when, and how much was judged by then
        self._upstream: dict[StageName, tuple[StageHealth, float]] = {}

    def heard(self, health: StageHealth, now_s: float) -> None:
        """Keep what a stage before this one says."""
        self._upstream[health.stage] = (health, now_s)

    def status(self, judge: Judge, now_s: float, now: bool = False) -> list[Status]:
        """Return the status if it is due, or `now`."""
        if not now and now_s < self._due_s:
            return []
        self._due_s = now_s + STATUS_S
        replayed_s = judge.replayed_s
        if self._began is None and replayed_s > 0:
            self._began = now_s, replayed_s  # after a restart, or at full speed, not at 0
        began_s, before_s = self._began or (now_s, 0.0)
        elapsed_s = now_s - began_s
        stages = [
            msgspec.structs.replace(health, age_s=round(now_s - heard_s, 1))
            for health, heard_s in self._upstream.values()
        ]
        return [
            Status(
                schema=1,
                newest_seq=judge.newest_seq,
                journal=judge.journal,
                wall_time=utc_now(),
                speed=round((replayed_s - before_s) / elapsed_s, 3) if elapsed_s > 0 else None,
                patients=judge.patients(None if now else STATUS_PATIENTS),
                ward=judge.ward(),
                stages=[*stages, self._counters.health()],
                model=judge.model,
            )
        ]


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
        receiver = host.sockets.pull(settings.beats)
        checkpoint = load_model(settings)
        journal = stack.enter_context(Journal(Path(settings.journal)))
        learner = stack.enter_context(ThreadPoolExecutor(1, initializer=load_torch))
        if settings.learn_s is not None:
            learner.submit(load_torch)  # now, not when the first minutes are over
        judge = Judge(checkpoint, settings, journal, learner, utc_now)
        stack.callback(judge.leave)
        on_tcp = host.keys is not None and not parse_endpoint(settings.alerts).path
        commanders = host.keys.control if host.keys is not None and on_tcp else None
        publisher = Publisher(host.sockets, settings.alerts, journal, judge.carry_out, commanders)
        consumer = Consumer(settings, host, judge, journal, publisher)
        with contextlib.suppress(Stopped):
            start = host.ready(spec=dict(checkpoint.spec), meanwhile=consumer.be_heard)
            journal.begin(judge.run(start.streams))
            judge.expect(start.streams)
            consumer.run(receiver)
    return host.counters


class Consumer:
    """The loop: receive, judge, commit, publish."""

    def __init__(
        self,
        settings: ConsumerSettings,
        host: StageHost,
        judge: Judge,
        journal: Journal,
        publisher: Publisher,
    ) -> None:
        self._host = host
        self._judge = judge
        self._journal = journal
        self._publisher = publisher
        self._heartbeat = Heartbeat(host.counters)
        self._commit_due_s = 0.0
        self._truncate_due_s = 0.0
        self._settings = settings
        self._ledger = Ledger(journal)
        self._lasting: dict[SystemKind, bool] = {
            event: event in journal.lasting(MONITOR) for event in SYSTEM_KINDS
        }
        self._overload = Overload()
        self._lag_s = 0.0  # the largest since the last heartbeat
        self._last = False
        self._foreign_specs: set[str] = set()

    def be_heard(self) -> None:
        """Send a heartbeat, so that who listens knows that the line is open."""
        self._publisher.publish(self._heartbeat.status(self._judge, time.monotonic(), now=True))

    def run(self, receiver: zmq.Socket[bytes]) -> None:
        """Go on until told to stop; after the last stream, stay to answer what others missed."""
        finished = False
        while True:
            receivers = [] if self._judge.full or self._ledger.full else [receiver]
            self._host.wait([*receivers, self._publisher.requests])
            malformed_before = self._publisher.malformed
            self._publisher.answer_waiting()
            self._host.counters.malformed += self._publisher.malformed - malformed_before
            waiting = [one for each in receivers for one in self._host.receive(each, MAX_ROUND)]
            messages = [one for one in map(self._accept, waiting) if one is not None]
            self._conclude(self._judge.step(messages, time.monotonic_ns()))
            if not finished and self._host.supervised and self._is_done():
                finished = True
                self._conclude([], now=True)
                self._host.tell_finished()

    def _is_done(self) -> bool:
        """Whether the last stream has ended, and all that it gave rise to is kept."""
        return self._last and not self._judge.training and not self._ledger.held

    def _accept(self, message: StageMessage) -> Held | None:
        """Check a message; what is not for this stage, or of another spec, is counted, dropped."""
        try:
            match message:
                case HealthHeader(health=health):
                    self._heartbeat.heard(health, time.monotonic())
                case BeatsMessage():
                    self._judge.check(message)
                    self._last = False  # another producer came after the last
                    self._host.counters.gaps += self._judge.hole_before(message)
                    return message
                case EndHeader():
                    self._judge.hole_before(message)
                    self._last = self._last or message.last
                    return message
                case SamplesMessage():  # it takes beats
                    self._host.counters.malformed += 1
        except SpecMismatch as error:
            self._refuse_spec(error)
        except InvalidMessage:
            self._host.counters.malformed += 1
        return None

    def _refuse_spec(self, error: SpecMismatch) -> None:
        """Say once which beats are refused: it is the user's own doing, not a stranger's."""
        self._host.counters.malformed += 1
        if str(error) not in self._foreign_specs and len(self._foreign_specs) < 10:
            self._foreign_specs.add(str(error))
            sys.stderr.write(f"ecg-monitor consumer: {error}\n")

    def _conclude(self, said: list[Message], now: bool = False) -> None:
        """Journal, then publish."""
        now_s = time.monotonic()
        alerts = numbered(said)
        self._lag_s = max(self._lag_s, self._judge.newest_lag_s)
        if self._settings.live:
            kept = without_late_beats(said, self._judge.newest_lag_s)
            self._host.counters.dropped += len(said) - len(kept)
            said = kept
        if alerts or now or now_s >= self._commit_due_s:
            said += self._commit(alerts, now_s)
            self._commit_due_s = now_s + COMMIT_S
        if self._ledger.failing is not None:
            said = [as_sent_only(one) for one in said]
        if now_s >= self._truncate_due_s:
            self._truncate_due_s = now_s + TRUNCATE_S
            self._truncate()
        self._host.counters.messages_out += len(said)
        self._publisher.publish(said)
        for status in self._heartbeat.status(self._judge, now_s, now):
            status = msgspec.structs.replace(
                status,
                journal_failing=self._ledger.failing or "",
                refused_clients=self._host.sockets.refused(),
                limited_requests=self._publisher.limited,
            )
            self._publisher.publish([status])
            self._look_after_monitor(status)

    def _commit(self, alerts: list[Alert | Technical], now_s: float) -> list[Message]:
        """Journal what there is; return what is to be said where that fails, or works again."""
        ledger, judge = self._ledger, self._judge
        was_failing, held = ledger.failing, ledger.held
        kept = ledger.commit(alerts, judge.take_progress(), judge.take_kept(), now_s)
        if kept:
            judge.progress_kept()
        if kept and was_failing is not None:
            text = f"kept again; {held} alerts were kept late"
            judge.say_of_monitor(Change("journal_failing", False, text))
        elif was_failing is None and ledger.failing is not None:
            return [judge.of_monitor(Change("journal_failing", True, ledger.failing), seq=0)]
        return []

    def _look_after_monitor(self, status: Status) -> None:
        """Say what has changed of the monitor itself; a producer that need not wait may be ahead.

        While a model is trained, beats wait on purpose; after the last stream the stages are done.
        """
        lag_s, self._lag_s = self._lag_s, 0.0
        settings = self._settings
        if self._last or not settings.real_time or self._judge.training:
            return
        rules, lasting = settings.rules.technical, self._lasting
        now: dict[SystemKind, str | None] = {
            "stage_down": stage_down(status.stages, rules, lasting["stage_down"]),
            "overload": self._overload.look(status.stages, lag_s, rules, lasting["overload"]),
        }
        for change in changes(lasting, now):
            lasting[change.event] = change.onset
            self._judge.say_of_monitor(change)

    def _truncate(self) -> None:
        before = datetime.now(UTC) - timedelta(seconds=self._settings.keep_s)
        with contextlib.suppress(JournalFailed):  # the next commit says so
            self._journal.truncate(wall_time_text(before), self._settings.keep_bytes)


def without_late_beats(said: list[Message], lag_s: float) -> list[Message]:
    """Leave out beats that come too late: a score can be missed, an alert cannot."""
    if lag_s <= SHED_LAG_S:
        return said
    return [one for one in said if not isinstance(one, BeatScored)]


def as_sent_only(message: Message) -> Message:
    """Mark what was sent although the journal could not keep it."""
    if isinstance(message, Alert | Technical):
        return msgspec.structs.replace(message, durable=False)
    return message
