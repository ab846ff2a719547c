"""What a stretch of signal shows beside its beats: windows, QRS complexes, pulses, as arrays.

The named alarms (`rhythm/` in the monitor) are decided on these, half a second at a time. A complex
stands in the hop in which it was measured: the first that ends at least `HOP_S` behind its R peak
and not before its beat closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

QRS_BINS = 8  # of a hop: a gap between complexes is measured to a sixteenth of a second

WINDOW_COLUMNS = np.dtype(  # those of `oscillation.SignalWindow`
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
