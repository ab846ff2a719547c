"""Patients who come, go, and send blocks of any length at any time: rows at rest, and one bank.

A `SegmenterBank` takes equal stretches of all its rows. In a ward some of the patients have sent
something, each as much as it likes. So the rows lie at rest, and those whose blocks are equally
long are laid into a small bank, taken on together, and put back: two copies of what filter and
detector remember. Their signal is not copied; it stays where the bank keeps it for all rows. The
work on each sample is shared by the rows that are laid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmenter.bank import BLOCK, BankSegmented, SegmenterBank
from segmenter.beat import Beats, BeatSpec, joined_beats
from segmenter.errors import InvalidSignal
from segmenter.joined_leads import JoinedLeads
from segmenter.signs import GroupedSigns, joined_signs
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
    found : list of BankSegmented
        What the banks of at most `BLOCK` rows found, in the same order, in rows of their own.
    """

    beats: Beats
    counts: list[int]
    events: list[list[SignalEvent]]
    signs: GroupedSigns
    found: list[BankSegmented]

    def r_samples(self, place: int) -> list[int]:
        """Return the R peaks that became known of the row given at a place, in samples."""
        one = self.found[place // BLOCK]
        r_samples: list[int] = one.r_samples[one.r_rows == place % BLOCK].tolist()
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
        new, _ = self._bank.lift()
        self._new = {name: array.copy() for name, array in new.items()}  # of a row that begins
        self._at_rest = {name: array.copy() for name, array in self._new.items()}  # (lines, ...)
        self._patients: list[JoinedLeads] = []
        self._free: list[int] = []  # rows of patients who have gone
        self._laid: list[int] = []  # rows that are in the bank, not at rest

    @property
    def room(self) -> int:
        """Rows for which memory is held."""
        return len(self._at_rest["positions"]) // self.leads

    @property
    def patients(self) -> int:
        """Patients who are there."""
        return len(self._patients) - len(self._free)

    def add(self) -> int:
        """Take in a patient; return its row."""
        if self._free:
            row = self._free.pop()
            self._patients[row] = self._bank.new_patient()
            lines = self._lines([row])
            for name, array in self._at_rest.items():
                array[lines] = self._new[name]
            for line in lines:
                self._bank.forget(line)
            return row
        row = len(self._patients)
        if row == self.room:  # it is doubled
            self._bank.make_room(2 * row * self.leads)
            self._at_rest = {
                name: np.concatenate([array, *[self._new[name]] * row])
                for name, array in self._at_rest.items()
            }
        self._patients.append(self._bank.new_patient())
        return row

    def remove(self, row: int) -> None:
        """Let a patient go; its row is given to another one."""
        self._put_back()
        self._free.append(row)

    def position(self, row: int) -> int:
        """Return how many samples of a row's stream were seen."""
        if row in self._laid:
            return int(self._bank.positions[self._laid.index(row)])
        return int(self._at_rest["positions"][row * self.leads])

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
        return self.update_all([(rows, chunk)])[0]

    def update_all(self, blocks: Sequence[tuple[Sequence[int], ArrayLike]]) -> list[PoolSegmented]:
        """Take blocks of different lengths, each as `update`; no row stands in two of them.

        Their hops are measured together.
        """
        found = [self._updated(rows, np.asarray(chunk)) for rows, chunk in blocks]
        self._bank.measure([one for of_block in found for one in of_block])
        return [
            self._grouped(of_block, len(rows))
            for (rows, _), of_block in zip(blocks, found, strict=True)
        ]

    def _updated(self, rows: Sequence[int], samples: NDArray[Any]) -> list[BankSegmented]:
        if samples.ndim != 3 or len(samples) != len(rows):
            raise InvalidSignal(
                f"chunk has the shape {samples.shape} but {len(rows)} rows were named; give the "
                f"samples of {self.leads} leads for each"
            )
        found = []
        for start in range(0, len(rows), BLOCK):
            self._lay(list(rows[start : start + BLOCK]))
            found.append(self._bank.update(samples[start : start + BLOCK], measure=False))
        return found

    def gap(self, rows: Sequence[int], n_samples: int) -> PoolSegmented:
        """Take as many missing samples of each of some rows, in bounded time and memory."""
        found = []
        for start in range(0, len(rows), BLOCK):
            self._lay(list(rows[start : start + BLOCK]))
            found.append(self._bank.gap(n_samples))
        return self._grouped(found, len(rows))

    def flush(self, row: int) -> PoolSegmented:
        """End a row's stream, as `SegmenterBank.flush`."""
        self._lay([row])
        return self._grouped([self._bank.flush()], 1)

    def _grouped(self, found: list[BankSegmented], n_rows: int) -> PoolSegmented:
        """Lay what banks of at most BLOCK rows found one patient after the other."""
        offsets = range(0, n_rows, BLOCK)
        places = _joined_places([one.beat_rows for one in found], offsets)
        order = np.argsort(places, kind="stable")
        beats = joined_beats([one.beats for one in found], self.spec.length, self.leads)
        events: list[list[SignalEvent]] = [[] for _ in range(n_rows)]
        for one, offset in zip(found, offsets, strict=True):
            for row, event in one.events:
                events[offset + row].append(event)
        return PoolSegmented(
            beats=beats.rows(order),
            counts=np.bincount(places, minlength=n_rows).tolist(),
            events=events,
            signs=_grouped_signs(found, offsets, n_rows),
            found=found,
        )

    def to_bytes(self, row: int) -> bytes:
        """Return the whole state of a row, as a `Segmenter`'s."""
        if row not in self._laid:
            self._lay([row])
        return self._bank.to_bytes(self._laid.index(row))

    def restore(self, row: int, state: bytes) -> None:
        """Let a row go on from a saved state; InvalidState if it does not fit this pool."""
        self._lay([row])
        self._bank.restore(0, state)

    def _lines(self, rows: list[int]) -> list[int]:
        """Return the lines of rows in the arrays, and their places in the bank's history."""
        if self.leads == 1:
            return rows
        return [row * self.leads + lead for row in rows for lead in range(self.leads)]

    def _lay(self, rows: list[int]) -> None:
        """Have these rows in the bank, in this order."""
        if rows == self._laid:
            return
        self._put_back()
        lines = self._lines(rows)
        arrays = {name: array[lines] for name, array in self._at_rest.items()}
        self._bank.lay(arrays, [self._patients[row] for row in rows], lines)
        self._laid = rows

    def _put_back(self) -> None:
        if self._laid:
            arrays, _ = self._bank.lift()
            lines = self._lines(self._laid)
            for name, array in arrays.items():
                self._at_rest[name][lines] = array
        self._laid = []


def _grouped_signs(found: list[BankSegmented], offsets: range, n_rows: int) -> GroupedSigns:
    """Lay the signs that banks of at most BLOCK rows found one patient after the other."""
    signs = [one.found_signs for one in found]
    places = [
        _joined_places(rows, offsets)
        for rows in (
            [one.hop_rows for one in signs],
            [one.complex_rows for one in signs],
            [one.pulse_rows for one in signs],
        )
    ]
    joined = joined_signs([one.signs for one in signs])
    if any((of[1:] < of[:-1]).any() for of in places):  # of several pieces
        joined = joined.part(*(np.argsort(of, kind="stable") for of in places))
    counts = [np.bincount(of, minlength=n_rows) for of in places]
    return GroupedSigns(joined, np.stack(counts, axis=1))


def _joined_places(rows: list[NDArray[np.int64]], offsets: range) -> NDArray[np.int64]:
    """Return the places among all rows given of what banks say of their own rows."""
    places = [one + offset for one, offset in zip(rows, offsets, strict=True)]
    return np.concatenate([np.zeros(0, np.int64), *places])
