"""Cross-fitting: every beat is kept apart once, and the model is an ordinary one."""

from __future__ import annotations

import numpy as np
import pytest

from model.cross_fitting import cross_fit
from model.errors import InvalidConfig
from model.scoring import Scorer
from model.training_config import TrainingConfig
from tests.model.test_training import CONFIG, sine_beats

SHORT = TrainingConfig(epochs=2, batch=16)


def test_every_beat_has_one_loss_of_a_model_that_did_not_learn_it() -> None:
    """The validation beats are all beats; the first fold's losses are those of the model."""
    beats = sine_beats(63)
    fitted = cross_fit(beats, CONFIG, SHORT, 3)
    assert fitted.validation_losses.shape == (63,)
    np.testing.assert_array_equal(np.sort(fitted.validation_beats, axis=0), np.sort(beats, axis=0))
    own = Scorer(fitted.autoencoder).losses(fitted.validation_beats[:21])
    np.testing.assert_allclose(own, fitted.validation_losses[:21], rtol=1e-4)


def test_the_same_seed_gives_the_same_model() -> None:
    """And another seed another one."""
    beats = sine_beats(60)
    one, same = (cross_fit(beats, CONFIG, SHORT, 2) for _ in range(2))
    other = cross_fit(beats, CONFIG, TrainingConfig(epochs=2, batch=16, seed=1), 2)
    np.testing.assert_array_equal(one.validation_losses, same.validation_losses)
    assert not np.array_equal(one.validation_losses, other.validation_losses)


@pytest.mark.parametrize("n_folds", [1, 0, 21])
def test_absurd_folds_are_refused(n_folds: int) -> None:
    """One fold keeps every beat apart."""
    with pytest.raises(InvalidConfig, match="folds"):
        cross_fit(sine_beats(60), CONFIG, SHORT, n_folds)
