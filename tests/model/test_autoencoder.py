"""The autoencoder: shapes, sizes, seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.autoencoder import LstmAutoencoder
from model.config import AutoencoderConfig
from model.errors import InvalidConfig


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("reverse", [False, True])
def test_reconstruction_has_the_shape_of_the_beats(batch: int, reverse: bool) -> None:
    """Any number of beats goes in, as many of the same length come out."""
    autoencoder = LstmAutoencoder(
        AutoencoderConfig(length=20, samples_per_step=1, embedding=3, reverse=reverse)
    )
    assert autoencoder(torch.zeros(batch, 20)).shape == (batch, 20)
    assert autoencoder.encode(torch.zeros(batch, 20)).shape == (batch, 3)


def test_layers_are_those_of_the_published_architecture() -> None:
    """Encoder 1 -> 2e -> e, decoder e -> e -> 2e, one linear layer to one value."""
    autoencoder = LstmAutoencoder(AutoencoderConfig(embedding=5, samples_per_step=1))
    sizes = [
        (layer.input_size, layer.hidden_size)
        for layer in autoencoder.children()
        if isinstance(layer, torch.nn.LSTM)
    ]
    assert sizes == [(1, 10), (10, 5), (5, 5), (5, 10)]
    assert autoencoder.output.weight.shape == (1, 10)


def test_only_the_embedding_reaches_the_decoder() -> None:
    """A reconstruction is decode(encode(beat)): nothing of the beat goes around."""
    autoencoder = LstmAutoencoder(AutoencoderConfig(length=20, samples_per_step=1, embedding=3))
    beats = torch.linspace(-1, 1, 40).reshape(2, 20)
    torch.testing.assert_close(autoencoder(beats), autoencoder.decode(autoencoder.encode(beats)))


def test_reversed_decoder_writes_the_same_values_backwards() -> None:
    """With equal weights, `reverse` turns the written beat around and changes nothing else."""
    forwards = LstmAutoencoder(
        AutoencoderConfig(length=20, samples_per_step=1, embedding=3, reverse=False), seed=4
    )
    backwards = LstmAutoencoder(
        AutoencoderConfig(length=20, samples_per_step=1, embedding=3, reverse=True), seed=4
    )
    beats = torch.linspace(-1, 1, 20)[None]
    torch.testing.assert_close(backwards(beats), forwards(beats).flip(1))


def test_weights_depend_on_the_seed_alone() -> None:
    """The same seed gives the same weights, whatever the global generator, which stays put."""
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = LstmAutoencoder(AutoencoderConfig(embedding=3), seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    second = LstmAutoencoder(AutoencoderConfig(embedding=3), seed=5)
    other = LstmAutoencoder(AutoencoderConfig(embedding=3), seed=6)
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, second.state_dict()[name])
    assert not torch.equal(first.output.weight, other.output.weight)


@given(
    st.one_of(
        st.integers(max_value=0),
        st.integers(min_value=257),
        st.floats(),
        st.booleans(),
        st.text(),
        st.none(),
    )
)
def test_absurd_embedding_is_refused(embedding: object) -> None:
    """What is not a whole number within bounds never reaches torch."""
    with pytest.raises(InvalidConfig, match="embedding"):
        AutoencoderConfig(embedding=embedding)  # type: ignore[arg-type]


@pytest.mark.parametrize("per_step", [1, 4, 7, 140])
def test_several_samples_a_step_cost_less_and_keep_the_order(per_step: int) -> None:
    """What is written reversed is the whole beat, sample by sample, whatever the steps."""
    config = AutoencoderConfig(embedding=3, samples_per_step=per_step)
    assert config.steps == 140 // per_step
    beats = torch.linspace(-1, 1, 280).reshape(2, 140)
    forwards = LstmAutoencoder(replace(config, reverse=False), seed=4)
    torch.testing.assert_close(LstmAutoencoder(config, seed=4)(beats), forwards(beats).flip(1))
    if per_step > 1:
        assert config.flop_per_beat < replace(config, samples_per_step=1).flop_per_beat / 2


def test_steps_that_leave_samples_over_are_refused() -> None:
    """The message says which number does not divide which."""
    with pytest.raises(InvalidConfig, match="3 does not divide the 140"):
        AutoencoderConfig(samples_per_step=3)


@pytest.mark.parametrize(
    "values",
    [
        {"length": 15},
        {"length": 4097},
        {"reverse": 1},
        {"samples_per_step": 0},
        {"samples_per_step": 141},
        {"samples_per_step": True},
        {"samples_per_step": 7.0},
    ],
)
def test_absurd_config_is_refused(values: dict[str, int]) -> None:
    """Every field is checked, not only the size."""
    with pytest.raises(InvalidConfig):
        AutoencoderConfig(**values)  # type: ignore[arg-type]


def test_cost_of_the_default_is_within_the_budget() -> None:
    """A beat costs at most 20 MFLOP at the default size."""
    assert AutoencoderConfig().flop_per_beat < 20e6


def test_trained_weights_have_the_shapes_that_the_config_states() -> None:
    """A checkpoint is checked against the config without building the network."""
    config = AutoencoderConfig(length=24, embedding=3, samples_per_step=4)
    trained = LstmAutoencoder(config).trained()
    assert {name: array.shape for name, array in trained.weights.items()} == config.weight_shapes


def test_trained_weights_make_the_same_network_again() -> None:
    """Nothing is lost on the way to arrays and back, and neither shares the other's memory."""
    network = LstmAutoencoder(AutoencoderConfig(length=24, embedding=3, samples_per_step=4), seed=3)
    trained = network.trained()
    again = LstmAutoencoder.of(trained)
    beats = torch.linspace(-1, 1, 48).reshape(2, 24)
    torch.testing.assert_close(again(beats), network(beats), rtol=0, atol=0)
    with torch.no_grad():
        network.template.add_(1.0)
        again.scale.mul_(2.0)
    np.testing.assert_array_equal(trained.template, np.zeros(24, np.float32))
    assert trained.weights["scale"] == 1.0
