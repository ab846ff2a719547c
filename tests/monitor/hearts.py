"""Signs of hearts that are drawn by hand: R peaks, and what the signal is where there are none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from segmenter.signs import (
    COMPLEX_COLUMNS,
    PULSE_COLUMNS,
    QRS_BINS,
    SHAPE_COLUMNS,
    WINDOW_COLUMNS,
    Signs,
)

FS_HZ = 250.0
HOP = 125
KNOWN = 50  # samples after an R peak at which it is known
USUAL = (90.0, 90.0, 0.99, 1.0, 0.15, 0.98, 0.9, 0.0)  # a row of SHAPE_COLUMNS
VENTRICULAR = (170.0, 90.0, 0.3, 1.2, 1.3, 0.98, 0.9, 1.0)
Stretch = tuple[float, float]  # from and to, in s


@dataclass
class Heart:
    """A heart and its leads.

    Attributes
    ----------
    rr_s : list of (float, bool)
        Intervals, and whether the beat at the end of each is ventricular.
    fibrillates, off, noisy : list of Stretch
        Where the signal oscillates; where the last lead is constant; where beats are unfit.
    leads : int
    first_sample : int
        Where the stream begins.
    """

    rr_s: Iterable[float | tuple[float, bool]]
    seconds: float
    fibrillates: Sequence[Stretch] = ()
    off: Sequence[Stretch] = ()
    noisy: Sequence[Stretch] = ()
    leads: int = 1
    r_samples: list[int] = field(default_factory=list)
    ventricular: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        at = 0
        for one in self.rr_s:
            rr_s, is_ventricular = one if isinstance(one, tuple) else (one, False)
            at += round(rr_s * FS_HZ)
            self.r_samples.append(at)
            self.ventricular.append(is_ventricular)

    @property
    def samples(self) -> int:
        """How long the record is."""
        return round(self.seconds * FS_HZ)

    def signs(self, start: int = 0, stop: int | None = None) -> Signs:
        """Return the signs of the hops that end in (start, stop]."""
        stop = self.samples if stop is None else stop
        ends = np.arange(HOP, stop + 1, HOP, dtype=np.int64)
        ends = ends[ends > start]
        windows = np.zeros((len(ends), self.leads), WINDOW_COLUMNS)
        for k, end in enumerate(ends.tolist()):
            for lead in range(self.leads):
                windows[k, lead] = self._window(end, is_last=lead == self.leads - 1)
        rows, shapes = [], []
        for (before, r), (_, after), is_ventricular in zip(
            pairwise([-1, *self.r_samples]),
            pairwise([*self.r_samples, -1]),
            self.ventricular,
            strict=True,
        ):
            if after < 0:
                continue  # the last is never closed
            end = -(-max(r + HOP, after + KNOWN) // HOP) * HOP
            if start < end <= stop:
                rr_ms = np.nan if before < 0 else 4.0 * (r - before)
                known = {
                    "end_sample": end,
                    "r_sample": r,
                    "rr_before_ms": rr_ms,
                    "rr_after_ms": 4.0 * (after - r),
                    "quality": 4 * _within(r, self.noisy),
                    "good_leads": 0 if _within(r, self.noisy) else (1 << self.leads) - 1,
                }
                rows.append(tuple(known[name] for name in COMPLEX_COLUMNS.names or ()))
                shapes.append([VENTRICULAR if is_ventricular else USUAL] * self.leads)
        return Signs(
            ends,
            windows,
            np.array(rows, COMPLEX_COLUMNS),
            np.array(shapes, SHAPE_COLUMNS).reshape(-1, self.leads),
            np.zeros((len(ends), 0), np.bool_),
            np.zeros(0, PULSE_COLUMNS),
        )

    def _window(self, end: int, *, is_last: bool) -> tuple[object, ...]:
        missing = max(0.0, 1 - end / (8 * HOP))
        still = 1.0 if is_last and _within(end, self.off) else missing
        if _within(end, self.fibrillates):
            return missing, still, 1.0, 1.0, 0.5, [1.0] * QRS_BINS, 0.3, 0.75, 5.0, 0.8, 0.0
        r = np.array(self.r_samples)
        edges = end - 62 - HOP + HOP * np.arange(QRS_BINS + 1) / QRS_BINS
        loud = [bool(((r >= a) & (r < b)).any()) for a, b in pairwise(edges)]
        bins = [1.0 if one else 0.02 for one in loud]
        return missing, still, 1.2, 1.0, 0.1, bins, 0.85, 0.3, 1.5, 0.3, 0.0


def _within(sample: int, stretches: Sequence[Stretch]) -> bool:
    return any(a * FS_HZ < sample <= b * FS_HZ for a, b in stretches)
