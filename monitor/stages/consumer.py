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
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import zmq

from model.checkpoint import Checkpoint, load_checkpoint, load_shipped
from model.scoring import use_threads
from monitor.codec import decode_stage_message
from monitor.errors import InvalidMessage, SpecMismatch
from monitor.journal import Journal
from monitor.judge import Judge, numbered
from monitor.learning_phase import Held
from monitor.publisher import Publisher
from monitor.settings import ConsumerSettings
from monitor.sockets import receive_waiting
from monitor.stages.host import Counters, StageHost, Stopped
from monitor.wire import (
    BeatsMessage,
    EndHeader,
    HealthHeader,
    Message,
    StageHealth,
    StageName,
    Status,
)
from segmenter.beat import BeatSpec

STATUS_S = 1.0
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
                patients=judge.patients(),
                stages=[*stages, self._counters.health()],
                model=judge.model,
            )
        ]


def utc_now() -> str:
    """Return the wall time, for display and for the record only."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
        learner = stack.enter_context(ThreadPoolExecutor(1))
        use_threads(max(1, (os.cpu_count() or 2) - 1))  # a core is left to the stages before
        judge = Judge(checkpoint, settings, journal, learner, utc_now)
        stack.callback(judge.leave)
        publisher = Publisher(host.sockets, settings.alerts, journal, judge.carry_out)
        consumer = Consumer(host, judge, journal, publisher)
        with contextlib.suppress(Stopped):
            start = host.ready(spec=dict(checkpoint.spec), meanwhile=consumer.be_heard)
            judge.expect(start.streams)
            consumer.run(receiver)
    return host.counters


class Consumer:
    """The loop: receive, judge, commit, publish."""

    def __init__(
        self, host: StageHost, judge: Judge, journal: Journal, publisher: Publisher
    ) -> None:
        self._host = host
        self._judge = judge
        self._journal = journal
        self._publisher = publisher
        self._heartbeat = Heartbeat(host.counters)
        self._commit_due_s = 0.0
        self._last = False
        self._foreign_specs: set[str] = set()

    def be_heard(self) -> None:
        """Send a heartbeat, so that who listens knows that the line is open."""
        self._publisher.publish(self._heartbeat.status(self._judge, time.monotonic(), now=True))

    def run(self, receiver: zmq.Socket[bytes]) -> None:
        """Go on until told to stop; after the last stream, stay to answer what others missed."""
        finished = False
        while True:
            receivers = [] if self._judge.full else [receiver]
            self._host.wait([*receivers, self._publisher.requests])
            malformed_before = self._publisher.malformed
            self._publisher.answer_waiting()
            self._host.counters.malformed += self._publisher.malformed - malformed_before
            frames = [one for each in receivers for one in receive_waiting(each)]
            messages = [one for one in map(self._accept, frames) if one is not None]
            self._conclude(self._judge.step(messages, time.monotonic_ns()))
            if self._last and not self._judge.training and self._host.supervised and not finished:
                finished = True
                self._conclude([], now=True)
                self._host.tell_finished()

    def _accept(self, frames: list[bytes]) -> Held | None:
        """Check a message; what is none, or of another spec, is counted and dropped."""
        self._host.counters.messages_in += 1
        try:
            message = decode_stage_message(frames)
            match message:
                case HealthHeader(health=health):
                    self._heartbeat.heard(health, time.monotonic())
                case BeatsMessage():
                    self._judge.check(message)
                    self._host.counters.gaps += self._judge.hole_before(message)
                    return message
                case EndHeader():
                    self._judge.hole_before(message)
                    self._last = self._last or message.last
                    return message
                case _:
                    raise InvalidMessage("samples were sent to the consumer; it takes beats")
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
        if alerts or now or now_s >= self._commit_due_s:
            self._journal.commit(alerts, self._judge.take_progress())
            self._commit_due_s = now_s + COMMIT_S
        self._host.counters.messages_out += len(said)
        self._publisher.publish(said)
        self._publisher.publish(self._heartbeat.status(self._judge, now_s, now))
