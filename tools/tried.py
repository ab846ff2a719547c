"""The autoencoder in numpy, tried and dropped for ONNX Runtime: docs/PERFORMANCE.md."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from model.trained import TrainedAutoencoder

Array = NDArray[np.float32]


class FusedAutoencoder:
    """One matrix product a step and layer; arrays are (features, beats) and stay in place.

    Parameters
    ----------
    autoencoder : TrainedAutoencoder
    block : int
        Beats taken at once.
    """

    def __init__(self, autoencoder: TrainedAutoencoder, block: int = 256) -> None:
        self._autoencoder, self._block = autoencoder, block
        weights = autoencoder.weights
        self._layers = {name: _Layer(weights, name) for name in autoencoder.config.layers}

    def reconstruct(self, beats: Array) -> Array:
        """Return what the autoencoder makes of beats, both of shape (n, length)."""
        rows = range(0, len(beats), self._block)
        return np.concatenate([self._of_block(beats[at : at + self._block]) for at in rows])

    def _of_block(self, beats: Array) -> Array:
        config, weights = self._autoencoder.config, self._autoencoder.weights
        per_step = config.samples_per_step
        deviations = np.ascontiguousarray(((beats - weights["template"]) / weights["scale"]).T)
        outer, inner, inner_out, outer_out = (
            _Running(layer, len(beats)) for layer in self._layers.values()
        )
        for step in range(config.steps):
            hidden = outer.step(deviations[step * per_step : (step + 1) * per_step])
            embedding = inner.step(hidden)
        embedding = embedding.copy()
        for step in range(config.steps):
            hidden = outer_out.step(inner_out.step(embedding))
            written = weights["output.weight"] @ hidden + weights["output.bias"][:, None]
            deviations[step * per_step : (step + 1) * per_step] = written
        in_order = deviations[::-1] if config.reverse else deviations
        return np.ascontiguousarray(in_order.T * weights["scale"] + weights["template"])


class _Layer:
    """Weights for (hidden state, input, 1), the sigmoid gates first."""

    def __init__(self, weights: Mapping[str, Array], name: str) -> None:
        of_input, of_hidden = weights[f"{name}.weight_ih_l0"], weights[f"{name}.weight_hh_l0"]
        bias = weights[f"{name}.bias_ih_l0"] + weights[f"{name}.bias_hh_l0"]
        self.units = of_hidden.shape[1]
        whole = np.concatenate([of_hidden, of_input, bias[:, None]], axis=1)
        entering, forget, cell, leaving = np.split(whole, 4)
        self.weights = np.concatenate([entering, forget, leaving, cell])


class _Running:
    """A layer's state for a block of beats."""

    def __init__(self, layer: _Layer, n_beats: int) -> None:
        self._layer = layer
        self._given = np.zeros((layer.weights.shape[1], n_beats), np.float32)
        self._given[-1] = 1  # what the bias is multiplied by
        self._gates = np.empty((len(layer.weights), n_beats), np.float32)
        self._cell = np.zeros((layer.units, n_beats), np.float32)

    def step(self, inputs: Array) -> Array:
        """Return the next hidden state, shape (units, n), which the next step overwrites."""
        units, gates = self._layer.units, self._gates
        self._given[units:-1] = inputs
        np.matmul(self._layer.weights, self._given, out=gates)
        open_gates = gates[: 3 * units]
        np.negative(open_gates, out=open_gates)
        np.exp(open_gates, out=open_gates)
        open_gates += 1
        np.reciprocal(open_gates, out=open_gates)
        entering, forget, leaving, candidate = np.split(gates, 4)
        np.tanh(candidate, out=candidate)
        self._cell *= forget
        candidate *= entering
        self._cell += candidate
        hidden = self._given[:units]
        np.tanh(self._cell, out=hidden)
        hidden *= leaving
        return hidden
