#!/usr/bin/env bash
# onnxruntime 1.32.0, quantize_dynamic: what a quantised LSTM makes of a beat depends on the other beats in its batch.
#
# An autoencoder of beats is quantised to 8 bits, as the library's guide advises for LSTMs, to make it small and quick. Guess
# before the run: weights lose precision, so all losses shift a little, each beat's for itself. Seen: DynamicQuantizeLSTM scales
# what it is given, and its states, by the lowest and highest number of the whole batch.
#   One beat of 1 mV: its reconstruction loss is 0.0042 mV alone, 0.0038 among 63 other beats, and 0.0143 where one of the 63 is
#   an artifact of 10 mV: three times as much, of the same beat. An artifact of 3 mV makes it 0.0077.
#   In float the loss is 0.0024 to the bit, alone and among any others.
#
# Why it matters for ECG streams: a server scores the beats of many patients in one batch. One patient's loose electrode raises the
# losses of all who happened to come in the same fraction of a second, over a threshold that was learnt from batches without one;
# run again, from a record, the alarm is not there. Score quantised models one beat at a time, or stay with float.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet onnxruntime==1.32.0 onnx==1.23.2 sympy==1.14.0 numpy==2.4.6
cat >look.py <<'PY'
import logging

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

logging.disable(logging.WARNING)
SAMPLES, UNITS = 140, 32


def beats(n, rng):
    """Return n beats in mV, shape (samples, n, 1), each of its own height and width."""
    at = np.arange(SAMPLES)[:, None] - 50
    height, width = rng.uniform(0.8, 1.2, n), rng.uniform(2.5, 4, n)
    waves = ((0, 1, width), (55, 0.25, 12), (-30, 0.1, 6))
    lead = sum(share * height * np.exp(-(((at - place) / wide) ** 2)) for place, share, wide in waves)
    return (lead + rng.normal(0, 0.01, lead.shape))[:, :, None].astype(np.float32)


def write(readout, path):
    """Write an LSTM whose states are read out as the beat that it was given."""
    rng = np.random.default_rng(2)
    weights = {"W": rng.normal(0, 0.5, (1, 4 * UNITS, 1)), "R": rng.normal(0, 0.15, (1, 4 * UNITS, UNITS)), "D": readout}
    kept = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    kept.append(numpy_helper.from_array(np.array([1]), "axis"))
    nodes = [
        helper.make_node("LSTM", ["beats", "W", "R"], ["states"], hidden_size=UNITS),
        helper.make_node("Squeeze", ["states", "axis"], ["flat"]),
        helper.make_node("MatMul", ["flat", "D"], ["rebuilt"]),
    ]
    given, gives = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["samples", "batch", last])
        for name, last in (("beats", 1), ("rebuilt", readout.shape[1]))
    )
    graph = helper.make_graph(nodes, "autoencoder", [given], [gives], kept)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def run(path, batch):
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"beats": batch})[0]


def loss(path, *batch):
    """Return the mean absolute error, in mV, of the first beat of the batch."""
    together = np.concatenate(batch, 1)
    return float(np.abs(run(path, together) - together)[:, 0].mean())


rng = np.random.default_rng(1)
write(np.eye(UNITS), "states.onnx")
train = beats(200, rng)
states = run("states.onnx", train).reshape(-1, UNITS)
write(np.linalg.lstsq(states, train.reshape(-1), rcond=0.003)[0][:, None], "float.onnx")
quantize_dynamic("float.onnx", "quantised.onnx", weight_type=QuantType.QInt8)
assert "DynamicQuantizeLSTM" in [node.op_type for node in onnx.load("quantised.onnx").graph.node]

beat, others = beats(1, rng), beats(62, rng)
print("onnxruntime", ort.__version__)
losses = {}
for path in ("float.onnx", "quantised.onnx"):
    batches = {"alone": []} | {
        name: [others, (height_mv * np.sign(np.sin(np.arange(SAMPLES) / 9)))[:, None, None].astype(np.float32)]
        for name, height_mv in (("an artifact of 3 mV", 3), ("an artifact of 10 mV", 10))
    }
    batches["63 beats"] = [others, beats(1, rng)]
    losses[path] = {name: loss(path, beat, *batch) for name, batch in batches.items()}
    print(path, "loss of one beat:", ", ".join(f"{name} {value:.5f} mV" for name, value in losses[path].items()))
assert len(set(losses["float.onnx"].values())) == 1, "the loss in float depends on the batch"
small, large = losses["quantised.onnx"]["alone"], losses["quantised.onnx"]["an artifact of 10 mV"]
assert small < 4 * losses["float.onnx"]["alone"], "quantised it is too coarse to show anything"
assert losses["quantised.onnx"]["63 beats"] != small and large > 2 * small, "the batch no longer matters"
PY
ORT_DISABLE_TELEMETRY=1 venv/bin/python look.py
echo "as described"
