"""Who came to a stage that was started alone, and whether the next one takes what it sends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monitor.wire.messages import BeatsMessage, EndHeader, SamplesMessage, StageMessage, named_leads

MAX_NAMED = 20  # patients; a ward has thousands
BLOCKED_S = 3.0  # without anything taken; a stage that is only behind takes something every second


class Arrivals:
    """Reports patients whose first samples or beats come, and whose last.

    Parameters
    ----------
    say : callable
        Takes one line of text.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._here: set[str] = set()  # those that were named
        self._told_of_more = False

    def look(self, messages: Sequence[StageMessage]) -> None:
        """Look through the messages that a step takes in."""
        for message in messages:
            match message:
                case SamplesMessage(header=header) | BeatsMessage(header=header):
                    if header.patient not in self._here and self._may_name(header.patient):
                        self._say(
                            f"patient {header.patient} came: record {header.record}, "
                            f"{named_leads(header.leads)}, {header.fs_hz:g} Hz, at sample "
                            f"{header.position}"
                        )
                case EndHeader():
                    if message.patient in self._here:
                        self._here.discard(message.patient)
                        self._say(
                            f"patient {message.patient} has ended ({message.reason}) "
                            f"at sample {message.position}"
                        )
                case _:
                    pass

    def _may_name(self, patient: str) -> bool:
        """Take note of a patient while there are few; report once that more are not named."""
        if len(self._here) < MAX_NAMED:
            self._here.add(patient)
            return True
        if not self._told_of_more:
            self._told_of_more = True
            self._say(f"more than {MAX_NAMED} patients came; those beyond are not named")
        return False


class NextStage:
    """Reports when the next stage takes nothing: it does not run, or listens elsewhere.

    Parameters
    ----------
    say : callable
        Takes one line of text.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._since_s: float | None = None
        self._told = False

    def takes_nothing(self, now_s: float, endpoint: str) -> None:
        """Take note that something could not be sent now."""
        self._since_s = now_s if self._since_s is None else self._since_s
        if now_s - self._since_s >= BLOCKED_S and not self._told:
            self._told = True
            self._say(
                f"for {BLOCKED_S:g} s nothing was taken at {endpoint}: does the next stage run "
                "and listen there?"
            )

    def takes(self) -> None:
        """Take note that something was sent."""
        self._since_s = None
        if self._told:
            self._told = False
            self._say("the next stage takes what is sent")
