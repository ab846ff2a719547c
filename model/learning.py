"""Learn one patient's normal from the first minutes, which hold anomalies too and no labels.

The dominant morphology is taken for the normal one. Beats far from it are left out; the
autoencoder is trained on the rest; the threshold comes from losses of beats that were not trained
on, since a model's losses on its own training beats are too small: set on them, it rings all day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.autoencoder import AutoencoderConfig
from model.checkpoint import Checkpoint
from model.errors import CannotLearn, InvalidConfig
from model.scoring import Scorer, check_beats
from model.thresholds import MAD_TO_SD, moved_into_gap, threshold_from_losses
from model.training import Epoch, TrainingConfig, fit

MIN_BEATS = 60  # about a minute; fewer set no threshold worth the name
MIN_DOMINANT_SHARE = 0.35  # below it no morphology is the usual one
CORE_SHARE = 0.3  # the densest beats, where the search for the dominant morphology begins
# Median absolute deviations (as standard deviations) beyond which a beat is of another morphology.
# On 17 records of MIT-BIH 3 keeps 96 % of the normal beats (median); 4 lets the ectopic beats of
# 106 and 207 in, a cut of the logarithms of the distances those of 119 too.
CUT_DEVIATIONS = 3.0
MAX_REFERENCES = 1_500  # rows of the distance matrix: 9 MB
N_STRETCHES = 16  # of time, in turn trained on and held out: both span all the time there was
BEATS_PER_HOUR = 4_500.0  # 75 a minute
TRAINED_BEATS = 10_000  # beats times epochs: 9 to 18 s on one core


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
    false_alerts_per_hour: float = 1.0,
    beats_per_hour: float = BEATS_PER_HOUR,
    seed: int = 0,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Learned:
    """Learn what is normal for one patient.

    Five minutes (about 400 beats) take at most 20 s on two cores.

    Parameters
    ----------
    beats : array_like, shape (n, length), float32
        The patient's beats in the order of time, of good signal quality, anomalies included.
    spec, spec_identity
        The beat spec they were cut by; carried into the checkpoint.
    base : Checkpoint, optional
        Start from these weights; must be of the same spec. Without it training starts anew.
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
        If beats have the wrong shape or hold NaN.
    CannotLearn
        If they are too few, or no morphology dominates.
    InvalidConfig
        If the base is of another spec, or the target absurd.
    """
    if base is not None and base.spec_identity != spec_identity:
        raise InvalidConfig(
            f"the base checkpoint takes beats of spec {base.spec_identity}, "
            f"these are {spec_identity}; use a base of that spec or none"
        )
    if not 0 < false_alerts_per_hour <= beats_per_hour / 2:
        raise InvalidConfig(
            f"{false_alerts_per_hour!r} false alerts an hour of {beats_per_hour!r} beats"
        )
    config = base.config if base else AutoencoderConfig()
    checked = check_beats(beats, config.length)
    dominant = dominant_beats(checked)
    kept = checked[dominant]
    training = replace(_training(len(kept) // 2), seed=seed)
    autoencoder = base.autoencoder if base else None
    trained_on, held_out = _by_stretches(len(kept))
    fitted = fit(kept[trained_on], config, training, autoencoder, on_epoch)
    scorer = Scorer(fitted.autoencoder)
    losses = scorer.losses(kept[held_out])
    others = scorer.losses(checked[~dominant])
    usual = threshold_from_losses(losses, false_alerts_per_hour / beats_per_hour)
    checkpoint = Checkpoint(
        autoencoder=fitted.autoencoder,
        spec=spec,
        spec_identity=spec_identity,
        threshold=moved_into_gap(usual, np.concatenate((losses, others))),
        provenance={
            "data": "first minutes of one patient",
            "n_given": len(checked),
            "n_kept": len(kept),
            "seed": seed,
            "base": base.identity if base else None,
        },
    )
    note = f"learnt {len(kept)} of {len(checked)} beats, those of the dominant shape"
    return Learned(checkpoint, len(checked), len(kept), note)


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
        If the beats are too few or no morphology dominates.
    """
    if len(beats) < MIN_BEATS:
        raise CannotLearn(f"{len(beats)} beats are too few to learn from; {MIN_BEATS} are needed")
    kept = _grow(beats, _densest(beats))
    if 2 * kept.sum() < len(beats):
        rest = np.flatnonzero(~kept)
        core = np.zeros(len(beats), dtype=np.bool_)
        core[rest[_densest(beats[rest])]] = True
        kept = max(kept, _grow(beats, core), key=np.count_nonzero)
    n_kept = int(kept.sum())
    if n_kept < MIN_BEATS or n_kept < MIN_DOMINANT_SHARE * len(beats):
        raise CannotLearn(
            f"only {n_kept} of {len(beats)} beats are alike: too mixed to tell what is normal"
        )
    return kept


def _grow(beats: NDArray[np.float32], core: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the beats that resemble those of a core, shape (n,).

    Kept are beats whose distance to the template, the kept beats' median, is within CUT_DEVIATIONS
    of the kept beats' median distance; the template is drawn again until nothing changes.
    """
    kept = core
    for _ in range(30):  # settles within about ten
        distances = np.abs(beats - np.median(beats[kept], axis=0)).sum(axis=1)  # (n,)
        median = np.median(distances[kept])
        spread = MAD_TO_SD * np.median(np.abs(distances[kept] - median))
        now_kept = distances <= median + CUT_DEVIATIONS * spread
        if np.array_equal(now_kept, kept):
            break
        kept = now_kept
    return kept


def _densest(beats: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark the CORE_SHARE of the beats nearest to the beat that has them nearest."""
    step = -(-len(beats) // MAX_REFERENCES)
    references = beats[::step].astype(np.float64)
    squares = (references**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * references @ references.T  # (r, r), squared
    rank = int(CORE_SHARE * len(references))
    centre = references[np.argmin(np.partition(distances, rank, axis=1)[:, rank])]
    to_centre = ((beats - centre) ** 2).sum(axis=1)  # (n,)
    return np.asarray(to_centre <= np.quantile(to_centre, CORE_SHARE))


def _training(n_beats: int) -> TrainingConfig:
    """Spend the same effort on few beats as on many."""
    epochs = max(5, TRAINED_BEATS // n_beats)
    return TrainingConfig(epochs=epochs, patience=epochs)


def _by_stretches(n_beats: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to train on and those to set the threshold by.

    They are stretches of time in turn, not random rows: neighbouring beats resemble each other, and
    the beats to come are those of another time.
    """
    stretches = np.array_split(np.arange(n_beats), N_STRETCHES)
    return np.concatenate(stretches[::2]), np.concatenate(stretches[1::2])
