"""One patient's course: beats close when the next is known, events begin and end.

Plain Python, a few calls a second; the arrays are the bank's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, nan
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmenter.beat import Quality, Window
from segmenter.cutter import window_samples
from segmenter.errors import InvalidState
from segmenter.lead_detector import LEAD_OFF, MAX_POSITION, MISSING, NOISY, NOISY_SECONDS
from segmenter.qrs import NOISY_RATIO, REPORT_S, Detection, keep
from segmenter.state import listing, real, truth, whole

NO_BEAT_S = 4.0  # a good signal without a beat for so long is an event
TYPICAL_BEATS = 16  # about 12 s: a bigeminy has normal beats enough in it, and the rate may change
MIN_TYPICAL_S, MAX_TYPICAL_S = 0.3, 1.5  # 200 to 40 beats a minute
QRS_AREA_S = 0.13  # area of a QRS complex's envelope over its height
NOISE_PEAKS = 2.0  # those of noise, over its mean
NO_RR_S = 6.0  # two beats further apart are not neighbours
MAX_TOTAL = 1 << 63  # of the running total of the envelope, which may wrap

# Plain numbers: an IntFlag takes a microsecond to combine.
LATE, TOO_LONG = int(Quality.LATE), int(Quality.TOO_LONG)
MAX_FLAGS = (1 << 16) - 1

EventKind = Literal["lead_off", "signal_lost", "noisy", "no_beat", "lead_left_out"]
KINDS: tuple[EventKind, ...] = ("lead_off", "signal_lost", "noisy", "no_beat")  # of the patient


@dataclass(frozen=True)
class SignalEvent:
    """The signal became unreadable, or readable again.

    `sample` is where that began, at the resolution of a second; for `no_beat` it is the sample at
    which it was noticed, and the R peak that ended it, or where it began if that R lies before.
    `lead_left_out` is of the lead in `leads`, an index, while others can be read; all other kinds
    are of the patient: no lead can be read, or none has a beat.
    """

    kind: EventKind
    state: Literal["onset", "cleared"]
    sample: int
    leads: tuple[int, ...] = ()


class JoinedBeat(NamedTuple):
    """A beat of a patient, of one R peak for all leads."""

    r_sample: int
    known: int  # sample at which it was sure
    flags: tuple[int, ...]  # of each lead: what keeps its detector from being believed
    found: tuple[Detection | None, ...]  # what each lead's detector found


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
    quality: int  # of the beat as a whole: LATE, TOO_LONG


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
    lead_flags: list[tuple[int, ...]] = field(default_factory=list)  # of each closed beat's leads
    events: list[tuple[int, SignalEvent]] = field(default_factory=list)  # with their rows
    r_samples: list[int] = field(default_factory=list)
    r_rows: list[int] = field(default_factory=list)
    seconds: list[int] = field(default_factory=list)
    seconds_quality: list[int] = field(default_factory=list)
    second_rows: list[int] = field(default_factory=list)


class Tracker:
    """Follows one patient from beats and seconds, of all leads, to closed beats and events.

    Parameters
    ----------
    row : int
        The patient's row in the bank.
    fs_hz : float
    window : str
        The window of `BeatSpec`.
    scale : float
        Steps of the envelope a millivolt.
    """

    def __init__(self, row: int, fs_hz: float, window: Window, scale: float) -> None:
        self.row = row
        self.fs_hz = fs_hz
        self.window = window
        self.scale = scale
        self.second = round(fs_hz)
        self.report = int(REPORT_S * fs_hz)
        self.open: JoinedBeat | None = None
        self.previous: JoinedBeat | None = None
        self.rr: list[int] = []  # the latest intervals, in samples
        self.quiet_since = 0
        self.noisy_seconds = 0
        self.active: set[EventKind] = set()  # events of the patient that last

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

    def take(self, beat: JoinedBeat, findings: Findings) -> None:
        """Take the next beat: the one before closes."""
        if self.active:
            # R may lie before the event: its beat was known late.
            ended = max(beat.r_sample, self._no_beat_onset())
            self._turn("no_beat", False, ended, findings)
        self.quiet_since = beat.r_sample
        self._close(beat, beat.known, findings)
        self.open = beat
        findings.r_samples.append(beat.r_sample)
        findings.r_rows.append(self.row)

    def found_late(self, lead: int, detection: Detection, flags: int) -> None:
        """Add what a lead found to the open beat, which is already taken."""
        beat = self.open
        if beat is not None and beat.found[lead] is None:
            found, lead_flags = list(beat.found), list(beat.flags)
            found[lead], lead_flags[lead] = detection, flags
            self.open = beat._replace(found=tuple(found), flags=tuple(lead_flags))

    def _no_beat_onset(self) -> int:
        """Return the end of the second at which `no_beat` begins, if no beat comes."""
        noticed = self.quiet_since + NO_BEAT_S * self.fs_hz
        return ceil(noticed / self.second) * self.second

    def _close(
        self, next_beat: JoinedBeat | None, seen: int, findings: Findings, *, too_long: bool = False
    ) -> None:
        """Close the open beat: the next one is known, or after `seen` samples there is none."""
        beat, previous = self.open, self.previous
        if beat is None:
            return
        r_sample = beat.r_sample
        previous_r = None if previous is None else previous.r_sample
        next_r = None if next_beat is None else next_beat.r_sample
        if previous_r is not None:
            keep(self.rr, r_sample - previous_r, TYPICAL_BEATS)
        start, stop = self._window(r_sample, next_r)
        findings.lead_flags.append(
            tuple(
                [
                    flags | NOISY * self._lies_in_noise(lead, previous, beat, next_beat)
                    for lead, flags in enumerate(beat.flags)
                ]
            )
        )
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
                LATE * (beat.known - r_sample > self.report) | TOO_LONG * too_long,
            )
        )
        self.previous = None if next_beat is None else beat
        self.open = None

    def _lies_in_noise(
        self,
        lead: int,
        previous: JoinedBeat | None,
        beat: JoinedBeat,
        next_beat: JoinedBeat | None,
    ) -> bool:
        """Tell whether a lead's envelope between the beats is high against this one.

        T waves hardly pass the filter. What the QRS complexes add is taken off: the whole of this
        one, half of those at either end.
        """
        this = beat.found[lead]
        if this is None:
            return False
        before = None if previous is None else previous.found[lead]
        after = None if next_beat is None else next_beat.found[lead]
        first, last = before or this, after or this
        qrs = self.fs_hz * QRS_AREA_S
        between = last.peak - first.peak - 2 * qrs
        if between < qrs:  # too little is left to be judged
            return False
        area = (last.total - first.total) / self.scale
        area -= qrs * (first.height / 2 + last.height / 2)
        if before is not None and after is not None:
            area -= qrs * this.height
        return NOISE_PEAKS * area > NOISY_RATIO * this.height * between

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

    def end_second(self, end: int, flags: int, findings: Findings) -> None:
        """Take the second that ends here, and its `Quality` flags: 0 if a lead can be read."""
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

    def leave_out(self, lead: int, out: bool, sample: int, findings: Findings) -> None:
        """Say that a lead is left out from a sample on, or is back."""
        event = SignalEvent("lead_left_out", "onset" if out else "cleared", sample, (lead,))
        findings.events.append((self.row, event))

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
            "open": [] if self.open is None else _beat_plain(self.open),
            "previous": [] if self.previous is None else _beat_plain(self.previous),
            "rr": list(self.rr),
            "quiet_since": self.quiet_since,
            "noisy_seconds": self.noisy_seconds,
            "active": [kind for kind in KINDS if kind in self.active],
        }

    def restore(self, plain: Mapping[str, Any], position: int, leads: int) -> None:
        """Take a state from `to_plain` at `position`; InvalidState if it cannot be one."""
        self.quiet_since = whole(plain, "quiet_since", 0, position)
        self.noisy_seconds = whole(plain, "noisy_seconds", 0, MAX_POSITION)
        self.open = _saved_beat(plain, "open", position, leads)
        self.previous = _saved_beat(plain, "previous", position, leads)
        self.rr = _intervals(listing(plain, "rr", TYPICAL_BEATS))
        active = listing(plain, "active", len(KINDS))
        self.active = {kind for kind in KINDS if kind in active}


def _beat_plain(beat: JoinedBeat) -> list[Any]:
    found = [[] if one is None else list(one) for one in beat.found]
    return [beat.r_sample, beat.known, list(beat.flags), found]


def _saved_beat(
    plain: Mapping[str, Any], name: str, position: int, leads: int
) -> JoinedBeat | None:
    """Return a saved beat; none if nothing is saved; InvalidState if it cannot be one."""
    saved = listing(plain, name, len(JoinedBeat._fields))
    if not saved:
        return None
    fields = dict(zip(JoinedBeat._fields, saved, strict=False))
    flags, found = listing(fields, "flags", leads), listing(fields, "found", leads)
    if len(flags) != leads or len(found) != leads:
        raise InvalidState(f"saved state: {name} is not a beat of {leads} leads")
    if not all(type(one) is int and 0 <= one <= MAX_FLAGS for one in flags):
        raise InvalidState(f"saved state: {name} holds flags that are none")
    return JoinedBeat(
        whole(fields, "r_sample", 0, position),
        whole(fields, "known", 0, position),
        tuple(flags),
        tuple(saved_detection(one, position) for one in found),
    )


def saved_detection(saved: object, position: int) -> Detection | None:
    """Return a saved detection; none if nothing is saved; InvalidState if it cannot be one."""
    if not isinstance(saved, list):
        raise InvalidState("saved state: a beat's part is not a list")
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
