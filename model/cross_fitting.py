"""A threshold from all normal beats: each one's loss is of a model that did not learn it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from model.config import AutoencoderConfig
from model.errors import InvalidConfig
from model.scoring import check_beats
from model.training import Fit, fit
from model.training_config import Epoch, TrainingConfig

FOLDS_BOUNDS = (2, 20)  # each is a training


def cross_fit(
    beats: ArrayLike,
    config: AutoencoderConfig,
    training: TrainingConfig,
    n_folds: int,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Fit:
    """Train `n_folds` times, each time with another fold of the beats as validation beats.

    A training keeps 15 % apart. Of 292 beats that is 44, of which half a beat lies above a
    threshold for 1 %: the threshold is a matter of luck. Here every beat is kept apart once. The
    model is that of the first fold, the others only say what losses unseen normal beats have, so
    that scoring is as dear as ever and learning `n_folds` times as dear.

    Returns
    -------
    Fit
        Of the first fold, with the validation beats and losses of all.

    Raises
    ------
    InvalidConfig
        If the number of folds is out of bounds.
    InvalidBeats
        If the beats cannot be used or are too few.
    """
    low, high = FOLDS_BOUNDS
    if not low <= n_folds <= high:
        raise InvalidConfig(f"{n_folds} folds are out of range; use {low} to {high}")
    checked = check_beats(beats, config.length)
    order = np.random.default_rng(training.seed).permutation(len(checked))
    fits = [
        fit(checked, config, training, on_epoch=on_epoch, kept_apart=fold)
        for fold in np.array_split(order, n_folds)
    ]
    return replace(
        fits[0],
        validation_losses=np.concatenate([one.validation_losses for one in fits]),
        validation_beats=np.concatenate([one.validation_beats for one in fits]),
    )
