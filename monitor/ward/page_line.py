"""`web --ward`: the line of the page's server to a ward, in the place of that to one monitor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

from monitor.delivery.listening import Listening, Shown
from monitor.ward.following import WavesOf
from monitor.ward.link import WardAccess
from monitor.ward.listener import WardListener
from monitor.web.line import TOPICS, Line, OpenLine, alerts_since
from monitor.wire.messages import ControlRequest


def to_ward(access: WardAccess) -> OpenLine:
    """Return what opens the line to a ward; one that is not there yet is waited for."""
    return partial(_ward_line, access)


@contextlib.contextmanager
def _ward_line(access: WardAccess) -> Iterator[Line]:
    with WardListener(access, TOPICS, since=alerts_since(), waits=True) as listener:
        yield WardLine(access, listener)


class WardLine:
    """A listener of a ward, and what it knows of why nothing comes."""

    signal_hint = ""

    def __init__(self, access: WardAccess, listener: WardListener) -> None:
        self._access, self._listener = access, listener
        self.alerts: Listening = listener
        self.waves: Shown = WavesOf(listener)

    def why_silent(self) -> str:
        """Return what is wrong with the connection, or else that no worker is heard."""
        if self._listener.trouble:
            trouble = self._listener.trouble
            return f"{trouble[0].upper()}{trouble[1:]}: what is shown is old."
        return (
            f"No worker of the ward at {self._access.servers} is heard: nobody is monitored. Start "
            "one: ecg-monitor worker --ward ..."
        )

    def faults(self) -> list[str]:
        """Return which partitions nobody serves, and what the server does not allow."""
        return self._listener.faults

    def carry_out(self, request: ControlRequest) -> str:
        """Ask the patient's worker, as `ack --ward` does."""
        return self._listener.carry_out(request)
