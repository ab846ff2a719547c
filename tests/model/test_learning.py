"""Learning one patient: the dominant normal, held-out thresholds, honest refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from model.autoencoder import LstmAutoencoder
from model.checkpoint import Checkpoint
from model.config import AutoencoderConfig
from model.errors import CannotLearn, InvalidBeats, InvalidConfig
from model.learning import Learned, dominant_beats, learn_patient
from model.scoring import Scorer
from model.thresholds import Threshold
from model.training import Epoch

LENGTH = 30
SPEC = {"window": "midpoint", "length": LENGTH, "version": 1}
IDENTITY = "0123abcd"


def normal_beats(n: int, seed: int = 0) -> NDArray[np.float32]:
    """A narrow peak whose height and place vary a little, with noise."""
    return peaks(n, centre=0.4, width=0.05, height=4.0, seed=seed)


def ectopic_beats(n: int, seed: int = 0) -> NDArray[np.float32]:
    """A broad trough."""
    return peaks(n, centre=0.5, width=0.2, height=-3.0, seed=seed)


def peaks(n: int, centre: float, width: float, height: float, seed: int) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    at = np.linspace(0, 1, LENGTH)
    places = centre + generator.normal(0, 0.005, (n, 1))
    heights = height * generator.normal(1, 0.05, (n, 1))
    beats = heights * np.exp(-(((at - places) / width) ** 2) / 2)
    beats += generator.normal(0, 0.05, beats.shape)
    beats -= beats.mean(axis=1, keepdims=True)
    return np.asarray(beats / beats.std(axis=1, keepdims=True), dtype=np.float32)


def mixed(n_normal: int, n_ectopic: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Beats in a random order, and which of them are ectopic."""
    order = np.random.default_rng(9).permutation(n_normal + n_ectopic)
    beats = np.concatenate([normal_beats(n_normal), ectopic_beats(n_ectopic)])
    return beats[order], order >= n_normal


def base_checkpoint() -> Checkpoint:
    config = AutoencoderConfig(length=LENGTH, samples_per_step=1, embedding=4)
    return Checkpoint(LstmAutoencoder(config, seed=1).trained(), SPEC, IDENTITY, Threshold(9.0))


@pytest.mark.parametrize("n_ectopic", [0, 5, 50, 90])
def test_the_dominant_morphology_is_the_normal_one(n_ectopic: int) -> None:
    """No ectopic beat is kept, up to nearly half of them; most normal beats are."""
    beats, ectopic = mixed(110, n_ectopic)
    kept = dominant_beats(beats)
    assert not kept[ectopic].any()
    assert kept[~ectopic].mean() > 0.9


def test_the_order_of_the_beats_does_not_matter() -> None:
    """The same beats are kept, wherever in the first minutes they come."""
    beats, _ = mixed(110, 40)
    np.testing.assert_array_equal(dominant_beats(beats)[::-1], dominant_beats(beats[::-1]))


def test_many_beats_take_bounded_memory() -> None:
    """Hours of beats are compared with a part of themselves."""
    beats, ectopic = mixed(5000, 1000)
    assert not dominant_beats(beats)[ectopic].any()


def test_too_few_beats_cannot_be_learnt() -> None:
    """Fewer than 40 beats: it says how many are needed."""
    with pytest.raises(CannotLearn, match="40 are needed"):
        dominant_beats(normal_beats(39))


def test_beats_without_a_dominant_morphology_cannot_be_learnt() -> None:
    """Five morphologies of a fifth each: none is the usual one."""
    beats = np.concatenate([np.roll(normal_beats(40, seed=k), 6 * k, axis=1) for k in range(5)])
    with pytest.raises(CannotLearn, match="too mixed"):
        dominant_beats(beats)


def test_flat_beats_cannot_be_learnt() -> None:
    """A line is no normal: nothing would be unlike it by a shape."""
    with pytest.raises(CannotLearn, match="flat"):
        learn_patient(np.zeros((100, LENGTH)), SPEC, IDENTITY, base_checkpoint())


def test_flat_beats_among_others_are_left_out() -> None:
    """They are of another shape than the usual beats."""
    beats = normal_beats(100)
    beats[::10] = 0.0
    assert np.flatnonzero(~dominant_beats(beats)).tolist() == list(range(0, 100, 10))


def test_beats_all_alike_are_all_kept() -> None:
    """A simulator's perfect beats are no reason to divide by zero."""
    assert dominant_beats(np.tile(normal_beats(1), (80, 1))).all()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train for a tenth of the time where the quality does not matter."""
    monkeypatch.setattr("model.learning.TRAINED_FLOP", 7e7)


@pytest.fixture(scope="module")
def learned() -> Learned:
    beats, _ = mixed(300, 60)
    return learn_patient(beats, SPEC, IDENTITY, base_checkpoint())


def test_ectopic_beats_are_above_the_threshold_it_set_itself(learned: Learned) -> None:
    """Without a label: unseen ectopic beats alert, unseen normal ones do not."""
    scorer = Scorer(learned.checkpoint.autoencoder)
    threshold = learned.checkpoint.threshold.value
    assert (scorer.losses(ectopic_beats(200, seed=5)) > threshold).all()
    assert (scorer.losses(normal_beats(2000, seed=5)) > threshold).mean() < 0.002


def test_threshold_comes_from_held_out_beats(learned: Learned) -> None:
    """Half of the kept beats set it; the model was not trained on them."""
    assert learned.checkpoint.threshold.n_losses == learned.n_kept // 2
    assert learned.checkpoint.threshold.false_alerts_per_beat == pytest.approx(1 / 4500)


def test_report_says_what_was_left_out(learned: Learned) -> None:
    """Counts, and a sentence for people."""
    assert learned.n_given == 360
    assert 270 <= learned.n_kept <= 300
    assert learned.note == (f"learnt {learned.n_kept} of 360 beats, those of the dominant shape")
    assert learned.checkpoint.spec_identity == IDENTITY
    assert learned.checkpoint.spec == SPEC


def test_more_false_alerts_allowed_lower_the_threshold(brief: None) -> None:
    """The target reaches the threshold; everything else is equal, run after run."""
    beats = normal_beats(120)
    base = base_checkpoint()
    strict = learn_patient(beats, SPEC, IDENTITY, base, false_alerts_per_hour=0.1)
    lax = learn_patient(beats, SPEC, IDENTITY, base, false_alerts_per_hour=100)
    assert lax.checkpoint.threshold.value < strict.checkpoint.threshold.value
    for name, weights in lax.checkpoint.autoencoder.weights.items():
        np.testing.assert_array_equal(weights, strict.checkpoint.autoencoder.weights[name])


def test_progress_is_told(brief: None) -> None:
    """The one training reports its epochs from the first on."""
    heard: list[Epoch] = []
    learn_patient(normal_beats(100), SPEC, IDENTITY, base_checkpoint(), on_epoch=heard.append)
    assert [epoch.number for epoch in heard] == list(range(1, len(heard) + 1))
    assert len(heard) >= 1


def test_base_of_another_spec_is_refused() -> None:
    """A base that never saw such beats is no start."""
    with pytest.raises(InvalidConfig, match="ffffffff"):
        learn_patient(normal_beats(100), SPEC, "ffffffff", base_checkpoint())


@pytest.mark.parametrize("target", [0.0, -1.0, float("nan"), 1e9])
def test_absurd_target_is_refused(target: float) -> None:
    """Before anything is trained."""
    with pytest.raises(InvalidConfig):
        learn_patient(
            normal_beats(100), SPEC, IDENTITY, base_checkpoint(), false_alerts_per_hour=target
        )


def test_broken_beats_are_refused() -> None:
    """NaN and other lengths."""
    for beats in (np.full((100, LENGTH), np.nan), np.zeros((100, LENGTH + 1))):
        with pytest.raises(InvalidBeats):
            learn_patient(beats, SPEC, IDENTITY, base_checkpoint())


def test_beats_cut_beside_their_place_are_of_the_dominant_shape(brief: None) -> None:
    """An R peak taken on the other of two peaks is no other morphology."""
    beats = normal_beats(200)
    beats[::3] = np.roll(beats[::3], 1, axis=1)
    assert learn_patient(beats, SPEC, IDENTITY, base_checkpoint()).n_kept > 180


def test_premature_beats_do_not_raise_the_threshold(brief: None) -> None:
    """They are of the dominant shape; their weight is no part of the usual losses."""
    beats = normal_beats(300)
    rr_before_ms = np.full(300, 800.0)
    rr_before_ms[20::10], rr_before_ms[21::10] = 480.0, 1120.0
    regular = learn_patient(
        beats, SPEC, IDENTITY, base_checkpoint(), rr_before_ms=np.full(300, 800.0)
    )
    ectopic = learn_patient(beats, SPEC, IDENTITY, base_checkpoint(), rr_before_ms=rr_before_ms)
    thresholds = [one.checkpoint.threshold.value for one in (regular, ectopic)]
    assert thresholds[1] < 1.3 * thresholds[0]


def test_less_usual_normal_beats_are_part_of_the_tail(brief: None) -> None:
    """Beats under noise, of the same QRS complex and in time, are left out, yet rarely alert."""
    generator = np.random.default_rng(3)
    noisy = np.arange(400) % 8 == 0

    def some(seed: int) -> NDArray[np.float32]:
        beats = normal_beats(400, seed)
        beats[noisy] += generator.normal(0, 0.2, (int(noisy.sum()), LENGTH)).astype(np.float32)
        return beats

    learned = learn_patient(
        some(0), SPEC, IDENTITY, base_checkpoint(), rr_before_ms=np.full(400, 800.0)
    )
    losses = Scorer(learned.checkpoint.autoencoder).losses(some(1))
    assert (losses > learned.checkpoint.threshold.value).mean() < 0.02


def test_what_was_learnt_of_the_patient_is_kept(learned: Learned) -> None:
    """Exemplars are usual beats; the reach holds nearly all of them."""
    normal = learned.checkpoint.normal
    assert normal is not None
    template = Scorer(learned.checkpoint.autoencoder).template
    distances = np.abs(normal.exemplars - template).sum(axis=1)
    assert (distances <= 1.2 * normal.reach).mean() > 0.95


def test_intervals_of_another_length_are_refused() -> None:
    """One interval a beat."""
    with pytest.raises(InvalidBeats, match="RR"):
        learn_patient(
            normal_beats(100), SPEC, IDENTITY, base_checkpoint(), rr_before_ms=np.ones(99)
        )


def test_a_large_model_is_trained_for_fewer_epochs(brief: None) -> None:
    """The effort is a number of operations: the time to learn does not grow with the model."""
    epochs = []
    for embedding in (4, 16):
        config = replace(base_checkpoint().config, embedding=embedding)
        base = Checkpoint(LstmAutoencoder(config).trained(), SPEC, IDENTITY, Threshold(9.0))
        heard: list[Epoch] = []
        learn_patient(normal_beats(100), SPEC, IDENTITY, base, on_epoch=heard.append)
        epochs.append(heard[0].of)
    assert epochs[0] > epochs[1]
