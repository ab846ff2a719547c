"""Learnt models beside the journal that names them; what it no longer names goes.

A file may go only when the journal holds what came after it: until then a restart goes on with it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


class ModelStore:
    """Learnt checkpoints of one journal.

    Parameters
    ----------
    folder : Path
        Where the journal lies.
    journal : str
        Its identity, which is in the files' names: several journals may share a folder.
    """

    def __init__(self, folder: Path, journal: str) -> None:
        self._folder = folder
        self._prefix = f"learned-{journal}-"
        self._replaced: defaultdict[str, set[str]] = defaultdict(set)  # by patient
        self._leaving: set[str] = set()

    def save(self, patient: str, checkpoint: Checkpoint, before: str | None) -> str:
        """Keep what was learnt of a patient, for its owner's eyes, and return the file's name.

        `before` is the file that it takes the place of, if there is one.
        """
        name = hashlib.sha256(patient.encode()).hexdigest()[:16]
        file = f"{self._prefix}{name}-{checkpoint.identity}.safetensors"
        save_checkpoint(checkpoint, self._folder / file, mode=0o600)
        if before is not None:
            self._replaced[patient].add(before)
        self._replaced[patient].discard(file)
        self._leaving.discard(file)
        return file

    def load(self, file: str) -> Checkpoint:
        """Return what was kept; InvalidCheckpoint if it cannot be used."""
        return load_checkpoint(self._folder / file)

    def take_progress(self, patients: Iterable[str]) -> None:
        """Take note that what is journaled next names these patients' newest files."""
        for patient in patients:
            self._leaving |= self._replaced.pop(patient, set())

    def forget(self, file: str) -> None:
        """Take note that the journal will not name this file any more, once it is written again."""
        self._leaving.add(file)

    def remove_replaced(self) -> None:
        """Remove what the journal no longer names; to be called when it has been written.

        Files of an identity that the journal had before stay: a copy of it may name them too.
        """
        for file in self._leaving:
            if file.startswith(self._prefix):
                (self._folder / file).unlink(missing_ok=True)
        self._leaving.clear()

    def remove_all_but(self, named: Collection[str]) -> None:
        """Remove what a process that was killed left behind."""
        for path in self._folder.glob(f"{self._prefix}*.safetensors"):
            if path.name not in named:
                path.unlink(missing_ok=True)
