"""The task that hears the monitor and turns the station: the only one that touches its sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

from monitor.delivery.control_client import or_keys
from monitor.delivery.metrics import Metrics
from monitor.delivery.subscriber import AlertSubscriber
from monitor.delivery.wave_client import Waves
from monitor.settings import wall_time_text
from monitor.web.station import Seat, Station
from monitor.wire.curve_keys import Keys
from monitor.wire.messages import Alert, Message, Status, Technical
from monitor.wire.sockets import Sockets

TURN_S = 0.1  # ten frames a second
MOST_MESSAGES = 5000  # a turn; browsers are served in between
SILENT_S = 3.0  # as long as the terminal waits before it says so
PAST_S = 86_400.0  # of alerts that are asked for at the beginning


class HeardCounts:
    """Counts what is heard of a monitor, but for alerts that began before it was heard."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._before: tuple[str, int] | None = None  # journal and newest number, heard first

    def take(self, message: Message) -> None:
        """Count a message."""
        if isinstance(message, Status):
            self._metrics.heartbeat(message)
            self._before = self._before or (message.journal, message.newest_seq)
        elif isinstance(message, Alert | Technical) and self._before is not None:
            journal, seq = self._before
            if message.journal != journal or message.seq > seq:
                self._metrics.take([message])


class Feed:
    """Hears one monitor; all in one thread, none of it blocks.

    Parameters
    ----------
    station : Station
        Takes in what is heard.
    alerts, wave : str
        The monitor's endpoints.
    seats : callable
        Returns the browsers there are.
    count : callable
        Gets each message that is heard of the monitor.
    """

    def __init__(
        self,
        station: Station,
        alerts: str,
        wave: str,
        keys: Keys | None,
        seats: Callable[[], Collection[Seat]],
        count: Callable[[Message], None],
    ) -> None:
        self._station, self._seats, self._count = station, seats, count
        self._alerts, self._wave, self._keys = alerts, wave, keys

    async def run(self, after_turn: Callable[[float], None]) -> None:
        """Hear the monitor for ever; `after_turn` gets monotonic seconds."""
        since = wall_time_text(datetime.now(UTC) - timedelta(seconds=PAST_S))
        with (
            AlertSubscriber(
                self._alerts, ("alert", "technical", "status"), since=since, keys=self._keys
            ) as subscriber,
            Sockets(self._keys) as sockets,
        ):
            waves = Waves(sockets, self._wave, ())
            due_s = time.monotonic()
            while True:
                self._turn(subscriber, waves)
                after_turn(time.monotonic())
                due_s = max(due_s + TURN_S, time.monotonic())
                await asyncio.sleep(due_s - time.monotonic())

    def _turn(self, subscriber: AlertSubscriber, waves: Waves) -> None:
        now_s, station = time.monotonic(), self._station
        for _ in range(MOST_MESSAGES):
            message = subscriber.receive(0)
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
        subscriber.take_notices()
        station.refusal = subscriber.refusal or self._never_heard(subscriber)
        seats = self._seats()
        silent_s = subscriber.silent_s
        station.turn(now_s, silent_s if silent_s > SILENT_S else 0.0, subscriber.ever_heard, seats)
        beats, signal = station.wanted(seats)
        subscriber.follow(("alert", "technical", "status", *beats))
        waves.follow(signal)

    def _never_heard(self, subscriber: AlertSubscriber) -> str:
        if subscriber.ever_heard:
            return ""
        hint = or_keys(self._alerts, self._keys)
        return f"No monitor heard on {self._alerts}; check that one runs there{hint}"
