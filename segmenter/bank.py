"""Samples of many patients in, their beats out: the segmenter, a patient a row.

What is done with every sample is done for all leads of all rows at once (filter, envelope, peaks,
quality, cutting); what is done a few times a second is done lead by lead (`LeadDetector`) and row
by row (`JoinedLeads`, `Tracker`). One row gives to the bit what it gives among others, and any cut
of the same samples gives the same.

Arrays that hold a line for each lead of each row, one row's leads after the other, speak of lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import ceil, floor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmenter.beat import UNJUDGEABLE, Beats, BeatSpec, Quality, joined_beats
from segmenter.candidates import CandidateFinder, with_rows
from segmenter.cutter import MAX_WINDOW_S, Windows, resample, standardise
from segmenter.errors import InvalidSignal, InvalidState, OtherState, SegmenterError
from segmenter.gaps import Bridged, bridge
from segmenter.joined_leads import JoinedLeads
from segmenter.lead_detector import MAX_POSITION, LeadDetector
from segmenter.qrs import Decider, Durations
from segmenter.quality import is_lost, second_flags, window_flags
from segmenter.rates import check_rate
from segmenter.sign_finder import (
    NO_ROWS,
    EndedHops,
    FoundSigns,
    PatientSigns,
    SeenSignal,
    SignFinder,
    joined_findings,
)
from segmenter.signal_ring import SignalRing, stretches_of
from segmenter.state import Arrays, fill, listing, pack, real, unpack, whole
from segmenter.tracker import Closed, ClosedBeats, Findings, SignalEvent, Tracker

MAGIC = b"ecgseg04"
MAX_LEADS = 64  # more are no electrocardiogram of a patient
MAX_MV = 1e6  # what is larger is no electrocardiogram in any unit, and counts as missing
HISTORY_S = 10.0  # signal kept: the longest open window and the longest search-back
PIECE_S = 4.0  # longer chunks are taken in pieces: memory is bounded, and stays in the cache
# Over the lines: few take larger pieces, two leads the 30 s of a block at once. That halves the
# time, since most of what a small piece costs does not depend on its size.
FEW_LINES_S = 64.0
MOST_UNMEASURED_BYTES = 1 << 24  # of windows of a row's long chunk: 3,000 at 360 Hz
BLOCK = 256  # lines that are handled together at most: their arrays take a few MB
LEVEL_GAP_S = 0.1  # after a longer gap the signal's level is taken up anew
SLEEP_GAP_S = 2.0  # after a longer gap the detector starts anew

# Plain numbers: an IntFlag takes a microsecond to combine.
MISSING, TOO_LONG = int(Quality.MISSING), int(Quality.TOO_LONG)
UNUSABLE = int(Quality.FLAT | Quality.MISSING | Quality.TOO_LONG)
NO_VERDICT = int(UNJUDGEABLE)


@dataclass(frozen=True)
class BankSegmented:
    """What an update made known of all rows; in order for each of them.

    Attributes
    ----------
    beats : Beats
        Beats that closed.
    beat_rows : np.ndarray, shape (n,), int64
        The row of each.
    events : tuple of (int, SignalEvent)
        Row and event.
    r_samples, r_rows : np.ndarray, shape (m,), int64
        R peaks that became known; their beats follow when the next R peak is known.
    seconds, seconds_quality, second_rows : np.ndarray, shape (k,), int64, uint16 and int64
        Seconds (of round(fs_hz) samples, counted from 0) that ended, and their `Quality` flags:
        none if a lead can be read. Those inside a gap of all leads are left out after its first two
        seconds.
    found_signs : FoundSigns
        Hops that ended, with their complexes and pulses; none where signs are not measured.
    """

    beats: Beats
    beat_rows: NDArray[np.int64]
    events: tuple[tuple[int, SignalEvent], ...]
    r_samples: NDArray[np.int64]
    r_rows: NDArray[np.int64]
    seconds: NDArray[np.int64]
    seconds_quality: NDArray[np.uint16]
    second_rows: NDArray[np.int64]
    found_signs: FoundSigns


class SegmenterBank:
    """Find the beats of many patients' leads, of one sampling rate, as samples arrive.

    Parameters
    ----------
    rows : int
        Patients.
    fs_hz : float
        Sampling rate, 100 to 2000 Hz.
    spec : BeatSpec
        How beats are cut.
    leads : int
        Leads of each patient, 1 to 64.
    waves : int
        Pulse waves of each patient beside the leads, 0 to 64.
    measure_signs : bool
        Whether hops are measured, for named alarms; otherwise waves are not looked at.

    Raises
    ------
    InvalidSignal
        If the sampling rate is out of bounds, or there are no rows or no leads.

    Examples
    --------
    A patient with a peak every 0.8 s, and one whose lead is off.

    >>> import numpy as np
    >>> from segmenter import BeatSpec, SegmenterBank
    >>> t = np.arange(20 * 250) / 250.0
    >>> signal = np.exp(-0.5 * ((t % 0.8 - 0.4) / 0.012) ** 2)  # mV
    >>> bank = SegmenterBank(rows=2, fs_hz=250.0, spec=BeatSpec())
    >>> found = bank.update(np.stack([signal, np.zeros(len(t))])[:, None])  # (rows, leads, n)
    >>> found.beat_rows[:3].tolist(), found.beats.r_sample[:3].tolist()
    ([0, 0, 0], [100, 300, 500])
    >>> [(row, event.kind, event.state) for row, event in found.events]
    [(1, 'lead_off', 'onset')]
    """

    def __init__(
        self,
        rows: int,
        fs_hz: float,
        spec: BeatSpec,
        leads: int = 1,
        waves: int = 0,
        *,
        measure_signs: bool = False,
    ) -> None:
        check_rate(fs_hz)
        if rows < 1:
            raise InvalidSignal(f"refused: {rows} patients given; a bank needs at least one")
        if not 1 <= leads <= MAX_LEADS:
            raise InvalidSignal(
                f"refused: {leads} leads given; a patient has 1 to {MAX_LEADS} in a bank"
            )
        if not 0 <= waves <= MAX_LEADS:
            raise InvalidSignal(f"refused: {waves} pulse waves given; give 0 to {MAX_LEADS}")
        self.rows, self.leads, self.waves = rows, leads, waves
        self.fs_hz = float(fs_hz)
        self.spec = spec
        lines = rows * leads
        self._second = round(self.fs_hz)
        self._kept = round(HISTORY_S * self.fs_hz)
        self._history = SignalRing(lines, self._kept, self._piece_of(lines))
        self._sleep_gap = round(SLEEP_GAP_S * self.fs_hz) + 1
        self._positions = np.zeros(lines, np.int64)
        self._starts = np.zeros(lines, np.int64)  # up to where hops were ended
        self._gaps = np.full(lines, self._sleep_gap)  # missing samples up to now: not begun
        self._lost = np.full(lines, -1)  # the last sample that is missing
        self._levels = np.zeros(lines)  # subtracted before detection, so that gaps leave no steps
        self._finder = CandidateFinder(lines, self.fs_hz)
        self._timing = Durations.at(self.fs_hz)
        self._signs = SignFinder(lines, self.fs_hz, leads, waves) if measure_signs else None
        self._ended: list[EndedHops] = []
        self._patients: list[JoinedLeads] = []
        self._detectors: list[LeadDetector] = []  # of all lines
        self._shown: list[PatientSigns] = []  # what each row shows beside its beats
        self._of_leads = np.arange(leads)
        for _ in range(rows):
            self._append_patient()
        self._spoke: dict[int, None] = {}  # lines that have something to say, in order
        self._findings = Findings()
        self._parts: list[tuple[NDArray[np.int64], Beats]] = []

    @property
    def positions(self) -> NDArray[np.int64]:
        """Samples seen of each row's stream: shape (rows,)."""
        return self._positions[: self.rows * self.leads : self.leads].copy()

    @property
    def room(self) -> int:
        """Rows for which memory is held."""
        return len(self._positions) // self.leads

    def _append_patient(self) -> None:
        """Follow a further row, for which there is room."""
        patient = self._new_patient(len(self._patients))
        self._patients.append(patient)
        self._detectors += patient.leads
        self._shown.append(self._new_signs())

    def _new_patient(self, row: int) -> JoinedLeads:
        """Return what follows a row whose stream begins."""
        scale = self._finder.envelope.scale
        first = row * self.leads
        detectors = [
            LeadDetector(
                Decider(self._timing, scale, partial(self._finder.highest, line)),
                line - first,
                says_echoes=self.leads > 1,
            )
            for line in range(first, first + self.leads)
        ]
        return JoinedLeads(detectors, Tracker(row, self.fs_hz, self.spec.window, scale))

    def _new_signs(self) -> PatientSigns:
        return PatientSigns(self.fs_hz, 0 if self._signs is None else self.waves)

    def _piece_of(self, lines: int) -> int:
        """Return how many samples so many lines take at once."""
        return round(max(PIECE_S, FEW_LINES_S / lines) * self.fs_hz)

    def append_row(self) -> int:
        """Have a further row, whose stream begins; return its number.

        Where there is no room for it, that is doubled.
        """
        if self.rows == self.room:
            lines = 2 * len(self._positions)
            new = slice(len(self._positions), None)
            self._history = self._history.moved_to(lines, self._piece_of(lines))
            self._finder.make_room(lines)
            if self._signs is not None:
                self._signs.memory = self._signs.memory.moved_to(lines)
            self._positions = with_rows(self._positions, lines)
            self._starts = with_rows(self._starts, lines)
            self._levels = with_rows(self._levels, lines)
            self._gaps, self._lost = with_rows(self._gaps, lines), with_rows(self._lost, lines)
            self._gaps[new], self._lost[new] = self._sleep_gap, -1
        self._append_patient()
        self.rows += 1
        return self.rows - 1

    def renew(self, row: int) -> None:
        """Let a row be as one whose stream begins."""
        lines = self._lines(row)
        self._positions[lines] = self._starts[lines] = 0
        self._gaps[lines], self._lost[lines], self._levels[lines] = self._sleep_gap, -1, 0.0
        for line in range(lines.start, lines.stop):
            self._finder.forget(line)
            self._history.forget(line)
            if self._signs is not None:
                self._signs.memory.forget(line)
        self._patients[row] = self._new_patient(row)
        self._detectors[lines] = self._patients[row].leads
        self._shown[row] = self._new_signs()

    def update(self, chunk: ArrayLike) -> BankSegmented:
        """Take the next samples of all rows; return what became known.

        Parameters
        ----------
        chunk : np.ndarray, shape (rows, leads + waves, n), real
            ECG in millivolts at fs_hz, then pulse waves in any unit, continuing the previous chunk;
            NaN, infinity and what exceeds a million is missing. Used with single precision.

        Raises
        ------
        InvalidSignal
            If the chunk has not as many rows, leads and waves, or is not of real numbers.
        """
        return self.update_rows([(np.arange(self.rows), chunk)])

    def update_rows(self, blocks: Sequence[tuple[NDArray[np.int64], ArrayLike]]) -> BankSegmented:
        """Take the next samples of some rows, blocks of different lengths; each row at most once.

        Parameters
        ----------
        blocks : sequence of (np.ndarray, array_like)
            Rows, shape (k,), and their chunk, as `update` takes it.
        """
        taken = [(rows, self._checked(chunk, len(rows))) for rows, chunk in blocks]
        for rows, samples in taken:
            for some, of_some in _in_blocks(rows, samples, self.leads):
                self._take_pieces(some, of_some)
        self._settle(np.concatenate([NO_ROWS, *(rows for rows, _ in blocks)]))
        return self._collect()

    def _checked(self, chunk: ArrayLike, rows: int) -> NDArray[Any]:
        """Return samples of so many rows; InvalidSignal if they cannot be that."""
        samples = np.asarray(chunk)
        if (
            samples.ndim != 3
            or samples.shape[:2] != (rows, self.leads + self.waves)
            or samples.dtype.kind not in "fiu"
        ):
            raise InvalidSignal(
                f"a chunk must be real numbers of shape ({rows}, {self.leads + self.waves}, "
                f"n), in millivolts, not {samples.dtype} of shape {samples.shape}"
            )
        if samples.dtype.kind != "f" or samples.dtype.itemsize < 4:
            # Neither the least whole number nor a half-precision infinity has a magnitude.
            samples = samples.astype(np.float64)
        return samples

    def _take_pieces(self, rows: NDArray[np.int64], samples: NDArray[Any]) -> None:
        """Take samples of rows; the last piece is then to be settled."""
        lines, n = self._lines_of(rows), samples.shape[2]
        leads = samples[:, : self.leads].reshape(len(lines), n)
        size = min(self._piece_of(len(lines)), self._history.room)
        for start in range(0, n, size):
            if start:
                self._settle(rows)
            piece = slice(start, start + size)
            self._take_waves(rows, samples[:, self.leads :, piece])
            self._take(lines, leads[:, piece])

    def _lines_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.leads == 1:
            return rows
        lines: NDArray[np.int64] = (rows[:, None] * self.leads + self._of_leads).reshape(-1)
        return lines

    def gap(self, n_samples: int, rows: NDArray[np.int64] | None = None) -> BankSegmented:
        """Take missing samples of all rows, or some: n NaN each, in bounded time and memory."""
        if n_samples < 0:
            raise InvalidSignal(f"refused: a gap of {n_samples} samples; give 0 or more")
        rows = np.arange(self.rows) if rows is None else rows
        lines = self._lines_of(rows)
        if int(self._positions[lines].max(initial=0)) + n_samples > MAX_POSITION:
            raise InvalidSignal(
                f"a gap of {n_samples} samples would end after sample {MAX_POSITION}, the last "
                "that can be counted"
            )
        # Until every row sleeps, and then so many that nothing else is left of the signal.
        fed = min(n_samples, self._sleep_gap + self._kept)
        # A view of one NaN: it takes no memory.
        hole = np.broadcast_to(np.float32(np.nan), (len(rows), self.leads + self.waves, fed))
        for some, of_some in _in_blocks(rows, hole, self.leads):
            self._take_pieces(some, of_some)
        self._settle(rows)
        if n_samples > fed:
            n = n_samples - fed
            for row in rows.tolist():
                self._patients[row].skip(self.position(row), n, self._findings)
                self._shown[row].skip(n)
            self._positions[lines] += n
            self._starts[lines] += n
            self._gaps[lines] += n
            self._lost[lines] = self._positions[lines] - 1
        return self._collect()

    def position(self, row: int) -> int:
        """Return how many samples of a row's stream were seen."""
        position: int = self._positions.item(row * self.leads)
        return position

    def latest(self, row: int) -> NDArray[np.float32]:
        """Return the newest ten seconds of a row's leads in mV: shape (leads, n); NaN is missing.

        They are fewer where the stream began later.
        """
        n = min(self._kept, self.position(row))
        latest = np.empty((self.leads, n), np.float32)
        lines = self._lines(row)
        for of_lead, line in zip(latest, range(lines.start, lines.stop), strict=True):
            signal, missing = self._history.latest(line)
            of_lead[...] = signal[self._kept - n :]
            of_lead[missing[self._kept - n :]] = np.nan
        return latest

    def flush(self, rows: NDArray[np.int64] | None = None) -> BankSegmented:
        """End the streams of all rows, or some.

        The last beats have no next one: `rr_after_ms` is NaN. Each is cut as if the next R peak
        were as far away as the one before; it is dropped where that window is not complete.
        """
        for row in range(self.rows) if rows is None else rows.tolist():
            self._patients[row].flush(self.position(row), self._findings)
        self._cut_closed()
        return self._collect()

    def to_bytes(self, row: int) -> bytes:
        """Return the whole state of a row; `restore` goes on from it as if nothing had happened."""
        lines = self._lines(row)
        plain = {
            "fs_hz": self.fs_hz,
            "spec": self.spec.to_mapping(),
            "n_leads": self.leads,
            "position": int(self._positions[lines.start]),
            "gaps": self._gaps[lines].tolist(),
            "levels": self._levels[lines].tolist(),
            "n_waves": self.waves,
            "signs": None,
            **self._patients[row].to_plain(),
        }
        arrays = self._all_arrays(row)
        if self._signs is not None:
            plain["signs"], of_waves = self._shown[row].lift()
            arrays |= of_waves
        return pack(MAGIC, plain, arrays)

    def restore(self, row: int, state: bytes) -> None:
        """Let a row go on from a state that `to_bytes` gave, of any bank like this one.

        Raises
        ------
        InvalidState
            If the bytes are damaged, of another program or version, or out of bounds; OtherState
            if they are of another rate, spec or number of leads. The row is then as a new one.
        """
        try:
            self._restore(row, *unpack(MAGIC, state))
        except InvalidState:
            self.renew(row)
            raise

    def _restore(self, row: int, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        saved = saved_form(plain)
        if saved != SavedForm(self.fs_hz, self.spec, self.leads, self.waves, saved.measure_signs):
            raise OtherState(
                f"saved state: it belongs to {saved.leads} leads and {saved.waves} waves at "
                f"{saved.fs_hz:g} Hz and {saved.spec}, not to this bank; make a bank like it"
            )
        leads, has_signs = self.leads, saved.measure_signs
        for name, target in self._all_arrays(row, with_signs=has_signs).items():
            fill(target, arrays, name)
        lines = self._lines(row)
        position = whole(plain, "position", 0, MAX_POSITION)
        gaps, levels = listing(plain, "gaps", leads), listing(plain, "levels", leads)
        if not len(gaps) == len(levels) == leads:
            raise InvalidState("saved state: gaps and levels are not one of each lead")
        for k, line in enumerate(range(lines.start, lines.stop)):
            self._positions[line] = position
            self._gaps[line] = whole({"gap": gaps[k]}, "gap", 0, MAX_POSITION)
            lost = np.flatnonzero(self._kept_signal(line)["missing"])
            self._lost[line] = position - self._kept + lost[-1] if len(lost) else -1
            self._levels[line] = real({"level": levels[k]}, "level")
        self._starts[lines] = position
        patient = self._patients[row]
        patient.restore(plain, position)
        if self._signs is not None:
            self._restore_signs(row, plain["signs"] if has_signs else None, arrays, position)
        for lead, gap in zip(patient.leads, self._gaps[lines].tolist(), strict=True):
            if gap < self._sleep_gap and lead.decider.attempt < position:
                raise InvalidState("saved state: the detector lags behind the signal")

    def _restore_signs(self, row: int, plain: object, arrays: Arrays, position: int) -> None:
        """Let signs go on, or begin anew where they were not measured when the state was saved."""
        assert self._signs is not None
        memory, lines = self._signs.memory, self._lines(row)
        signs = self._shown[row] = self._new_signs()
        if plain is None:
            for line in range(lines.start, lines.stop):
                memory.forget(line)
            signs.skip(position)
            return
        for line in range(lines.start, lines.stop):
            memory.check(line)
        signs.restore(plain, arrays, position, self._signs.hop)

    def _lines(self, row: int) -> slice:
        return slice(row * self.leads, (row + 1) * self.leads)

    def _all_arrays(self, row: int, *, with_signs: bool = True) -> dict[str, NDArray[Any]]:
        """Return views of all arrays of a row, by their names in its state."""
        lines = self._lines(row)
        arrays: dict[str, NDArray[Any]] = {}
        for lead, line in enumerate(range(lines.start, lines.stop)):
            of_line = {**self._kept_signal(line), **self._arrays(line)}
            if self._signs is not None and with_signs:
                of_line |= self._signs.memory.arrays(line)
            arrays |= {f"{name}{lead}": array for name, array in of_line.items()}
        return arrays

    def _kept_signal(self, line: int) -> dict[str, NDArray[Any]]:
        """Return views of a line's signal."""
        signal, missing = self._history.latest(line)
        return {"signal": signal, "missing": missing}

    def _arrays(self, line: int) -> dict[str, NDArray[Any]]:
        """Return views of a line's other arrays."""
        finder = self._finder
        return {
            "filter": finder.band_pass.state[line],
            "envelope": finder.envelope.tail[line],
            "heights": finder.heights[line],
            "total": finder.total[line],
            "near": finder.signal[line],
        }

    def _take_waves(self, rows: NDArray[np.int64], samples: NDArray[Any]) -> None:
        """Take a piece of the pulse waves of rows, shape (k, waves, n)."""
        if self._signs is None or not self.waves:
            return
        there = np.abs(samples) <= MAX_MV  # NaN is not
        waves = np.where(there, samples, np.nan).astype(np.float32)
        for row, of_row in zip(rows.tolist(), waves, strict=True):
            self._shown[row].take_waves(of_row)

    def _take(self, lines: NDArray[np.int64], samples: NDArray[Any]) -> None:
        """Take a piece of lines, shape (k, n)."""
        begins = self._positions[lines]
        self._positions[lines] = begins + samples.shape[1]
        magnitudes, gaps = np.abs(samples), self._gaps[lines]
        if magnitudes.max(initial=0) <= MAX_MV and not gaps.any():  # NaN is not
            self._take_whole(lines, samples, begins)
            return
        present = magnitudes <= MAX_MV
        gappy = ~present.all(axis=1) | (gaps > 0)
        if not gappy.all():
            self._take_whole(lines[~gappy], samples[~gappy], begins[~gappy])
        self._take_with_gaps(lines[gappy], samples[gappy], present[gappy], begins[gappy])

    def _take_whole(
        self, lines: NDArray[np.int64], samples: NDArray[Any], begins: NDArray[np.int64]
    ) -> None:
        """Take lines of which nothing is missing."""
        held = samples.astype(np.float32, copy=False)
        self._history.append(lines, held)
        self._detect(lines, held - self._levels[lines, None], begins)

    def _settle(self, rows: NDArray[np.int64]) -> None:
        """Join what the leads of rows said of what was taken, cut beats and end hops."""
        spoke, self._spoke = self._spoke, {}
        if self.leads == 1:
            for row in spoke:
                self._patients[row].update_one(self._findings)
        else:
            with_news = {line // self.leads for line in spoke}
            for row in rows.tolist():
                patient, position = self._patients[row], self.position(row)
                assert patient.joiner is not None
                if row in with_news or patient.joiner.due < position:
                    patient.update(position, self._findings)
        self._cut_closed()
        if self._signs is not None:
            self._end_hops(self._signs, rows)

    def _end_hops(self, signs: SignFinder, rows: NDArray[np.int64]) -> None:
        """End the hops of rows in what was taken, to be measured together."""
        seen = SeenSignal(self._history, self._starts, self._positions, self._lost)
        ended = signs.end_hops(seen, rows, self._shown)
        lines = self._lines_of(rows)
        self._starts[lines] = self._positions[lines]
        if ended is not None:
            self._ended.append(ended)
            if sum(one.windows.nbytes for one in self._ended) > MOST_UNMEASURED_BYTES:
                signs.measure(self._ended)

    def _take_with_gaps(
        self,
        lines: NDArray[np.int64],
        samples: NDArray[Any],
        present: NDArray[np.bool_],
        begins: NDArray[np.int64],
    ) -> None:
        """Take lines with gaps: fill these with the value before, and sleep in the long ones."""
        n = samples.shape[1]
        last_held = self._history.signal[self._history.ends[lines] - 1][:, None]
        past = Bridged(last_held, self._levels[lines, None], self._gaps[lines, None])
        level_gap = LEVEL_GAP_S * self.fs_hz
        held, levels, gaps = bridge(samples, present, past, level_gap, self._sleep_gap)
        self._history.append(lines, held, ~present)
        self._levels[lines], self._gaps[lines] = levels[:, -1], gaps[:, -1]
        lost = np.where(present, -1, np.arange(n)).max(axis=1)  # the last one of the piece
        self._lost[lines] = np.where(lost < 0, self._lost[lines], begins + lost)

        asleep = gaps >= self._sleep_gap
        awake = np.flatnonzero(~asleep.any(axis=1))
        if len(awake):
            self._detect(lines[awake], held[awake] - levels[awake], begins[awake])
        for k in np.flatnonzero(asleep.any(axis=1)).tolist():
            line, begin = int(lines[k]), int(begins[k])
            changes = np.flatnonzero(asleep[k, 1:] != asleep[k, :-1])
            for start, stop in pairwise([0, *changes.tolist(), n]):
                if stop == start:
                    continue
                if asleep[k, start + 1]:
                    falls_asleep = start > 0 or not asleep[k, 0]
                    self._sleep(line, begin + start, stop - start, falls_asleep=falls_asleep)
                    continue
                if asleep[k, start]:
                    self._wake(line, begin + start, float(held[k, start]))
                piece = held[k : k + 1, start:stop] - levels[k : k + 1, start:stop]
                self._detect(lines[k : k + 1], piece, begins[k : k + 1] + start)

    def _sleep(self, line: int, position: int, n: int, *, falls_asleep: bool) -> None:
        self._detectors[line].sleep(position, n, falls_asleep=falls_asleep)
        self._spoke[line] = None
        self._finder.sleep(line)

    def _wake(self, line: int, position: int, value: float) -> None:
        self._finder.wake(line, value)
        self._detectors[line].wake(position)

    def _detect(
        self, lines: NDArray[np.int64], chunk: NDArray[np.float64], begins: NDArray[np.int64]
    ) -> None:
        """Take samples of lines that are awake; each one's first is at `begins` of its stream."""
        n, of_lines = chunk.shape[1], begins.tolist()
        found = self._finder.update(chunk, lines, of_lines)
        seconds = self._ended_seconds(lines, begins, n)
        for k, (line, begin) in enumerate(zip(lines.tolist(), of_lines, strict=True)):
            lead, position = self._detectors[line], begin + n
            if found[k] or k in seconds or lead.decider.due < position:
                lead.update(found[k], seconds.get(k, ()), position)
                if lead.said:
                    self._spoke[line] = None

    def _ended_seconds(
        self, lines: NDArray[np.int64], begins: NDArray[np.int64], n: int
    ) -> dict[int, list[tuple[int, int]]]:
        """Return the ends of lines' seconds within (begin, begin + n], and their flags."""
        second = self._second
        before = begins // second
        counts = (begins + n) // second - before
        which = np.arange(len(lines)).repeat(counts)
        if not len(which):
            return {}
        numbers = np.arange(len(which)) - (counts.cumsum() - counts)[which]
        ends = (before[which] + numbers + 1) * second
        lines = lines[which]
        starts = ends - second + self._moved(lines)
        flags = second_flags(stretches_of(self._history.signal, second)[starts])
        for k in np.flatnonzero(self._lost[lines] >= ends - second).tolist():
            if is_lost(self._history.missing[starts[k] : starts[k] + second]):
                flags[k] = MISSING
        seconds: dict[int, list[tuple[int, int]]] = {}
        for k, end, flag in zip(which.tolist(), ends.tolist(), flags, strict=True):
            seconds.setdefault(k, []).append((end, flag))
        return seconds

    def _cut_closed(self) -> None:
        """Cut the beats that closed, while their signal is at hand."""
        findings = self._findings
        closed, findings.closed = findings.closed, []
        lead_flags, findings.lead_flags = findings.lead_flags, []
        if closed:
            rows, beats = self._cut(closed, np.array(lead_flags, np.int64))
            self._parts.append((rows, beats))
            if self._signs is not None:
                self._signs.wait_for_hops(rows, beats, self._shown)

    def _cut(
        self, closed: list[Closed], lead_flags: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], Beats]:
        """Return rows and beats; `lead_flags` are those of the detectors, shape (n, leads)."""
        # Whole numbers among them are below 2^53.
        known = ClosedBeats(*np.array(closed, np.float64).T)
        rows, r_samples = known.row.astype(np.int64), known.r_sample.astype(np.int64)
        n, leads = lead_flags.shape
        if leads == 1:
            lines, of_lines = rows, known
        else:
            lines = self._lines_of(rows)
            of_lines = ClosedBeats(*[column.repeat(leads) for column in known])
        own = lead_flags.reshape(-1) | self._window_flags(of_lines, lines)
        usable = np.flatnonzero((own & UNUSABLE) == 0)
        values = np.zeros((n * leads, self.spec.length), np.float32)
        if len(usable):
            windows = self._windows(of_lines, lines).rows(usable)
            read = resample(self._history.signal, windows, self.spec.length)
            flags = np.array(window_flags(read), np.int64)
            own[usable] |= flags
            fit = (flags & UNUSABLE) == 0
            values[usable[fit]] = standardise(read)[fit]
        lead_quality = own.reshape(n, leads)
        to_ms = 1e3 / self.fs_hz
        return rows, Beats(
            r_sample=r_samples,
            rr_before_ms=((known.r_sample - known.previous_r) * to_ms).astype(np.float32),
            rr_after_ms=((known.next_r - known.r_sample) * to_ms).astype(np.float32),
            quality=(known.quality.astype(np.int64) | of_all_leads(lead_quality)).astype(np.uint16),
            delay_ms=((known.known - known.r_sample) * to_ms).astype(np.float32),
            closed_sample=known.seen.astype(np.int64),
            values=values.reshape(n, leads, -1),
            lead_quality=lead_quality.astype(np.uint16),
        )

    def _moved(self, lines: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what leads from samples of lines' streams to indices of the history."""
        moved: NDArray[np.int64] = self._history.ends[lines] - self._positions[lines]
        return moved

    def _window_flags(self, beats: ClosedBeats, lines: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the flags that windows have before their signal is looked at: of beats in lines.

        They are MISSING and TOO_LONG, shape (k,).
        """
        span = beats.stop - beats.start
        too_long = (span > MAX_WINDOW_S * self.fs_hz) | (span <= 0)
        too_long |= beats.seen - beats.start > self._kept
        # Their end was not good enough to wait for.
        missing = beats.stop > beats.seen
        near_lost = (self._lost[lines] >= beats.start - 1) & ~(too_long | missing)
        if near_lost.any():
            moved = self._moved(lines)
            for k in np.flatnonzero(near_lost).tolist():
                window = slice(floor(beats.start[k]) + moved[k], ceil(beats.stop[k]) + moved[k])
                missing[k] = self._history.missing[window].any()
        flags: NDArray[np.int64] = beats.quality.astype(np.int64) & TOO_LONG
        flags |= np.where(too_long, TOO_LONG, MISSING * missing)
        return flags

    def _windows(self, beats: ClosedBeats, lines: NDArray[np.int64]) -> Windows:
        seen = beats.seen.astype(np.int64)
        readable = seen - self._kept, seen - 1
        return Windows.at(beats.start, beats.stop, self.spec.length, self._moved(lines), readable)

    def _collect(self) -> BankSegmented:
        """Measure the hops that ended; return all that became known."""
        found, self._findings = self._findings, Findings()
        parts, self._parts = self._parts, []
        ended, self._ended = self._ended, []
        if self._signs is not None:
            self._signs.measure(ended)
        rows = [of_beats for of_beats, _ in parts]
        return BankSegmented(
            beats=joined_beats([beats for _, beats in parts], self.spec.length, self.leads),
            beat_rows=rows[0] if len(rows) == 1 else np.concatenate([NO_ROWS, *rows]),
            events=tuple(found.events),
            r_samples=np.array(found.r_samples, np.int64),
            r_rows=np.array(found.r_rows, np.int64),
            seconds=np.array(found.seconds, np.int64),
            seconds_quality=np.array(found.seconds_quality, np.uint16),
            second_rows=np.array(found.second_rows, np.int64),
            found_signs=joined_findings(ended, self.leads, self.waves),
        )


def _in_blocks(
    rows: NDArray[np.int64], samples: NDArray[Any], leads: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Divide rows and their samples into parts of at most `BLOCK` lines."""
    most = max(1, BLOCK // leads)
    for start in range(0, len(rows), most):
        yield rows[start : start + most], samples[start : start + most]


def of_all_leads(lead_quality: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what keeps every lead of a beat from a verdict: shape (n, leads) to (n,).

    Where a lead is fit for one, only the flags that all of them have are left.
    """
    if lead_quality.shape[1] == 1:
        return lead_quality[:, 0]
    fit = ((lead_quality & NO_VERDICT) == 0).any(axis=1)
    common: NDArray[np.int64] = np.bitwise_and.reduce(lead_quality, axis=1)
    any_of_them: NDArray[np.int64] = np.bitwise_or.reduce(lead_quality, axis=1)
    return np.where(fit, common, any_of_them)


class SavedForm(NamedTuple):
    """What a saved state is of."""

    fs_hz: float
    spec: BeatSpec
    leads: int
    waves: int
    measure_signs: bool


def saved_form(plain: dict[str, Any]) -> SavedForm:
    """Return what a saved state is of; InvalidState if it does not say."""
    try:
        return SavedForm(
            real(plain, "fs_hz"),
            BeatSpec.from_mapping(plain["spec"]),
            whole(plain, "n_leads", 1, MAX_LEADS),
            whole(plain, "n_waves", 0, MAX_LEADS),
            plain.get("signs") is not None,
        )
    except (KeyError, TypeError, SegmenterError) as error:
        raise InvalidState(f"saved state: {error}") from error
