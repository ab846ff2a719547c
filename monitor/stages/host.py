"""What the three stages share: sockets, the line to the supervisor, and when to leave.

A stage started alone has no supervisor: it starts at once and leaves on Ctrl-C or SIGTERM. One that
is supervised waits for Start, obeys Stop, leaves Ctrl-C to the supervisor, and leaves when the
supervisor is gone.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Protocol, Self

import msgspec
import zmq

from monitor.errors import InvalidMessage
from monitor.settings import AnyStageSettings, StageSettings
from monitor.stages.arrivals import Arrivals, NextStage
from monitor.stages.pulse import Pulse
from monitor.step_result import StepResult
from monitor.text import harmless
from monitor.wire.codec import (
    decode_bundle,
    decode_lifecycle,
    encode_bundle,
    encode_lifecycle,
    in_bundles,
)
from monitor.wire.curve_keys import load_optional_keys
from monitor.wire.messages import (
    Failed,
    Finished,
    HealthHeader,
    Lifecycle,
    PassedOver,
    Pause,
    Ready,
    StageHealth,
    StageMessage,
    StageName,
    StageNotice,
    Start,
    Stop,
    Stream,
)
from monitor.wire.sockets import Sockets, receive_waiting

WAIT_S = 0.1  # how long a stage waits for a message before it looks whether it should leave
HEALTH_S = 1.0
ROUND_BYTES = 3 << 17  # taken in at once: some 650 beats, 100,000 samples
_log = logging.getLogger(__name__)

COLLECT_AFTER = 50_000  # objects more than there were
LAST_MESSAGES_MS = 30_000  # for the next stage to take them, where nobody supervises


class StageStopped(Exception):
    """The stage was told to leave; not an error."""


class Counters:
    """What a stage counts; `health` freezes it into a message."""

    def __init__(self, stage: StageName, restarts: int) -> None:
        self._stage: StageName = stage
        self._restarts = restarts
        self.messages_in = 0
        self.messages_out = 0
        self.malformed = 0
        self.gaps = 0
        self.dropped = 0
        self.refused_views = 0  # subscriptions to waveforms for which there was no room
        self.refused_patients = 0  # messages of those for whom there was no room
        self.passed_over = 0  # records; in no message

    def health(self) -> StageHealth:
        """Return the counters as they are now."""
        return StageHealth(
            stage=self._stage,
            messages_in=self.messages_in,
            messages_out=self.messages_out,
            malformed=self.malformed,
            gaps=self.gaps,
            dropped=self.dropped,
            restarts=self._restarts,
            refused_patients=self.refused_patients,
            refused_views=self.refused_views,
        )


class Stage(Protocol):
    """A stage as its host sees it: all three have this shape, and one loop runs them.

    `step` decides and never waits; `pass_on` sends and commits what came of it.
    """

    most: int  # messages a step takes in, about

    @property
    def done(self) -> bool:
        """Whether no further step is needed."""

    def inlets(self) -> Sequence[zmq.Socket[bytes]]:
        """Return the sockets that messages are received from; none while enough waits."""

    def waits_for(self) -> Waits:
        """Return what the next step waits for."""

    def step(self, messages: Sequence[StageMessage], now_s: float) -> StepResult[Any]:
        """Take messages in; return what they lead to. The clock is monotonic, in seconds."""

    def pass_on(self, result: StepResult[Any], now_s: float) -> None:
        """Send or commit what a step led to."""


class Waits(NamedTuple):
    """What ends a wait, beside the supervisor's orders."""

    timeout_s: float = WAIT_S
    readable: Sequence[zmq.Socket[bytes]] = ()  # beside the inlets
    writable: zmq.Socket[bytes] | None = None


class StageHost:
    """One stage's process: a with-block that owns its sockets and listens to its supervisor."""

    def __init__(self, stage: StageName, settings: StageSettings) -> None:
        self.keys = load_optional_keys(Path(settings.keys) if settings.keys else None)
        self.sockets = Sockets(self.keys)
        self.counters = Counters(stage, settings.restarts)
        self.paused = False
        self.more_waits = False  # behind what was received last
        self._stage: StageName = stage
        self._stopping = False
        self._pulse = Pulse(settings.pulse)
        self._start: Start | None = None
        self._arrivals = Arrivals(self.say)
        self._next_stage = NextStage(self.say)
        # Told, not looked up: it may have been killed before this process came so far.
        self._parent = settings.parent
        self._health_due_s = 0.0
        self._refusal = ""
        self._lifecycle = (
            self.sockets.ask(settings.lifecycle) if settings.lifecycle is not None else None
        )

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, self._on_signal)
        ignore_or_stop = signal.SIG_IGN if self.supervised else self._on_signal
        signal.signal(signal.SIGINT, ignore_or_stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.sockets.__exit__(kind, error, trace)

    @property
    def supervised(self) -> bool:
        """Whether a supervisor leads this stage."""
        return self._lifecycle is not None

    def ready(
        self,
        streams: Sequence[Stream] = (),
        spec: dict[str, str | int] | None = None,
        meanwhile: Callable[[], None] = lambda: None,
        journal: str = "",
    ) -> Start:
        """Report that all is open and wait for Start; alone, start at once.

        Raises
        ------
        StageStopped
            If the stage is told to leave before.
        """
        if not self.supervised:
            return Start(list(streams), spec or {})
        collect_seldom()  # a process of its own
        _log.info("the %s is ready", self._stage)
        self._tell(Ready(self._stage, list(streams), spec or {}, journal))
        while self._start is None:
            meanwhile()
            self.wait([])
        _log.info("the %s starts with %d streams", self._stage, len(self._start.streams))
        return self._start

    def run(self, stage: Stage) -> None:
        """Run a stage until it is done.

        Raises
        ------
        StageStopped
            If the stage is told to leave before.
        """
        while not stage.done:
            inlets, waits = stage.inlets(), stage.waits_for()
            self.wait([*inlets, *waits.readable], waits.timeout_s, waits.writable)
            messages = [one for inlet in inlets for one in self.receive(inlet, stage.most)]
            now_s = time.monotonic()
            stage.pass_on(stage.step(messages, now_s), now_s)

    def tell_finished(self) -> None:
        """Report that everything was passed on."""
        self._tell(Finished(self._stage))

    def finished(self) -> None:
        """Report that everything was passed on, then stay until told to leave.

        Alone, the stage leaves at once, but its last messages get half a minute to be received.
        """
        if not self.supervised:
            self.sockets.close_ms = LAST_MESSAGES_MS
            return
        self.tell_finished()
        with contextlib.suppress(StageStopped):
            while True:
                self.wait([])

    def pass_over(self, record: str, text: str) -> None:
        """Report a record that cannot be replayed, or not to its end, while the others are."""
        self.counters.passed_over += 1
        self._tell(PassedOver(record, text))
        self.say(f"passed over: {text}")

    def say(self, text: str) -> None:
        """Report to whoever started this stage alone; a supervisor has its own ways."""
        if not self.supervised:
            sys.stderr.write(f"ecg-monitor {self._stage}: {harmless(text, 1000)}\n")
            sys.stderr.flush()

    def notice(self, text: str) -> None:
        """Report what a person should know, to the log too."""
        _log.warning("%s", text)
        self._tell(StageNotice(text))
        self.say(text)

    def say_who_came(self, messages: Sequence[StageMessage]) -> None:
        """Report to whoever started this stage alone which patients came and went."""
        if not self.supervised:
            self._arrivals.look(messages)

    def failed(self, text: str, exit_code: int) -> None:
        """Report why this stage cannot do what it was asked."""
        self._tell(Failed(self._stage, text, exit_code))

    @property
    def stopping(self) -> bool:
        """Whether the stage was told to leave, or its supervisor is gone.

        Asked wherever the stage's loop goes round or waits: here it shows signs of life.
        """
        self._pulse.beat(time.monotonic())
        self.sockets.refused()
        self.sockets.look_for_room()
        self._look_after_sockets()
        self._take_orders()
        return self._stopping or self._parent not in (None, os.getppid())

    def _look_after_sockets(self) -> None:
        """Try the next stage again where it refused this one's key, and report that once."""
        self.sockets.look_after()
        refusal = self.sockets.refusal
        if refusal and refusal != self._refusal:
            sys.stderr.write(f"ecg-monitor {self._stage}: {refusal}; it is tried again\n")
        self._refusal = refusal

    def wait(
        self,
        readable: Sequence[zmq.Socket[bytes]],
        timeout_s: float = WAIT_S,
        writable: zmq.Socket[bytes] | None = None,
    ) -> None:
        """Wait until a socket can be read or written or an order comes, at most so long.

        Raises
        ------
        StageStopped
            If the stage is told to leave.
        """
        poller = zmq.Poller()
        for receiver in (*readable, *([self._lifecycle] if self._lifecycle else [])):
            poller.register(receiver, zmq.POLLIN)
        if writable is not None:
            poller.register(writable, zmq.POLLOUT)
        if poller.sockets:
            poller.poll(round(1000 * timeout_s))
        else:
            select.select([], [], [], timeout_s)  # a poller of nothing returns at once
        if self.stopping:
            raise StageStopped

    def receive(self, receiver: zmq.Socket[bytes], most: int) -> list[StageMessage]:
        """Return messages that wait, about so many at most; what is malformed is counted, dropped.

        Nor many more bytes than `ROUND_BYTES`: at full speed few messages are hours of a record.
        """
        messages: list[StageMessage] = []
        n_bytes, self.more_waits = 0, False
        for frames in receive_waiting(receiver):
            try:
                messages += decode_bundle(frames)
            except InvalidMessage:
                self.counters.malformed += 1
            n_bytes += sum(map(len, frames))
            if len(messages) >= most or n_bytes >= ROUND_BYTES:
                self.more_waits = True
                break
        self.counters.messages_in += len(messages)
        return messages

    def send(self, sender: zmq.Socket[bytes], messages: Sequence[StageMessage]) -> None:
        """Send to the next stage, waiting while that one is behind.

        Raises
        ------
        StageStopped
            If the stage is told to leave before all could be sent.
        """
        for bundle in in_bundles(messages):
            frames = encode_bundle(bundle)
            while not send_now(sender, frames):
                if not self.supervised:
                    endpoint = sender.getsockopt_string(zmq.LAST_ENDPOINT)
                    self._next_stage.takes_nothing(time.monotonic(), endpoint)
                sender.poll(round(1000 * WAIT_S), zmq.POLLOUT)
                if self.stopping:
                    raise StageStopped
            self._next_stage.takes()
            self.counters.messages_out += len(bundle)

    def send_before(
        self, sender: zmq.Socket[bytes], messages: Sequence[StageMessage], deadline_s: float
    ) -> None:
        """Send although the stage is leaving, as far as the next one takes it in time."""
        for bundle in in_bundles(messages):
            wait_ms = max(0, round(1000 * (deadline_s - time.monotonic())))
            if not sender.poll(wait_ms, zmq.POLLOUT):
                return
            sender.send_multipart(encode_bundle(bundle), zmq.DONTWAIT)

    def send_health(self, sender: zmq.Socket[bytes]) -> None:
        """Pass this stage's health down once a second, unless the next stage is behind."""
        now_s = time.monotonic()
        if now_s < self._health_due_s:
            return
        self._health_due_s = now_s + HEALTH_S
        health = msgspec.structs.replace(self.counters.health(), paused=self.paused)
        send_now(sender, encode_bundle([HealthHeader(5, health)]))

    def _tell(self, message: Lifecycle) -> None:
        if self._lifecycle is not None:
            self._lifecycle.send(encode_lifecycle(message))

    def _take_orders(self) -> None:
        if self._lifecycle is None:
            return
        for frames in receive_waiting(self._lifecycle):
            try:
                order = decode_lifecycle(frames[-1])
            except InvalidMessage:
                self.counters.malformed += 1
                continue
            match order:
                case Start() as start:
                    self._start = start
                case Pause(paused=paused):
                    self.paused = paused
                case Stop():
                    self._stopping = True

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True


def collect_seldom() -> None:
    """Let the garbage collector pass over what is there, and look at the rest more seldom.

    It looks for cycles, of which stages and a ward's workers make next to none, whenever 700
    objects have become more; a step makes thousands that are gone at its end. At 2,000 patients
    that was a tenth of the CPU time, and single pauses of 0.1 s.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def send_now(sender: zmq.Socket[bytes], frames: list[bytes]) -> bool:
    """Send if the next stage takes it now; return whether it did."""
    try:
        sender.send_multipart(frames, zmq.DONTWAIT)
    except zmq.Again:
        return False
    return True


def stage_name(settings: AnyStageSettings) -> StageName:
    """Return the stage that settings are for."""
    name: StageName = type(settings).__struct_config__.tag  # type: ignore[assignment]
    return name
