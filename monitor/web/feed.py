"""The task that hears the monitor, or the ward, and turns the station: nobody else listens."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection

from monitor.delivery.metrics import Metrics
from monitor.web.line import TOPICS, Line
from monitor.web.station import Seat, Station
from monitor.wire.messages import Alert, Message, Status, Technical

_log = logging.getLogger(__name__)

TURN_S = 0.1  # ten frames a second
MOST_MESSAGES = 5000  # a turn; browsers are served in between
SILENT_S = 3.0  # as long as the terminal waits before it says so


class HeardCounts:
    """Counts what is heard of a monitor, but for alerts that began before it was heard."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._began = ""  # wall time of the first heartbeat; a ward's alerts count in many journals

    def take(self, message: Message) -> None:
        """Count a message."""
        if isinstance(message, Status):
            self._metrics.heartbeat(message)
            self._began = self._began or message.wall_time
        elif isinstance(message, Alert | Technical) and message.wall_time > self._began > "":
            self._metrics.take([message])


class Feed:
    """Hears one monitor or ward; all in one thread, none of it blocks.

    Parameters
    ----------
    station : Station
        Takes in what is heard.
    line : Line
        What is listened to.
    seats : callable
        Returns the browsers there are.
    count : callable
        Gets each message that is heard of the monitor.
    """

    def __init__(
        self,
        station: Station,
        line: Line,
        seats: Callable[[], Collection[Seat]],
        count: Callable[[Message], None],
    ) -> None:
        self._station, self._line = station, line
        self._seats, self._count = seats, count
        station.signal_hint = line.signal_hint

    async def run(self, after_turn: Callable[[float], None]) -> None:
        """Hear what comes for ever; `after_turn` gets monotonic seconds."""
        due_s = time.monotonic()
        while True:
            self._turn()
            after_turn(time.monotonic())
            due_s = max(due_s + TURN_S, time.monotonic())
            await asyncio.sleep(due_s - time.monotonic())

    def _turn(self) -> None:
        now_s, station, alerts, waves = (
            time.monotonic(),
            self._station,
            self._line.alerts,
            self._line.waves,
        )
        for _ in range(MOST_MESSAGES):
            message = alerts.receive(0)
            if message is None:
                break
            station.take(message, now_s)
            self._count(message)
        for _ in range(MOST_MESSAGES // 32):
            before = station.n_signal
            for stretch in waves.receive():
                station.take(stretch, now_s)
            if station.n_signal == before:
                break
        for text in alerts.take_notices():
            _log.warning("%s", text)
        station.refusal, station.line_faults = self._line.why_silent(), self._line.faults()
        seats = self._seats()
        silent_s = alerts.silent_s
        station.turn(now_s, silent_s if silent_s > SILENT_S else 0.0, alerts.ever_heard, seats)
        beats, signal = station.wanted(seats)
        alerts.follow((*TOPICS, *beats))
        waves.follow(signal)
