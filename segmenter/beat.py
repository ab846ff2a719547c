"""One truth for the beat: what a beat is, how it was cut, and how good its signal was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import IntFlag
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from segmenter.errors import InvalidSpec

Window = Literal["rr", "midpoint", "typical"]

BEAT_SAMPLES = 140  # the length of an ECG5000 beat


class Quality(IntFlag):
    """What is wrong with a beat's signal; 0 is a beat that may be judged.

    Examples
    --------
    >>> from segmenter import Quality
    >>> [flag.name for flag in Quality(9)]
    ['FLAT', 'MISSING']
    """

    GOOD = 0
    FLAT = 1
    SATURATED = 2
    NOISY = 4
    MISSING = 8  # a sample of the window is NaN or was never received
    BASELINE = 16  # the baseline moved by more than the beat's own height
    TOO_LONG = 32  # the window is longer than 3 s: no single beat
    LEARNING = 64  # the detector had not yet learnt its thresholds
    LATE = 128  # known later than 300 ms after R: found by looking back; may be judged


# A beat with one of these says nothing about the heart: no verdict is given on it.
UNJUDGEABLE = (
    Quality.FLAT
    | Quality.SATURATED
    | Quality.NOISY
    | Quality.MISSING
    | Quality.TOO_LONG
    | Quality.LEARNING
)
_UNJUDGEABLE = np.uint16(UNJUDGEABLE)  # an IntFlag takes a microsecond to combine


@dataclass(frozen=True)
class BeatSpec:
    """How a beat is cut and normalised; travels in every checkpoint and every beat message.

    Parameters
    ----------
    window : {"rr", "midpoint", "typical"}
        "rr": from this R peak to the next (ECG5000). "midpoint": from half-way to the previous
        R peak to half-way to the next one. "typical": from 0.40 of the patient's typical RR
        interval before the R peak to 0.55 after it; the typical one is the median of the last 16,
        so that a premature neighbour does not stretch the beats on either side of it.
    length : int
        Samples of a cut beat, 16 to 4096. The window is resampled by interpolation.
    version : int
        Rises when the cutting rule changes, so that old checkpoints are refused.

    Raises
    ------
    InvalidSpec
        If a value is unknown or absurd.

    Examples
    --------
    >>> from segmenter import BeatSpec
    >>> BeatSpec(window="rr").to_mapping()
    {'window': 'rr', 'length': 140, 'version': 1}
    >>> BeatSpec(window="rr").identity == BeatSpec().identity
    False
    """

    window: Window = "typical"
    length: int = BEAT_SAMPLES
    version: int = 1

    def __post_init__(self) -> None:
        if self.window not in get_args(Window):
            raise InvalidSpec(
                f"beat window {self.window!r} is unknown; use one of {', '.join(get_args(Window))}"
            )
        if not isinstance(self.length, int) or not 16 <= self.length <= 4096:
            raise InvalidSpec(
                f"beat length {self.length!r} is out of range; use a whole number of 16 to 4096"
            )
        if self.version != 1:
            raise InvalidSpec(f"beat spec version {self.version!r} is unknown; use version 1")

    @property
    def identity(self) -> str:
        """Eight hex digits that two specs share only if they cut the same beats."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:8]

    def to_mapping(self) -> dict[str, Any]:
        """Return the plain values, as kept in a checkpoint's JSON."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> BeatSpec:
        """Build a spec from a checkpoint's JSON; InvalidSpec if a key is missing or unknown."""
        try:
            return cls(**mapping)
        except TypeError as error:
            raise InvalidSpec(
                f"{mapping!r} is not a beat spec; give version, window and length"
            ) from error


@dataclass(frozen=True)
class Beats:
    """Beats in the order of their R peaks: n rows, one column an array.

    Attributes
    ----------
    r_sample : np.ndarray, shape (n,), int64
        R peak, in samples from the start of the stream.
    rr_before_ms, rr_after_ms : np.ndarray, shape (n,), float32
        RR interval to the previous and the next beat; NaN where there is none.
    quality : np.ndarray, shape (n,), uint16
        `Quality` flags of the beat's window.
    delay_ms : np.ndarray, shape (n,), float32
        Signal time from the R peak to the sample at which the detector was sure of it.
    closed_sample : np.ndarray, shape (n,), int64
        Samples of the stream that were seen when the beat closed: its next R peak was known, or
        there was none in time. Its verdict is possible from then on.
    values : np.ndarray, shape (n, leads, length), float32
        The cut beats of each lead, mean 0 and standard deviation 1 (n - 1); zeros where they cannot
        be standardised (FLAT, MISSING, TOO_LONG).
    lead_quality : np.ndarray, shape (n, leads), uint16
        `Quality` flags of each lead's window; `quality` holds what keeps every lead from a verdict.
    """

    r_sample: NDArray[np.int64]
    rr_before_ms: NDArray[np.float32]
    rr_after_ms: NDArray[np.float32]
    quality: NDArray[np.uint16]
    delay_ms: NDArray[np.float32]
    closed_sample: NDArray[np.int64]
    values: NDArray[np.float32]
    lead_quality: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.r_sample)

    def rows(self, selected: slice | NDArray[np.intp]) -> Beats:
        """Return some of the beats."""
        return Beats(
            self.r_sample[selected],
            self.rr_before_ms[selected],
            self.rr_after_ms[selected],
            self.quality[selected],
            self.delay_ms[selected],
            self.closed_sample[selected],
            self.values[selected],
            self.lead_quality[selected],
        )

    def copy(self) -> Beats:
        """Return the beats in memory of their own: a view of one keeps all of its bundle."""
        return self.rows(np.arange(len(self)))

    def moved(self, n_samples: int | NDArray[np.int64]) -> Beats:
        """Return the beats with their samples counted from `n_samples` earlier, all or each."""
        return replace(
            self,
            r_sample=self.r_sample + n_samples,
            closed_sample=self.closed_sample + n_samples,
        )

    @property
    def judgeable(self) -> NDArray[np.bool_]:
        """Which beats are fit for a verdict: shape (n,)."""
        judgeable: NDArray[np.bool_] = np.equal(self.quality & _UNJUDGEABLE, 0)
        return judgeable

    @property
    def lead_judgeable(self) -> NDArray[np.bool_]:
        """Which beats of each lead are fit for a verdict: shape (n, leads)."""
        judgeable: NDArray[np.bool_] = np.equal(self.lead_quality & _UNJUDGEABLE, 0)
        return judgeable


def joined_beats(parts: list[Beats], length: int, leads: int = 1) -> Beats:
    """Join beats of as many leads, in order; none give an empty Beats."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Beats(
            np.zeros(0, np.int64),
            np.zeros(0, np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.uint16),
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            np.zeros((0, leads, length), np.float32),
            np.zeros((0, leads), np.uint16),
        )
    return Beats(
        np.concatenate([part.r_sample for part in parts]),
        np.concatenate([part.rr_before_ms for part in parts]),
        np.concatenate([part.rr_after_ms for part in parts]),
        np.concatenate([part.quality for part in parts]),
        np.concatenate([part.delay_ms for part in parts]),
        np.concatenate([part.closed_sample for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.lead_quality for part in parts]),
    )
