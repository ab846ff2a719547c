"""Patients who come, go, and send blocks of any length at any time: rows at rest, and one bank.

A `SegmenterBank` takes equal stretches of all its rows. In a ward some of the patients have sent
something, each as much as it likes. So the rows lie at rest, and those whose blocks are equally
long are laid into a small bank, taken on together, and put back: two copies of what filter and
detector remember. Their signal is not copied; it stays where the bank keeps it for all rows. The
work on each sample is shared by the rows that are laid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmenter.bank import BLOCK, BankSegmented, SegmenterBank
from segmenter.beat import BeatSpec
from segmenter.errors import InvalidSignal
from segmenter.tracker import Tracker


class SegmenterWard:
    """Find the beats of patients of one sampling rate, some of them at a time.

    Each says to the bit what a `Segmenter` of its own would say.

    Parameters
    ----------
    fs_hz : float
        Sampling rate, 100 to 2000 Hz.
    spec : BeatSpec
        How beats are cut.

    Raises
    ------
    InvalidSignal
        If the sampling rate is out of bounds.
    """

    def __init__(self, fs_hz: float, spec: BeatSpec) -> None:
        self._bank = SegmenterBank(1, fs_hz, spec)
        self.fs_hz, self.spec = self._bank.fs_hz, spec
        new, _ = self._bank.lift()
        self._new = {name: array.copy() for name, array in new.items()}  # of a row that begins
        self._at_rest = {name: array.copy() for name, array in self._new.items()}
        self._trackers: list[Tracker] = []
        self._free: list[int] = []  # rows of patients who have gone
        self._laid: list[int] = []  # rows that are in the bank, not at rest

    @property
    def room(self) -> int:
        """Rows for which memory is held."""
        return len(self._at_rest["positions"])

    @property
    def patients(self) -> int:
        """Patients who are there."""
        return len(self._trackers) - len(self._free)

    def add(self) -> int:
        """Take in a patient; return its row."""
        if self._free:
            row = self._free.pop()
            self._trackers[row] = self._bank.new_tracker()
            for name, array in self._at_rest.items():
                array[row] = self._new[name][0]
            self._bank.forget(row)
            return row
        row = len(self._trackers)
        if row == self.room:  # it is doubled
            self._bank.make_room(2 * row)
            self._at_rest = {
                name: np.concatenate([array, np.repeat(self._new[name], row, axis=0)])
                for name, array in self._at_rest.items()
            }
        self._trackers.append(self._bank.new_tracker())
        return row

    def remove(self, row: int) -> None:
        """Let a patient go; its row is given to another one."""
        self._put_back()
        self._free.append(row)

    def position(self, row: int) -> int:
        """Return how many samples of a row's stream were seen."""
        if row in self._laid:
            return int(self._bank.positions[self._laid.index(row)])
        return int(self._at_rest["positions"][row])

    def update(self, rows: Sequence[int], chunk: ArrayLike) -> list[BankSegmented]:
        """Take the next samples of some rows.

        Parameters
        ----------
        rows : sequence of int
            Each at most once.
        chunk : np.ndarray, shape (len(rows), n), real
            ECG in millivolts, as `SegmenterBank.update` takes it.

        Returns
        -------
        list of BankSegmented
            What became known; their rows are those given.
        """
        samples = np.asarray(chunk)
        if samples.ndim != 2 or len(samples) != len(rows):
            raise InvalidSignal(
                f"chunk has the shape {samples.shape} but {len(rows)} rows were named; give one row of "
                "samples for each"
            )
        found = []
        for start in range(0, len(rows), BLOCK):
            some = list(rows[start : start + BLOCK])
            self._lay(some)
            found.append(_renamed(self._bank.update(samples[start : start + BLOCK]), some))
        return found

    def gap(self, rows: Sequence[int], n_samples: int) -> list[BankSegmented]:
        """Take as many missing samples of each of some rows, in bounded time and memory."""
        found = []
        for start in range(0, len(rows), BLOCK):
            some = list(rows[start : start + BLOCK])
            self._lay(some)
            found.append(_renamed(self._bank.gap(n_samples), some))
        return found

    def flush(self, row: int) -> BankSegmented:
        """End a row's stream, as `SegmenterBank.flush`."""
        self._lay([row])
        return _renamed(self._bank.flush(), [row])

    def to_bytes(self, row: int) -> bytes:
        """Return the whole state of a row, as a `Segmenter`'s."""
        if row not in self._laid:
            self._lay([row])
        return self._bank.to_bytes(self._laid.index(row))

    def restore(self, row: int, state: bytes) -> None:
        """Let a row go on from a saved state; InvalidState if it is none of this ward."""
        self._lay([row])
        self._bank.restore(0, state)

    def _lay(self, rows: list[int]) -> None:
        """Have these rows in the bank, in this order."""
        if rows == self._laid:
            return
        self._put_back()
        arrays = {name: array[rows] for name, array in self._at_rest.items()}
        self._bank.lay(arrays, [self._trackers[row] for row in rows], rows)
        self._laid = rows

    def _put_back(self) -> None:
        if self._laid:
            arrays, _ = self._bank.lift()
            for name, array in arrays.items():
                self._at_rest[name][self._laid] = array
        self._laid = []


def _renamed(found: BankSegmented, rows: Sequence[int]) -> BankSegmented:
    """Return what a bank found with the rows of the ward instead of its own."""
    names: NDArray[Any] = np.array(rows, np.int64)
    return BankSegmented(
        beats=found.beats,
        beat_rows=names[found.beat_rows],
        events=tuple((rows[row], event) for row, event in found.events),
        r_samples=found.r_samples,
        r_rows=names[found.r_rows],
        seconds=found.seconds,
        seconds_quality=found.seconds_quality,
        second_rows=names[found.second_rows],
    )
