"""What a stretch of signal shows beside its beats: windows, QRS complexes, pulses, as arrays.

The named alarms (`rhythm/` in the monitor) are decided on these, half a second (a hop) at a time.
A hop ends at each multiple of `HOP_S` of the stream; those in a gap of all leads and waves are left
out after its first ten seconds. A complex stands in the hop in which it was measured: the first
that ends at least `HOP_S` behind its R peak and behind its beat's `closed_sample`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Moves = int | NDArray[np.int64]
Which = slice | NDArray[np.intp]
QRS_BINS = 8  # of a hop: a gap between complexes is measured to a sixteenth of a second
QRS_DELAY_S = 0.25  # a window's end is joined to its start: what is nearer may be of either

WINDOW_COLUMNS = np.dtype(  # those of `SignalWindow`
    [
        ("missing", "<f4"),
        ("still", "<f4"),
        ("height_mv", "<f4"),
        ("qrs_highest_mv", "<f4"),
        ("qrs_mean_mv", "<f4"),
        ("qrs_mv", "<f4", (QRS_BINS,)),
        ("leakage", "<f4"),
        ("far_share", "<f4"),
        ("dominant_hz", "<f4"),
        ("tonal_share", "<f4"),
        ("muscle_share", "<f4"),
    ]
)
COMPLEX_COLUMNS = np.dtype(
    [
        ("end_sample", "<i8"),  # of the hop it stands in
        ("r_sample", "<i8"),
        ("rr_before_ms", "<f4"),  # NaN where there is none
        ("rr_after_ms", "<f4"),
        ("quality", "<u2"),
        ("good_leads", "<u8"),  # bit k: its signal in lead k was good
    ]
)
SHAPE_COLUMNS = np.dtype(  # those of `qrs_shape.QrsShape`
    [
        ("width_ms", "<f4"),
        ("usual_width_ms", "<f4"),
        ("correlation", "<f4"),
        ("height_ratio", "<f4"),
        ("distance", "<f4"),
        ("like_last", "<f4"),
        ("dominant_share", "<f4"),
        ("of_shape", "<f4"),
    ]
)
PULSE_COLUMNS = np.dtype([("end_sample", "<i8"), ("sample", "<i8"), ("wave", "<u2")])


class SignalWindow(NamedTuple):
    """The measures of one window; NaN where it cannot be measured.

    Attributes
    ----------
    end_sample : int
        The sample after the window.
    missing, still : float
        Share of samples that are missing, and share of steps between samples under .1 uV.
    height_mv : float
        Highest over lowest, 1 to 30 Hz.
    qrs_highest_mv, qrs_mean_mv : float
        Highest and mean of the QRS band's envelope (8-20 Hz, mean over 100 ms) in the window.
    qrs_mv : tuple of float
        Highest of that envelope in each sixteenth of a second of the hop that ends `QRS_DELAY_S`
        before the window's end: window after window, all of the signal.
    leakage : float
        0 for a sine wave, 1 for a signal without a period (Kuo 1978).
    far_share : float
        Share of samples farther from the baseline than 0.2 of the highest nearby: TCSC.
    dominant_hz : float
        Where the spectrum is highest between 2 and 9 Hz.
    tonal_share : float
        Share of the power at that frequency and its double.
    muscle_share : float
        Power at 30 to 48 Hz over that between 1 and 30 Hz.
    """

    end_sample: int
    missing: float
    still: float
    height_mv: float
    qrs_highest_mv: float
    qrs_mean_mv: float
    qrs_mv: tuple[float, ...]
    leakage: float
    far_share: float
    dominant_hz: float
    tonal_share: float
    muscle_share: float


@dataclass(frozen=True)
class Signs:
    """Hops in the order of their ends: h of them, of c complexes, of p pulses.

    Attributes
    ----------
    end_sample : np.ndarray, shape (h,), int64
        The sample after each hop, from the stream's start.
    windows : np.ndarray, shape (h, leads), WINDOW_COLUMNS
        The last four seconds of each lead.
    complexes : np.ndarray, shape (c,), COMPLEX_COLUMNS
        QRS complexes, in the order of their hops and R peaks.
    shapes : np.ndarray, shape (c, leads), SHAPE_COLUMNS
        Each lead's; NaN where the signal around R is not whole.
    readable : np.ndarray, shape (h, waves), bool
        Whether each pulse wave moves and is not missing.
    pulses : np.ndarray, shape (p,), PULSE_COLUMNS
        Pulses, in the order of their hops.
    """

    end_sample: NDArray[np.int64]
    windows: NDArray[Any]
    complexes: NDArray[Any]
    shapes: NDArray[Any]
    readable: NDArray[np.bool_]
    pulses: NDArray[Any]

    def __len__(self) -> int:
        return len(self.end_sample)

    def moved(self, n_samples: int) -> Signs:
        """Return the signs with their samples counted from `n_samples` earlier.

        Those are the ends of hops, here, in complexes and in pulses; R peaks; and pulses.
        """
        return self.moved_each(n_samples, n_samples, n_samples) if n_samples else self

    def moved_each(self, hops: Moves, complexes: Moves, pulses: Moves) -> Signs:
        """Return the signs moved, each hop, complex and pulse by samples of its own."""
        moved_complexes, moved_pulses = self.complexes.copy(), self.pulses.copy()
        for name in ("end_sample", "r_sample"):
            moved_complexes[name] += complexes
        for name in ("end_sample", "sample"):
            moved_pulses[name] += pulses
        return replace(
            self,
            end_sample=self.end_sample + hops,
            complexes=moved_complexes,
            pulses=moved_pulses,
        )

    def part(self, hops: Which, complexes: Which, pulses: Which) -> Signs:
        """Return some of the hops with their complexes and pulses: views, of slices."""
        return Signs(
            self.end_sample[hops],
            self.windows[hops],
            self.complexes[complexes],
            self.shapes[complexes],
            self.readable[hops],
            self.pulses[pulses],
        )

    def copy(self) -> Signs:
        """Return the signs in memory of their own: a view of one keeps all of its bundle."""
        return Signs(*(array.copy() for array in vars(self).values()))


@dataclass(frozen=True)
class GroupedSigns:
    """Signs of many patients, one patient after the other.

    Attributes
    ----------
    signs : Signs
    counts : np.ndarray, shape (patients, 3), int64
        How many hops, complexes and pulses are each patient's.
    """

    signs: Signs
    counts: NDArray[np.int64]

    def moved(self, n_samples: NDArray[np.int64]) -> GroupedSigns:
        """Return the signs with each patient's samples counted from so many earlier."""
        if not len(self.signs):
            return self
        each = (n_samples.repeat(count) for count in self.counts.T)
        return GroupedSigns(self.signs.moved_each(*each), self.counts)

    def of_each(self) -> list[Signs | None]:
        """Return each patient's signs, views; None where no hop ended."""
        if not len(self.signs):
            return [None] * len(self.counts)
        stops: list[list[int]] = self.counts.cumsum(axis=0).tolist()
        return [
            self.signs.part(*map(slice, start, stop)) if stop[0] > start[0] else None
            for start, stop in zip([[0, 0, 0], *stops], stops, strict=False)
        ]


def joined_signs(parts: list[Signs], leads: int = 1, waves: int = 0) -> Signs:
    """Join signs of as many leads and waves, in order."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return no_signs(leads, waves)
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Signs(*(np.concatenate(column) for column in columns))


def no_signs(leads: int = 1, waves: int = 0) -> Signs:
    """Return the signs of a stretch in which no hop ended."""
    return Signs(
        np.zeros(0, np.int64),
        np.zeros((0, leads), WINDOW_COLUMNS),
        np.zeros(0, COMPLEX_COLUMNS),
        np.zeros((0, leads), SHAPE_COLUMNS),
        np.zeros((0, waves), np.bool_),
        np.zeros(0, PULSE_COLUMNS),
    )
