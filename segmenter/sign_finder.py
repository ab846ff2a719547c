"""The signs of many patients: windows of the kept signal, and QRS complexes around the R peaks.

A hop ends at each multiple of half a second of a patient's stream, however its samples were cut.
It is left out in a gap of all leads and pulse waves, after the gap's first ten seconds: so a long
gap takes no time, and the hop after it says how long it was. A complex whose hop is left out stands
in the next one.
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
from segmenter.pulse_wave import PulseDetector, PulseHop
from segmenter.qrs_shape import ComplexCutter, ShapeMemory
from segmenter.signal_ring import SignalRing, stretches_of
from segmenter.signs import (
    COMPLEX_COLUMNS,
    PULSE_COLUMNS,
    SHAPE_COLUMNS,
    WINDOW_COLUMNS,
    Signs,
    joined_signs,
)
from segmenter.state import Arrays, listing

MOST_WAITING = (
    64  # complexes of a patient: no two are closer than 0.2 s, and a hop is half a second
)
NO_ROWS: NDArray[np.int64] = np.zeros(0, np.int64)
NOTHING: NDArray[np.float32] = np.zeros((0, 0, 1), np.float32)


class Complex(NamedTuple):
    """A QRS complex that waits for the end of its hop."""

    r_sample: int
    due: int  # it stands in the first hop that ends here or later
    rr_before_ms: float
    rr_after_ms: float
    quality: int
    good_leads: int  # bit k: its signal in lead k was good


class PatientSigns:
    """What is known of one patient, beside the shapes of its leads.

    Parameters
    ----------
    fs_hz : float
    waves : int
        Pulse waves beside the leads.

    Attributes
    ----------
    complexes : list of Complex
        Those that wait for their hop.
    """

    def __init__(self, fs_hz: float, waves: int) -> None:
        self.complexes: list[Complex] = []
        self._waves = [PulseDetector(fs_hz) for _ in range(waves)]
        self._hops: list[list[PulseHop]] = [[] for _ in range(waves)]

    def take_waves(self, samples: NDArray[np.float32]) -> None:
        """Take the next samples of the pulse waves, shape (waves, n); NaN is missing."""
        for wave, hops, row in zip(self._waves, self._hops, samples, strict=True):
            hops += wave.update(row)

    def ended_hops(self) -> list[list[PulseHop]]:
        """Return what each wave showed in the hops that ended since the last time."""
        ended, self._hops = self._hops, [[] for _ in self._waves]
        return ended

    def skip(self, n_samples: int) -> None:
        """Miss samples behind ten seconds and more in which all was missing."""
        for wave in self._waves:
            wave.skip(n_samples)

    def lift(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the state as plain JSON values and arrays."""
        lifted = [wave.lift() for wave in self._waves]
        plain = {
            "complexes": [_plain_complex(one) for one in self.complexes],
            "waves": [of_wave for of_wave, _ in lifted],
        }
        return plain, {f"wave{k}": arrays["kept"] for k, (_, arrays) in enumerate(lifted)}

    def restore(self, plain: object, arrays: Arrays, position: int, hop: int) -> None:
        """Take a state from `lift` at a position; InvalidState if it cannot be one."""
        if not isinstance(plain, dict):
            raise InvalidState("saved state: signs are none")
        waves = listing(plain, "waves", len(self._waves))
        if len(waves) != len(self._waves) or not all(isinstance(one, dict) for one in waves):
            raise InvalidState("saved state: waves are not as many")
        restored = [
            PulseDetector.settled(one, {"kept": arrays[f"wave{k}"]} if f"wave{k}" in arrays else {})
            for k, one in enumerate(waves)
        ]
        for old, new in zip(self._waves, restored, strict=True):
            if (new.fs_hz, new.position) != (old.fs_hz, position):
                raise InvalidState("saved state: a wave is elsewhere than the leads")
        self.complexes = _saved_complexes(plain, position, hop)
        self._waves = restored


@dataclass(frozen=True)
class SeenSignal:
    """How far the lines of a bank have come, and where their signal lies.

    Attributes
    ----------
    history : SignalRing
    starts, stops : np.ndarray, shape (lines,), int64
        The samples of the stream that were just taken.
    lost : np.ndarray, shape (lines,), int64
        The last sample that is missing; -1 for none.
    """

    history: SignalRing
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    lost: NDArray[np.int64]

    def moved(self, lines: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what leads from samples of lines' streams to indices of the history."""
        moved: NDArray[np.int64] = self.history.ends[lines] - self.stops[lines]
        return moved


@dataclass(frozen=True)
class FoundSigns:
    """Signs of some rows, in order for each of them, and the row of each hop, complex and pulse."""

    signs: Signs
    hop_rows: NDArray[np.int64]
    complex_rows: NDArray[np.int64]
    pulse_rows: NDArray[np.int64]


@dataclass
class EndedHops:
    """Hops that ended in some rows, with what is to be measured of them: copies of the signal.

    Attributes
    ----------
    windows, missing : np.ndarray, shape (hops, leads, width)
    where, lines, beats : np.ndarray, shape (b,), (b,) and (b, n)
        Complexes that are whole: which, lead after lead in each; their lines; and their signal.
    found : FoundSigns or None
        What was measured; the signal is then let go.
    """

    rows: NDArray[np.int64]
    ends: NDArray[np.int64]
    windows: NDArray[np.float32]
    missing: NDArray[np.bool_] | None
    complex_rows: NDArray[np.int64]
    complexes: NDArray[Any]
    where: NDArray[np.intp]
    lines: NDArray[np.int64]
    beats: NDArray[np.float32]
    readable: NDArray[np.bool_]
    pulse_rows: NDArray[np.int64]
    pulses: NDArray[Any]
    found: FoundSigns | None = None


def joined_findings(ended: Sequence[EndedHops], leads: int, waves: int) -> FoundSigns:
    """Join what was measured of the same rows one after the other."""
    parts = [one.found for one in ended if one.found is not None]
    if len(parts) == 1:
        return parts[0]
    return FoundSigns(
        joined_signs([part.signs for part in parts], leads, waves),
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
    waves : int
        Pulse waves of each patient beside them.
    """

    def __init__(self, places: int, fs_hz: float, leads: int, waves: int = 0) -> None:
        self.leads, self.waves = leads, waves
        self.hop = round(HOP_S * fs_hz)
        self.width = round(WINDOW_S / HOP_S) * self.hop
        self.memory = ShapeMemory(places)
        self._cutter = ComplexCutter(fs_hz)
        self._bits = np.uint64(1) << np.arange(leads, dtype=np.uint64)

    def wait_for_hops(
        self, rows: NDArray[np.int64], beats: Beats, patients: Sequence[PatientSigns]
    ) -> None:
        """Let the complexes of beats that closed wait for their hops; `patients` are all rows."""
        # A beat is known behind sample `closed_sample`, or before it.
        due = np.maximum(beats.r_sample + self.hop, beats.closed_sample + 1)
        columns = (
            beats.r_sample, due, beats.rr_before_ms, beats.rr_after_ms, beats.quality,
            beats.lead_judgeable @ self._bits,
        )  # fmt: skip
        values = zip(*(column.tolist() for column in columns), strict=True)
        for row, one in zip(rows.tolist(), values, strict=True):
            patients[row].complexes.append(Complex(*one))

    def end_hops(
        self, seen: SeenSignal, rows: NDArray[np.int64], patients: Sequence[PatientSigns]
    ) -> EndedHops | None:
        """Return the hops of rows that ended within the samples just taken; then `measure` them.

        None where none did. Complexes that stand in them no longer wait; `patients` are all rows.
        """
        done = seen.starts[rows * self.leads] // self.hop
        counts = seen.stops[rows * self.leads] // self.hop - done
        n_hops = int(counts.sum())
        if not n_hops:
            return None
        numbers = np.arange(n_hops) - (counts.cumsum() - counts).repeat(counts)
        ends = (done.repeat(counts) + 1 + numbers) * self.hop
        rows = rows.repeat(counts)
        lines = rows[:, None] * self.leads + np.arange(self.leads)  # (hops, leads)
        windows = self._windows(seen, lines, ends)
        missing = self._missing(seen, lines, ends)
        shown = self._shown(rows, patients) if self.waves else []
        if missing is not None:
            told = self._are_told(seen, lines, ends, missing, shown)
            rows, ends, windows, missing = rows[told], ends[told], windows[told], missing[told]
            shown = [one for one, is_told in zip(shown, told, strict=bool(shown)) if is_told]
        complex_rows, complexes = _due(rows, ends, patients)
        pulses, pulse_rows = _pulses(rows, ends, shown)
        readable = np.array([[wave.readable for wave in one] for one in shown], np.bool_)
        where, of_lines, beats = self._cut(seen, complex_rows, complexes)
        return EndedHops(
            rows=rows,
            ends=ends,
            windows=windows,
            missing=missing,
            complex_rows=complex_rows,
            complexes=complexes,
            where=where,
            lines=of_lines,
            beats=beats,
            readable=readable.reshape(len(ends), self.waves),
            pulse_rows=pulse_rows,
            pulses=pulses,
        )

    def measure(self, ended: Sequence[EndedHops]) -> None:
        """Measure hops that ended, those of many patients together, in the order they ended in."""
        ended = [one for one in ended if one.found is None]
        if not ended:
            return
        windows = self._measured_windows(ended)
        shapes = self._measured_shapes(ended)
        hop = cut = 0
        for one in ended:
            next_hop, next_cut = hop + one.windows[..., 0].size, cut + len(one.complexes)
            one.found = FoundSigns(
                Signs(
                    one.ends,
                    windows[hop:next_hop].reshape(-1, self.leads),
                    one.complexes,
                    shapes[cut:next_cut],
                    one.readable,
                    one.pulses,
                ),
                one.rows,
                one.complex_rows,
                one.pulse_rows,
            )
            hop, cut = next_hop, next_cut
            one.windows, one.missing, one.beats = NOTHING, None, NOTHING

    def _measured_windows(self, ended: Sequence[EndedHops]) -> NDArray[Any]:
        """Measure windows, lead after lead in each hop: shape (hops * leads,), WINDOW_COLUMNS."""
        windows = _joined([one.windows.reshape(-1, self.width) for one in ended])
        holed, missing, first = [], [], 0
        for one in ended:
            n = one.windows[..., 0].size
            if one.missing is not None:
                rows = one.missing.reshape(-1, self.width)
                has_holes = rows.any(axis=1)
                holed.append(first + np.flatnonzero(has_holes))
                missing.append(rows[has_holes])
            first += n
        if not holed:
            return measure_rows(windows)
        measured = np.zeros(len(windows), WINDOW_COLUMNS)
        with_holes = np.concatenate(holed)
        whole = np.ones(len(windows), np.bool_)
        whole[with_holes] = False
        measured[whole] = measure_rows(windows[whole])
        measured[with_holes] = measure_rows(windows[with_holes], np.concatenate(missing))
        return measured

    def _measured_shapes(self, ended: Sequence[EndedHops]) -> NDArray[Any]:
        """Measure complexes in each lead: shape (c, leads); NaN where the signal is not whole."""
        counts = [len(one.complexes) * self.leads for one in ended]
        shapes = np.full((sum(counts), SHAPE_COLUMNS.itemsize // 4), np.nan, np.float32)
        measured: NDArray[Any] = shapes.view(SHAPE_COLUMNS)[:, 0]
        begins = np.cumsum([0, *counts[:-1]]).tolist()
        where = _joined([begin + one.where for begin, one in zip(begins, ended, strict=True)])
        lines, beats = _joined([one.lines for one in ended]), _joined([one.beats for one in ended])
        measured[where] = self.memory.measure(lines, beats)
        return measured.reshape(-1, self.leads)

    def _shown(
        self, rows: NDArray[np.int64], patients: Sequence[PatientSigns]
    ) -> list[tuple[PulseHop, ...]]:
        """Return what each hop's pulse waves showed."""
        return [
            of_waves
            for row in dict.fromkeys(rows.tolist())
            for of_waves in zip(*patients[row].ended_hops(), strict=True)
        ]

    def _windows(
        self, seen: SeenSignal, lines: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the signal of the hops' windows: shape (hops, leads, width)."""
        starts = ends[:, None] - self.width + seen.moved(lines)
        windows: NDArray[np.float32] = stretches_of(seen.history.signal, self.width)[starts]
        return windows

    def _missing(
        self, seen: SeenSignal, lines: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> NDArray[np.bool_] | None:
        """Return which of their samples are missing: shape (hops, leads, width); None for none."""
        if not (seen.lost[lines] >= ends[:, None] - self.width).any():
            return None
        starts = ends[:, None] - self.width + seen.moved(lines)
        missing: NDArray[np.bool_] = stretches_of(seen.history.missing, self.width)[starts]
        return missing

    def _are_told(
        self,
        seen: SeenSignal,
        lines: NDArray[np.int64],
        ends: NDArray[np.int64],
        missing: NDArray[np.bool_],
        shown: list[tuple[PulseHop, ...]],
    ) -> NDArray[np.bool_]:
        """Tell which hops are no later than ten seconds in a gap."""
        told: NDArray[np.bool_] = np.any(~missing.reshape(len(missing), -1), axis=1)
        if shown:
            told[[any(wave.is_there for wave in one) for one in shown]] = True
        untold = np.flatnonzero(~told)
        starts = ends[untold, None] - seen.history.keep + seen.moved(lines[untold])
        kept = stretches_of(seen.history.missing, seen.history.keep)[starts]  # (k, leads, keep)
        told[untold] = ~kept.all(axis=(1, 2))
        return told

    def _cut(
        self, seen: SeenSignal, rows: NDArray[np.int64], complexes: NDArray[Any]
    ) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.float32]]:
        """Cut complexes out of each lead where their signal is whole.

        Return which they are, lead after lead in each complex, their lines, and the complexes.
        """
        leads = self.leads
        lines = (rows[:, None] * leads + np.arange(leads)).reshape(-1)
        r_samples = complexes["r_sample"].repeat(leads)
        first = r_samples - self._cutter.before
        whole = first >= (complexes["end_sample"] - self.width).repeat(leads)
        moved = seen.moved(lines)
        for k in np.flatnonzero(whole & (seen.lost[lines] >= first)).tolist():
            start = int(first[k] + moved[k])
            stop = start + self._cutter.before + self._cutter.after
            whole[k] = not seen.history.missing[start:stop].any()
        where = np.flatnonzero(whole)
        beats = self._cutter.cut(seen.history.signal, (r_samples + moved)[where])
        return where, lines[where], beats


def _joined(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _due(
    rows: NDArray[np.int64], ends: NDArray[np.int64], patients: Sequence[PatientSigns]
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Take the complexes that stand in hops of rows: their rows, and COMPLEX_COLUMNS."""
    of_rows: list[int] = []
    due: list[tuple[int, int, float, float, int, int]] = []
    for row, end in zip(rows.tolist(), ends.tolist(), strict=True):
        waiting = patients[row].complexes
        if not waiting:
            continue
        ready = sorted(one for one in waiting if one.due <= end)
        if ready:
            patients[row].complexes = [one for one in waiting if one.due > end]
            of_rows += [row] * len(ready)
            due += [(end, one.r_sample, *one[2:]) for one in ready]
    return np.array(of_rows, np.int64), np.array(due, COMPLEX_COLUMNS)


def _pulses(
    rows: NDArray[np.int64], ends: NDArray[np.int64], shown: list[tuple[PulseHop, ...]]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the pulses that hops of rows showed, PULSE_COLUMNS, and their rows."""
    of_rows: list[int] = []
    pulses: list[tuple[int, int, int]] = []
    for row, end, waves in zip(rows.tolist(), ends.tolist(), shown, strict=bool(shown)):
        for number, wave in enumerate(waves):
            of_rows += [row] * len(wave.pulses)
            pulses += [(end, pulse, number) for pulse in wave.pulses]
    return np.array(pulses, PULSE_COLUMNS), np.array(of_rows, np.int64)


def _plain_complex(waiting: Complex) -> list[int | float | None]:
    """Return a complex that waits as plain JSON values."""
    return [None if isinstance(value, float) and value != value else value for value in waiting]


def _saved_complexes(plain: dict[str, Any], position: int, hop: int) -> list[Complex]:
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
