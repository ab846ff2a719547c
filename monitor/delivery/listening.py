"""What listens is to who shows or hands on: an `AlertSubscriber`, or a ward's listener."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from monitor.wire.messages import ControlRequest, Message


class Heard(Protocol):
    """What is known of the line to a monitor; an `AlertSubscriber` knows it."""

    @property
    def silent_s(self) -> float:
        """How long no heartbeat has come."""
        ...

    @property
    def truncated(self) -> int:
        """How many alerts were kept no longer when they were asked for."""
        ...

    @property
    def ever_heard(self) -> bool:
        """Whether a heartbeat has come."""
        ...

    @property
    def refusal(self) -> str:
        """Why the monitor does not let this client in; empty if it does."""
        ...


class Listening(Heard, Protocol):
    """Where messages come from: an `AlertSubscriber`, or the listener of a ward."""

    @property
    def last_seq(self) -> int:
        """The newest number handed out."""
        ...

    @property
    def waiting(self) -> bool:
        """Whether something waits to be handed out."""
        ...

    def receive(self, timeout_s: float) -> Message | None:
        """Return the next message; None if none comes in time."""
        ...

    def handled(self) -> None:
        """Count what was handed out last as handled."""
        ...

    def follow(self, topics: Sequence[str]) -> None:
        """Hand out other topics from now on."""
        ...

    def ask(self, request: ControlRequest) -> None:
        """Ask for something; a refusal is a notice."""
        ...

    def take_notices(self) -> list[str]:
        """Take out what a person should know."""
        ...


class Shown(Protocol):
    """Where stretches of signal come from: `Waves`, or the listener of a ward."""

    def receive(self) -> Iterable[Message]:
        """Take out the stretches that wait."""
        ...

    def follow(self, topics: tuple[str, ...]) -> None:
        """Ask for other topics from now on."""
        ...
