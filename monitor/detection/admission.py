"""Which messages are judged: beats of the right spec, in the order of their stream."""

from __future__ import annotations

from collections.abc import Callable, Container, Sized
from typing import Protocol

from monitor.detection.learning_phase import Held
from monitor.errors import InvalidMessage, SpecMismatch
from monitor.wire.messages import MONITOR, BeatsMessage, EndHeader

MAX_PATIENTS = 10_000  # at a time; those that ended leave when others need the room


class Names(Container[str], Sized, Protocol):
    """The patients who are there."""


class Admission:
    """Checks messages before a step takes them, and notices what was lost before one.

    Parameters
    ----------
    spec_identity : str
        Of the beats that the checkpoint expects.
    length : int
        Samples of a beat.
    patients : container of str
        Names of those who are monitored, as they are at each check.
    has_room : callable
        Tells whether another patient may come though `MAX_PATIENTS` are there.

    Attributes
    ----------
    refused : int
        Messages of patients for whom there was no room.
    """

    def __init__(
        self,
        spec_identity: str,
        length: int,
        patients: Names,
        has_room: Callable[[], bool] = lambda: False,
    ) -> None:
        self._spec_identity = spec_identity
        self._length = length
        self._patients = patients
        self._has_room = has_room
        self.refused = 0
        # Of each patient: the stretch, the next sequence and the last R peak.
        self._reached: dict[str, tuple[int, int, int]] = {}

    def check(self, message: BeatsMessage) -> None:
        """Raise SpecMismatch or InvalidMessage if the beats cannot be judged here."""
        header = message.header
        if header.spec != self._spec_identity:
            raise SpecMismatch(
                f"checkpoint expects beats of spec {self._spec_identity}, these are {header.spec}; "
                "start the segmenter with the checkpoint's --window, or use another --checkpoint"
            )
        if header.length != self._length:
            raise InvalidMessage(f"beats of {header.length} samples under spec {header.spec}")
        self.check_name(header.patient)

    def check_name(self, patient: str) -> None:
        """Raise InvalidMessage if nobody can be monitored under this name."""
        if patient == MONITOR:
            raise InvalidMessage(f"{MONITOR!r} is the name of the monitor itself, of no patient")
        is_new = patient not in self._patients
        if is_new and len(self._patients) >= MAX_PATIENTS and not self._has_room():
            self.refused += 1
            raise InvalidMessage(f"more than {MAX_PATIENTS} patients")

    def forget(self, patient: str) -> None:
        """Forget where a patient's stream was."""
        self._reached.pop(patient, None)

    def hole_before(self, message: Held) -> bool:
        """Take note of a message's place in its stream; return whether some before it were lost.

        Raises
        ------
        InvalidMessage
            If its beats, or later ones, have come before.
        """
        if isinstance(message, EndHeader):
            self._reached.pop(message.patient, None)
            return False
        header = message.header
        stretch, expected, last_r = self._reached.get(
            header.patient, (header.stretch, header.sequence, -1)
        )
        if stretch != header.stretch:  # it counts anew, in samples or in messages
            expected, last_r = header.sequence, -1
        first_r = message.first_r_sample if header.n_beats else last_r + 1
        if header.sequence < expected or first_r <= last_r:
            raise InvalidMessage(f"{header.patient}: these beats have come before")
        newest_r = message.last_r_sample if header.n_beats else last_r
        self._reached[header.patient] = header.stretch, header.sequence + 1, newest_r
        return header.sequence > expected
