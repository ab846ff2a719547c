"""Patients who come, go, and send blocks of any length at any time: rows of one bank.

A `SegmenterBank` keeps a row for each patient it was ever asked for. In a ward some of them have
sent something, each as much as it likes: those whose blocks are equally long share the work on each
sample, and all who sent something share what is done a few times a second. Rows of patients who
have gone are given to others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmenter.bank import BankSegmented, SegmenterBank
from segmenter.beat import Beats, BeatSpec
from segmenter.errors import InvalidSignal
from segmenter.sign_finder import FoundSigns
from segmenter.signs import GroupedSigns
from segmenter.tracker import SignalEvent


@dataclass(frozen=True)
class PoolSegmented:
    """What became known of some rows, in the order in which they were given.

    Attributes
    ----------
    beats : Beats
        Of all of them, one row after the other; their samples count from each row's own start.
    counts : list of int, of length n_rows
        How many of the beats are each row's.
    events : list of list of SignalEvent, of length n_rows
        Each row's events, in samples of its stream.
    signs : GroupedSigns
        Each row's hops that ended, in samples of its stream.
    rows : np.ndarray, shape (n_rows,), int64
    found : BankSegmented
        What their bank found, in any order of the rows.
    """

    beats: Beats
    counts: list[int]
    events: list[list[SignalEvent]]
    signs: GroupedSigns
    rows: NDArray[np.int64]
    found: BankSegmented

    def r_samples(self, place: int) -> list[int]:
        """Return the R peaks that became known of the row given at a place, in samples."""
        of_row = self.found.r_rows == self.rows[place]
        r_samples: list[int] = self.found.r_samples[of_row].tolist()
        return r_samples


class SegmenterPool:
    """Find the beats of patients of one sampling rate, some of them at a time.

    Each says to the bit what a `Segmenter` of its own would say.

    Parameters
    ----------
    fs_hz : float
        Sampling rate, 100 to 2000 Hz.
    spec : BeatSpec
        How beats are cut.
    leads : int
        Leads of each patient, 1 to 64.
    waves : int
        Pulse waves of each patient beside the leads.
    measure_signs : bool
        Whether hops are measured, for named alarms; otherwise waves are not looked at.

    Raises
    ------
    InvalidSignal
        If the sampling rate or the number of leads is out of bounds.
    """

    def __init__(
        self,
        fs_hz: float,
        spec: BeatSpec,
        leads: int = 1,
        waves: int = 0,
        *,
        measure_signs: bool = False,
    ) -> None:
        self._bank = SegmenterBank(1, fs_hz, spec, leads, waves, measure_signs=measure_signs)
        self.fs_hz, self.spec, self.leads = self._bank.fs_hz, spec, leads
        self._free = [0]  # rows that are nobody's, as those of patients who have gone

    @property
    def room(self) -> int:
        """Rows for which memory is held."""
        return self._bank.room

    @property
    def patients(self) -> int:
        """Patients who are there."""
        return self._bank.rows - len(self._free)

    def add(self) -> int:
        """Take in a patient; return its row."""
        if not self._free:
            return self._bank.append_row()
        row = self._free.pop()
        self._bank.renew(row)
        return row

    def remove(self, row: int) -> None:
        """Let a patient go; its row is given to another one."""
        self._free.append(row)

    def position(self, row: int) -> int:
        """Return how many samples of a row's stream were seen."""
        return self._bank.position(row)

    def latest(self, row: int) -> NDArray[np.float32]:
        """Return the newest ten seconds of a row's leads, as `SegmenterBank.latest`."""
        return self._bank.latest(row)

    def update(self, rows: Sequence[int], chunk: ArrayLike) -> PoolSegmented:
        """Take the next samples of some rows.

        Parameters
        ----------
        rows : sequence of int
            Each at most once.
        chunk : np.ndarray, shape (len(rows), leads + waves, n), real
            ECG in millivolts and pulse waves, as `SegmenterBank.update` takes it.

        Returns
        -------
        PoolSegmented
            What became known, grouped by the rows given.
        """
        return self.update_all([(rows, chunk)])

    def update_all(self, blocks: Sequence[tuple[Sequence[int], ArrayLike]]) -> PoolSegmented:
        """Take blocks of different lengths, each as `update`; no row stands in two of them.

        What became known is grouped by the rows of one block after the other.
        """
        for rows, chunk in blocks:
            shape = np.shape(chunk)
            if len(shape) != 3 or shape[0] != len(rows):
                raise InvalidSignal(
                    f"chunk has the shape {shape} but {len(rows)} rows were named; give the "
                    f"samples of {self.leads} leads for each"
                )
        taken = [(np.array(rows, np.int64), chunk) for rows, chunk in blocks]
        found = self._bank.update_rows(taken)
        return self._grouped(found, np.concatenate([rows for rows, _ in taken]))

    def gap(self, rows: Sequence[int], n_samples: int) -> PoolSegmented:
        """Take as many missing samples of each of some rows, in bounded time and memory."""
        of_rows = np.array(rows, np.int64)
        return self._grouped(self._bank.gap(n_samples, of_rows), of_rows)

    def flush(self, row: int) -> PoolSegmented:
        """End a row's stream, as `SegmenterBank.flush`."""
        of_row = np.array([row])
        return self._grouped(self._bank.flush(of_row), of_row)

    def _grouped(self, found: BankSegmented, rows: NDArray[np.int64]) -> PoolSegmented:
        """Lay what was found of rows one patient after the other."""
        places = np.zeros(self._bank.rows, np.int64)
        places[rows] = np.arange(len(rows))
        of_beats = places[found.beat_rows]
        events: list[list[SignalEvent]] = [[] for _ in range(len(rows))]
        for row, event in found.events:
            events[places[row]].append(event)
        return PoolSegmented(
            beats=found.beats.rows(np.argsort(of_beats, kind="stable")),
            counts=np.bincount(of_beats, minlength=len(rows)).tolist(),
            events=events,
            signs=_grouped_signs(found.found_signs, places, len(rows)),
            rows=rows,
            found=found,
        )

    def to_bytes(self, row: int) -> bytes:
        """Return the whole state of a row, as a `Segmenter`'s."""
        return self._bank.to_bytes(row)

    def restore(self, row: int, state: bytes) -> None:
        """Let a row go on from a saved state; InvalidState if it does not fit this pool."""
        self._bank.restore(row, state)


def _grouped_signs(found: FoundSigns, places: NDArray[np.int64], n_rows: int) -> GroupedSigns:
    """Lay the signs of rows one patient after the other."""
    columns = (found.hop_rows, found.complex_rows, found.pulse_rows)
    of_each = [places[rows] for rows in columns]
    signs = found.signs
    if any((of[1:] < of[:-1]).any() for of in of_each):  # of several pieces
        signs = signs.part(*(np.argsort(of, kind="stable") for of in of_each))
    counts = [np.bincount(of, minlength=n_rows) for of in of_each]
    return GroupedSigns(signs, np.stack(counts, axis=1))
