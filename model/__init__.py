"""The autoencoder, what it learns and how it scores."""

import os

# ONNX Runtime (1.29 and later) keeps count of how it is used and sends that to its maker, unless it
# is told not to before it is imported. Of a monitor nothing leaves the machine unasked.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
