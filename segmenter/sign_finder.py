"""The signs of many patients: windows of the kept signal, and QRS complexes around the R peaks.

A hop ends at each multiple of half a second of a patient's stream, however its samples were cut.
It is left out in a gap of all leads, after the gap's first ten seconds: so a long gap takes no
time, and the hop after it says how long it was. A complex whose hop is left out stands in the next
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isinf, nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmenter.beat import Beats
from segmenter.errors import InvalidState
from segmenter.hops import HOP_S, WINDOW_S
from segmenter.oscillation import measure_rows
from segmenter.qrs_shape import ComplexCutter, ShapeMemory
from segmenter.signal_ring import SignalRing
from segmenter.signs import (
    COMPLEX_COLUMNS,
    PULSE_COLUMNS,
    SHAPE_COLUMNS,
    Signs,
    joined_signs,
)
from segmenter.state import listing

MOST_WAITING = (
    64  # complexes of a patient: no two are closer than 0.2 s, and a hop is half a second
)
NO_ROWS: NDArray[np.int64] = np.zeros(0, np.int64)


class Complex(NamedTuple):
    """A QRS complex that waits for the end of its hop."""

    r_sample: int
    due: int  # it stands in the first hop that ends here or later
    rr_before_ms: float
    rr_after_ms: float
    quality: int
    good_leads: int  # bit k: its signal in lead k was good


@dataclass(frozen=True)
class SeenSignal:
    """How far the lines of a bank have come, and where their signal lies.

    Attributes
    ----------
    history : SignalRing
    places : list of int
        Of each line in the history.
    starts, stops : np.ndarray, shape (lines,), int64
        The samples of the stream that were just taken.
    lost : np.ndarray, shape (lines,), int64
        The last sample that is missing; -1 for none.
    """

    history: SignalRing
    places: list[int]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    lost: NDArray[np.int64]

    def moved(self, line: int) -> int:
        """Return what leads from samples of a line's stream to indices of the history."""
        return self.history.ends[self.places[line]] - self.stops.item(line)


@dataclass(frozen=True)
class FoundSigns:
    """Signs of some rows, in order for each of them, and the row of each hop, complex and pulse."""

    signs: Signs
    hop_rows: NDArray[np.int64]
    complex_rows: NDArray[np.int64]
    pulse_rows: NDArray[np.int64]


def joined_findings(parts: list[FoundSigns], leads: int) -> FoundSigns:
    """Join what was found of the same rows one after the other."""
    if len(parts) == 1:
        return parts[0]
    return FoundSigns(
        joined_signs([part.signs for part in parts], leads),
        np.concatenate([NO_ROWS, *(part.hop_rows for part in parts)]),
        np.concatenate([NO_ROWS, *(part.complex_rows for part in parts)]),
        np.concatenate([NO_ROWS, *(part.pulse_rows for part in parts)]),
    )


class SignFinder:
    """Measures what the hops of many patients show, as their signal comes.

    Parameters
    ----------
    places : int
        Lines there is room for.
    fs_hz : float
    leads : int
        Lines of each patient.
    """

    def __init__(self, places: int, fs_hz: float, leads: int) -> None:
        self.leads = leads
        self.hop = round(HOP_S * fs_hz)
        self.width = round(WINDOW_S / HOP_S) * self.hop
        self.memory = ShapeMemory(places)
        self._cutter = ComplexCutter(fs_hz)
        self._bits = np.uint64(1) << np.arange(leads, dtype=np.uint64)

    def wait_for_hops(
        self, rows: NDArray[np.int64], beats: Beats, waiting: Sequence[list[Complex]]
    ) -> None:
        """Let the complexes of beats that closed wait for their hops; `waiting` is of all rows."""
        # A beat is known behind sample `closed_sample`, or before it.
        due = np.maximum(beats.r_sample + self.hop, beats.closed_sample + 1)
        columns = (
            beats.r_sample, due, beats.rr_before_ms, beats.rr_after_ms, beats.quality,
            beats.lead_judgeable @ self._bits,
        )  # fmt: skip
        values = zip(*(column.tolist() for column in columns), strict=True)
        for row, one in zip(rows.tolist(), values, strict=True):
            waiting[row].append(Complex(*one))

    def update(self, seen: SeenSignal, waiting: Sequence[list[Complex]]) -> FoundSigns | None:
        """Return the signs of the hops that ended within the samples just taken, if any did.

        Complexes that stand in them no longer wait.
        """
        done = seen.starts[:: self.leads] // self.hop
        counts = seen.stops[:: self.leads] // self.hop - done
        rows = np.arange(len(counts)).repeat(counts)
        if not len(rows):
            return None
        places = np.arange(len(rows)) - (counts.cumsum() - counts)[rows]
        ends = (done[rows] + 1 + places) * self.hop
        lines = rows[:, None] * self.leads + np.arange(self.leads)  # (hops, leads)
        windows = self._windows(seen, lines.reshape(-1), ends.repeat(self.leads))
        windows = windows.reshape(lines.shape)
        kept = self._are_told(seen, lines, ends, windows)
        if kept is not None:
            rows, ends, windows = rows[kept], ends[kept], windows[kept]
        complex_rows, complexes = _due(rows, ends, waiting)
        return FoundSigns(
            Signs(
                ends,
                windows,
                complexes,
                self._shapes(seen, complex_rows, complexes),
                np.zeros((len(ends), 0), np.bool_),
                np.zeros(0, PULSE_COLUMNS),
            ),
            rows,
            complex_rows,
            NO_ROWS,
        )

    def _windows(
        self, seen: SeenSignal, lines: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> NDArray[Any]:
        """Measure the windows of lines that end at samples: shape (k,), WINDOW_COLUMNS."""
        history, width = seen.history, self.width
        windows = np.empty((len(lines), width), np.float32)
        places = list(enumerate(zip(lines.tolist(), ends.tolist(), strict=True)))
        for k, (line, end) in places:
            stop = end + seen.moved(line)
            windows[k] = history.signal[stop - width : stop]
        holed = seen.lost[lines] >= ends - width
        if not holed.any():
            return measure_rows(windows)
        missing = np.zeros(windows.shape, np.bool_)
        for k, (line, end) in places:
            if holed[k]:
                stop = end + seen.moved(line)
                missing[k] = history.missing[stop - width : stop]
        return measure_rows(windows, missing)

    def _are_told(
        self,
        seen: SeenSignal,
        lines: NDArray[np.int64],
        ends: NDArray[np.int64],
        windows: NDArray[Any],
    ) -> NDArray[np.bool_] | None:
        """Tell which hops are no later than ten seconds in a gap; None for all."""
        told: NDArray[np.bool_] = (windows["missing"] < 1).any(axis=1)
        if told.all():
            return None
        for k in np.flatnonzero(~told).tolist():
            for line in lines[k].tolist():
                stop = int(ends[k]) + seen.moved(line)
                if not seen.history.missing[stop - seen.history.keep : stop].all():
                    told[k] = True
        return told

    def _shapes(
        self, seen: SeenSignal, rows: NDArray[np.int64], complexes: NDArray[Any]
    ) -> NDArray[Any]:
        """Measure complexes in each lead: shape (c, leads); NaN where the signal is not whole."""
        n, leads = len(complexes), self.leads
        shapes = np.full((n * leads, SHAPE_COLUMNS.itemsize // 4), np.nan, np.float32)
        measured: NDArray[Any] = shapes.view(SHAPE_COLUMNS)[:, 0]
        if not n:
            return measured.reshape(0, leads)
        lines = (rows[:, None] * leads + np.arange(leads)).reshape(-1)
        r_samples = complexes["r_sample"].repeat(leads)
        first = r_samples - self._cutter.before
        whole = first >= (complexes["end_sample"] - self.width).repeat(leads)
        moved = np.array([seen.moved(line) for line in lines.tolist()], np.int64)
        for k in np.flatnonzero(whole & (seen.lost[lines] >= first)).tolist():
            start = int(first[k] + moved[k])
            stop = start + self._cutter.before + self._cutter.after
            whole[k] = not seen.history.missing[start:stop].any()
        where = np.flatnonzero(whole)
        beats = self._cutter.cut(seen.history.signal, (r_samples + moved)[where])
        places = np.array([seen.places[line] for line in lines[where].tolist()], np.intp)
        for which in _rounds(places):  # of each lead a complex, in order
            measured[where[which]] = self.memory.measure(places[which], beats[which])
        return measured.reshape(n, leads)


def _due(
    rows: NDArray[np.int64], ends: NDArray[np.int64], waiting: Sequence[list[Complex]]
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Take the complexes that stand in hops of rows: their rows, and COMPLEX_COLUMNS."""
    of_rows: list[int] = []
    due: list[tuple[int, int, float, float, int, int]] = []
    for row, end in zip(rows.tolist(), ends.tolist(), strict=True):
        if not waiting[row]:
            continue
        ready = sorted(one for one in waiting[row] if one.due <= end)
        if ready:
            waiting[row][:] = [one for one in waiting[row] if one.due > end]
            of_rows += [row] * len(ready)
            due += [(end, one.r_sample, *one[2:]) for one in ready]
    return np.array(of_rows, np.int64), np.array(due, COMPLEX_COLUMNS)


def _rounds(places: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Divide indices, in order, so that no place stands twice in a round."""
    came: dict[int, int] = {}
    rounds: list[list[int]] = []
    for index, place in enumerate(places.tolist()):
        turn = came.get(place, 0)
        came[place] = turn + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(index)
    return [np.array(one, np.intp) for one in rounds]


def complexes_to_plain(waiting: list[Complex]) -> list[list[int | float | None]]:
    """Return complexes that wait as plain JSON values."""
    return [
        [None if isinstance(value, float) and value != value else value for value in one]
        for one in waiting
    ]


def saved_complexes(plain: dict[str, Any], position: int, hop: int) -> list[Complex]:
    """Return complexes that waited at a position; InvalidState if they cannot be that."""
    saved = [
        _saved_complex(one, position, hop) for one in listing(plain, "complexes", MOST_WAITING)
    ]
    if any(b.r_sample <= a.r_sample for a, b in pairwise(saved)):
        raise InvalidState("saved state: complexes are not in the order of their R peaks")
    return saved


def _saved_complex(saved: object, position: int, hop: int) -> Complex:
    if isinstance(saved, list) and len(saved) == len(Complex._fields):
        r_sample, due, before, after, quality, good = saved
        known = [nan if one is None else one for one in (before, after)]
        if (
            all(type(one) is int for one in (r_sample, due, quality, good))
            and all(isinstance(one, float) and not (isinf(one) or one < 0) for one in known)
            and 0 <= r_sample <= position
            and r_sample + hop <= due <= position + hop
            and 0 <= quality < 1 << 16
            and 0 <= good < 1 << 64
        ):
            return Complex(r_sample, due, known[0], known[1], quality, good)
    raise InvalidState("saved state: a complex that waits is none")
