"""One patient's beats as they come: laid on the learnt template, slow drift taken out, timed.

The autoencoder knows the shapes of the first minutes. Later the patient turns over, an electrode
dries, the R peak is taken on the other one of two peaks: every beat then differs from the learnt
ones, and none is anomalous. So each beat is shifted to where it agrees best with a template that
follows the patient, and the template's way since the learning is taken out before the autoencoder
sees the beat; the reconstruction is put back the same way, and the loss stays the sum of absolute
differences between beat and reconstruction.

The template follows beats that come in time and resemble it: slow change is followed, an anomaly or
a sudden change is not, and raises an alert. No loss enters, so that beats can still be scored in
batches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from model.errors import InvalidConfig
from model.prematurity import Timing, TimingState, follow_rhythm
from model.scoring import MAX_VALUE, Scorer, reconstruction_losses

MAX_LAG_SHARE = 6 / 140  # of the beat, some 35 ms: from an R wave's peak to its S wave's
FOLLOWED_BEATS = 64.0  # time constant of the template; 32 lets ectopic beats of MIT-BIH 114 in
RESEMBLES = 2.0  # times the reach of the learnt beats


@dataclass(frozen=True)
class Normal:
    """What was learnt of one patient's usual beats, beside the autoencoder's weights.

    Attributes
    ----------
    reach : float
        Distance (sum of absolute differences) from the template within which usual beats lie.
    exemplars : np.ndarray, shape (k, length), float32
        Some of the usual beats, evenly over the time learnt, laid on the template.
    usual_loss : float
        Median loss of usual beats that the autoencoder was not trained on: the unit in which
        evidence counts losses.
    """

    reach: float
    exemplars: NDArray[np.float32]
    usual_loss: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.reach < 1e6:  # NaN fails too
            raise InvalidConfig(f"the usual beats' reach {self.reach!r} is not a positive number")
        if self.exemplars.ndim != 2 or not (np.abs(self.exemplars) <= MAX_VALUE).all():
            raise InvalidConfig(
                f"exemplars of shape {self.exemplars.shape} must be (n, length), finite and "
                "plausible"
            )
        if not 0 < self.usual_loss < MAX_VALUE:  # NaN fails too
            raise InvalidConfig(
                f"the usual beats' loss {self.usual_loss!r} is not a positive number"
            )


@dataclass(frozen=True)
class TrackState:
    """Where a patient is: nothing followed yet by default.

    Attributes
    ----------
    timing : TimingState
    drift : np.ndarray, shape (length,), float64, or None
        The template now minus the learnt one.
    """

    timing: TimingState = field(default_factory=TimingState)
    drift: NDArray[np.float64] | None = None

    def learnt(self) -> TrackState:
        """Return the state behind a learning: the rhythm continues, drift counts from here."""
        return TrackState(self.timing)


@dataclass(frozen=True)
class Tracked:
    """Beats made ready for the autoencoder.

    Attributes
    ----------
    beats : np.ndarray, shape (n, length), float32
        As they came.
    inputs : np.ndarray, shape (n, length), float32
        What the autoencoder is to reconstruct.
    lags : np.ndarray, shape (n,), int64
        Samples by which each was shifted.
    drifts : np.ndarray, shape (n, length), float32
        What was taken out of each.
    timings : tuple of Timing, length n
    """

    beats: NDArray[np.float32]
    inputs: NDArray[np.float32]
    lags: NDArray[np.int64]
    drifts: NDArray[np.float32]
    timings: tuple[Timing, ...]

    @property
    def factors(self) -> NDArray[np.float64]:
        """What the losses are multiplied by for the verdict, shape (n,)."""
        return np.array([timing.factor for timing in self.timings], np.float64)


def track(
    state: TrackState,
    beats: NDArray[np.float32],
    rr_before_ms: ArrayLike,
    judgeable: NDArray[np.bool_],
    template: NDArray[np.float32],
    normal: Normal | None,
) -> tuple[TrackState, Tracked]:
    """Lay one patient's beats on the template, and judge their time: `track_all` of one."""
    intervals_ms = np.asarray(rr_before_ms, np.float64)
    of = [("", len(beats))]
    states, tracked = track_all({"": state}, of, beats, intervals_ms, judgeable, template, normal)
    return states[""], tracked


def track_all(
    states: Mapping[str, TrackState],
    of: Iterable[tuple[str, int]],
    beats: NDArray[np.float32],
    rr_before_ms: NDArray[np.floating],
    judgeable: NDArray[np.bool_],
    template: NDArray[np.float32],
    normal: Normal | None,
) -> tuple[dict[str, TrackState], Tracked]:
    """Lay beats of many patients on the templates that follow them, and judge their time.

    Beat by beat: any cut of the same beats gives the same, to the bit.

    Parameters
    ----------
    states : mapping of str to TrackState
        Where each patient is.
    of : iterable of (str, int)
        Whose beats the next rows are, and how many; the same one may come again.
    beats : np.ndarray, shape (n, length), float32
    rr_before_ms : np.ndarray, shape (n,)
        NaN where there is no beat before.
    judgeable : np.ndarray, shape (n,), bool
        The others are passed over: they are neither followed nor timed.
    template : np.ndarray, shape (length,), float32
        The autoencoder's.
    normal : Normal or None
        None (nothing was learnt of these patients) leaves the beats as they are; time counts.

    Returns
    -------
    dict of str to TrackState
        Where the patients are now.
    Tracked
    """
    inputs = beats if normal is None else beats.copy()
    lags = np.zeros(len(beats), np.int64)
    drifts = np.zeros_like(beats)
    timings: list[Timing] = []
    after = dict(states)
    row_of = enumerate(zip(rr_before_ms.tolist(), judgeable.tolist(), strict=True))
    for name, n_beats in of:
        state = after[name]
        for row, (rr_ms, is_judgeable) in islice(row_of, n_beats):
            rhythm, timing = follow_rhythm(state.timing, rr_ms if is_judgeable else math.nan)
            state = TrackState(rhythm, state.drift)
            timings.append(timing)
            if normal is not None and is_judgeable:
                state, inputs[row], lags[row], drifts[row] = _follow(
                    state, beats[row], template, normal.reach, timing.in_time
                )
        after[name] = state
    return after, Tracked(beats, inputs, lags, drifts, tuple(timings))


@dataclass(frozen=True)
class Scored:
    """What became of beats that were tracked and scored.

    Attributes
    ----------
    tracked : Tracked
    losses : np.ndarray, shape (n,), float32
        Reconstruction losses; NaN where a beat is not judgeable.
    reconstructions : np.ndarray, shape (n, length), float32
        Of the beats as they came; zeros where a beat is not judgeable.
    """

    tracked: Tracked
    losses: NDArray[np.float32]
    reconstructions: NDArray[np.float32]

    @property
    def weighted(self) -> NDArray[np.float64]:
        """What is held against the threshold: losses times timing factors, shape (n,)."""
        return self.losses * self.tracked.factors


def score_tracked(
    scorer: Scorer,
    normal: Normal | None,
    state: TrackState,
    beats: NDArray[np.float32],
    rr_before_ms: ArrayLike,
    judgeable: NDArray[np.bool_],
) -> tuple[TrackState, Scored]:
    """Track beats and score them: `track`, then the autoencoder, then `put_back`."""
    state, tracked = track(state, beats, rr_before_ms, judgeable, scorer.template, normal)
    return state, put_back(tracked, scorer.reconstruct(tracked.inputs[judgeable]), judgeable)


def put_back(
    tracked: Tracked, reconstructions: NDArray[np.float32], rows: NDArray[np.bool_]
) -> Scored:
    """Put what was made of the inputs back to the beats as they came.

    Parameters
    ----------
    reconstructions : np.ndarray, shape (m, length), float32
        Of `tracked.inputs[rows]`.
    rows : np.ndarray, shape (n,), bool
        The m rows that are scored; the others get no loss.
    """
    losses = np.full(len(tracked.beats), np.nan, np.float32)
    of_beats = np.zeros_like(tracked.beats)
    of_beats[rows] = shifted(reconstructions + tracked.drifts[rows], -tracked.lags[rows])
    losses[rows] = reconstruction_losses(tracked.beats[rows], of_beats[rows])
    return Scored(tracked, losses, of_beats)


def aligned(
    beats: NDArray[np.float32], template: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return beats shifted to where they agree best with a template, and the shifts.

    Parameters
    ----------
    beats : np.ndarray, shape (n, length), float32
    template : np.ndarray, shape (length,)

    Returns
    -------
    beats : np.ndarray, shape (n, length), float32
        The ends are filled with the first or last value.
    lags : np.ndarray, shape (n,), int64
    """
    lags = np.array([_best_lag(beat, template) for beat in beats], np.int64)
    return shifted(beats, lags), lags


def shifted(beats: NDArray[np.float32], lags: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return beats that begin `lags` samples later; their ends are filled with the end values."""
    if not lags.any():  # where nothing was learnt
        return beats.copy()
    length = beats.shape[1]
    columns = np.clip(np.arange(length) + lags[:, None], 0, length - 1)  # (n, length)
    return np.take_along_axis(beats, columns, axis=1)


def _best_lag(beat: NDArray[np.float32], template: NDArray[np.floating]) -> int:
    """Return the lag of the largest correlation; the smaller of two that are equal."""
    reach = round(MAX_LAG_SHARE * len(beat))
    padded = np.concatenate((beat[:1].repeat(reach), beat, beat[-1:].repeat(reach)))
    windows = sliding_window_view(padded, len(beat))  # (lags, length)
    # A sum by rows, not a matrix product, whose order of additions is BLAS's own.
    agreement = (windows * (template - template.mean())).sum(axis=1)
    order = _nearest_first(reach)
    return int(order[np.argmax(agreement[order])]) - reach


@lru_cache
def _nearest_first(reach: int) -> NDArray[np.intp]:
    """Return the indices of lags -reach to reach, the smallest lags first."""
    return np.argsort(np.abs(np.arange(-reach, reach + 1)), kind="stable")


def _follow(
    state: TrackState,
    beat: NDArray[np.float32],
    template: NDArray[np.float32],
    reach: float,
    in_time: bool,
) -> tuple[TrackState, NDArray[np.float32], int, NDArray[np.float64]]:
    """Return the next state, and of one beat: the autoencoder's input, lag and drift."""
    drift = np.zeros(len(template)) if state.drift is None else state.drift
    lag = _best_lag(beat, template + drift)
    laid = shifted(beat[None], np.array([lag]))[0]  # (length,)
    without_drift = (laid - drift).astype(np.float32)
    difference = without_drift - template
    distance = float(np.abs(difference).sum())
    if in_time and 0 < distance < RESEMBLES * reach:
        step = min(1.0, reach / distance) / FOLLOWED_BEATS
        state = replace(state, drift=drift + step * difference)
    return state, without_drift, lag, drift
