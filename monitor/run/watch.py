"""Watching a monitor that runs elsewhere: the live view alone, and the subscriber's command."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from monitor.delivery.alert_filter import AlertFilter
from monitor.delivery.control_client import or_keys
from monitor.delivery.delivery import Delivery
from monitor.delivery.inbox import Inbox, inbox_path
from monitor.delivery.listening import Heard, Listening, Shown
from monitor.delivery.metrics_server import served
from monitor.delivery.sinks.sink import Route
from monitor.delivery.subscriber import AlertSubscriber
from monitor.delivery.wave_client import Waves
from monitor.errors import MonitorSilent, NotHandedOn
from monitor.interrupts import Interrupts
from monitor.journal.lock import locked
from monitor.settings import KEEP_DAYS, KEEP_MB
from monitor.text import counted, were
from monitor.view.screens import SILENT_S, Screen
from monitor.wire.codec import topic_of
from monitor.wire.curve_keys import Keys
from monitor.wire.messages import MONITOR, ControlRequest, Message, Status, Technical
from monitor.wire.sockets import TRY_AGAIN_S, Sockets

LOOP_S = 0.1
BUSY_S = 0.02  # while sinks take alerts: how far they are is noted as often
FIRST_S = 1.5  # for a first heartbeat; one comes each second
GONE_S = 10.0  # ten heartbeats
REFUSED_AGAIN_S = 60.0  # between two notices that this client's key is refused


class Watch:
    """A view's loop on another process's monitor; its keys act as far as the sockets reach."""

    def __init__(
        self,
        subscriber: Listening,
        waves: Shown,
        screen: Screen,
        hint: str = "",
        where: str = "",
    ) -> None:
        self._hearing = Hearing(screen.notice, hint, where)
        self._subscriber = subscriber
        self._waves = waves
        self._screen = screen
        self._left = False

    def run(self, interrupts: Interrupts) -> None:
        """Go on until someone leaves."""
        while not (self._left or interrupts.happened):
            message = self._subscriber.receive(LOOP_S)
            while message is not None:
                self._screen.take(message)
                message = self._subscriber.receive(0)
            self._hearing.look(self._subscriber, idle=True)
            for text in self._subscriber.take_notices():
                self._screen.notice(text)
            for stretch in self._waves.receive():
                self._screen.take(stretch)
            self._screen.refresh(self)
            self._subscriber.follow(self._screen.topics)
            self._waves.follow(self._screen.wave_topics)

    def request(self, request: ControlRequest) -> None:
        """Have the consumer change something."""
        self._subscriber.ask(request)

    def pause(self, paused: bool) -> bool:
        """Return False: a view cannot hold a producer that another process leads."""
        return False

    def quit(self) -> None:
        """Leave; the monitor goes on."""
        self._left = True


def watch(alerts: str, wave: str, screen: Screen, keys: Keys | None = None) -> None:
    """Show what a monitor elsewhere says until Ctrl-C or q."""
    with (
        Interrupts() as interrupts,
        AlertSubscriber(alerts, screen.topics, keys=keys) as subscriber,
        Sockets(keys) as sockets,
    ):
        waves = Waves(sockets, wave, screen.wave_topics)
        with screen:
            hint, where = or_keys(alerts, keys), f" at {alerts}"
            Watch(subscriber, waves, screen, hint, where).run(interrupts)


@dataclass(frozen=True)
class FollowOptions:
    """What `ecg-monitor subscribe` was asked for.

    Attributes
    ----------
    after : int or None
        Sequence number to begin behind; None is what comes from now on.
    since : str or None
        Wall time in UTC to begin at instead.
    durable : str or None
        Name of the inbox that keeps alerts and position.
    keep_days, keep_mb : float
        For how long, and how much of it.
    until_end : bool
        Leave when all records have ended and all their alerts have come.
    wanted : AlertFilter
        Which of them are shown and handed on; an inbox keeps all.
    routes : tuple of Route
        Where alerts are handed on to.
    metrics : str or None
        Where Prometheus may read what became of them.
    keys : Keys or None
        For a monitor that has keys.
    """

    endpoint: str
    topics: tuple[str, ...]
    after: int | None = 0
    since: str | None = None
    durable: str | None = None
    keep_days: float = KEEP_DAYS
    keep_mb: float = KEEP_MB
    until_end: bool = False
    wanted: AlertFilter = field(default_factory=AlertFilter)
    routes: tuple[Route, ...] = ()
    metrics: str | None = None
    keys: Keys | None = None

    def wants(self, message: Message) -> bool:
        """Tell whether a message is shown and handed on."""
        return topic_of(message).startswith(self.topics) and self.wanted.wants(message)


def follow(options: FollowOptions, screen: Screen) -> None:
    """Print what a monitor says: what was before, as asked for, and what comes, until Ctrl-C.

    Raises
    ------
    MonitorSilent
        With `until_end`, if the monitor has gone before that.
    NotHandedOn
        With `until_end`, if a sink did not get all alerts.
    """
    with contextlib.ExitStack() as stack:
        inbox = None if options.durable is None else open_inbox(options.durable, options, stack)
        interrupts = stack.enter_context(Interrupts())
        subscriber = stack.enter_context(
            AlertSubscriber(
                options.endpoint,
                (*options.topics, "status"),
                options.after,
                since=options.since,
                inbox=inbox,
                keys=options.keys,
            )
        )
        stack.enter_context(screen)
        hint, where = or_keys(options.endpoint, options.keys), f" at {options.endpoint}"
        hearing = Hearing(screen.notice, hint, where)
        with handing_on(options, screen, interrupts, inbox) as delivery:
            print_messages(options, subscriber, screen, delivery, interrupts, hearing)


@contextlib.contextmanager
def handing_on(
    options: FollowOptions, screen: Screen, interrupts: Interrupts, inbox: Inbox | None = None
) -> Iterator[Delivery]:
    """Hand alerts on while the block lasts, and then what waits, if the records have ended.

    Raises
    ------
    NotHandedOn
        If the records have ended and a sink did not get all alerts.
    """
    delivery = Delivery(options.routes, screen.notice, inbox, options.wants)
    with contextlib.ExitStack() as stack:
        stack.callback(delivery.close)
        if options.metrics is not None:
            stack.enter_context(served(delivery, options.metrics))
        yield delivery
        if options.until_end:
            delivery.drain(lambda: interrupts.happened)
    if options.until_end and delivery.undelivered and not interrupts.happened:
        raise NotHandedOn(
            f"{counted(delivery.undelivered, 'alert')} {were(delivery.undelivered)} not handed on"
            + ("" if inbox is None else "; what waits is tried again with the same --durable")
        )


def open_inbox(name: str, options: FollowOptions, stack: contextlib.ExitStack) -> Inbox:
    """Open a durable subscriber's inbox, which no other may have open, until the stack ends."""
    path = inbox_path(name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    stack.enter_context(locked(path, wait_s=0.0))
    return stack.enter_context(Inbox(path, options.keep_days, options.keep_mb))


def print_messages(
    options: FollowOptions,
    subscriber: Listening,
    screen: Screen,
    delivery: Delivery,
    interrupts: Interrupts,
    hearing: Hearing,
) -> None:
    """Show and hand on what comes, until interrupted, or as `follow` says."""
    status: Status | None = None
    unheard = Unheard()
    idle_s = 0.0
    while not interrupts.happened:
        wait_s = BUSY_S if delivery.is_busy else LOOP_S
        message = subscriber.receive(wait_s)
        # What came while this process was stopped is taken in first; the turn in which that ended
        # may have found nothing yet.
        idle_s = 0.0 if message is not None else idle_s + wait_s
        idle = idle_s > LOOP_S
        hearing.look(subscriber, idle=idle)
        if not options.until_end and (alert := unheard.look(subscriber, idle=idle)) is not None:
            delivery.tell(alert)
        for text in subscriber.take_notices():
            screen.notice(text)
        if isinstance(message, Status):
            status = message
        if message is not None:
            if options.wants(message):
                screen.take(message)
            subscriber.handled()
            delivery.take(message)
        delivery.look()
        if options.until_end and status is not None:
            if _is_over(status, subscriber):
                return
            if idle and subscriber.silent_s > GONE_S:
                raise MonitorSilent(
                    f"{options.endpoint}: the monitor stopped before its records ended; alerts "
                    f"after number {subscriber.last_seq} may be missing; start it again with "
                    "its --journal"
                )


class Hearing:
    """Says when the monitor falls silent or is heard again, and what retention took away.

    Parameters
    ----------
    notice : callable
        Tells the person.
    hint : str
        What else may be the reason where nothing was ever heard.
    where : str
        Where a monitor is waited for.
    clock : callable
        Returns monotonic seconds.
    """

    def __init__(
        self,
        notice: Callable[[str], None],
        hint: str = "",
        where: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notice = notice
        self._hint = hint
        self._where = where
        self._lost = False  # what was heard before is silent
        self._clock = clock
        self._silent = False
        self._refused_due_s: float | None = None  # when a refusal is said again
        self._truncated = 0

    def look(self, subscriber: Heard, *, idle: bool) -> None:
        """Say what has changed; silence is heard only where nothing waits to be taken in."""
        bound_s = SILENT_S if subscriber.ever_heard else FIRST_S
        silent = subscriber.silent_s > bound_s and (idle or self._silent)
        if subscriber.refusal:
            self._say_refused(subscriber.refusal)
        elif silent and not self._silent:
            self._lost = subscriber.ever_heard
            self._notice(
                f"no heartbeat for {SILENT_S:.0f} s: the monitor is gone or stalled"
                if self._lost
                else f"waiting for a monitor{self._where}: none is heard yet{self._hint}; Ctrl-C "
                "ends this"
            )
        elif not silent and (self._silent or self._refused_due_s is not None):
            self._notice(f"the monitor is heard{' again' if self._lost else ''}")
            self._refused_due_s = None
        self._silent = silent
        missing = subscriber.truncated - self._truncated
        if missing:
            are = "is" if missing == 1 else "are"
            self._notice(
                f"truncated: {counted(missing, 'alert')} {are} kept no longer and {were(missing)} "
                "missed"
            )
        self._truncated = subscriber.truncated

    def _say_refused(self, refusal: str) -> None:
        if self._refused_due_s is None or self._clock() >= self._refused_due_s:
            self._refused_due_s = self._clock() + REFUSED_AGAIN_S
            self._notice(f"{refusal}; it is tried again every {TRY_AGAIN_S:.0f} s")


class Unheard:
    """Makes the alert that the monitor is not heard, which the monitor itself cannot.

    Parameters
    ----------
    now : callable
        Returns the wall time in UTC.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._since = ""  # when it began, while it lasts

    def look(self, subscriber: Heard, *, idle: bool) -> Technical | None:
        """Return the alert when silence begins or ends, else none.

        Silence is heard only where nothing waits to be taken in.
        """
        is_silent = subscriber.silent_s > (GONE_S if not self._since else SILENT_S)
        if is_silent == bool(self._since) or (is_silent and not idle):
            return None
        wall_time = f"{self._now():%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        since = self._since or f"unheard-{wall_time}"
        self._since = since if is_silent else ""
        state: Literal["onset", "cleared"] = "onset" if is_silent else "cleared"
        text = "the monitor is heard again"
        if is_silent:
            why = subscriber.refusal or "it is gone, hangs, or cannot be reached"
            text = f"the monitor was not heard for {GONE_S:.0f} s: {why}; no alert comes meanwhile"
        return Technical(
            schema=1, patient=MONITOR, record=MONITOR, lead=MONITOR, sample=0, time_s=0.0,
            wall_time=wall_time, id=f"{since}-{state}", seq=0, journal="", event="stage_down",
            state=state, text=text, durable=False,
        )  # fmt: skip


def _is_over(status: Status, subscriber: Listening) -> bool:
    ward = status.ward
    ended = ward.ended > 0 and ward.learning + ward.monitoring == 0
    return ended and not subscriber.waiting and subscriber.last_seq >= status.newest_seq
