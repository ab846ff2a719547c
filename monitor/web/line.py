"""Where the page's server hears of patients and takes requests: a monitor, or a ward."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from monitor.delivery.control_client import carry_out, or_keys
from monitor.delivery.listening import Listening, Shown
from monitor.delivery.subscriber import AlertSubscriber
from monitor.delivery.wave_client import Waves
from monitor.settings import wall_time_text
from monitor.wire.curve_keys import Keys
from monitor.wire.messages import ControlRequest
from monitor.wire.sockets import Sockets

TOPICS = ("alert", "technical", "status")  # that a page needs, beside the beats of who is shown
PAST_S = 86_400.0  # of alerts that are asked for at the beginning


class Line(Protocol):
    """An open line. `carry_out` may be called from any thread, all else from the feed's alone.

    Attributes
    ----------
    alerts : Listening
    waves : Shown
    signal_hint : str
        What to do where no signal ever comes.
    """

    @property
    def alerts(self) -> Listening:
        """What is heard."""
        ...

    @property
    def waves(self) -> Shown:
        """The signal of whom a browser shows."""
        ...

    @property
    def signal_hint(self) -> str:
        """What to do where no signal ever came; empty: nothing is known to do."""
        ...

    def why_silent(self) -> str:
        """Return why nothing is heard, and what to do, as far as that is known."""
        ...

    def faults(self) -> list[str]:
        """Return what is wrong with what is heard, while it lasts."""
        ...

    def carry_out(self, request: ControlRequest) -> str:
        """Have something done and return what was done; MonitorError if it was not."""
        ...


OpenLine = Callable[[], AbstractContextManager[Line]]


def alerts_since() -> str:
    """Return from which wall time on a page shows alerts."""
    return wall_time_text(datetime.now(UTC) - timedelta(seconds=PAST_S))


def to_monitor(alerts: str, wave: str, keys: Keys | None) -> OpenLine:
    """Return what opens the line to the monitor at these endpoints."""
    return partial(_monitor_line, alerts, wave, keys)


@contextlib.contextmanager
def _monitor_line(alerts: str, wave: str, keys: Keys | None) -> Iterator[Line]:
    with (
        AlertSubscriber(alerts, TOPICS, since=alerts_since(), keys=keys) as subscriber,
        Sockets(keys) as sockets,
    ):
        yield MonitorLine(alerts, keys, subscriber, Waves(sockets, wave, ()))


class MonitorLine:
    """The sockets of one monitor."""

    signal_hint = "start the monitor with --wave"

    def __init__(
        self, endpoint: str, keys: Keys | None, subscriber: AlertSubscriber, waves: Waves
    ) -> None:
        self._endpoint, self._keys = endpoint, keys
        self._subscriber = subscriber
        self.alerts: Listening = subscriber
        self.waves: Shown = waves

    def why_silent(self) -> str:
        """Return why the monitor does not let us in, or what to check where it was never heard."""
        if self._subscriber.refusal or self._subscriber.ever_heard:
            return self._subscriber.refusal
        hint = or_keys(self._endpoint, self._keys)
        return f"No monitor heard on {self._endpoint}; check that one runs there{hint}"

    def faults(self) -> list[str]:
        """Return nothing: the monitor itself says what is wrong."""
        return []

    def carry_out(self, request: ControlRequest) -> str:
        """Ask the monitor."""
        return carry_out(self._endpoint, request, self._keys)
