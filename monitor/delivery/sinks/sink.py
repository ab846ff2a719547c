"""What a sink is: a small class that hands on one alert at a time.

    class Pager:
        def __str__(self): return "pager"
        def send(self, message): ...        # or DeliveryFailed, Rejected
        def close(self): ...

A sink does nothing but one try. When to try again, in which order, what is kept for it and what is
counted is `monitor.delivery.delivery`'s affair. Another package adds one by an entry point:

    [project.entry-points."ecg_monitor.sinks"]    NAME = "package.module:SINK"   a SinkKind

`ecg-monitor subscribe --sink NAME:REST` then opens it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from monitor.delivery.sinks.credentials import Credentials, NoSecrets, Secrets
from monitor.wire.messages import Alert, Technical

LIMIT_S = 10.0  # for one try
STAND_BY_S = 10.0


class DeliveryFailed(Exception):
    """One try failed; the alert is tried again, later and later, until it is taken.

    Parameters
    ----------
    reason : str
        What failed, in words that stay the same while the reason does.
    detail : str
        What the other side wrote, if anything.
    after_s : float
        How long the other side wants to be left alone.
    """

    def __init__(self, reason: str, detail: str = "", after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.detail = detail
        self.after_s = after_s


class Rejected(DeliveryFailed):
    """The other side looked at this alert and refused it: it is tried a few times, then given up.

    For what is wrong with the alert, or may be. What is wrong with the connection, the credentials
    or the address is DeliveryFailed: all alerts would fail alike, so none is given up for it.
    """


class Sink(Protocol):
    """Where alerts are handed on to; a thread of its own calls `send`."""

    def __str__(self) -> str:
        """Return what people and metrics know it by; no secret."""
        ...

    def send(self, message: Alert | Technical) -> None:
        """Hand on one alert, within LIMIT_S; return once the other side has it.

        Raises
        ------
        DeliveryFailed
            If that could not be done.
        """
        ...

    def close(self) -> None:
        """Let go of what is held; a `send` under way in the other thread ends soon."""
        ...


@runtime_checkable
class StandsBy(Protocol):
    """A sink that does something while no alert comes, as to say that it is there."""

    def stand_by(self) -> None:
        """Do it, within LIMIT_S; called at the start and every STAND_BY_S, by the thread of `send`.

        Raises
        ------
        DeliveryFailed
            If that could not be done; it is passed over.
        """
        ...


@dataclass(frozen=True)
class SinkOptions:
    """What a sink may be told beside its own text.

    Attributes
    ----------
    secrets : callable
        Returns the credentials for a host.
    session : str
        The durable subscriber's name, by which the other side may know this one again; or empty.
    """

    secrets: Secrets = field(default_factory=NoSecrets)
    session: str = ""

    def credentials(self, host: str) -> Credentials:
        """Return the credentials for a host; empty ones where none are given."""
        return self.secrets.of(host)


@dataclass(frozen=True)
class SinkKind:
    """A kind of sink, as an entry point names it.

    Attributes
    ----------
    what : str
        One line: where alerts go.
    open : callable
        Takes what stands behind `NAME:`, and SinkOptions. It raises InvalidOption if that cannot be
        used, and does not connect: who is not there yet is tried again.
    """

    what: str
    open: Callable[[str, SinkOptions], Sink]


class Route(NamedTuple):
    """A sink, and what a durable subscriber remembers it by: the same each time it is started."""

    identity: str
    sink: Sink
