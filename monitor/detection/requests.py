"""What a person or a program may ask of the engine.

Acknowledge, move a threshold, learn anew, say what a family of beats is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from model.libraries import TORCH_MISSING, torch_is_installed
from monitor.detection.desk import Desk
from monitor.detection.family_marks import WORDS
from monitor.detection.learner import Learner
from monitor.detection.patient import Patient
from monitor.detection.patient_messages import is_numbered
from monitor.text import near_names
from monitor.wire.messages import (
    MIN_THRESHOLD,
    AckRequest,
    Alert,
    ControlRequest,
    MarkRequest,
    Message,
    RelearnRequest,
    ThresholdRequest,
)

MONITORED = "monitoring"  # the state of a patient whose beats get verdicts
RELEARN_S = 300.0  # what is learnt anew on request, where the run itself learns nothing


class CarriedOut(NamedTuple):
    """What a request did."""

    answer: str  # to who asked
    messages: Sequence[Message]  # to everybody, with the next step
    patients: Sequence[str]  # who have something new to journal


class Requests:
    """Carries out requests on patients.

    Parameters
    ----------
    patients : mapping of str to Patient
        All of them, by name, as they are at each call.
    learner : Learner
        Begins to learn a patient anew.
    learn_s : float or None
        How long the run learns each patient, in seconds; None where it learns nobody.
    desk : Desk
        What patients share.
    """

    def __init__(
        self,
        patients: Mapping[str, Patient],
        learner: Learner,
        learn_s: float | None,
        desk: Desk,
    ) -> None:
        self._patients = patients
        self._learner = learner
        self._learn_s = learn_s or RELEARN_S
        self._desk = desk

    def carry_out(self, request: ControlRequest) -> CarriedOut:
        """Do what was asked; LookupError, which says why, if it cannot be done."""
        match request:
            case ThresholdRequest():
                return self._set_threshold(request)
            case RelearnRequest():
                return self._relearn(request)
            case AckRequest():
                return self._acknowledge(request)
            case MarkRequest():
                return self._mark(request)

    def _acknowledge(self, request: AckRequest) -> CarriedOut:
        """Take note that one patient's high alert was seen, or everybody's."""
        messages = [
            _signed(message, request.by)
            for name in self._named(request.patient)
            for message in self._patients[name].acknowledge(self._desk)
        ]
        if not messages:
            raise LookupError("nothing to acknowledge")
        names = [*dict.fromkeys(one.patient for one in messages if is_numbered(one))]
        return CarriedOut(f"acknowledged: {', '.join(names)}", messages, names)

    def _mark(self, request: MarkRequest) -> CarriedOut:
        """Take a person's word for a family of one patient's beats."""
        if request.journal not in ("", self._desk.journal):
            raise LookupError(
                f"this monitor writes journal {self._desk.journal}, not {request.journal}; name "
                "the endpoint of the one that writes it (--alerts)"
            )
        (name,) = self._named(request.patient)
        messages = self._patients[name].mark(request, self._desk)
        answer = f"{name}: family {request.family} is {WORDS[request.word]}"
        return CarriedOut(answer, messages, [name])

    def _relearn(self, request: RelearnRequest) -> CarriedOut:
        """Learn one patient's normal anew, or all patients', from the signal that comes."""
        if not torch_is_installed():
            raise LookupError(TORCH_MISSING)
        chosen = [
            name for name in self._named(request.patient) if self._patients[name].state == MONITORED
        ]
        if not chosen:
            raise LookupError("nothing to learn anew: learning already, or nobody is monitored")
        messages: list[Message] = []
        for name in chosen:
            patient = self._patients[name]
            until_sample = patient.position + round(self._learn_s * patient.stream.fs_hz)
            learning = self._learner.begin(name, until_sample)
            messages += patient.relearn(name, learning, self._desk)
        return CarriedOut(f"learning {', '.join(chosen)} for {self._learn_s:g} s", messages, chosen)

    def _set_threshold(self, request: ThresholdRequest) -> CarriedOut:
        """Change one patient's threshold, or everybody's."""
        named = self._named(request.patient)
        chosen = [name for name in named if self._patients[name].learning is None]
        if not chosen:
            raise LookupError("no threshold to move: still learning, or nobody is monitored")
        messages: list[Message] = []
        for name in chosen:
            patient = self._patients[name]
            value = patient.threshold if request.value is None else request.value
            threshold = float(np.clip(value * (request.factor or 1.0), MIN_THRESHOLD, 1e6))
            messages += patient.set_threshold(threshold, self._desk)
        answer = ", ".join(f"{name}: {self._patients[name].threshold:.1f}" for name in chosen)
        return CarriedOut(answer, messages, chosen)

    def _named(self, patient: str | None) -> list[str]:
        if patient is not None and patient not in self._patients:
            near = near_names(patient, self._patients)
            said = f"no patient {patient!r} is monitored"
            raise LookupError(f"{said}; {near}" if near else said)
        return list(self._patients) if patient is None else [patient]


def _signed(message: Message, by: str) -> Message:
    """Return an acknowledgement with the name of who has seen the alert."""
    if isinstance(message, Alert) and message.state == "acknowledged":
        return msgspec.structs.replace(message, by=by)
    return message
