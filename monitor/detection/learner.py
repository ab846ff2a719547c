"""Patients who are being learnt: their trainings, what waits for them, and when they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.checkpoint import Checkpoint
from model.errors import CannotLearn
from monitor.detection.learning_phase import Held, LearningPhase, Outcome
from monitor.detection.patient import Patient
from monitor.detection.training_task import TrainingTask, learn

if TYPE_CHECKING:  # with torch, which takes seconds and 200 MB; only who learns needs it
    from model.learning import Learned

# Messages of all patients in training, 3 KB each with a beat of two leads: as many as wait where
# two cores learn 200 at the same time. Were it 256 of each patient, the verdicts of all others
# would stop as soon as one waits for a minute and a half.
MAX_HELD = 30_000


class Learner:
    """Learning phases of all patients, on one executor.

    Parameters
    ----------
    base : Checkpoint
        What each patient's model begins with.
    false_alerts_per_hour : float
        Aim of a learnt threshold.
    executor : Executor
        Trains a model for each lead: it does `learn` with a task, here or in another process.
    patients : mapping of str to Patient
        All of them, by name, as they are at each call.
    from_scratch : bool
        Begin with random weights instead: how much the base helps is measured so.
    source_waits : bool
        Whether what is not received is sent later: `full` then holds the source up. Of another no
        patient is to wait for the trainings of others: what is too much goes without a verdict.

    Attributes
    ----------
    let_go : int
        How many messages went so.
    """

    def __init__(
        self,
        base: Checkpoint,
        false_alerts_per_hour: float,
        executor: Executor,
        patients: Mapping[str, Patient],
        *,
        from_scratch: bool = False,
        source_waits: bool = True,
    ) -> None:
        self._base = base
        self._source_waits = source_waits
        self.let_go = 0
        self._from_scratch = from_scratch
        self._false_alerts_per_hour = false_alerts_per_hour
        self._executor = executor
        self._patients = patients
        self._names: set[str] = set()  # who may be learning
        self._queue: list[Future[Learned]] = []  # trainings in the order in which they begin

    @property
    def full(self) -> bool:
        """Whether so much waits for a training that no more should be received."""
        return self._source_waits and self._n_held() >= MAX_HELD

    @property
    def training(self) -> bool:
        """Whether a model is being trained."""
        return any(phase.training for _, phase in self._learning())

    def ahead(self, phase: LearningPhase) -> int:
        """Return how many trainings of others come before those of a phase.

        0 if it has none, or if it has begun.
        """
        self._queue = [one for one in self._queue if not one.done()]
        for place, one in enumerate(self._queue):
            if phase.is_trained_by(one):
                return 0 if one.running() else place
        return 0

    def late(self, now_ns: int) -> None:
        """Count the wait for a training as lag of those who wait."""
        for patient, phase in self._learning():
            if phase.waits_since_ns is not None:
                patient.lag_s = max(0.0, (now_ns - phase.waits_since_ns) / 1e9)

    def begin(self, name: str, until_sample: int) -> LearningPhase:
        """Return a phase in which a patient is learnt until a sample of the record."""
        self._names.add(name)
        return LearningPhase(until_sample, self._train)

    def released(
        self, start_monitoring: Callable[[Patient, Sequence[Outcome]], None]
    ) -> list[Held]:
        """End the phases whose trainings have ended; return the messages that were held for them.

        `start_monitoring` is told what became of each lead.
        """
        released: list[Held] = []
        for patient, phase in list(self._learning()):
            try:
                outcomes = phase.outcomes()
            except CannotLearn as reason:
                released.extend(phase.learn_on(reason, patient.stream.fs_hz))
                continue
            if outcomes is not None:
                start_monitoring(patient, outcomes)
                released.extend(phase.held)
        return released

    def overflow(self) -> list[Held]:
        """Take out what is too much where the source does not wait; it is judged without a model.

        The oldest of the patients of whom most is held.
        """
        if self._source_waits:
            return []
        gone: list[Held] = []
        for _ in range(self._n_held() - MAX_HELD):
            fullest = max((phase for _, phase in self._learning()), key=lambda one: len(one.held))
            gone.append(fullest.held.popleft())
        self.let_go += len(gone)
        return gone

    def _n_held(self) -> int:
        return sum(len(phase.held) for _, phase in self._learning())

    def _learning(self) -> Iterator[tuple[Patient, LearningPhase]]:
        for name in sorted(self._names):
            patient = self._patients[name]
            if patient.learning is not None:
                yield patient, patient.learning
            else:
                self._names.discard(name)

    def _train(
        self, beats: NDArray[np.float32], rr_before_ms: NDArray[np.float32]
    ) -> Future[Learned]:
        aim = self._false_alerts_per_hour
        task = TrainingTask(beats, rr_before_ms, self._base, aim, self._from_scratch)
        self._queue.append(self._executor.submit(learn, task))
        return self._queue[-1]
