"""Learn one patient's normal from the first minutes, which hold anomalies too and no labels.

The dominant morphology is taken for the normal one. Beats far from it are left out; the
autoencoder is trained on the rest; the threshold comes from losses of beats that were not trained
on, since a model's losses on its own training beats are too small: a threshold set on them would
raise alerts all day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from model.checkpoint import Checkpoint
from model.config import AutoencoderConfig
from model.errors import CannotLearn, InvalidBeats, InvalidConfig
from model.libraries import require_torch
from model.scoring import Scorer, check_beats
from model.thresholds import (
    GAP_REACH,
    MAD_TO_SD,
    MIN_LOSSES,
    Threshold,
    moved_into_gap,
    threshold_from_losses,
)
from model.tracking import Normal, Scored, TrackState, aligned, score_tracked
from model.training_config import Epoch, TrainingConfig

MIN_BEATS = 40  # of a minute of a slow heart, four in five; fewer set no threshold worth the name
MIN_DOMINANT_SHARE = 0.35  # below it no morphology is the usual one
CORE_SHARE = 0.3  # the densest beats, where the search for the dominant morphology begins
# Median absolute deviations (as standard deviations) beyond which a beat is of another morphology.
# On 17 records of MIT-BIH 3 keeps 96 % of the normal beats (median); 4 lets the ectopic beats of
# 106 and 207 in, a cut of the logarithms of the distances those of 119 too.
CUT_DEVIATIONS = 3.0
MAX_REFERENCES = 1_500  # rows of the distance matrix: 9 MB
N_STRETCHES = 16  # of time, in turn trained on and held out: both span all the time there was
BEATS_PER_HOUR = 4_500.0  # 75 a minute
# Reconstructions while training, 2.5 MFLOP each: 4,300 beats times epochs, half a second of a core.
# More of them brought nothing, nor did a higher rate: docs/MODEL.md.
TRAINED_FLOP, TUNING_RATE = 1.1e10, 5e-3
SCRATCH_FLOP = 4.3e10  # of a training that begins with random weights, at the usual rate
MIN_EPOCHS, MAX_EPOCHS = 5, 200
N_EXEMPLARS = 64
MIN_REACH = 0.02  # a sample: a simulator's perfect beats must be followed too
MIN_LOSS = 1e-3  # a simulator's perfect beats have a usual loss, too
QRS_SHARE = 0.1  # of the beat, to either side of R: 75 ms at 80 beats a minute
# Correlation of QRS complexes. On even-numbered records of MIT-BIH 95 % of the normal beats of a
# clean lead lie above .95 to .99, nine in ten ventricular ones below .92.
SAME_QRS = 0.97
# The less usual normal beats are a few of several kinds; a tail fitted to them reaches far beyond
# them, and over ectopic beats (MIT-BIH 208: 126 where the largest of them is 47).
BEYOND = 1.5


@dataclass(frozen=True)
class Learned:
    """What became of a patient's first minutes.

    Attributes
    ----------
    checkpoint : Checkpoint
        Trained on this patient, with its own threshold.
    n_given, n_kept : int
        Beats given, and those of the dominant morphology, which were learnt.
    note : str
        One sentence for people.
    """

    checkpoint: Checkpoint
    n_given: int
    n_kept: int
    note: str


def learn_patient(
    beats: ArrayLike,
    spec: Mapping[str, Any],
    spec_identity: str,
    base: Checkpoint | None = None,
    *,
    rr_before_ms: ArrayLike | None = None,
    false_alerts_per_hour: float = 1.0,
    beats_per_hour: float = BEATS_PER_HOUR,
    seed: int = 0,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Learned:
    """Learn what is normal for one patient.

    Five minutes (about 400 beats) take less than a second of one core.

    Parameters
    ----------
    beats : array_like, shape (n, length), float32
        The patient's beats in the order of time, of good signal quality, anomalies included.
    spec, spec_identity
        The beat spec they were cut by; carried into the checkpoint.
    base : Checkpoint, optional
        Start from these weights; must be of the same spec. Without it, from random weights.
    rr_before_ms : array_like, shape (n,), optional
        Their RR intervals to the beats before, NaN where there is none. Without them no beat is
        taken for premature or late, and the threshold is set by all of the dominant shape.
    false_alerts_per_hour : float
        Target of the threshold, for beats of the dominant morphology.
    beats_per_hour : float
        The patient's, to turn the target into a share of the beats.
    seed : int
        Of the training; the same beats and seed give the same checkpoint.
    on_epoch : callable, optional
        Told of each epoch.

    Raises
    ------
    InvalidBeats
        If beats or intervals have the wrong shape, or beats hold NaN.
    CannotLearn
        If they are too few, or no morphology dominates.
    InvalidConfig
        If the base is of another spec, or the target out of range.
    MissingLibrary
        If PyTorch is not installed.
    """
    require_torch()
    from model.training import (
        fit,  # with torch: 1.4 s and 200 MB, which who only reads need not pay
    )

    if base is not None and base.spec_identity != spec_identity:
        raise InvalidConfig(
            f"the base checkpoint expects beats of spec {base.spec_identity}, these are "
            f"{spec_identity}; use a base of that spec, or none"
        )
    if not 0 < false_alerts_per_hour <= beats_per_hour / 2:
        raise InvalidConfig(
            f"{false_alerts_per_hour!r} false alerts an hour are out of range for "
            f"{beats_per_hour!r} beats an hour; use more than 0 and fewer than half the beats"
        )
    config = base.config if base else AutoencoderConfig()
    checked = check_beats(beats, config.length)
    intervals_ms = _check_intervals(rr_before_ms, len(checked))
    laid, dominant = _on_the_dominant(checked)
    kept = np.flatnonzero(dominant)
    trained_on, held_out = (kept[rows] for rows in _by_stretches(len(kept)))
    training = replace(_training(len(trained_on), config, tuned=base is not None), seed=seed)
    autoencoder = base.autoencoder if base else None
    fitted = fit(laid[trained_on], config, training, autoencoder, on_epoch)
    scorer = Scorer(fitted.autoencoder)
    normal = _normal(laid[kept], scorer.template)
    every = np.ones(len(checked), np.bool_)
    _, scored = score_tracked(scorer, normal, TrackState(), checked, intervals_ms, every)
    normal = replace(normal, usual_loss=max(float(np.median(scored.losses[held_out])), MIN_LOSS))
    same_qrs = _qrs_correlation(scored.tracked.inputs, scorer.template) >= SAME_QRS
    share = false_alerts_per_hour / beats_per_hour
    threshold = _threshold(scored, dominant, held_out, same_qrs, share)
    checkpoint = Checkpoint(
        autoencoder=fitted.autoencoder,
        spec=spec,
        spec_identity=spec_identity,
        threshold=threshold,
        provenance={
            "data": "first minutes of one patient",
            "n_given": len(checked),
            "n_kept": len(kept),
            "seed": seed,
            "base": base.identity if base else None,
        },
        normal=normal,
    )
    note = f"learnt {len(kept)} of {len(checked)} beats, those of the dominant shape"
    return Learned(checkpoint, len(checked), len(kept), note)


def _check_intervals(rr_before_ms: ArrayLike | None, n_beats: int) -> NDArray[np.float64]:
    if rr_before_ms is None:
        return np.full(n_beats, np.nan)
    intervals_ms = np.asarray(rr_before_ms, np.float64)
    if intervals_ms.shape != (n_beats,):
        raise InvalidBeats(
            f"{n_beats} beats need as many RR intervals; these have the shape {intervals_ms.shape}"
        )
    return intervals_ms


def _on_the_dominant(
    beats: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Lay beats on the dominant ones' median; return them and which are dominant.

    Twice, as beats whose R peak was taken on another peak are known only once they are laid on.
    """
    laid, dominant = beats, dominant_beats(beats)
    for _ in range(2):
        laid, _ = aligned(beats, np.median(laid[dominant], axis=0))
        dominant = dominant_beats(laid)
    return laid, dominant


def _normal(usual: NDArray[np.float32], template: NDArray[np.float32]) -> Normal:
    """Return what is kept of the usual beats, shape (n, length), laid on the template."""
    distances = np.abs(usual - template).sum(axis=1)
    chosen = np.linspace(0, len(usual) - 1, min(N_EXEMPLARS, len(usual))).astype(np.int64)
    reach = max(_reach(distances), MIN_REACH * usual.shape[1])
    return Normal(reach=reach, exemplars=usual[chosen])


def _threshold(
    scored: Scored,
    dominant: NDArray[np.bool_],
    held_out: NDArray[np.int64],
    same_qrs: NDArray[np.bool_],
    share: float,
) -> Threshold:
    """Set the threshold from weighted losses of beats that were not trained on.

    Held-out beats that come in time set it. To them come those that were left out of the dominant
    group though they come in time and have its QRS complex: normal beats under noise or a wandering
    baseline, of which the tail of the normal losses is made. Every second of them, as of the kept
    ones every second was held out.
    """
    losses = scored.weighted
    in_time = np.array([timing.in_time for timing in scored.tracked.timings])
    usual = held_out[in_time[held_out]]
    if len(usual) < MIN_LOSSES:  # a rhythm of which nothing is in time
        usual = held_out
    threshold = threshold_from_losses(losses[usual], share)
    left_out = np.flatnonzero(~dominant)[::2]
    near = losses < GAP_REACH * threshold.value
    less_usual = left_out[(in_time & same_qrs & near)[left_out]]
    if len(less_usual):
        wider = threshold_from_losses(losses[np.concatenate((usual, less_usual))], share)
        farthest = BEYOND * float(losses[less_usual].max())
        threshold = _within(wider, threshold.value, max(threshold.value, farthest))
    untrained = np.concatenate((held_out, np.flatnonzero(~dominant)))
    return moved_into_gap(threshold, scored.losses[untrained])  # a gap between shapes, not times


def _within(threshold: Threshold, lowest: float, highest: float) -> Threshold:
    """Return the threshold moved into bounds, its range with it."""
    value = min(max(threshold.value, lowest), highest)
    return replace(
        threshold,
        value=value,
        low=min(threshold.low or value, value),
        high=max(threshold.high or value, value),
    )


def _qrs_correlation(
    beats: NDArray[np.float32], template: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the correlation of each beat with the template about the template's R peak, (n,)."""
    length = beats.shape[1]
    centre = int(np.argmax(np.abs(template - np.median(template))))
    half = max(2, round(QRS_SHARE * length))
    part = slice(max(0, centre - half), centre + half + 1)
    ours = beats[:, part] - beats[:, part].mean(axis=1, keepdims=True)
    learnt = template[part] - template[part].mean()
    norms = np.sqrt((ours**2).sum(axis=1) * (learnt**2).sum())
    return np.asarray((ours * learnt).sum(axis=1) / np.maximum(norms, 1e-12), np.float64)


def dominant_beats(beats: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark the beats of the dominant morphology, without labels.

    A group of beats is grown from where they lie densest. Where it holds less than half of them, a
    second one is grown from the rest, since a tight minority can be denser than a loose majority;
    the larger group is the dominant one.

    Parameters
    ----------
    beats : np.ndarray, shape (n, length), float32
        At least MIN_BEATS.

    Returns
    -------
    np.ndarray, shape (n,), bool

    Raises
    ------
    CannotLearn
        If the beats are too few, no morphology dominates, or the dominant one is a flat line.
    """
    if len(beats) < MIN_BEATS:
        raise CannotLearn(
            f"{len(beats)} {'beat is' if len(beats) == 1 else 'beats are'} too few to learn "
            f"from; at least {MIN_BEATS} are needed"
        )
    kept = _grow(beats, _densest(beats))
    if 2 * kept.sum() < len(beats):
        rest = np.flatnonzero(~kept)
        core = np.zeros(len(beats), dtype=np.bool_)
        core[rest[_densest(beats[rest])]] = True
        kept = max(kept, _grow(beats, core), key=np.count_nonzero)
    n_kept = int(kept.sum())
    if n_kept < MIN_BEATS or n_kept < MIN_DOMINANT_SHARE * len(beats):
        raise CannotLearn(
            f"only {n_kept} of {len(beats)} beats are alike: too mixed to learn what is normal"
        )
    if not np.ptp(beats[kept], axis=1).any():
        raise CannotLearn(f"{n_kept} of {len(beats)} beats are flat: there is no shape to learn")
    return kept


def _grow(beats: NDArray[np.float32], core: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the beats that resemble those of a core, shape (n,).

    Kept are beats whose distance to the template, the kept beats' median, is within CUT_DEVIATIONS
    of the kept beats' median distance; the template is drawn again until nothing changes.
    """
    kept = core
    for _ in range(30):  # settles within about ten
        distances = np.abs(beats - np.median(beats[kept], axis=0)).sum(axis=1)  # (n,)
        now_kept = distances <= _reach(distances[kept])
        if np.array_equal(now_kept, kept):
            break
        kept = now_kept
    return kept


def _reach(distances: NDArray[np.floating]) -> float:
    """Return the distance within which beats are of one morphology, from those of its beats."""
    median = np.median(distances)
    spread = MAD_TO_SD * np.median(np.abs(distances - median))
    return float(median + CUT_DEVIATIONS * spread)


def _densest(beats: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark the CORE_SHARE of the beats nearest to the beat that has them nearest."""
    step = -(-len(beats) // MAX_REFERENCES)
    references = beats[::step].astype(np.float64)
    # Not by a matrix product: its additions are ordered by the number of threads of the BLAS.
    distances = cdist(references, references, "sqeuclidean")  # (r, r)
    rank = int(CORE_SHARE * len(references))
    centre = references[np.argmin(np.partition(distances, rank, axis=1)[:, rank])]
    to_centre = ((beats - centre) ** 2).sum(axis=1)  # (n,)
    return np.asarray(to_centre <= np.quantile(to_centre, CORE_SHARE))


def _training(n_beats: int, config: AutoencoderConfig, *, tuned: bool) -> TrainingConfig:
    """Spend the same effort on few beats as on many, and on a large model as on a small one."""
    trained_beats = (TRAINED_FLOP if tuned else SCRATCH_FLOP) / config.flop_per_beat
    epochs = int(np.clip(trained_beats // n_beats, MIN_EPOCHS, MAX_EPOCHS))
    if tuned:
        return TrainingConfig(epochs=epochs, patience=epochs, learning_rate=TUNING_RATE)
    return TrainingConfig(epochs=epochs, patience=epochs)


def _by_stretches(n_beats: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to train on and those to set the threshold by.

    They are stretches of time in turn, not random rows: neighbouring beats resemble each other, and
    the beats to come are those of another time.
    """
    stretches = np.array_split(np.arange(n_beats), N_STRETCHES)
    return np.concatenate(stretches[::2]), np.concatenate(stretches[1::2])
