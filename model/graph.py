"""A trained autoencoder as an ONNX graph: the same steps as `LstmAutoencoder.forward`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from model.trained import TrainedAutoencoder

INPUT, OUTPUT = "beats", "reconstructions"
OPSET, IR_VERSION = 17, 8  # of 2022: what runtimes of many years read


def onnx_graph(autoencoder: TrainedAutoencoder) -> ModelProto:
    """Return the graph that reconstructs beats, both of shape (n, length), float32."""
    graph = _Graph()
    config, weights = autoencoder.config, autoencoder.weights
    steps, per_step = config.steps, config.samples_per_step

    for name in ("template", "scale", "output.bias"):
        graph.constant(name, weights[name])
    graph.node("Sub", [INPUT, "template"], "centred")
    graph.node("Div", ["centred", "scale"], "deviations")  # (n, length)
    graph.constant("in_steps", np.array([-1, steps, per_step]))
    graph.node("Reshape", ["deviations", "in_steps"], "beats_first")  # (n, steps, p)
    graph.node("Transpose", ["beats_first"], "steps_first", perm=[1, 0, 2])  # (steps, n, p)

    graph.lstm("encoder_outer", "steps_first", autoencoder)  # (steps, n, 2e)
    graph.lstm("encoder_inner", "encoder_outer", autoencoder)
    graph.constant("repeats", np.array([steps, 1, 1]))
    graph.node("Tile", ["encoder_inner.last", "repeats"], "repeated")  # (steps, n, e)
    graph.lstm("decoder_inner", "repeated", autoencoder)  # (steps, n, e)
    graph.lstm("decoder_outer", "decoder_inner", autoencoder)  # (steps, n, 2e)

    graph.constant("output.weight", weights["output.weight"].T)
    graph.node("MatMul", ["decoder_outer", "output.weight"], "product")
    graph.node("Add", ["product", "output.bias"], "written")  # (steps, n, p)
    graph.node("Transpose", ["written"], "written_beats_first", perm=[1, 0, 2])
    graph.constant("in_beats", np.array([-1, config.length]))
    graph.node("Reshape", ["written_beats_first", "in_beats"], "in_writing_order")  # (n, length)
    order = np.arange(config.length)
    graph.constant("order", order[::-1] if config.reverse else order)
    graph.node("Gather", ["in_writing_order", "order"], "in_order", axis=1)
    graph.node("Mul", ["in_order", "scale"], "scaled")
    graph.node("Add", ["scaled", "template"], OUTPUT)
    return graph.model(config.length)


class _Graph:
    """Nodes and constants, gathered by name."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def constant(self, name: str, values: NDArray[np.float32] | NDArray[np.int64]) -> str:
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:  # noqa: ANN401
        self._nodes.append(make_node(kind, inputs, [output], **attributes))

    def lstm(self, layer: str, given: str, autoencoder: TrainedAutoencoder) -> None:
        """Add a layer: its hidden states are named after it, the last of them `.last`."""
        weights, (_, units) = autoencoder.weights, autoencoder.config.layers[layer]

        def part(name: str) -> NDArray[np.float32]:
            return in_onnx_order(weights[f"{layer}.{name}_l0"])

        parameters = [
            self.constant(f"{layer}.W", part("weight_ih")[None]),
            self.constant(f"{layer}.R", part("weight_hh")[None]),
            self.constant(f"{layer}.B", np.concatenate([part("bias_ih"), part("bias_hh")])[None]),
        ]
        outputs = [f"{layer}.directions", f"{layer}.last"]  # (steps, 1, n, units), (1, n, units)
        self._nodes.append(make_node("LSTM", [given, *parameters], outputs, hidden_size=units))
        self.constant(f"{layer}.direction", np.array([1]))
        self.node("Squeeze", [f"{layer}.directions", f"{layer}.direction"], layer)

    def model(self, length: int) -> ModelProto:
        shape: list[str | int | None] = ["n", length]
        graph = make_graph(
            self._nodes,
            "autoencoder",
            [make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
            [make_tensor_value_info(OUTPUT, TensorProto.FLOAT, shape)],
            self._constants,
        )
        return make_model(graph, opset_imports=[make_opsetid("", OPSET)], ir_version=IR_VERSION)


def in_onnx_order(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an LSTM's weights with the gates in the order of ONNX: input, output, forget, cell.

    Torch's is input, forget, cell, output.
    """
    entering, forget, cell, leaving = np.split(weights, 4)
    return np.concatenate([entering, leaving, forget, cell])
