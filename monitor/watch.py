"""Watching a monitor that runs elsewhere: the live view alone, and the subscriber's command."""

from __future__ import annotations

import contextlib
import time

import zmq

from monitor.codec import decode_message, topic_of
from monitor.errors import InvalidMessage, MonitorSilent
from monitor.interrupts import Interrupts
from monitor.screens import Screen
from monitor.sockets import Sockets, receive_waiting
from monitor.subscriber import AlertSubscriber
from monitor.wire import ControlRequest, Status

LOOP_S = 0.1
SILENT_S = 10.0  # ten heartbeats


class Watch:
    """A view's loop on another process's monitor; its keys act as far as the sockets reach."""

    def __init__(
        self, subscriber: AlertSubscriber, waves: zmq.Socket[bytes], screen: Screen
    ) -> None:
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
            for frames in receive_waiting(self._waves):
                with contextlib.suppress(InvalidMessage):
                    self._screen.take(decode_message(frames))
            self._screen.refresh(self)

    def request(self, request: ControlRequest) -> None:
        """Have the consumer change something."""
        self._subscriber.ask(request)

    def pause(self, paused: bool) -> bool:
        """Return False: a view cannot hold a producer that another process leads."""
        return False

    def quit(self) -> None:
        """Leave; the monitor goes on."""
        self._left = True


def watch(alerts: str, wave: str, screen: Screen) -> None:
    """Show what a monitor elsewhere says until Ctrl-C or q."""
    with (
        Interrupts() as interrupts,
        AlertSubscriber(alerts, screen.topics) as subscriber,
        Sockets() as sockets,
    ):
        waves = sockets.subscribe(wave, ["wave."])
        with screen:
            Watch(subscriber, waves, screen).run(interrupts)


def follow(
    endpoint: str, topics: tuple[str, ...], screen: Screen, *, new: bool, until_end: bool
) -> None:
    """Print what a monitor says: what was before (unless `new`) and what comes, until Ctrl-C.

    With `until_end`, until all its records have ended and all their alerts have come.

    Raises
    ------
    MonitorSilent
        With `until_end`, if the monitor has gone before that.
    """
    after = None if new else 0
    status: Status | None = None
    heard_s = time.monotonic()
    with (
        Interrupts() as interrupts,
        AlertSubscriber(endpoint, (*topics, "status"), after) as subscriber,
        screen,
    ):
        while not interrupts.happened:
            message = subscriber.receive(LOOP_S)
            if isinstance(message, Status):
                status, heard_s = message, time.monotonic()
            if message is not None and topic_of(message).startswith(topics):
                screen.take(message)
            if until_end and status is not None:
                if _is_over(status, subscriber):
                    return
                if time.monotonic() - heard_s > SILENT_S:
                    raise MonitorSilent(
                        f"{endpoint}: the monitor has gone before its records ended; "
                        f"alerts after number {subscriber.last_seq} may be missing"
                    )


def _is_over(status: Status, subscriber: AlertSubscriber) -> bool:
    ended = bool(status.patients) and all(one.state == "ended" for one in status.patients)
    return ended and not subscriber.waiting and subscriber.last_seq >= status.newest_seq
