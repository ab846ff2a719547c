"""Samples of many patients in, their beats out: the segmenter, a patient a row.

What is done with every sample is done for all rows at once (filter, envelope, peaks, quality,
cutting); what is done a few times a second is done row by row (`Decider`, `Tracker`). One row gives
to the bit what it gives among others, and any cut of the same samples gives the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmenter.beat import Beats, BeatSpec, Quality, joined_beats
from segmenter.candidates import CandidateFinder
from segmenter.cutter import MAX_WINDOW_S, Windows, resample, standardise
from segmenter.errors import InvalidSignal, InvalidState, SegmenterError
from segmenter.filters import Rows
from segmenter.gaps import Bridged, bridge
from segmenter.qrs import Decider, Durations
from segmenter.quality import is_lost, second_flags, window_flags
from segmenter.rates import check_rate
from segmenter.signal_ring import SignalRing
from segmenter.state import fill, pack, real, unpack, whole
from segmenter.tracker import (
    MAX_POSITION,
    Closed,
    ClosedBeats,
    Findings,
    SignalEvent,
    Tracker,
)

MAGIC = b"ecgseg02"
MAX_MV = 1e6  # what is larger is no electrocardiogram in any unit, and counts as missing
HISTORY_S = 10.0  # signal kept: the longest open window and the longest search-back
PIECE_S = 4.0  # longer chunks are taken in pieces: memory is bounded, and stays in the cache
FEW_ROWS_S = 32.0  # over the rows: a row alone takes pieces as large as 8 rows together, at half
# the time, since most of what a small piece costs does not depend on its size
BLOCK = 64  # rows that are handled together: their arrays stay in the cache
LEVEL_GAP_S = 0.1  # after a longer gap the signal's level is taken up anew
SLEEP_GAP_S = 2.0  # after a longer gap the detector starts anew

# Plain numbers: an IntFlag takes a microsecond to combine.
MISSING, TOO_LONG = int(Quality.MISSING), int(Quality.TOO_LONG)
NO_ROWS = np.zeros(0, np.int64)
UNUSABLE = int(Quality.FLAT | Quality.MISSING | Quality.TOO_LONG)


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
        Seconds (of round(fs_hz) samples, counted from 0) that ended, and their `Quality` flags.
        Those inside a gap are left out after its first two seconds.
    """

    beats: Beats
    beat_rows: NDArray[np.int64]
    events: tuple[tuple[int, SignalEvent], ...]
    r_samples: NDArray[np.int64]
    r_rows: NDArray[np.int64]
    seconds: NDArray[np.int64]
    seconds_quality: NDArray[np.uint16]
    second_rows: NDArray[np.int64]


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

    Raises
    ------
    InvalidSignal
        If the sampling rate is out of bounds, or there are no rows.

    Examples
    --------
    A patient with a peak every 0.8 s, and one whose lead is off.

    >>> import numpy as np
    >>> from segmenter import BeatSpec, SegmenterBank
    >>> t = np.arange(20 * 250) / 250.0
    >>> signal = np.exp(-0.5 * ((t % 0.8 - 0.4) / 0.012) ** 2)  # mV
    >>> bank = SegmenterBank(rows=2, fs_hz=250.0, spec=BeatSpec())
    >>> found = bank.update(np.stack([signal, np.zeros(len(t))]))
    >>> found.beat_rows[:3].tolist(), found.beats.r_sample[:3].tolist()
    ([0, 0, 0], [100, 300, 500])
    >>> [(row, event.kind, event.state) for row, event in found.events]
    [(1, 'lead_off', 'onset')]
    """

    def __init__(self, rows: int, fs_hz: float, spec: BeatSpec) -> None:
        check_rate(fs_hz)
        if rows < 1:
            raise InvalidSignal(f"refused: {rows} patients given; a bank needs at least one")
        self.rows = rows
        self.fs_hz = float(fs_hz)
        self.spec = spec
        self._second = round(self.fs_hz)
        self._kept = round(HISTORY_S * self.fs_hz)
        self._piece = self._piece_of(rows)
        self._history = SignalRing(rows, self._kept, self._piece)
        self._places = list(range(rows))  # of the rows in the history
        self._in_second = np.arange(self._second)
        self._sleep_gap = round(SLEEP_GAP_S * self.fs_hz) + 1
        self._positions = np.zeros(rows, np.int64)
        self._starts = self._positions  # where the piece began that is being taken
        self._gaps = np.full(rows, self._sleep_gap)  # missing samples up to now: not begun
        self._gappy = True  # some of them are not 0
        self._lost = np.full(rows, -1)  # the last sample that is missing
        self._levels = np.zeros(rows)  # subtracted before detection, so that gaps leave no steps
        self._finder = CandidateFinder(rows, self.fs_hz, self._piece)
        self._timing = Durations.at(self.fs_hz)
        self._trackers = [self.new_tracker(row) for row in range(rows)]
        self._findings = Findings()
        self._parts: list[tuple[NDArray[np.int64], Beats]] = []

    @property
    def positions(self) -> NDArray[np.int64]:
        """Samples seen of each row's stream: shape (rows,)."""
        return self._positions.copy()

    def new_tracker(self, row: int = 0) -> Tracker:
        """Return the tracker of a row whose stream begins."""
        highest = partial(self._finder.highest, row)
        decider = Decider(self._timing, self._finder.envelope.scale, highest)
        return Tracker(row, self.fs_hz, self.spec.window, decider)

    def _piece_of(self, rows: int) -> int:
        """Return how many samples so many rows take at once."""
        return round(max(PIECE_S, FEW_ROWS_S / rows) * self.fs_hz)

    def lift(self) -> tuple[dict[str, NDArray[Any]], list[Tracker]]:
        """Return what is known of the rows: views of arrays, shape (rows, ...), and trackers.

        `lay` goes on from it, in any order and any choice of the rows. Their signal stays at its
        places, of which `make_room` makes more, and `forget` one as new.
        """
        arrays = self._arrays(slice(None))
        arrays["positions"], arrays["gaps"] = self._positions, self._gaps
        arrays["lost"], arrays["levels"] = self._lost, self._levels
        return arrays, self._trackers

    def lay(
        self, arrays: dict[str, NDArray[Any]], trackers: list[Tracker], places: list[int]
    ) -> None:
        """Have other rows, as `lift` gave them; the arrays become the bank's own.

        `places` are those of the rows' signals, one each.
        """
        self.rows = len(trackers)
        self._piece = min(self._piece_of(self.rows), self._history.room)
        self._positions, self._gaps = arrays["positions"], arrays["gaps"]
        self._lost, self._levels = arrays["lost"], arrays["levels"]
        self._starts = self._positions
        self._gappy = bool(self._gaps.any())
        self._finder.lay(arrays, self._piece)
        self._trackers, self._places = trackers, places
        for row, tracker in enumerate(trackers):
            tracker.row = row
            tracker.decider.highest = partial(self._finder.highest, row)

    def make_room(self, places: int) -> None:
        """Have room for the signals of so many rows, at least as many as before."""
        self._history = self._history.moved_to(places, self._piece_of(places))
        self._piece = min(self._piece, self._history.room)  # of the more, each has less

    def forget(self, place: int) -> None:
        """Let a place be as that of a row that begins."""
        self._history.forget(place)

    def update(self, chunk: ArrayLike) -> BankSegmented:
        """Take the next samples of all rows; return what became known.

        Parameters
        ----------
        chunk : np.ndarray, shape (rows, n), real
            ECG in millivolts at fs_hz, continuing the previous chunk; NaN, infinity and what
            exceeds a million is missing. Used with single precision.

        Raises
        ------
        InvalidSignal
            If the chunk has not as many rows, or is not of real numbers.
        """
        samples = np.asarray(chunk)
        if samples.ndim != 2 or len(samples) != self.rows or samples.dtype.kind not in "fiu":
            raise InvalidSignal(
                f"a chunk must be real numbers of shape ({self.rows}, n), in millivolts, not "
                f"{samples.dtype} of shape {samples.shape}"
            )
        if samples.dtype.kind != "f" or samples.dtype.itemsize < 4:
            # Neither the least whole number nor a half-precision infinity has a magnitude.
            samples = samples.astype(np.float64)
        for start in range(0, samples.shape[1], self._piece):
            self._take(samples[:, start : start + self._piece])
        return self._collect()

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
            self._take(np.full((self.rows, min(self._piece, fed - start)), np.nan))
        if n_samples > fed:
            n = n_samples - fed
            for tracker, position in zip(self._trackers, self._positions.tolist(), strict=True):
                tracker.skip(position, n, self._findings)
            self._positions = self._positions + n
            self._gaps += n
            self._lost = self._positions - 1
        return self._collect()

    def flush(self) -> BankSegmented:
        """End the streams. The last beats have no next one: `rr_after_ms` is NaN.

        Each is cut as if the next R peak were as far away as the one before; it is dropped where
        that window is not complete.
        """
        for tracker, position in zip(self._trackers, self._positions.tolist(), strict=True):
            tracker.flush(position, self._findings)
        self._cut_closed()
        return self._collect()

    def to_bytes(self, row: int) -> bytes:
        """Return the whole state of a row; `restore` goes on from it as if nothing had happened."""
        plain = {
            "fs_hz": self.fs_hz,
            "spec": self.spec.to_mapping(),
            "position": int(self._positions[row]),
            "gap": int(self._gaps[row]),
            "level": float(self._levels[row]),
            "tracker": self._trackers[row].to_plain(),
        }
        return pack(MAGIC, plain, {**self._kept_signal(row), **self._arrays(row)})

    def restore(self, row: int, state: bytes) -> None:
        """Let a row go on from a state that `to_bytes` gave, of any bank of this rate and spec.

        Raises
        ------
        InvalidState
            If the bytes are damaged, of another program, version, rate or spec, or out of bounds.
            The row is then as a new one.
        """
        try:
            self._restore(row, *unpack(MAGIC, state))
        except InvalidState:
            self._restore(row, *unpack(MAGIC, SegmenterBank(1, self.fs_hz, self.spec).to_bytes(0)))
            raise

    def _restore(self, row: int, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        fs_hz, spec = rate_and_spec(plain)
        if (fs_hz, spec) != (self.fs_hz, self.spec):
            raise InvalidState(
                f"saved state: it belongs to {fs_hz:g} Hz and {spec}, not to this bank; make a "
                "bank like it"
            )
        for name, target in {**self._kept_signal(row), **self._arrays(row)}.items():
            fill(target, arrays, name)
        position = whole(plain, "position", 0, MAX_POSITION)
        self._positions[row] = position
        self._gaps[row] = whole(plain, "gap", 0, MAX_POSITION)
        self._gappy = bool(self._gaps.any())
        lost = np.flatnonzero(self._kept_signal(row)["missing"])
        self._lost[row] = position - self._kept + lost[-1] if len(lost) else -1
        self._levels[row] = real(plain, "level")
        tracker = plain.get("tracker")
        if not isinstance(tracker, dict):
            raise InvalidState("saved state: the tracker's part is missing")
        self._trackers[row].restore(tracker, position)
        awake = self._gaps[row] < self._sleep_gap
        if awake and self._trackers[row].decider.attempt < position:
            raise InvalidState("saved state: the detector lags behind the signal")

    def _kept_signal(self, row: int) -> dict[str, NDArray[Any]]:
        """Return views of a row's signal."""
        signal, missing = self._history.latest(self._places[row])
        return {"signal": signal, "missing": missing}

    def _arrays(self, row: int | slice) -> dict[str, NDArray[Any]]:
        """Return views of a row's other arrays, or of some rows'."""
        finder = self._finder
        return {
            "filter": finder.band_pass.state[row],
            "envelope": finder.envelope.tail[row],
            "heights": finder.heights.latest(row),
            "total": finder.total[row],
            "near": finder.signal.latest(row),
        }

    def _take(self, samples: NDArray[Any]) -> None:
        """Take a piece."""
        n = samples.shape[1]
        self._finder.begin(n, self._positions)
        self._starts, self._positions = self._positions, self._positions + n
        if not self._gappy and np.abs(samples).max() <= MAX_MV:  # NaN is not
            held = samples.astype(np.float32, copy=False)
            self._history.append(self._places, held)
            for start in range(0, self.rows, BLOCK):
                block = slice(start, min(start + BLOCK, self.rows))
                self._detect(held[block] - self._levels[block, None], block, 0)
        else:
            present = np.abs(samples) <= MAX_MV
            gappy = ~present.all(axis=1) | (self._gaps > 0)
            whole, gappy_rows = np.flatnonzero(~gappy), np.flatnonzero(gappy)
            if len(whole):
                held = samples[whole].astype(np.float32, copy=False)
                self._history.append(self._places_of(whole), held)
                self._detect(held - self._levels[whole, None], whole, 0)
            self._take_with_gaps(samples[gappy_rows], present[gappy_rows], gappy_rows)
        self._cut_closed()

    def _places_of(self, rows: NDArray[np.int64]) -> list[int]:
        return [self._places[row] for row in rows.tolist()]

    def _take_with_gaps(
        self, samples: NDArray[Any], present: NDArray[np.bool_], rows: NDArray[np.int64]
    ) -> None:
        """Take rows with gaps: fill these with the value before, and sleep in the long ones."""
        n, places = samples.shape[1], self._places_of(rows)
        newest = [self._history.ends[place] - 1 for place in places]
        last_held = self._history.signal[newest][:, None]
        past = Bridged(last_held, self._levels[rows, None], self._gaps[rows, None])
        level_gap = LEVEL_GAP_S * self.fs_hz
        held, levels, gaps = bridge(samples, present, past, level_gap, self._sleep_gap)
        self._history.append(places, held, ~present)
        self._levels[rows], self._gaps[rows] = levels[:, -1], gaps[:, -1]
        self._gappy = bool(self._gaps.any())
        lost = np.where(present, -1, np.arange(n)).max(axis=1)  # the last one of the piece
        self._lost[rows] = np.where(lost < 0, self._lost[rows], self._starts[rows] + lost)

        asleep = gaps >= self._sleep_gap
        awake = np.flatnonzero(~asleep.any(axis=1))
        if len(awake):
            self._detect(held[awake] - levels[awake], rows[awake], 0)
        for k in np.flatnonzero(asleep.any(axis=1)).tolist():
            row = int(rows[k])
            changes = np.flatnonzero(asleep[k, 1:] != asleep[k, :-1])
            for start, stop in pairwise([0, *changes.tolist(), n]):
                if stop == start:
                    continue
                if asleep[k, start + 1]:
                    self._sleep(row, start, stop)
                    continue
                if asleep[k, start]:
                    self._wake(row, start, float(held[k, start]))
                piece = held[k : k + 1, start:stop] - levels[k : k + 1, start:stop]
                self._detect(piece, rows[k : k + 1], start)

    def _sleep(self, row: int, start: int, stop: int) -> None:
        position = int(self._starts[row]) + start
        self._trackers[row].skip(position, stop - start, self._findings)
        self._finder.sleep(row, stop)

    def _wake(self, row: int, start: int, value: float) -> None:
        self._finder.wake(row, start, value)
        self._trackers[row].decider.reset(int(self._starts[row]) + start)

    def _detect(self, chunk: NDArray[np.float64], rows: Rows, start: int) -> None:
        """Take samples of rows that are awake, from sample `start` of the piece on."""
        found = self._finder.update(chunk, rows, start)
        begin = (self._starts[rows] + start).tolist()
        which = range(rows.start, rows.stop) if isinstance(rows, slice) else rows.tolist()
        seconds = self._ended_seconds(which, begin, chunk.shape[1])
        for k, row in enumerate(which):
            tracker, position = self._trackers[row], begin[k] + chunk.shape[1]
            if found[k] or seconds[k] or tracker.decider.due < position:
                tracker.update(found[k], seconds[k], position, self._findings)

    def _ended_seconds(
        self, rows: Iterable[int], begin: list[int], n: int
    ) -> list[list[tuple[int, int]]]:
        """Return the ends of each row's seconds that end in (begin, begin + n], and their flags."""
        second = self._second
        ended = [range(b // second * second + second, b + n + 1, second) for b in begin]
        flat = [(row, end) for row, ends in zip(rows, ended, strict=True) for end in ends]
        if not flat:
            return [[] for _ in begin]
        starts = [self._moved(row) + end - second for row, end in flat]
        flags = second_flags(self._history.signal.take(np.array(starts)[:, None] + self._in_second))
        for k, (row, end) in enumerate(flat):
            if self._lost[row] >= end - second and is_lost(
                self._history.missing[starts[k] : starts[k] + second]
            ):
                flags[k] = MISSING
        of_all = iter(flags)
        return [[(end, next(of_all)) for end in ends] for ends in ended]

    def _cut_closed(self) -> None:
        """Cut the beats that closed, while their signal is at hand."""
        closed, self._findings.closed = self._findings.closed, []
        if closed:
            self._parts.append(self._cut(closed))

    def _cut(self, closed: list[Closed]) -> tuple[NDArray[np.int64], Beats]:
        # Whole numbers among them are below 2^53.
        known = ClosedBeats(*np.array(closed, np.float64).T)
        rows, r_samples = known.row.astype(np.int64), known.r_sample.astype(np.int64)
        quality = self._quality(known, rows)
        usable = np.flatnonzero((quality & UNUSABLE) == 0)
        values = np.zeros((len(closed), self.spec.length), np.float32)
        if len(usable):
            windows = self._windows(known, rows).rows(usable)
            read = resample(self._history.signal, windows, self.spec.length)
            flags = np.array(window_flags(read), np.int64)
            quality[usable] |= flags
            fit = (flags & UNUSABLE) == 0
            values[usable[fit]] = standardise(read)[fit]
        to_ms = 1e3 / self.fs_hz
        return rows, Beats(
            r_sample=r_samples,
            rr_before_ms=((known.r_sample - known.previous_r) * to_ms).astype(np.float32),
            rr_after_ms=((known.next_r - known.r_sample) * to_ms).astype(np.float32),
            quality=quality.astype(np.uint16),
            delay_ms=((known.known - known.r_sample) * to_ms).astype(np.float32),
            closed_sample=known.seen.astype(np.int64),
            values=values,
        )

    def _moved(self, row: int) -> int:
        """Return what leads from samples of a row's stream to indices of the history."""
        moved: int = self._history.ends[self._places[row]] - self._positions.item(row)
        return moved

    def _quality(self, beats: ClosedBeats, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the flags that the beats' windows have before their signal is looked at."""
        span = beats.stop - beats.start
        too_long = (span > MAX_WINDOW_S * self.fs_hz) | (span <= 0)
        too_long |= beats.seen - beats.start > self._kept
        # Their end was not good enough to wait for.
        missing = beats.stop > beats.seen
        for k in np.flatnonzero(self._lost[rows] >= beats.start - 1).tolist():
            if not (too_long[k] or missing[k]):
                moved = self._moved(int(rows[k]))
                window = slice(floor(beats.start[k]) + moved, ceil(beats.stop[k]) + moved)
                missing[k] = self._history.missing[window].any()
        flags: NDArray[np.int64] = beats.quality.astype(np.int64)
        flags |= np.where(too_long, TOO_LONG, MISSING * missing)
        return flags

    def _windows(self, beats: ClosedBeats, rows: NDArray[np.int64]) -> Windows:
        moved = np.array([self._moved(row) for row in rows.tolist()], np.int64)
        seen = beats.seen.astype(np.int64)
        readable = seen - self._kept, seen - 1
        return Windows.at(beats.start, beats.stop, self.spec.length, moved, readable)

    def _collect(self) -> BankSegmented:
        found, self._findings = self._findings, Findings()
        parts, self._parts = self._parts, []
        rows = [of_beats for of_beats, _ in parts]
        return BankSegmented(
            beats=joined_beats([beats for _, beats in parts], self.spec.length),
            beat_rows=rows[0] if len(rows) == 1 else np.concatenate([NO_ROWS, *rows]),
            events=tuple(found.events),
            r_samples=np.array(found.r_samples, np.int64),
            r_rows=np.array(found.r_rows, np.int64),
            seconds=np.array(found.seconds, np.int64),
            seconds_quality=np.array(found.seconds_quality, np.uint16),
            second_rows=np.array(found.second_rows, np.int64),
        )


def rate_and_spec(plain: dict[str, Any]) -> tuple[float, BeatSpec]:
    """Return the sampling rate and beat spec of a saved state."""
    try:
        return real(plain, "fs_hz"), BeatSpec.from_mapping(plain["spec"])
    except (KeyError, TypeError, SegmenterError) as error:
        raise InvalidState(f"saved state: {error}") from error
