"""Samples of many patients in, their beats out: the segmenter, a patient a row.

What is done with every sample is done for all leads of all rows at once (filter, envelope, peaks,
quality, cutting); what is done a few times a second is done lead by lead (`LeadDetector`) and row
by row (`JoinedLeads`, `Tracker`). One row gives to the bit what it gives among others, and any cut
of the same samples gives the same.

Arrays that hold a line for each lead of each row, one row's leads after the other, speak of lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import ceil, floor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmenter.beat import UNJUDGEABLE, Beats, BeatSpec, Quality, joined_beats
from segmenter.candidates import CandidateFinder
from segmenter.cutter import MAX_WINDOW_S, Windows, resample, standardise
from segmenter.errors import InvalidSignal, InvalidState, OtherState, SegmenterError
from segmenter.filters import Rows
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
from segmenter.signal_ring import SignalRing
from segmenter.state import Arrays, fill, listing, pack, real, unpack, whole
from segmenter.tracker import Closed, ClosedBeats, Findings, SignalEvent, Tracker

MAGIC = b"ecgseg04"
MAX_LEADS = 64  # more are no electrocardiogram of a patient
MAX_MV = 1e6  # what is larger is no electrocardiogram in any unit, and counts as missing
HISTORY_S = 10.0  # signal kept: the longest open window and the longest search-back
PIECE_S = 4.0  # longer chunks are taken in pieces: memory is bounded, and stays in the cache
FEW_LINES_S = 32.0  # over the lines: one alone takes pieces as large as 8 together, at half the
# time, since most of what a small piece costs does not depend on its size
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
    ended : tuple of EndedHops
        Hops that ended; none where signs are not measured.
    waves : int
        Pulse waves of each row.
    """

    beats: Beats
    beat_rows: NDArray[np.int64]
    events: tuple[tuple[int, SignalEvent], ...]
    r_samples: NDArray[np.int64]
    r_rows: NDArray[np.int64]
    seconds: NDArray[np.int64]
    seconds_quality: NDArray[np.uint16]
    second_rows: NDArray[np.int64]
    ended: tuple[EndedHops, ...]
    waves: int

    @property
    def found_signs(self) -> FoundSigns:
        """Hops that ended, with their complexes and pulses, once they are measured."""
        return joined_findings(self.ended, self.beats.values.shape[1], self.waves)


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
        self._piece = self._piece_of(lines)
        self._history = SignalRing(lines, self._kept, self._piece)
        self._places = list(range(lines))  # of the lines in the history
        self._in_second = np.arange(self._second)
        self._sleep_gap = round(SLEEP_GAP_S * self.fs_hz) + 1
        self._positions = np.zeros(lines, np.int64)
        self._starts = self._positions  # where the piece began that is being taken
        self._gaps = np.full(lines, self._sleep_gap)  # missing samples up to now: not begun
        self._gappy = True  # some of them are not 0
        self._lost = np.full(lines, -1)  # the last sample that is missing
        self._levels = np.zeros(lines)  # subtracted before detection, so that gaps leave no steps
        self._finder = CandidateFinder(lines, self.fs_hz, self._piece)
        self._timing = Durations.at(self.fs_hz)
        self._signs = SignFinder(lines, self.fs_hz, leads, waves) if measure_signs else None
        self._ended: list[EndedHops] = []
        self._patients = [self.new_patient(row) for row in range(rows)]
        self._detectors = [lead for patient in self._patients for lead in patient.leads]
        self._findings = Findings()
        self._parts: list[tuple[NDArray[np.int64], Beats]] = []

    @property
    def positions(self) -> NDArray[np.int64]:
        """Samples seen of each row's stream: shape (rows,)."""
        return self._positions[:: self.leads].copy()

    def _positions_of_rows(self) -> list[int]:
        positions: list[int] = self._positions[:: self.leads].tolist()
        return positions

    def new_patient(self, row: int = 0) -> JoinedLeads:
        """Return what follows a row whose stream begins."""
        scale = self._finder.envelope.scale
        first = row * self.leads
        detectors = [
            LeadDetector(
                Decider(self._timing, scale, partial(self._finder.highest, line)),
                says_echoes=self.leads > 1,
            )
            for line in range(first, first + self.leads)
        ]
        signs = PatientSigns(self.fs_hz, 0 if self._signs is None else self.waves)
        return JoinedLeads(detectors, Tracker(row, self.fs_hz, self.spec.window, scale), signs)

    def _piece_of(self, lines: int) -> int:
        """Return how many samples so many lines take at once."""
        return round(max(PIECE_S, FEW_LINES_S / lines) * self.fs_hz)

    def lift(self) -> tuple[dict[str, NDArray[Any]], list[JoinedLeads]]:
        """Return what is known of the rows: views of arrays, shape (lines, ...), and patients.

        `lay` goes on from it, in any order and any choice of the rows. Their signal stays at its
        places, of which `make_room` makes more, and `forget` one as new.
        """
        arrays = self._arrays(slice(None))
        arrays["positions"], arrays["gaps"] = self._positions, self._gaps
        arrays["lost"], arrays["levels"] = self._lost, self._levels
        return arrays, self._patients

    def lay(
        self, arrays: dict[str, NDArray[Any]], patients: list[JoinedLeads], places: list[int]
    ) -> None:
        """Have other rows, as `lift` gave them; the arrays become the bank's own.

        `places` are those of the lines' signals, one each.
        """
        self.rows = len(patients)
        self._piece = min(self._piece_of(len(places)), self._history.room)
        self._positions, self._gaps = arrays["positions"], arrays["gaps"]
        self._lost, self._levels = arrays["lost"], arrays["levels"]
        self._starts = self._positions
        self._gappy = bool(self._gaps.any())
        self._finder.lay(arrays, self._piece)
        self._patients, self._places = patients, places
        highest = self._finder.highest
        detectors: list[LeadDetector] = []
        for row, patient in enumerate(patients):
            patient.tracker.row = row
            for lead in patient.leads:
                lead.decider.highest = partial(highest, len(detectors))
                detectors.append(lead)
        self._detectors = detectors

    def make_room(self, places: int) -> None:
        """Have room for the signals of so many lines, at least as many as before."""
        self._history = self._history.moved_to(places, self._piece_of(places))
        if self._signs is not None:
            self._signs.memory = self._signs.memory.moved_to(places)
        self._piece = min(self._piece, self._history.room)  # of the more, each has less

    def forget(self, place: int) -> None:
        """Let a place be as that of a row that begins."""
        self._history.forget(place)
        if self._signs is not None:
            self._signs.memory.forget(place)

    def update(self, chunk: ArrayLike, *, measure: bool = True) -> BankSegmented:
        """Take the next samples of all rows; return what became known.

        Parameters
        ----------
        chunk : np.ndarray, shape (rows, leads + waves, n), real
            ECG in millivolts at fs_hz, then pulse waves in any unit, continuing the previous chunk;
            NaN, infinity and what exceeds a million is missing. Used with single precision.
        measure : bool
            Whether to measure the hops that ended. Otherwise `measure` has to be called with them
            before anything but another update.

        Raises
        ------
        InvalidSignal
            If the chunk has not as many rows, leads and waves, or is not of real numbers.
        """
        samples = np.asarray(chunk)
        if (
            samples.ndim != 3
            or samples.shape[:2] != (self.rows, self.leads + self.waves)
            or samples.dtype.kind not in "fiu"
        ):
            raise InvalidSignal(
                f"a chunk must be real numbers of shape ({self.rows}, {self.leads + self.waves}, "
                f"n), in millivolts, not {samples.dtype} of shape {samples.shape}"
            )
        if samples.dtype.kind != "f" or samples.dtype.itemsize < 4:
            # Neither the least whole number nor a half-precision infinity has a magnitude.
            samples = samples.astype(np.float64)
        n = samples.shape[2]
        leads = samples[:, : self.leads].reshape(self.rows * self.leads, n)
        for start in range(0, n, self._piece):
            piece = slice(start, start + self._piece)
            self._take_waves(samples[:, self.leads :, piece])
            self._take(leads[:, piece])
        return self._collect(measure=measure)

    def measure(self, found: Iterable[BankSegmented]) -> None:
        """Measure the hops of some updates together, in the order in which these came."""
        if self._signs is not None:
            self._signs.measure([ended for one in found for ended in one.ended])

    def gap(self, n_samples: int) -> BankSegmented:
        """Take missing samples of all rows: n NaN each, in bounded time and memory."""
        if n_samples < 0:
            raise InvalidSignal(f"refused: a gap of {n_samples} samples; give 0 or more")
        if int(self._positions.max()) + n_samples > MAX_POSITION:
            raise InvalidSignal(
                f"a gap of {n_samples} samples would end after sample {MAX_POSITION}, the last "
                "that can be counted"
            )
        # Until every row sleeps, and then so many that nothing else is left of the signal.
        fed = min(n_samples, self._sleep_gap + self._kept)
        for start in range(0, fed, self._piece):
            n_nan = min(self._piece, fed - start)
            self._take_waves(np.full((self.rows, self.waves, n_nan), np.nan))
            self._take(np.full((len(self._places), n_nan), np.nan))
        if n_samples > fed:
            n = n_samples - fed
            for patient, position in zip(self._patients, self._positions_of_rows(), strict=True):
                patient.skip(position, n, self._findings)
                patient.signs.skip(n)
            self._positions = self._positions + n
            self._gaps += n
            self._lost = self._positions - 1
        return self._collect()

    def flush(self) -> BankSegmented:
        """End the streams. The last beats have no next one: `rr_after_ms` is NaN.

        Each is cut as if the next R peak were as far away as the one before; it is dropped where
        that window is not complete.
        """
        for patient, position in zip(self._patients, self._positions_of_rows(), strict=True):
            patient.flush(position, self._findings)
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
            plain["signs"], of_waves = self._patients[row].signs.lift()
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
            measures = self._signs is not None
            new = SegmenterBank(
                1, self.fs_hz, self.spec, self.leads, self.waves, measure_signs=measures
            )
            self._restore(row, *unpack(MAGIC, new.to_bytes(0)))
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
        self._gappy = bool(self._gaps.any())
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
        memory, places = self._signs.memory, self._places[self._lines(row)]
        signs = self._patients[row].signs = PatientSigns(self.fs_hz, self.waves)
        if plain is None:
            for place in places:
                memory.forget(place)
            signs.skip(position)
            return
        for place in places:
            memory.check(place)
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
                of_line |= self._signs.memory.arrays(self._places[line])
            arrays |= {f"{name}{lead}": array for name, array in of_line.items()}
        return arrays

    def _kept_signal(self, line: int) -> dict[str, NDArray[Any]]:
        """Return views of a line's signal."""
        signal, missing = self._history.latest(self._places[line])
        return {"signal": signal, "missing": missing}

    def _arrays(self, line: int | slice) -> dict[str, NDArray[Any]]:
        """Return views of a line's other arrays, or of some lines'."""
        finder = self._finder
        return {
            "filter": finder.band_pass.state[line],
            "envelope": finder.envelope.tail[line],
            "heights": finder.heights.latest(line),
            "total": finder.total[line],
            "near": finder.signal.latest(line),
        }

    def _take_waves(self, samples: NDArray[Any]) -> None:
        """Take a piece of the pulse waves, shape (rows, waves, n)."""
        if self._signs is None or not self.waves:
            return
        there = np.abs(samples) <= MAX_MV  # NaN is not
        waves = np.where(there, samples, np.nan).astype(np.float32)
        for patient, of_patient in zip(self._patients, waves, strict=True):
            patient.signs.take_waves(of_patient)

    def _take(self, samples: NDArray[Any]) -> None:
        """Take a piece, shape (lines, n)."""
        n = samples.shape[1]
        self._finder.begin(n, self._positions)
        self._starts, self._positions = self._positions, self._positions + n
        if not self._gappy and np.abs(samples).max() <= MAX_MV:  # NaN is not
            held = samples.astype(np.float32, copy=False)
            self._history.append(self._places, held)
            for start in range(0, len(held), BLOCK):
                block = slice(start, min(start + BLOCK, len(held)))
                self._detect(held[block] - self._levels[block, None], block, 0)
        else:
            present = np.abs(samples) <= MAX_MV
            gappy = ~present.all(axis=1) | (self._gaps > 0)
            whole, gappy_lines = np.flatnonzero(~gappy), np.flatnonzero(gappy)
            if len(whole):
                held = samples[whole].astype(np.float32, copy=False)
                self._history.append(self._places_of(whole), held)
                self._detect(held - self._levels[whole, None], whole, 0)
            self._take_with_gaps(samples[gappy_lines], present[gappy_lines], gappy_lines)
        for patient, position in zip(self._patients, self._positions_of_rows(), strict=True):
            if patient.joiner is not None:
                patient.update(position, self._findings)
            elif patient.leads[0].said:
                patient.update_one(self._findings)
        self._cut_closed()
        if self._signs is not None:
            self._end_hops(self._signs)

    def _end_hops(self, signs: SignFinder) -> None:
        """Measure what the hops that ended in the piece show."""
        seen = SeenSignal(self._history, self._places, self._starts, self._positions, self._lost)
        ended = signs.end_hops(seen, [patient.signs for patient in self._patients])
        if ended is not None:
            self._ended.append(ended)
            if sum(one.windows.nbytes for one in self._ended) > MOST_UNMEASURED_BYTES:
                signs.measure(self._ended)

    def _places_of(self, lines: NDArray[np.int64]) -> list[int]:
        return [self._places[line] for line in lines.tolist()]

    def _take_with_gaps(
        self, samples: NDArray[Any], present: NDArray[np.bool_], lines: NDArray[np.int64]
    ) -> None:
        """Take lines with gaps: fill these with the value before, and sleep in the long ones."""
        n, places = samples.shape[1], self._places_of(lines)
        newest = [self._history.ends[place] - 1 for place in places]
        last_held = self._history.signal[newest][:, None]
        past = Bridged(last_held, self._levels[lines, None], self._gaps[lines, None])
        level_gap = LEVEL_GAP_S * self.fs_hz
        held, levels, gaps = bridge(samples, present, past, level_gap, self._sleep_gap)
        self._history.append(places, held, ~present)
        self._levels[lines], self._gaps[lines] = levels[:, -1], gaps[:, -1]
        self._gappy = bool(self._gaps.any())
        lost = np.where(present, -1, np.arange(n)).max(axis=1)  # the last one of the piece
        self._lost[lines] = np.where(lost < 0, self._lost[lines], self._starts[lines] + lost)

        asleep = gaps >= self._sleep_gap
        awake = np.flatnonzero(~asleep.any(axis=1))
        if len(awake):
            self._detect(held[awake] - levels[awake], lines[awake], 0)
        for k in np.flatnonzero(asleep.any(axis=1)).tolist():
            line = int(lines[k])
            changes = np.flatnonzero(asleep[k, 1:] != asleep[k, :-1])
            for start, stop in pairwise([0, *changes.tolist(), n]):
                if stop == start:
                    continue
                if asleep[k, start + 1]:
                    self._sleep(line, start, stop)
                    continue
                if asleep[k, start]:
                    self._wake(line, start, float(held[k, start]))
                piece = held[k : k + 1, start:stop] - levels[k : k + 1, start:stop]
                self._detect(piece, lines[k : k + 1], start)

    def _sleep(self, line: int, start: int, stop: int) -> None:
        self._detectors[line].sleep(int(self._starts[line]) + start, stop - start)
        self._finder.sleep(line, stop)

    def _wake(self, line: int, start: int, value: float) -> None:
        self._finder.wake(line, start, value)
        self._detectors[line].wake(int(self._starts[line]) + start)

    def _detect(self, chunk: NDArray[np.float64], lines: Rows, start: int) -> None:
        """Take samples of lines that are awake, from sample `start` of the piece on."""
        found = self._finder.update(chunk, lines, start)
        begin = (self._starts[lines] + start).tolist()
        which = range(lines.start, lines.stop) if isinstance(lines, slice) else lines.tolist()
        seconds = self._ended_seconds(which, begin, chunk.shape[1])
        for k, line in enumerate(which):
            lead, position = self._detectors[line], begin[k] + chunk.shape[1]
            if found[k] or seconds[k] or lead.decider.due < position:
                lead.update(found[k], seconds[k], position)

    def _ended_seconds(
        self, lines: Iterable[int], begin: list[int], n: int
    ) -> list[list[tuple[int, int]]]:
        """Return the ends of each line's seconds within (begin, begin + n], and their flags."""
        second = self._second
        ended = [range(b // second * second + second, b + n + 1, second) for b in begin]
        flat = [(line, end) for line, ends in zip(lines, ended, strict=True) for end in ends]
        if not flat:
            return [[] for _ in begin]
        starts = [self._moved(line) + end - second for line, end in flat]
        flags = second_flags(self._history.signal.take(np.array(starts)[:, None] + self._in_second))
        for k, (line, end) in enumerate(flat):
            if self._lost[line] >= end - second and is_lost(
                self._history.missing[starts[k] : starts[k] + second]
            ):
                flags[k] = MISSING
        of_all = iter(flags)
        return [[(end, next(of_all)) for end in ends] for ends in ended]

    def _cut_closed(self) -> None:
        """Cut the beats that closed, while their signal is at hand."""
        findings = self._findings
        closed, findings.closed = findings.closed, []
        lead_flags, findings.lead_flags = findings.lead_flags, []
        if closed:
            rows, beats = self._cut(closed, np.array(lead_flags, np.int64))
            self._parts.append((rows, beats))
            if self._signs is not None:
                self._signs.wait_for_hops(rows, beats, [one.signs for one in self._patients])

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
            lines = (rows[:, None] * leads + np.arange(leads)).reshape(-1)
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

    def _moved(self, line: int) -> int:
        """Return what leads from samples of a line's stream to indices of the history."""
        moved: int = self._history.ends[self._places[line]] - self._positions.item(line)
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
        for k in np.flatnonzero(self._lost[lines] >= beats.start - 1).tolist():
            if not (too_long[k] or missing[k]):
                moved = self._moved(int(lines[k]))
                window = slice(floor(beats.start[k]) + moved, ceil(beats.stop[k]) + moved)
                missing[k] = self._history.missing[window].any()
        flags: NDArray[np.int64] = beats.quality.astype(np.int64) & TOO_LONG
        flags |= np.where(too_long, TOO_LONG, MISSING * missing)
        return flags

    def _windows(self, beats: ClosedBeats, lines: NDArray[np.int64]) -> Windows:
        moved = np.array([self._moved(line) for line in lines.tolist()], np.int64)
        seen = beats.seen.astype(np.int64)
        readable = seen - self._kept, seen - 1
        return Windows.at(beats.start, beats.stop, self.spec.length, moved, readable)

    def _collect(self, *, measure: bool = True) -> BankSegmented:
        found, self._findings = self._findings, Findings()
        parts, self._parts = self._parts, []
        ended, self._ended = tuple(self._ended), []
        if self._signs is not None and measure:
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
            ended=ended,
            waves=self.waves,
        )


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
