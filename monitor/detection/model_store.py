"""Learnt models beside the journal that names them; what it no longer names goes.

A file may go only when the journal holds what came after it: until then a restart goes on with it.
It must be there before the journal names it: what a full disk does not take is held, and so is what
is to be journaled.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from monitor.errors import JournalFailed


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
        self._held: dict[str, Checkpoint] = {}  # by file: what the disk has not taken yet

    def save(
        self, patient: str, checkpoints: Sequence[Checkpoint | None], before: Iterable[str]
    ) -> list[str | None]:
        """Keep what was learnt of a patient's leads, for its owner's eyes; return the files' names.

        What cannot be written is held: `write_held` tries again.

        Parameters
        ----------
        checkpoints : sequence of Checkpoint or None
            None of a lead that could not be learnt.
        before : iterable of str
            The files that they take the place of.
        """
        name = hashlib.sha256(patient.encode()).hexdigest()[:16]
        files: list[str | None] = []
        for one in checkpoints:
            file = None if one is None else f"{self._prefix}{name}-{one.identity}.safetensors"
            if one is not None and file is not None:
                self._held[file] = one
            files.append(file)
        self._replaced[patient] = {*self._replaced[patient], *before}.difference(files)
        self._leaving.difference_update(files)
        with contextlib.suppress(JournalFailed):
            self.write_held()
        return files

    def write_held(self) -> None:
        """Write what was learnt and is not on the disk; JournalFailed if that cannot be done."""
        for file, one in list(self._held.items()):
            try:
                save_checkpoint(one, self._folder / file, mode=0o600)
            except OSError as error:
                raise JournalFailed(
                    f"cannot keep a learnt model in {self._folder}: {error.strerror or error}; "
                    "free space on its disk"
                ) from error
            del self._held[file]

    def load(self, file: str) -> Checkpoint:
        """Return what was kept; InvalidCheckpoint if it cannot be used."""
        return load_checkpoint(self._folder / file)

    def take_progress(self, patients: Iterable[str]) -> None:
        """Take note that what is journaled next names these patients' newest files."""
        for patient in patients:
            self._leaving |= self._replaced.pop(patient, set())

    def forget(self, files: Iterable[str]) -> None:
        """Take note that the journal will not name these files any more, once written again."""
        self._leaving.update(files)

    def remove_replaced(self) -> None:
        """Remove what the journal no longer names; to be called when it has been written.

        Files of an identity that the journal had before stay: a copy of it may name them too.
        """
        for file in self._leaving:
            if file.startswith(self._prefix):
                self._held.pop(file, None)
                (self._folder / file).unlink(missing_ok=True)
        self._leaving.clear()

    def remove_all_but(self, named: Collection[str]) -> None:
        """Remove what a process that was killed left behind."""
        for path in self._folder.glob(f"{self._prefix}*.safetensors"):
            if path.name not in named:
                path.unlink(missing_ok=True)
