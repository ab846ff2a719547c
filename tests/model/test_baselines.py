"""What the autoencoder is compared with: each scores what it has not seen, far beats higher."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model import baselines as rivals
from model.baselines import (
    Learn,
    SequiturAutoencoder,
    held_out_rows,
    isolation_forest,
    nearest_distances,
    neighbours,
    one_class_svm,
    principal_components,
    published,
    sequitur,
    shallow,
)
from model.errors import MissingLibrary

ALL = {
    "1-NN": neighbours(1),
    "5-NN": neighbours(5),
    "PCA": shallow(principal_components),
    "SVM": shallow(one_class_svm),
    "forest": shallow(isolation_forest),
    "published": published(20),
    "sequitur": sequitur(60, 4),
}


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "FOREST_TREES", 20)


def waves(n_beats: int, turns: int, seed: int) -> NDArray[np.float32]:
    phase = np.random.default_rng(seed).uniform(0, 0.5, (n_beats, 1))
    return np.sin(turns * np.linspace(0, 2 * np.pi, 20) + phase).astype(np.float32)


@pytest.mark.parametrize("learn", ALL.values(), ids=ALL.keys())
def test_other_beats_score_higher_than_those_alike(learn: Learn) -> None:
    """Waves of three times the frequency, after learning plain ones; scores are finite."""
    fitted = learn(waves(80, 1, 0), 0)
    alike, other = fitted.score(waves(50, 1, 1)), fitted.score(waves(50, 3, 2))
    assert alike.shape == (50,)
    assert fitted.held_out.shape == (12,)
    assert (fitted.held_out >= 0).all()
    assert np.median(other) > np.median(alike)
    assert fitted.score(waves(1, 1, 1)).shape == (1,)


@pytest.mark.parametrize("name", ["forest", "published", "sequitur"])
def test_the_seed_decides_and_global_state_stays(name: str) -> None:
    """The same seed scores alike, another otherwise; torch's generator is left alone."""
    beats = waves(60, 1, 0)
    before = torch.random.get_rng_state()
    first, second, other = (ALL[name](beats, seed).score(waves(9, 2, 1)) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_nearest_distances_are_those_counted_one_by_one() -> None:
    """Against a slow twin, over several blocks."""
    generator = np.random.default_rng(0)
    learnt = generator.standard_normal((30, 8)).astype(np.float32)
    tested = generator.standard_normal((1100, 8)).astype(np.float32)
    for n_nearest in (1, 5):
        naive = [
            np.sort([np.sqrt(((one - other) ** 2).sum()) for other in learnt])[:n_nearest].mean()
            for one in tested[:1100:100]
        ]
        found = nearest_distances(learnt, tested, n_nearest)
        assert found.shape == (1100,)
        np.testing.assert_allclose(found[::100], naive, rtol=1e-5)


def test_rows_held_out_are_not_learnt() -> None:
    """Every beat is on one side."""
    kept_apart, learnt = held_out_rows(40, 3)
    assert len(kept_apart) == 6
    assert sorted([*kept_apart, *learnt]) == list(range(40))


def test_sequitur_is_of_its_described_shape() -> None:
    """LSTMs 1 -> 2e -> e -> 2e -> 2e, a matrix 2e x 1 without bias; whole batches at once."""
    network = SequiturAutoencoder(5)
    sizes = [
        (layer.input_size, layer.hidden_size)
        for layer in network.modules()
        if isinstance(layer, torch.nn.LSTM)
    ]
    assert sizes == [(1, 10), (10, 5), (5, 10), (10, 10)]
    assert network.output.shape == (10, 1)
    beats = torch.randn(3, 30)
    torch.testing.assert_close(network(beats)[1:2], network(beats[1:2]))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without scikit-learn the message says how to get it."""
    monkeypatch.setitem(__import__("sys").modules, "sklearn.svm", None)
    with pytest.raises(MissingLibrary, match="scikit-learn"):
        rivals.one_class_svm(waves(40, 1, 0), 0)
