"""Following a patient: alignment, slow drift taken out, sudden change and anomalies not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.autoencoder import LstmAutoencoder
from model.config import AutoencoderConfig
from model.errors import InvalidConfig
from model.prematurity import TimingState, time_all
from model.scoring import Scorer, reconstruction_losses
from model.tracking import (
    Normal,
    Scored,
    TrackState,
    aligned,
    lay_all,
    score_tracked,
    shifted,
    track,
)

LENGTH = 140
AT = np.arange(LENGTH)
TEMPLATE = (4 * np.exp(-(((AT - 58) / 4) ** 2)) + np.exp(-(((AT - 100) / 12) ** 2))).astype(
    np.float32
)
# A T wave that turns over: what another posture does.
TURNED = (-2 * np.exp(-(((AT - 100) / 12) ** 2))).astype(np.float32)
REACH = 12.0
NORMAL = Normal(REACH, TEMPLATE[None])
THRESHOLD = 20.0


def template_scorer() -> Scorer:
    """Return a scorer that reconstructs every beat as TEMPLATE."""
    autoencoder = LstmAutoencoder(AutoencoderConfig(embedding=2))
    with torch.no_grad():
        autoencoder.output.weight.zero_()
        autoencoder.output.bias.zero_()
        autoencoder.template.copy_(torch.from_numpy(TEMPLATE))
    return Scorer(autoencoder.trained())


def noisy(beats: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, 0.05, beats.shape)
    return (beats + noise).astype(np.float32)


def scored(
    beats: NDArray[np.float32],
    normal: Normal | None = NORMAL,
    rr_ms: NDArray[np.float64] | None = None,
    judgeable: NDArray[np.bool_] | None = None,
) -> Scored:
    """Return what a patient's monitor makes of beats, 800 ms apart where nothing else is said."""
    intervals = np.full(len(beats), 800.0) if rr_ms is None else rr_ms
    fit = np.ones(len(beats), np.bool_) if judgeable is None else judgeable
    return score_tracked(template_scorer(), normal, TrackState(), beats, intervals, fit)[1]


def turning(n: int, over: int) -> NDArray[np.float32]:
    """Return n beats whose T wave turns over within the first `over` of them."""
    share = np.minimum(np.arange(n) / over, 1)[:, None]
    return noisy((TEMPLATE + share * TURNED).astype(np.float32))


def test_slow_change_is_not_anomalous() -> None:
    """In a quarter of an hour the T wave turns over: none is anomalous, far off though they are."""
    beats = turning(1500, over=1200)
    assert (scored(beats).losses < THRESHOLD).all()
    assert scored(beats, normal=None).losses[-1] > 2 * THRESHOLD


def test_sudden_change_rings_and_goes_on_ringing() -> None:
    """The same change from one beat to the next is not followed within minutes."""
    beats = np.concatenate([turning(500, over=10_000_000), turning(500, over=1)])
    losses = scored(beats).losses
    assert (losses[:500] < THRESHOLD).all()
    assert (losses[501:] > THRESHOLD).all()


def test_anomalies_are_not_learnt() -> None:
    """Every fourth beat is ectopic for twenty minutes: the last is as anomalous as the first."""
    ectopic = (2 * np.exp(-(((AT - 62) / 14) ** 2))).astype(np.float32)
    beats = noisy(np.tile(np.stack([TEMPLATE, TEMPLATE, TEMPLATE, ectopic]), (400, 1)))
    losses = scored(beats).losses
    assert (losses[3::4] > 2.5 * THRESHOLD).all()
    assert (losses.reshape(-1, 4)[:, :3] < THRESHOLD).all()


def test_premature_beats_do_not_move_the_template() -> None:
    """What comes out of time is not followed, however like the usual beat it is."""
    raised = (TEMPLATE + 0.1).astype(np.float32)
    rr_ms = np.tile([800.0, 800.0, 800.0, 800.0, 560.0, 1040.0], 200)
    beats = np.tile(TEMPLATE, (1200, 1))
    beats[4::6] = raised
    state, _ = track(TrackState(), beats, rr_ms, np.ones(1200, np.bool_), TEMPLATE, NORMAL)
    assert state.drift is not None
    assert np.abs(state.drift).max() < 1e-3


def test_a_premature_beat_of_the_usual_shape_weighs_more() -> None:
    """Its loss is the reconstruction loss; what is held against the threshold is more."""
    rr_ms = np.full(100, 800.0)
    rr_ms[-1] = 520.0
    result = scored(noisy(np.tile(TEMPLATE, (100, 1))), rr_ms=rr_ms)
    assert result.losses[-1] == pytest.approx(np.median(result.losses), rel=0.3)
    assert result.weighted[-1] > 4 * result.losses[-1]
    np.testing.assert_allclose(result.weighted[:-1], result.losses[:-1])


@pytest.mark.parametrize("lag", [-6, -3, 0, 4, 6])
def test_a_beat_cut_beside_its_place_is_laid_on_the_template(lag: int) -> None:
    """An R peak taken some samples off costs nothing but the ends."""
    moved = shifted(TEMPLATE[None], np.array([lag]))
    laid, lags = aligned(moved, TEMPLATE)
    assert lags.tolist() == [-lag]
    np.testing.assert_allclose(laid[0, 6:-6], TEMPLATE[6:-6])
    assert scored(moved).losses[0] < 1.0


def test_the_loss_is_of_the_beat_as_it_came() -> None:
    """Put back, the reconstruction lies under the beat, and the loss is their difference."""
    beats = shifted(turning(600, over=300), np.array([0, 3, -2] * 200))
    result = scored(beats)
    np.testing.assert_allclose(
        result.losses, reconstruction_losses(beats, result.reconstructions), rtol=1e-5
    )


@pytest.mark.parametrize("cut", [1, 7, 250])
def test_any_cut_gives_the_same_to_the_bit(cut: int) -> None:
    """The state carries all that matters from one call to the next."""
    beats = turning(500, over=300)
    rr_ms = 800 * np.exp(np.random.default_rng(1).normal(0, 0.1, 500))
    fit = np.random.default_rng(2).random(500) > 0.1
    whole_state, whole = track(TrackState(), beats, rr_ms, fit, TEMPLATE, NORMAL)
    state, inputs, factors = TrackState(), [], []
    for start in range(0, 500, cut):
        rows = slice(start, start + cut)
        state, part = track(state, beats[rows], rr_ms[rows], fit[rows], TEMPLATE, NORMAL)
        inputs.append(part.inputs)
        factors.append(part.factors)
    np.testing.assert_array_equal(np.concatenate(inputs), whole.inputs)
    np.testing.assert_array_equal(np.concatenate(factors), whole.factors)
    assert state.timing == whole_state.timing
    assert state.drift is not None
    assert whole_state.drift is not None
    np.testing.assert_array_equal(state.drift, whole_state.drift)


@pytest.mark.parametrize("normal", [None, NORMAL])
def test_many_patients_together_are_each_what_they_are_alone(normal: Normal | None) -> None:
    """To the bit, in any order of their parts, also where one comes twice in a batch."""
    rng = np.random.default_rng(3)
    cuts = {"a": [4, 0, 9], "b": [1, 1, 11], "c": [13]}
    beats = {name: noisy(np.tile(TEMPLATE, (13, 1)), seed) for seed, name in enumerate(cuts)}
    rr_ms = {name: 800 * np.exp(rng.normal(0, 0.1, 13)) for name in cuts}
    fit = {name: rng.random(13) > 0.1 for name in cuts}
    order = [("b", 0), ("a", 0), ("c", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    parts = []
    for name, number in order:
        first = sum(cuts[name][:number])
        parts.append((name, slice(first, first + cuts[name][number])))

    of = [(name, rows.stop - rows.start) for name, rows in parts]
    together_rr = np.concatenate([rr_ms[name][rows] for name, rows in parts])
    together_fit = np.concatenate([fit[name][rows] for name, rows in parts])
    rhythms, timings = time_all(dict.fromkeys(cuts, TimingState()), of, together_rr, together_fit)
    drifts, together = lay_all(
        dict.fromkeys(cuts, None),
        of,
        np.concatenate([beats[name][rows] for name, rows in parts]),
        timings,
        together_fit,
        TEMPLATE,
        normal,
    )

    owner = np.array([name for name, rows in parts for _ in range(rows.stop - rows.start)])
    for name in cuts:
        state, alone = track(TrackState(), beats[name], rr_ms[name], fit[name], TEMPLATE, normal)
        mine = np.flatnonzero(owner == name)
        np.testing.assert_array_equal(together.inputs[mine], alone.inputs)
        np.testing.assert_array_equal(together.drifts[mine], alone.drifts)
        np.testing.assert_array_equal(together.lags[mine], alone.lags)
        assert tuple(together.timings[row] for row in mine) == alone.timings
        assert rhythms[name] == state.timing
        np.testing.assert_array_equal(drifts[name], state.drift)


def test_unreadable_beats_are_passed_over() -> None:
    """They get no loss and move nothing, not even by holding NaN."""
    beats = np.tile(TEMPLATE, (50, 1))
    fit = np.ones(50, np.bool_)
    beats[10:20] = np.nan
    fit[10:20] = False
    result = scored(beats, judgeable=fit)
    assert np.isnan(result.losses[10:20]).all()
    assert (result.losses[fit] < 1e-3).all()


def test_flat_beats_have_a_loss_and_are_not_followed() -> None:
    """No shift is better than another, nothing is divided by zero, and the template stays."""
    beats = np.concatenate([turning(50, over=10_000_000), np.zeros((20, LENGTH), np.float32)])
    result = scored(beats)
    assert (result.losses[50:] > THRESHOLD).all()
    assert not result.tracked.lags[50:].any()
    np.testing.assert_array_equal(result.tracked.drifts[50], result.tracked.drifts[-1])


def test_a_model_of_nobody_leaves_beats_as_they_are() -> None:
    """Without a learnt normal nothing is shifted or followed."""
    beats = shifted(turning(50, over=30), np.full(50, 4))
    state, tracked = track(
        TrackState(), beats, np.full(50, 800.0), np.ones(50, np.bool_), TEMPLATE, None
    )
    np.testing.assert_array_equal(tracked.inputs, beats)
    assert state.drift is None


@pytest.mark.parametrize("reach", [0.0, -1.0, float("nan"), float("inf")])
def test_an_absurd_normal_is_refused(reach: float) -> None:
    """A reach that is no distance, exemplars that are no beats."""
    with pytest.raises(InvalidConfig):
        Normal(reach, TEMPLATE[None])
    with pytest.raises(InvalidConfig):
        Normal(1.0, np.full((1, LENGTH), np.nan, np.float32))
