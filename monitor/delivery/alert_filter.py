"""Which messages a subscriber shows and hands on: by state, priority, kind and patient.

It stands behind what sees holes in the sequence and what keeps alerts: both need all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import get_args, get_type_hints

from monitor.errors import InvalidOption
from monitor.wire.messages import (
    ALARM_KINDS,
    Alert,
    BeatScored,
    Message,
    PatientKind,
    Priority,
    SystemKind,
    Technical,
)

TECHNICAL = "technical"  # among priorities: technical alerts, which have none


def _literals(*kinds: object) -> tuple[str, ...]:
    """Return the texts of literal types, of unions of them too, in order."""
    found: list[str] = []
    for kind in kinds:
        for one in get_args(kind):
            found += [one] if isinstance(one, str) else _literals(one)
    return tuple(found)


STATES = _literals(get_type_hints(Alert)["state"])
PRIORITIES = (*_literals(Priority), TECHNICAL)
KINDS = ("anomalous_beats", *ALARM_KINDS, *_literals(PatientKind, SystemKind))


@dataclass(frozen=True)
class AlertFilter:
    """What is wanted; an empty set wants all.

    Attributes
    ----------
    states, priorities, kinds : frozenset of str
        Of alerts and technical alerts; other messages pass.
    patients : tuple of str
        Names, or patterns such as `ward7-*`; of beats too.
    """

    states: frozenset[str] = frozenset()
    priorities: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    patients: tuple[str, ...] = ()

    def wants(self, message: Message) -> bool:
        """Tell whether a message is shown and handed on."""
        match message:
            case Alert(kind=kind, priority=priority, state=state):
                return self._takes(state, priority, kind) and self._is_of(message.patient)
            case Technical(event=event, state=state):
                return self._takes(state, TECHNICAL, event) and self._is_of(message.patient)
            case BeatScored(patient=patient):
                return self._is_of(patient)
            case _:
                return True

    @property
    def leaves_technical_out(self) -> bool:
        """Whether no technical alert passes, because they have no priority."""
        return bool(self.priorities) and TECHNICAL not in self.priorities

    def _takes(self, state: str, priority: str, kind: str) -> bool:
        return all(
            not wanted or found in wanted
            for wanted, found in (
                (self.states, state),
                (self.priorities, priority),
                (self.kinds, kind),
            )
        )

    def _is_of(self, patient: str) -> bool:
        return not self.patients or any(
            patient == wanted or fnmatchcase(patient, wanted) for wanted in self.patients
        )


def parse_filter(
    states: Sequence[str],
    priorities: Sequence[str],
    kinds: Sequence[str],
    patients: Sequence[str],
) -> AlertFilter:
    """Read what options say; each may hold several values with commas, but for patients.

    Raises
    ------
    InvalidOption
        If a value is none that there is.
    """
    if "" in patients:
        raise InvalidOption("--patient is empty; give a patient's name, or a pattern such as bed-*")
    return AlertFilter(
        _checked("--state", states, STATES),
        _checked("--priority", priorities, PRIORITIES),
        _checked("--kind", kinds, KINDS),
        tuple(patients),
    )


def _checked(option: str, given: Iterable[str], known: Sequence[str]) -> frozenset[str]:
    wanted = frozenset(one.strip() for text in given for one in text.split(","))
    for one in sorted(wanted - {*known}):
        raise InvalidOption(f"{option} {one[:60]!r} is none; there are {', '.join(known)}")
    return wanted
