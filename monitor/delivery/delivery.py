"""Hands alerts on to sinks: each in a thread of its own, in order, again and again until taken.

A subscriber is a process of its own: what waits here, waits here alone, and the monitor neither
blocks nor forgets. A sink that fails holds up no other one and not the subscriber. What it fails at
is tried again after half a second, one, two, … sixty; what it refuses, some times, then given up.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from monitor.delivery.backlog import Backlog, InboxBacklog, MemoryBacklog
from monitor.delivery.inbox import Inbox
from monitor.delivery.metrics import BY_NAME, Declared, Value
from monitor.delivery.sinks.sink import (
    LIMIT_S,
    STAND_BY_S,
    DeliveryFailed,
    Rejected,
    Route,
    StandsBy,
)
from monitor.text import counted, were
from monitor.wire.messages import Alert, Message, Technical

TRIES = 3  # of an alert that is refused
REFUSED_PAUSE_S = 0.1
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
MAX_HANDED = 64  # alerts that a thread has; the rest wait in the file
NOTE_S = 0.02  # between two notes of how far sinks are: what a killed subscriber may repeat
TELL_AGAIN_S = 600.0  # a failure that was told
DRAIN_S = 15.0  # at the end, without anything being taken


@dataclass
class SinkCounts:
    """What became of one sink's alerts."""

    taken: int = 0
    failed_tries: int = 0
    given_up: int = 0  # refused
    lost: int = 0  # removed before the sink had them
    waiting: int = 0
    behind_s: float = 0.0  # since the sink has failed at the alert that it is at


def pause_s(tries: int, error: DeliveryFailed) -> float:
    """Return how long to wait after a number of failed tries, as the other side asks at least."""
    if isinstance(error, Rejected):
        return REFUSED_PAUSE_S
    return max(min(FIRST_PAUSE_S * 2.0 ** min(tries - 1, 10), LONGEST_PAUSE_S), error.after_s)


@dataclass(frozen=True)
class _Outcome:
    number: int
    alert: str  # its identity
    error: DeliveryFailed | None = None
    is_over: bool = True  # nothing more will be tried of this alert


class _Worker(threading.Thread):
    """Does one sink's tries; the subscriber's thread gives it alerts and takes outcomes."""

    def __init__(self, route: Route) -> None:
        super().__init__(name=f"sink {route.sink}", daemon=True)
        self._sink = route.sink
        self._stopped = threading.Event()
        self._alerts: queue.SimpleQueue[tuple[int, Alert | Technical] | None] = queue.SimpleQueue()
        self.outcomes: deque[_Outcome] = deque()

    def give(self, number: int, message: Alert | Technical) -> None:
        self._alerts.put((number, message))

    def stop(self) -> None:
        self._stopped.set()
        self._alerts.put(None)

    def run(self) -> None:
        while not self._stopped.is_set():
            if self._alerts.empty():
                self._stand_by()
            with contextlib.suppress(queue.Empty):
                found = self._alerts.get(timeout=STAND_BY_S)
                if found is not None:
                    self._hand_on(*found)

    def _stand_by(self) -> None:
        if isinstance(self._sink, StandsBy):
            with contextlib.suppress(Exception):  # it is no alert that is missed
                self._sink.stand_by()

    def _hand_on(self, number: int, message: Alert | Technical) -> None:
        tries = refused = 0
        while not self._stopped.is_set():
            error = self._try(message)
            tries += 1
            refused += isinstance(error, Rejected)
            is_over = error is None or refused >= TRIES
            if error is not None and self._stopped.is_set():
                return  # closing ended it: no failure of the sink's
            self.outcomes.append(_Outcome(number, message.id, error, is_over))
            if error is None or is_over:
                return
            self._stopped.wait(pause_s(tries, error))

    def _try(self, message: Alert | Technical) -> DeliveryFailed | None:
        try:
            self._sink.send(message)
        except DeliveryFailed as error:
            return error
        except Exception as error:  # of a sink of another package: no alert after it is lost
            return Rejected(f"the sink itself failed ({type(error).__name__})", str(error))
        return None


class Delivery:
    """Hands alerts on, and counts.

    Parameters
    ----------
    routes : sequence of Route
        Each is closed by `close`.
    notice : callable
        Shows a person what failed, what was given up, and how it ended.
    inbox : Inbox or None
        Of a durable subscriber; otherwise what waits is in memory.
    wants : callable
        Tells whether an alert is handed on.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        notice: Callable[[str], None],
        inbox: Inbox | None = None,
        wants: Callable[[Message], bool] = lambda message: True,
    ) -> None:
        self._inbox, self._wants = inbox, wants
        self._lines = [
            _Line(name, route, _backlog(route, inbox, wants), notice)
            for name, route in zip(_names(routes), routes, strict=True)
        ]
        self.is_busy = False  # whether sinks took alerts of late: look again soon
        self._noted: dict[str, int] = {}
        self._noted_s = -NOTE_S
        for line in self._lines:
            line.worker.start()

    def take(self, message: Message) -> None:
        """Hand on an alert or a technical alert that is wanted; anything else is passed over."""
        if isinstance(message, Alert | Technical) and self._wants(message):
            self.tell(message)

    def tell(self, message: Alert | Technical) -> None:
        """Hand on what is no affair of filters: that the monitor is not heard."""
        for line in self._lines:
            line.backlog.put(message)

    def look(self) -> None:
        """Give sinks what waits, and note what became of the rest; call it often.

        Raises
        ------
        InboxFailed
            If the file cannot be read or written.
        """
        looks = [line.look() for line in self._lines]
        self.is_busy = any(looks)
        if self._inbox is not None and time.monotonic() - self._noted_s >= NOTE_S:
            self._note(self._inbox)

    def _note(self, inbox: Inbox) -> None:
        self._noted_s = time.monotonic()
        positions = {
            line.identity: line.backlog.position
            for line in self._lines
            if isinstance(line.backlog, InboxBacklog)
        }
        moved = {one: at for one, at in positions.items() if self._noted.get(one) != at}
        if moved:
            inbox.note_sinks(moved)
            self._noted.update(moved)

    @property
    def counts(self) -> dict[str, SinkCounts]:
        """What became of each sink's alerts, by its name."""
        return {line.name: line.counts for line in self._lines}

    @property
    def undelivered(self) -> int:
        """Alerts that some sink did not get: given up, lost or still waiting."""
        every = [line.counts for line in self._lines]
        return sum(one.given_up + one.lost + one.waiting for one in every)

    def drain(self, is_interrupted: Callable[[], bool]) -> None:
        """Wait until sinks have all, or none has taken anything for a while."""
        last_s, before = time.monotonic(), self._progress()
        while any(line.counts.waiting for line in self._lines) and not is_interrupted():
            time.sleep(0.02)
            self.look()
            now = self._progress()
            if now != before:
                last_s, before = time.monotonic(), now
            elif time.monotonic() - last_s > DRAIN_S:
                return

    def _progress(self) -> int:
        return sum(line.counts.taken + line.counts.given_up for line in self._lines)

    def close(self) -> None:
        """Let tries under way end, close the sinks, and report how it ended."""
        try:
            for line in self._lines:
                line.worker.stop()
            deadline_s = time.monotonic() + LIMIT_S + 1
            for line in self._lines:
                line.worker.join(max(0.0, deadline_s - time.monotonic()))
        finally:  # a second Ctrl-C leaves nothing of theirs behind
            for line in self._lines:
                line.close()
        for line in self._lines:
            line.look(gives=False)
            line.tell_end(is_kept=self._inbox is not None)
        if self._inbox is not None:
            self._note(self._inbox)

    def values(self) -> Iterator[tuple[Declared, Sequence[Value]]]:
        """Yield the metrics of all sinks; another thread may read them."""
        counts = self.counts
        for metric, of in (
            ("sink_alerts", "taken"),
            ("sink_failed_tries", "failed_tries"),
            ("sink_given_up", "given_up"),
            ("sink_lost", "lost"),
            ("sink_waiting", "waiting"),
            ("sink_failing_seconds", "behind_s"),
        ):
            yield (
                BY_NAME[metric],
                [Value((name,), float(getattr(one, of))) for name, one in counts.items()],
            )


def _names(routes: Sequence[Route]) -> Iterator[str]:
    """Yield the sinks' names; a second one of the same name has a number."""
    seen: Counter[str] = Counter()
    for route in routes:
        name = str(route.sink)
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name} #{seen[name]}"


def _backlog(
    route: Route, inbox: Inbox | None, wants: Callable[[Message], bool]
) -> InboxBacklog | MemoryBacklog:
    return MemoryBacklog() if inbox is None else InboxBacklog(inbox, route.identity, wants)


@dataclass
class _Line:
    """One sink with its thread, what waits for it, and what a person was told of it."""

    name: str
    route: Route
    backlog: Backlog
    notice: Callable[[str], None]
    counts: SinkCounts = field(default_factory=SinkCounts)
    worker: _Worker = field(init=False)
    _handed: int = 0
    _failing_since_s: float | None = None
    _failures: int = 0  # in a row
    _told: dict[str, float] = field(default_factory=dict)  # reasons, and when they were told
    _tell_given_up_at: int = 10

    def __post_init__(self) -> None:
        self.worker = _Worker(self.route)

    @property
    def identity(self) -> str:
        return self.route.identity

    def look(self, *, gives: bool = True) -> bool:
        """Return whether anything became of an alert since the last look, or one was given."""
        before = (self.counts.taken, self.counts.given_up, self._handed)
        while self.worker.outcomes:
            self._take_note(self.worker.outcomes.popleft())
        while gives and self._handed < MAX_HANDED and (found := self.backlog.take()):
            self._handed += 1
            self.worker.give(*found)
        counts, since_s = self.counts, self._failing_since_s
        counts.lost, counts.waiting = self.backlog.lost, self.backlog.waiting
        counts.behind_s = 0.0 if since_s is None else time.monotonic() - since_s
        return (counts.taken, counts.given_up, self._handed) != before

    def close(self) -> None:
        with contextlib.suppress(Exception):  # of a sink of another package: the rest is closed
            self.route.sink.close()

    def tell_end(self, *, is_kept: bool) -> None:
        """Report the counts."""
        one = self.counts
        text = f"{self.name}: {counted(one.taken, 'alert')} {were(one.taken)} handed on"
        for count, what in (
            (one.failed_tries, "try failed" if one.failed_tries == 1 else "tries failed"),
            (one.given_up, f"{were(one.given_up)} given up"),
            (one.lost, f"{were(one.lost)} removed before being handed on"),
            (one.waiting, _what_waits(one.waiting, is_kept=is_kept)),
        ):
            text += f", {count} {what}" if count else ""
        self.notice(text)

    def _take_note(self, outcome: _Outcome) -> None:
        if outcome.is_over:
            self._handed -= 1
            self.backlog.done(outcome.number)
        if outcome.error is None:
            self.counts.taken += 1
            self._taken_again()
            return
        self.counts.failed_tries += 1
        self._failures += 1
        if self._failing_since_s is None:
            self._failing_since_s = time.monotonic()
        if outcome.is_over:
            self.counts.given_up += 1
            self._failing_since_s, self._failures = None, 0
        self._tell(outcome, outcome.error)

    def _taken_again(self) -> None:
        if self._failures and self._told:
            waiting = self.backlog.waiting
            more = f"; {waiting} {'waits' if waiting == 1 else 'wait'}" if waiting else ""
            self.notice(
                f"{self.name}: alerts are taken again after {self._failures} failed "
                f"{'try' if self._failures == 1 else 'tries'}{more}"
            )
        self._failing_since_s, self._failures = None, 0

    def _tell(self, outcome: _Outcome, error: DeliveryFailed) -> None:
        if isinstance(error, Rejected) and not outcome.is_over:
            return
        now_s, reason = time.monotonic(), str(error)
        if now_s - self._told.get(reason, -TELL_AGAIN_S) < TELL_AGAIN_S:
            if outcome.is_over and self.counts.given_up >= self._tell_given_up_at:
                self._tell_given_up_at *= 10
                n = self.counts.given_up
                self.notice(f"{self.name}: {counted(n, 'alert')} {were(n)} given up")
            return
        self._told[reason] = now_s
        detail = f": {error.detail}" if error.detail else ""
        what = (
            f"was given up after {TRIES} tries ({reason}{detail}); further ones are counted"
            if outcome.is_over
            else f"could not be handed on ({reason}{detail}); it is tried until it is taken"
        )
        self.notice(f"{self.name}: alert {outcome.alert} {what}")


def _what_waits(n: int, *, is_kept: bool) -> str:
    if is_kept:
        return f"{'waits' if n == 1 else 'wait'} for the next time"
    return f"{were(n)} not, and {'is' if n == 1 else 'are'} not kept"
