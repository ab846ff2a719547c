"""One lead's beats as they come: laid on the learnt template, slow drift taken out.

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

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from model.errors import InvalidConfig
from model.prematurity import Timing, TimingState, time_all
from model.scoring import MAX_VALUE, Scorer, reconstruction_losses

MAX_LAG_SHARE = 6 / 140  # of the beat, some 35 ms: from an R wave's peak to its S wave's
FOLLOWED_BEATS = 64.0  # time constant of the template; 32 lets ectopic beats of MIT-BIH 114 in
RESEMBLES = 2.0  # times the reach of the learnt beats

Key = TypeVar("Key", bound=Hashable)  # of a lead
Drift = NDArray[np.float64]  # shape (length,): the template now minus the learnt one


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
    """Where a patient of one lead is: nothing followed yet by default.

    Attributes
    ----------
    timing : TimingState
    drift : np.ndarray, shape (length,), float64, or None
        The template now minus the learnt one.
    """

    timing: TimingState = field(default_factory=TimingState)
    drift: Drift | None = None


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
    """Judge the time of one lead's beats and lay them on the template, as `lay_all` does.

    Parameters
    ----------
    rr_before_ms : array_like, shape (n,)
        NaN where there is no beat before.
    judgeable : np.ndarray, shape (n,), bool
        The others are passed over: they are neither followed nor timed.
    """
    of, intervals_ms = [("", len(beats))], np.asarray(rr_before_ms, np.float64)
    rhythms, timings = time_all({"": state.timing}, of, intervals_ms, judgeable)
    drifts, tracked = lay_all({"": state.drift}, of, beats, timings, judgeable, template, normal)
    return TrackState(rhythms[""], drifts[""]), tracked


def lay_all(
    drifts: Mapping[Key, Drift | None],
    of: Iterable[tuple[Key, int]],
    beats: NDArray[np.float32],
    timings: Sequence[Timing],
    judgeable: NDArray[np.bool_],
    template: NDArray[np.float32],
    normal: Normal | None,
) -> tuple[dict[Key, Drift | None], Tracked]:
    """Lay beats of many leads on the templates that follow them.

    Beat by beat: any cut of the same beats gives the same, to the bit.

    Parameters
    ----------
    drifts : mapping to np.ndarray, shape (length,), or None
        Where each lead's template is, from the learnt one.
    of : iterable of (key, int)
        Whose beats the next rows are, and how many; the same one may come again.
    beats : np.ndarray, shape (n, length), float32
    timings : sequence of Timing, length n
        As `model.prematurity.time_all` judges them; a beat that is not in time is not followed.
    judgeable : np.ndarray, shape (n,), bool
        The others are passed over.
    template : np.ndarray, shape (length,), float32
        The autoencoder's.
    normal : Normal or None
        None (nothing was learnt of these patients) leaves the beats as they are.

    Returns
    -------
    dict to np.ndarray or None
        Where the templates are now.
    Tracked
    """
    inputs = beats if normal is None else beats.copy()
    lags = np.zeros(len(beats), np.int64)
    taken_out = np.zeros_like(beats)
    after = dict(drifts)
    if normal is not None:
        rows = iter(range(len(beats)))
        for key, n_beats in of:
            drift = after[key]
            for row in islice(rows, n_beats):
                if judgeable[row]:
                    drift, inputs[row], lags[row], taken_out[row] = _follow(
                        drift, beats[row], template, normal.reach, timings[row].in_time
                    )
            after[key] = drift
    return after, Tracked(beats, inputs, lags, taken_out, tuple(timings))


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
    before: Drift | None,
    beat: NDArray[np.float32],
    template: NDArray[np.float32],
    reach: float,
    in_time: bool,
) -> tuple[Drift | None, NDArray[np.float32], int, Drift]:
    """Return the next drift, and of one beat: the autoencoder's input, lag and drift."""
    drift = np.zeros(len(template)) if before is None else before
    lag = _best_lag(beat, template + drift)
    laid = shifted(beat[None], np.array([lag]))[0]  # (length,)
    without_drift = (laid - drift).astype(np.float32)
    difference = without_drift - template
    distance = float(np.abs(difference).sum())
    followed = before
    if in_time and 0 < distance < RESEMBLES * reach:
        step = min(1.0, reach / distance) / FOLLOWED_BEATS
        followed = drift + step * difference
    return followed, without_drift, lag, drift
