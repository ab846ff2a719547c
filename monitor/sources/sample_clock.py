"""From the timestamps of samples to their positions: jitter is passed over, a loss is a gap.

A device's clock is not the one here: its rate is some parts in a million off the nominal one, of a
cheap device up to some per cent, and timestamps jitter by how the samples travelled. So neither the
count of what arrived tells what is missing, nor the time since the beginning. What tells is a step
in the timestamps, held against a line that follows them, of which both offset and slope are learnt
(a phase-locked loop of second order).

A step may also be a hiccup: samples that were stamped late, of which the next come all the faster.
So behind a step samples are held until it is known which of the two it is, `HELD_S` at most:

- A gap: the timestamps go on at their pace behind the step, by at least half of it.
- A hiccup: they come back to the line; or they hardly move, as in a burst, which is waited out.

Positions count samples of the device's own clock: between gaps nothing is added or left out, so RR
intervals are as the device measured them. How long a gap is, the timestamps say, to within their
jitter. A pure step: any cut of the same timestamps gives the same positions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

LOOP_S = 5.0  # time constant of the line: 1 % of wrong rate is at most 20 ms beside it, and learnt
MOST_DRIFT = 0.05  # what is further off its nominal rate is not of that rate
STEP_S = 0.1  # a step below it is jitter, or a loss that no RR interval shows; over it, 25 samples
HELD_S = 0.25  # so that what is held comes within half a second
MOST_HELD_S = 30.0  # of a burst
BACK_S = 1.0  # a clock that is so far behind the line was set back
MAX_GAP_S = 10 * 86_400.0  # a longer step says nothing: another clock


class PlacedSamples(NamedTuple):
    """Samples in a row whose positions are known, and how many are missing before them."""

    missing: int
    n_samples: int


@dataclass
class SampleClock:
    """Follows the timestamps of one stream.

    Parameters
    ----------
    fs_hz : float
        Nominal sampling rate.

    Attributes
    ----------
    drift : float
        By how much the device's period is longer than nominal: 5e-5 is 50 parts in a million.

    Examples
    --------
    >>> clock = SampleClock(10.0)
    >>> clock.place([0.0, 0.1, 0.2])
    [PlacedSamples(missing=0, n_samples=3)]
    >>> clock.place([5.3, 5.4, 5.5, 5.6, 5.7])  # 5 s were lost
    [PlacedSamples(missing=50, n_samples=5)]
    """

    fs_hz: float

    def __post_init__(self) -> None:
        self._period_s = 1 / self.fs_hz
        self._expected_s: float | None = None  # of the next sample
        self.drift = 0.0
        self._held: list[float] = []  # timestamps behind a step

    @property
    def n_held(self) -> int:
        """How many samples wait until it is known where they lie."""
        return len(self._held)

    def place(self, stamps_s: Iterable[float]) -> list[PlacedSamples]:
        """Take timestamps in; return what became known, in order.

        Parameters
        ----------
        stamps_s : iterable of float
            Of each sample, on one clock.
        """
        placed: list[PlacedSamples] = []
        for stamp_s in stamps_s:
            self._take(stamp_s, placed)
        return placed

    def flush(self) -> list[PlacedSamples]:
        """Decide about what is held: no more will come for now."""
        placed: list[PlacedSamples] = []
        if self._held:
            self._decide_gap(placed)
        return placed

    def _take(self, stamp_s: float, placed: list[PlacedSamples]) -> None:
        if self._expected_s is None:
            self._expected_s = stamp_s
        if self._held:
            self._held.append(stamp_s)
            self._look_at_held(placed)
            return
        late_s = stamp_s - self._expected_s
        if late_s >= STEP_S:
            self._held.append(stamp_s)
            return
        self._follow(late_s)
        _add(placed, 0, 1)

    def _follow(self, late_s: float) -> None:
        """Move the line on by a sample that lies so far behind it, or before it."""
        assert self._expected_s is not None
        if late_s <= -BACK_S:  # set back
            self._expected_s += late_s
            late_s = 0.0
        share = self._period_s / LOOP_S
        self.drift += share * late_s / LOOP_S
        self.drift = max(-MOST_DRIFT, min(MOST_DRIFT, self.drift))
        self._expected_s += self._period_s * (1 + self.drift) + 2 * share * late_s

    def _look_at_held(self, placed: list[PlacedSamples]) -> None:
        """Decide about held samples once it can be told."""
        assert self._expected_s is not None
        period_s = self._period_s * (1 + self.drift)
        n_held = len(self._held)
        late_s = self._held[-1] - self._expected_s - (n_held - 1) * period_s
        if late_s < STEP_S / 2:
            self._pass_over(placed)
        elif n_held * period_s >= HELD_S:
            passed_s = self._held[-1] - self._held[0]
            if passed_s >= n_held * period_s / 2 or n_held * period_s >= MOST_HELD_S:
                self._decide_gap(placed)

    def _pass_over(self, placed: list[PlacedSamples]) -> None:
        """Take held samples as they come: it was a hiccup."""
        assert self._expected_s is not None
        held, self._held = self._held, []
        self._expected_s += len(held) * self._period_s * (1 + self.drift)
        _add(placed, 0, len(held))

    def _decide_gap(self, placed: list[PlacedSamples]) -> None:
        """Let the line begin anew at the held samples, behind a gap."""
        assert self._expected_s is not None
        held, self._held = self._held, []
        period_s = self._period_s * (1 + self.drift)
        late = sorted(stamp_s - self._expected_s - n * period_s for n, stamp_s in enumerate(held))
        gap_s = late[len(late) // 2]
        is_gap = STEP_S / 2 <= gap_s <= MAX_GAP_S  # less is a hiccup that is not over
        missing = round(gap_s / period_s) if is_gap else 0
        self._expected_s += gap_s + len(held) * period_s
        _add(placed, max(0, missing), len(held))


def _add(placed: list[PlacedSamples], missing: int, n_samples: int) -> None:
    if placed and not missing:
        last = placed.pop()
        placed.append(PlacedSamples(last.missing, last.n_samples + n_samples))
    else:
        placed.append(PlacedSamples(missing, n_samples))
