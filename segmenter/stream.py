"""Samples in, beats out: the segmenter of one patient's stream, with a state that can be saved.

Causal, with bounded memory; any cut of the same samples gives the same beats and events to the bit.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import ceil, nan
from statistics import median
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmenter.beat import Beats, BeatSpec, Quality
from segmenter.cutter import MAX_WINDOW_S, resample, standardise, window_samples
from segmenter.errors import InvalidSignal, InvalidState, SegmenterError
from segmenter.filters import STEPS_PER_MV
from segmenter.qrs import CandidateFinder, Decider, Detection
from segmenter.quality import second_flags, window_flags
from segmenter.state import fill, listing, pack, real, truth, unpack, whole

MAGIC = b"ecgseg01"
MAX_POSITION = 1 << 53
FS_MIN_HZ, FS_MAX_HZ = 100.0, 2000.0
MAX_MV = 1e6  # what is larger is no electrocardiogram in any unit, and counts as missing
HISTORY_S = 10.0  # signal kept: the longest open window and the longest search-back
NO_BEAT_S = 4.0  # a good signal without a beat for so long is an event
NOISY_SECONDS = 3  # in a row; then the detector starts anew, and finds beats when there are any
TYPICAL_BEATS = 16  # about 12 s: a bigeminy has normal beats enough in it, and the rate may change
MIN_TYPICAL_S, MAX_TYPICAL_S = 0.3, 1.5  # 200 to 40 beats a minute
NO_RR_S = 6.0  # two beats further apart are not neighbours
LEVEL_GAP_S = 0.1  # after a longer gap the signal's level is taken up anew
DORMANT_GAP_S = 2.0  # after a longer gap the detector starts anew

UNUSABLE = int(Quality.FLAT | Quality.MISSING | Quality.TOO_LONG)

EventKind = Literal["lead_off", "signal_lost", "noisy", "no_beat"]


@dataclass(frozen=True)
class SignalEvent:
    """The signal became unreadable, or readable again.

    `sample` is where that began, at the resolution of a second; for `no_beat` it is the sample at
    which it was noticed, and the R peak that ended it.
    """

    kind: EventKind
    state: Literal["onset", "cleared"]
    sample: int


@dataclass(frozen=True)
class Segmented:
    """What an update made known.

    Attributes
    ----------
    beats : Beats
        Beats whose window is complete, in order.
    events : tuple of SignalEvent
    r_samples : np.ndarray, shape (m,), int64
        R peaks that became known; their beats follow when the next R peak is known.
    seconds, seconds_quality : np.ndarray, shape (k,), int64 and uint16
        Seconds (of round(fs_hz) samples, counted from 0) that ended, and their `Quality` flags.
        Those inside a gap are left out after its first two seconds.
    """

    beats: Beats
    events: tuple[SignalEvent, ...]
    r_samples: NDArray[np.int64]
    seconds: NDArray[np.int64]
    seconds_quality: NDArray[np.uint16]


class _Closed(NamedTuple):
    """A beat whose neighbours are known, and its window [start, stop) in samples."""

    previous_r: int | None
    beat: Detection
    next_r: int | None
    start: float
    stop: float
    seen: int  # samples seen when it closed
    too_long: bool


class Segmenter:
    """Find the beats of one patient's lead as samples arrive.

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
        if not FS_MIN_HZ <= fs_hz <= FS_MAX_HZ:  # NaN fails too
            raise InvalidSignal(
                f"sampling rate {fs_hz!r} Hz is outside {FS_MIN_HZ:g} to {FS_MAX_HZ:g} Hz; "
                "resample the record"
            )
        self.fs_hz = float(fs_hz)
        self.spec = spec
        self._finder = CandidateFinder(1, self.fs_hz)
        self._decider = Decider(self._finder.timing, self._finder.envelope.width * STEPS_PER_MV)
        self._second = round(self.fs_hz)
        history = round(HISTORY_S * self.fs_hz)
        self._signal = np.zeros(history, np.float32)  # held where missing
        self._missing = np.ones(history, np.bool_)
        self._position = 0
        self._gap = round(DORMANT_GAP_S * self.fs_hz)  # missing samples up to now: not yet begun
        self._level = 0.0  # subtracted before detection, so that a gap leaves no step
        self._open: Detection | None = None
        self._previous_r: int | None = None
        self._rr: deque[int] = deque(maxlen=TYPICAL_BEATS)  # the latest intervals, in samples
        self._quiet_since = 0
        self._noisy_seconds = 0
        self._active: dict[EventKind, bool] = {
            "lead_off": False,
            "signal_lost": False,
            "noisy": False,
            "no_beat": False,
        }
        self._out = _Collector()

    @property
    def position(self) -> int:
        """Samples seen so far."""
        return self._position

    def update(self, chunk: ArrayLike) -> Segmented:
        """Take the next samples; return what became known.

        Parameters
        ----------
        chunk : np.ndarray, shape (n,), real
            ECG in millivolts at fs_hz, continuing the previous chunk; NaN, infinity and what
            exceeds a million is missing. Used with single precision.

        Raises
        ------
        InvalidSignal
            If the chunk is not one-dimensional or not of real numbers.
        """
        samples = np.asarray(chunk)
        if samples.ndim != 1 or samples.dtype.kind not in "fiu":
            raise InvalidSignal(
                f"a chunk must be a one-dimensional array of real numbers, not {samples.dtype} "
                f"of shape {samples.shape}"
            )
        present = np.abs(samples) <= MAX_MV  # NaN is not
        if present.all() and self._gap == 0:
            self._take(samples.astype(np.float32), present)
        else:
            self._take_with_gaps(samples, present)
        return self._collect()

    def gap(self, n_samples: int) -> Segmented:
        """Take missing samples: update(np.full(n, np.nan)) in bounded time and memory."""
        if n_samples < 0:
            raise InvalidSignal(f"a gap of {n_samples} samples is none")
        awake = min(n_samples, max(0, self._dormant_after - self._gap))
        self._take_with_gaps(np.full(awake, np.nan), np.zeros(awake, np.bool_))
        if n_samples > awake:
            self._skip(n_samples - awake)
        return self._collect()

    def flush(self) -> Segmented:
        """End the stream. The last beat has no next one: `rr_after_ms` is NaN.

        It is cut as if the next R peak were as far away as the one before; it is dropped where that
        window is not complete.
        """
        if self._open is not None:
            _, stop = self._window(self._open.r_sample, None)
            if self._previous_r is not None and stop <= self._position:
                self._close(None, self._position)
        return self._collect()

    def to_bytes(self) -> bytes:
        """Return the whole state; `from_bytes` goes on from it as if nothing had happened."""
        plain = {
            "fs_hz": self.fs_hz,
            "spec": self.spec.to_mapping(),
            "position": self._position,
            "gap": self._gap,
            "level": self._level,
            "open": [] if self._open is None else list(self._open),
            "previous_r": -1 if self._previous_r is None else self._previous_r,
            "rr": list(self._rr),
            "quiet_since": self._quiet_since,
            "noisy_seconds": self._noisy_seconds,
            "active": [kind for kind, on in self._active.items() if on],
            "decider": self._decider.to_plain(),
        }
        return pack(MAGIC, plain, self._arrays())

    @classmethod
    def from_bytes(cls, state: bytes) -> Segmenter:
        """Return a segmenter with a state that `to_bytes` gave.

        Raises
        ------
        InvalidState
            If the bytes are damaged, of another program or version, or out of bounds.
        """
        plain, arrays = unpack(MAGIC, state)
        try:
            spec = BeatSpec.from_mapping(plain["spec"])
            segmenter = cls(real(plain, "fs_hz"), spec)
        except (KeyError, TypeError, SegmenterError) as error:
            raise InvalidState(f"saved state: {error}") from error
        segmenter._restore(plain, arrays)
        return segmenter

    def _arrays(self) -> dict[str, NDArray[Any]]:
        finder = self._finder
        return {
            "signal": self._signal,
            "missing": self._missing,
            "filter": finder.band_pass.state,
            "envelope": finder.envelope.tail,
            "heights": finder.heights,
            "total": finder.total,
            "near": finder.signal,
        }

    def _restore(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        for name, target in self._arrays().items():
            fill(target, arrays, name)
        position = whole(plain, "position", 0, MAX_POSITION)
        self._position = self._finder.position = position
        self._gap = whole(plain, "gap", 0, MAX_POSITION)
        self._level = real(plain, "level")
        self._quiet_since = whole(plain, "quiet_since", 0, position)
        self._noisy_seconds = whole(plain, "noisy_seconds", 0, MAX_POSITION)
        previous = whole(plain, "previous_r", -1, position)
        self._previous_r = None if previous < 0 else previous
        self._rr = deque(_intervals(listing(plain, "rr", TYPICAL_BEATS)), TYPICAL_BEATS)
        open_beat = listing(plain, "open", len(Detection._fields))
        if open_beat:
            fields = dict(zip(Detection._fields, open_beat, strict=False))
            self._open = Detection(
                whole(fields, "r_sample", 0, position),
                whole(fields, "known", 0, position),
                truth(fields, "learning"),
                truth(fields, "noisy"),
            )
        active = listing(plain, "active", len(self._active))
        self._active = {kind: kind in active for kind in self._active}
        decider = plain.get("decider")
        if not isinstance(decider, dict):
            raise InvalidState("saved state: the detector's part is missing")
        self._decider.restore(decider, position)
        if self._gap <= self._dormant_after and self._decider.attempt < position:
            raise InvalidState("saved state: the detector is behind the signal")

    @property
    def _dormant_after(self) -> int:
        return round(DORMANT_GAP_S * self.fs_hz)

    def _take_with_gaps(self, samples: NDArray[np.generic], present: NDArray[np.bool_]) -> None:
        """Split the chunk where a gap grows so long that the detector sleeps, or ends."""
        n = len(samples)
        index = np.arange(n)
        last = np.maximum.accumulate(np.where(present, index, -1))
        gap = index - last + np.where(last < 0, self._gap, 0)  # missing samples up to each
        dormant = gap > self._dormant_after
        values = np.where(present, samples, 0).astype(np.float32)
        cuts = np.flatnonzero(dormant[1:] != dormant[:-1]) + 1
        for start, stop in zip([0, *cuts.tolist()], [*cuts.tolist(), n], strict=True):
            if stop == start:
                continue
            if dormant[start]:
                self._skip(stop - start)
            else:
                self._take(values[start:stop], present[start:stop])

    def _skip(self, n: int) -> None:
        """Pass over missing samples while the detector sleeps."""
        self._close(None, self._position)  # found by search-back within the gap
        self._previous_r = None
        self._cut_closed()
        end = self._position + n
        seconds = end // self._second - self._position // self._second
        shift = min(n, len(self._signal))
        self._signal = np.concatenate((self._signal[shift:], np.repeat(self._signal[-1:], shift)))
        self._missing = np.concatenate((self._missing[shift:], np.ones(shift, np.bool_)))
        first_end = (self._position // self._second + 1) * self._second
        self._position = end
        self._gap += n
        if seconds:
            start = first_end - self._second
            for kind in ("lead_off", "noisy", "no_beat"):
                self._turn(kind, False, start)
            self._turn("signal_lost", True, start)
            self._noisy_seconds = 0
            self._quiet_since = end // self._second * self._second

    def _take(self, values: NDArray[np.float32], present: NDArray[np.bool_]) -> None:
        """Take samples while the detector is awake; a gap in them is short."""
        n = len(values)
        if n == 0:
            return
        held, level = self._hold(values, present)
        start = self._position
        self._position += n
        self._signal = np.concatenate((self._signal, held))
        self._missing = np.concatenate((self._missing, ~present))
        candidates = self._finder.update((held.astype(np.float64) - level)[None])[0]
        boundary = (start // self._second + 1) * self._second
        for candidate in candidates:
            while boundary <= candidate.known:
                self._end_second(boundary)
                boundary += self._second
            self._detected(self._decider.update(candidate))
        while boundary <= self._position:
            self._end_second(boundary)
            boundary += self._second
        self._detected(self._decider.advance(self._position - 1))
        self._cut_closed()
        history = round(HISTORY_S * self.fs_hz)
        self._signal = self._signal[-history:].copy()
        self._missing = self._missing[-history:].copy()

    def _hold(
        self, values: NDArray[np.float32], present: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64] | float]:
        """Fill gaps with the value before them; return that and the level at each sample."""
        if self._gap >= self._dormant_after and present[0]:
            self._wake(float(values[0]))
        if self._gap == 0 and present.all():
            return values, self._level
        index = np.arange(len(values))
        last = np.maximum.accumulate(np.where(present, index, -1))
        held = np.where(last < 0, self._signal[-1], values[np.maximum(last, 0)])
        gap = index - last + np.where(last < 0, self._gap, 0)
        level = np.full(len(values), self._level)
        before = np.concatenate(([self._gap], gap[:-1]))
        for back in np.flatnonzero(present & (before > LEVEL_GAP_S * self.fs_hz)).tolist():
            previous = held[back - 1] if back else self._signal[-1]
            self._level += float(values[back]) - float(previous)
            level[back:] = self._level
        self._gap = int(gap[-1])
        return held, level

    def _wake(self, value: float) -> None:
        self._finder.wake(self._position, value)
        self._decider.reset(self._position)
        self._level = 0.0
        self._gap = 0

    def _detected(self, detections: list[Detection]) -> None:
        for detection in detections:
            self._turn("no_beat", False, detection.r_sample)
            self._quiet_since = detection.r_sample
            self._close(detection.r_sample, detection.known)
            self._open = detection._replace(noisy=detection.noisy or self._noisy_seconds > 0)
            self._out.r_samples.append(detection.r_sample)

    def _close(self, next_r: int | None, seen: int, *, too_long: bool = False) -> None:
        """Close the open beat: the next R is known, or after `seen` samples there is none."""
        if self._open is None:
            return
        r_sample = self._open.r_sample
        if self._previous_r is not None:
            self._rr.append(r_sample - self._previous_r)
        start, stop = self._window(r_sample, next_r)
        self._out.closed.append(
            _Closed(self._previous_r, self._open, next_r, start, stop, seen, too_long)
        )
        self._previous_r = r_sample if next_r is not None else None
        self._open = None

    def _window(self, r_sample: int, next_r: int | None) -> tuple[float, float]:
        """Return the window of the open beat."""
        typical_rr = 0.0 if next_r is None else float(next_r - r_sample)
        if self._rr:
            typical_rr = median(self._rr)
        bounded_rr = min(max(typical_rr, MIN_TYPICAL_S * self.fs_hz), MAX_TYPICAL_S * self.fs_hz)
        return window_samples(self.spec.window, self._previous_r, r_sample, next_r, bounded_rr)

    def _end_second(self, end: int) -> None:
        """Judge the second that ends here."""
        self._detected(self._decider.advance(end - 1))
        quality = self._judge_second(end)
        self._out.seconds.append((end // self._second - 1, int(quality)))
        start = end - self._second
        lost = bool(quality & Quality.MISSING)
        lead_off = bool(quality & (Quality.FLAT | Quality.SATURATED))
        self._noisy_seconds = self._noisy_seconds + 1 if quality & Quality.NOISY else 0
        noisy = self._noisy_seconds >= NOISY_SECONDS
        self._turn("signal_lost", lost, start)
        self._turn("lead_off", lead_off, start)
        self._turn("noisy", noisy, end - NOISY_SECONDS * self._second if noisy else start)
        if quality:
            self._turn("no_beat", False, start)
            self._quiet_since = end
        elif end - self._quiet_since >= NO_BEAT_S * self.fs_hz:
            self._turn("no_beat", True, end)
        if lost or lead_off or noisy:
            self._close(None, end)
            self._previous_r = None
        if lead_off or (noisy and not self._decider.learning):
            self._decider.reset(end)
        if self._open is not None and end - self._open.r_sample > NO_RR_S * self.fs_hz:
            self._close(None, end, too_long=True)

    def _judge_second(self, end: int) -> Quality:
        """Return the flags of the second that ends here."""
        stop = len(self._signal) - (self._position - end)
        second = slice(stop - self._second, stop)
        quality = second_flags(self._signal[second], self._missing[second])
        if not quality and self._decider.unreadable(end - 1):
            return Quality.NOISY
        return quality

    def _turn(self, kind: EventKind, on: bool, sample: int) -> None:
        if self._active[kind] != on:
            self._active[kind] = on
            self._out.events.append(SignalEvent(kind, "onset" if on else "cleared", sample))

    def _cut_closed(self) -> None:
        """Cut the beats that closed, while their signal is at hand."""
        closed, self._out.closed = self._out.closed, []
        if closed:
            self._out.beats.append(self._cut(closed))

    def _cut(self, closed: list[_Closed]) -> Beats:
        first = self._position - len(self._signal)
        windows = [(c.start - first, c.stop - first) for c in closed]
        quality = np.array(
            [self._judge(c, first, *w) for c, w in zip(closed, windows, strict=True)], np.uint16
        )
        values = np.zeros((len(closed), self.spec.length), np.float32)
        usable = np.flatnonzero((quality & UNUSABLE) == 0).tolist()
        if usable:
            cut = [resample(self._signal, *windows[k], self.spec.length) for k in usable]
            values[usable] = standardise(np.array(cut))
        to_ms = 1e3 / self.fs_hz
        r = [c.beat.r_sample for c in closed]
        return Beats(
            r_sample=np.array(r, np.int64),
            rr_before_ms=np.array(
                [_interval(c.previous_r, c.beat.r_sample, to_ms) for c in closed], np.float32
            ),
            rr_after_ms=np.array(
                [_interval(c.beat.r_sample, c.next_r, to_ms) for c in closed], np.float32
            ),
            quality=quality,
            delay_ms=np.array(
                [_interval(c.beat.r_sample, c.beat.known, to_ms) for c in closed], np.float32
            ),
            values=values,
        )

    def _judge(self, closed: _Closed, first: int, start: float, stop: float) -> int:
        """Return the flags of a window, given in samples from `first`, the oldest kept."""
        quality = Quality.LEARNING if closed.beat.learning else Quality.GOOD
        if closed.beat.noisy:
            quality |= Quality.NOISY
        too_long = closed.too_long or stop - start > MAX_WINDOW_S * self.fs_hz
        forgotten = closed.seen - (first + start) > round(HISTORY_S * self.fs_hz)
        if too_long or forgotten or stop <= start:
            return int(quality | Quality.TOO_LONG)
        if first + stop > closed.seen:  # its end was not good enough to wait for
            return int(quality | Quality.MISSING)
        window = slice(int(start), ceil(stop))
        return int(quality | window_flags(self._signal[window], self._missing[window]))

    def _collect(self) -> Segmented:
        self._cut_closed()
        out, self._out = self._out, _Collector()
        return Segmented(
            beats=joined_beats(out.beats, self.spec.length),
            events=tuple(out.events),
            r_samples=np.array(out.r_samples, np.int64),
            seconds=np.array([index for index, _ in out.seconds], np.int64),
            seconds_quality=np.array([flags for _, flags in out.seconds], np.uint16),
        )


def _intervals(plain: list[Any]) -> list[int]:
    """Return saved RR intervals; InvalidState if they are none."""
    if not all(type(rr) is int and 0 < rr <= MAX_POSITION for rr in plain):
        raise InvalidState("saved state: rr holds what is no interval")
    return plain


def _interval(first: int | None, second: int | None, to_ms: float) -> float:
    return nan if first is None or second is None else (second - first) * to_ms


class _Collector:
    """What became known since the last update."""

    def __init__(self) -> None:
        self.closed: list[_Closed] = []
        self.beats: list[Beats] = []
        self.events: list[SignalEvent] = []
        self.r_samples: list[int] = []
        self.seconds: list[tuple[int, int]] = []


def joined_beats(parts: list[Beats], length: int) -> Beats:
    """Join beats in order; none give an empty Beats."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Beats(
            np.zeros(0, np.int64),
            np.zeros(0, np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.uint16),
            np.zeros(0, np.float32),
            np.zeros((0, length), np.float32),
        )
    return Beats(
        np.concatenate([part.r_sample for part in parts]),
        np.concatenate([part.rr_before_ms for part in parts]),
        np.concatenate([part.rr_after_ms for part in parts]),
        np.concatenate([part.quality for part in parts]),
        np.concatenate([part.delay_ms for part in parts]),
        np.concatenate([part.values for part in parts]),
    )
