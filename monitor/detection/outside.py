"""What an engine needs of the outside: its settings, what was journaled, where models are kept.

A consumer gives it its settings, its journal and files beside it; whoever judges records without a
journal gives it plain values and memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from model.checkpoint import Checkpoint
from monitor.journal.writer import StoredProgress
from monitor.settings import Rules, VerdictBy


class EngineSettings(Protocol):
    """What decides the verdicts, beside the model."""

    @property
    def threshold(self) -> float | None:
        """Instead of the model's own."""

    @property
    def learn_s(self) -> float | None:
        """Signal to learn of each patient, in s; None learns nobody."""

    @property
    def false_alerts_per_hour(self) -> float:
        """Aim of a learnt threshold."""

    @property
    def verdict(self) -> VerdictBy:
        """What learnt patients are judged by."""

    @property
    def rules(self) -> Rules:
        """When alerts begin and end."""


class Journaled(Protocol):
    """What was journaled before."""

    @property
    def identity(self) -> str:
        """Where sequence numbers count."""

    @property
    def origin(self) -> str:
        """The first identity that it had; one that went back got another."""

    @property
    def newest_seq(self) -> int:
        """The newest number given."""

    def holds(self, identity: str, /) -> bool:
        """Tell whether an alert of this identity was journaled."""

    def progress(self) -> list[StoredProgress]:
        """Return how far each patient was."""


class Models(Protocol):
    """Where learnt models are kept, as `ModelStore` does."""

    def save(
        self, patient: str, checkpoints: Sequence[Checkpoint | None], before: Iterable[str], /
    ) -> list[str | None]:
        """Keep the models of a patient's leads in the place of others; return their names."""

    def write_held(self) -> None:
        """Write what `save` could not; JournalFailed, before which nothing is journaled."""

    def load(self, file: str, /) -> Checkpoint:
        """Return a model by its name."""

    def take_progress(self, patients: Iterable[str], /) -> None:
        """Take note that what is journaled next names these patients' newest models."""

    def forget(self, files: Iterable[str], /) -> None:
        """Take note that models will not be named any more."""

    def remove_replaced(self) -> None:
        """Remove what is no longer named."""

    def remove_all_but(self, named: Collection[str], /) -> None:
        """Remove what a process that was killed left behind."""
