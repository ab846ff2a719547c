"""One patient's course: beats close when the next is known, events begin and end.

Plain Python, a few calls a second; the arrays are the bank's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, nan
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmenter.beat import Quality, Window
from segmenter.candidates import Candidate
from segmenter.cutter import window_samples
from segmenter.errors import InvalidState
from segmenter.qrs import NOISY_RATIO, Decider, Detection
from segmenter.state import listing, real, truth, whole

NO_BEAT_S = 4.0  # a good signal without a beat for so long is an event
NOISY_SECONDS = 3  # in a row; then the detector starts anew, and finds beats when there are any
TYPICAL_BEATS = 16  # about 12 s: a bigeminy has normal beats enough in it, and the rate may change
MIN_TYPICAL_S, MAX_TYPICAL_S = 0.3, 1.5  # 200 to 40 beats a minute
QRS_AREA_S = 0.13  # area of a QRS complex's envelope over its height
NOISE_PEAKS = 2.0  # those of noise, over its mean
NO_RR_S = 6.0  # two beats further apart are not neighbours
MAX_POSITION = 1 << 53
MAX_TOTAL = 1 << 63  # of the running total of the envelope, which may wrap

# Plain numbers: an IntFlag takes a microsecond to combine.
NOISY, LEARNING = int(Quality.NOISY), int(Quality.LEARNING)
LATE, TOO_LONG = int(Quality.LATE), int(Quality.TOO_LONG)
MISSING = int(Quality.MISSING)
LEAD_OFF = int(Quality.FLAT | Quality.SATURATED)

EventKind = Literal["lead_off", "signal_lost", "noisy", "no_beat"]
KINDS: tuple[EventKind, ...] = ("lead_off", "signal_lost", "noisy", "no_beat")


@dataclass(frozen=True)
class SignalEvent:
    """The signal became unreadable, or readable again.

    `sample` is where that began, at the resolution of a second; for `no_beat` it is the sample at
    which it was noticed, and the R peak that ended it, or where it began if that R lies before.
    """

    kind: EventKind
    state: Literal["onset", "cleared"]
    sample: int


class Closed(NamedTuple):
    """A beat whose neighbours are known, and its window [start, stop) in samples."""

    previous_r: float  # NaN where there is none
    next_r: float
    start: float
    stop: float
    row: int
    r_sample: int
    known: int
    seen: int  # samples seen when it closed
    quality: int  # what detector and tracker have to say


class ClosedBeats(NamedTuple):
    """Beats that closed, a column an array of shape (n,), float64, in the order of `Closed`."""

    previous_r: NDArray[np.float64]
    next_r: NDArray[np.float64]
    start: NDArray[np.float64]
    stop: NDArray[np.float64]
    row: NDArray[np.float64]
    r_sample: NDArray[np.float64]
    known: NDArray[np.float64]
    seen: NDArray[np.float64]
    quality: NDArray[np.float64]


@dataclass
class Findings:
    """What became known since the last update, of all rows."""

    closed: list[Closed] = field(default_factory=list)
    events: list[tuple[int, SignalEvent]] = field(default_factory=list)  # with their rows
    r_samples: list[int] = field(default_factory=list)
    r_rows: list[int] = field(default_factory=list)
    seconds: list[int] = field(default_factory=list)
    seconds_quality: list[int] = field(default_factory=list)
    second_rows: list[int] = field(default_factory=list)


class Tracker:
    """Follows one patient from candidates and seconds to beats and events.

    Parameters
    ----------
    row : int
        The patient's row in the bank.
    fs_hz : float
    window : str
        The window of `BeatSpec`.
    decider : Decider
    """

    def __init__(self, row: int, fs_hz: float, window: Window, decider: Decider) -> None:
        self.row = row
        self.fs_hz = fs_hz
        self.window = window
        self.decider = decider
        self.second = round(fs_hz)
        self.open: Detection | None = None
        self.previous: Detection | None = None
        self.rr: deque[int] = deque(maxlen=TYPICAL_BEATS)  # the latest intervals, in samples
        self.quiet_since = 0
        self.noisy_seconds = 0
        self.active: set[EventKind] = set()  # events that last

    def update(
        self,
        candidates: list[Candidate],
        seconds: list[tuple[int, int]],
        position: int,
        findings: Findings,
    ) -> None:
        """Take what the signal up to `position` holds.

        Parameters
        ----------
        candidates : list of Candidate
            In order.
        seconds : list of (int, int)
            The sample at which each second ended, and its `Quality` flags but NOISY.
        position : int
        findings : Findings
            What becomes known is added to it.
        """
        done = 0
        for candidate in candidates:
            while done < len(seconds) and seconds[done][0] <= candidate.known:
                self._end_second(*seconds[done], findings)
                done += 1
            found = self.decider.update(candidate)
            if found:
                self._detected(found, findings)
        for end, flags in seconds[done:]:
            self._end_second(end, flags, findings)
        if self.decider.due < position:
            self._detected(self.decider.advance(position - 1), findings)

    def skip(self, position: int, n: int, findings: Findings) -> None:
        """Take n missing samples after `position`: a gap so long that the detector sleeps."""
        self._close(None, position, findings)  # found by search-back within the gap
        self.previous = None
        end = position + n
        start = position // self.second * self.second
        if end >= start + self.second:  # a second ended
            for kind in ("lead_off", "noisy", "no_beat"):
                self._turn(kind, False, start, findings)
            self._turn("signal_lost", True, start, findings)
            self.noisy_seconds = 0
            self.quiet_since = end // self.second * self.second

    def flush(self, position: int, findings: Findings) -> None:
        """Close the last beat, if its window is complete without a next one."""
        if self.open is not None and self.previous is not None:
            _, stop = self._window(self.open.r_sample, None)
            if stop <= position:
                self._close(None, position, findings)

    def _detected(self, detections: list[Detection], findings: Findings) -> None:
        for detection in detections:
            if self.active:
                # R may lie before the event: its beat was known late.
                ended = max(detection.r_sample, self._no_beat_onset())
                self._turn("no_beat", False, ended, findings)
            self.quiet_since = detection.r_sample
            self._close(detection, detection.known, findings)
            if self.noisy_seconds:
                detection = detection._replace(noisy=True)
            self.open = detection
            findings.r_samples.append(detection.r_sample)
            findings.r_rows.append(self.row)

    def _no_beat_onset(self) -> int:
        """Return the end of the second at which `no_beat` begins, if no beat comes."""
        noticed = self.quiet_since + NO_BEAT_S * self.fs_hz
        return ceil(noticed / self.second) * self.second

    def _close(
        self, next_beat: Detection | None, seen: int, findings: Findings, *, too_long: bool = False
    ) -> None:
        """Close the open beat: the next one is known, or after `seen` samples there is none."""
        beat, previous = self.open, self.previous
        if beat is None:
            return
        r_sample = beat.r_sample
        previous_r = None if previous is None else previous.r_sample
        next_r = None if next_beat is None else next_beat.r_sample
        if previous_r is not None:
            self.rr.append(r_sample - previous_r)
        start, stop = self._window(r_sample, next_r)
        noisy = beat.noisy or self._lies_in_noise(previous, beat, next_beat)
        findings.closed.append(
            Closed(
                nan if previous_r is None else previous_r,
                nan if next_r is None else next_r,
                start,
                stop,
                self.row,
                r_sample,
                beat.known,
                seen,
                LEARNING * beat.learning
                | NOISY * noisy
                | LATE * (beat.known - r_sample > self.decider.timing.report)
                | TOO_LONG * too_long,
            )
        )
        self.previous = None if next_beat is None else beat
        self.open = None

    def _lies_in_noise(
        self, previous: Detection | None, beat: Detection, next_beat: Detection | None
    ) -> bool:
        """Tell whether the envelope between the beats is high against this one.

        T waves hardly pass the filter. What the QRS complexes add is taken off: the whole of this
        one, half of those at either end.
        """
        first, last = previous or beat, next_beat or beat
        qrs = self.fs_hz * QRS_AREA_S
        between = last.peak - first.peak - 2 * qrs
        if between < qrs:  # too little is left to be judged
            return False
        area = (last.total - first.total) / self.decider.scale
        area -= qrs * (first.height / 2 + last.height / 2)
        if previous is not None and next_beat is not None:
            area -= qrs * beat.height
        return NOISE_PEAKS * area > NOISY_RATIO * beat.height * between

    def _window(self, r_sample: int, next_r: int | None) -> tuple[float, float]:
        """Return the window of the open beat."""
        typical_rr = 0.0 if next_r is None else float(next_r - r_sample)
        if self.rr:
            ordered = sorted(self.rr)
            middle = len(ordered) // 2
            typical_rr = (ordered[middle] + ordered[~middle]) / 2
        bounded_rr = min(max(typical_rr, MIN_TYPICAL_S * self.fs_hz), MAX_TYPICAL_S * self.fs_hz)
        previous_r = None if self.previous is None else self.previous.r_sample
        return window_samples(self.window, previous_r, r_sample, next_r, bounded_rr)

    def _end_second(self, end: int, flags: int, findings: Findings) -> None:
        """Judge the second that ends here."""
        if self.decider.due < end:
            self._detected(self.decider.advance(end - 1), findings)
        if not flags and self.decider.unreadable(end - 1):
            flags = NOISY
        findings.seconds.append(end // self.second - 1)
        findings.seconds_quality.append(flags)
        findings.second_rows.append(self.row)
        if flags or self.active or self.noisy_seconds:
            self._begin_and_end_events(end, flags, findings)
        if flags:
            self._turn("no_beat", False, end - self.second, findings)
            self.quiet_since = end
        elif end - self.quiet_since >= NO_BEAT_S * self.fs_hz:
            self._turn("no_beat", True, end, findings)
        if self.open is not None and end - self.open.r_sample > NO_RR_S * self.fs_hz:
            self._close(None, end, findings, too_long=True)

    def _begin_and_end_events(self, end: int, flags: int, findings: Findings) -> None:
        start = end - self.second
        lost = bool(flags & MISSING)
        lead_off = bool(flags & LEAD_OFF)
        self.noisy_seconds = self.noisy_seconds + 1 if flags & NOISY else 0
        noisy = self.noisy_seconds >= NOISY_SECONDS
        self._turn("signal_lost", lost, start, findings)
        self._turn("lead_off", lead_off, start, findings)
        self._turn("noisy", noisy, end - NOISY_SECONDS * self.second if noisy else start, findings)
        if lost or lead_off or noisy:
            self._close(None, end, findings)
            self.previous = None
        if lead_off or (noisy and not self.decider.learning):
            self.decider.reset(end)

    def _turn(self, kind: EventKind, on: bool, sample: int, findings: Findings) -> None:
        if on is (kind in self.active):
            return
        if on:
            self.active.add(kind)
        else:
            self.active.remove(kind)
        event = SignalEvent(kind, "onset" if on else "cleared", sample)
        findings.events.append((self.row, event))

    def to_plain(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {
            "open": [] if self.open is None else list(self.open),
            "previous": [] if self.previous is None else list(self.previous),
            "rr": list(self.rr),
            "quiet_since": self.quiet_since,
            "noisy_seconds": self.noisy_seconds,
            "active": [kind for kind in KINDS if kind in self.active],
            "decider": self.decider.to_plain(),
        }

    def restore(self, plain: Mapping[str, Any], position: int) -> None:
        """Take a state from `to_plain` at `position`; InvalidState if it cannot be one."""
        self.quiet_since = whole(plain, "quiet_since", 0, position)
        self.noisy_seconds = whole(plain, "noisy_seconds", 0, MAX_POSITION)
        self.open = _detection(listing(plain, "open", len(Detection._fields)), position)
        self.previous = _detection(listing(plain, "previous", len(Detection._fields)), position)
        self.rr = deque(_intervals(listing(plain, "rr", TYPICAL_BEATS)), TYPICAL_BEATS)
        active = listing(plain, "active", len(KINDS))
        self.active = {kind for kind in KINDS if kind in active}
        decider = plain.get("decider")
        if not isinstance(decider, dict):
            raise InvalidState("saved state: the detector's part is missing")
        self.decider.restore(decider, position)


def _detection(saved: list[Any], position: int) -> Detection | None:
    """Return a saved detection; none if nothing is saved; InvalidState if it cannot be one."""
    if not saved:
        return None
    fields = dict(zip(Detection._fields, saved, strict=False))
    return Detection(
        whole(fields, "r_sample", 0, position),
        whole(fields, "known", 0, position),
        truth(fields, "learning"),
        truth(fields, "noisy"),
        whole(fields, "peak", 0, position),
        real(fields, "height"),
        whole(fields, "total", -MAX_TOTAL, MAX_TOTAL),
    )


def _intervals(plain: list[Any]) -> list[int]:
    """Return saved RR intervals; InvalidState if they are none."""
    if not all(type(rr) is int and 0 < rr <= MAX_POSITION for rr in plain):
        raise InvalidState("saved state: rr holds a value that is not an interval")
    return plain
