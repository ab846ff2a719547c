"""Size and shape of the autoencoder: known without torch, which takes a second to import."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from model.errors import InvalidConfig

BEAT_SAMPLES = 140  # the length of an ECG5000 beat
LENGTH_BOUNDS = (16, 4096)
EMBEDDING_BOUNDS = (1, 256)  # 256 costs 1.1 GFLOP a beat; above it nothing but memory is at stake
MIN_SCALE = 1e-3  # of a standardised beat; beats all alike must not divide by zero
GATES = 4  # of an LSTM: input, forget, cell, output


@dataclass(frozen=True)
class AutoencoderConfig:
    """Size and shape of the autoencoder.

    Parameters
    ----------
    length : int
        Samples of a beat, 16 to 4096.
    embedding : int
        Size e of the embedding, 1 to 256; the outer LSTM of each half has 2e units.
    reverse : bool
        The decoder writes the beat backwards, so that the samples the encoder saw last are the
        first it has to recall (Sutskever, Vinyals, Le 2014).
    samples_per_step : int
        Consecutive samples that the LSTMs read and write at a time; divides `length`. The network
        published with ECG5000 takes 1: 140 steps a beat, each as dear as one of several samples.

    Raises
    ------
    InvalidConfig
        If a value is out of bounds.
    """

    length: int = BEAT_SAMPLES
    embedding: int = 32
    reverse: bool = True
    samples_per_step: int = 7

    def __post_init__(self) -> None:
        _check_whole("length", self.length, LENGTH_BOUNDS)
        _check_whole("embedding", self.embedding, EMBEDDING_BOUNDS)
        if not isinstance(self.reverse, bool):
            raise InvalidConfig(
                f"autoencoder reverse {self.reverse!r} is not a truth value; use true or false"
            )
        _check_whole("samples_per_step", self.samples_per_step, (1, self.length))
        if self.length % self.samples_per_step:
            raise InvalidConfig(
                f"autoencoder samples_per_step {self.samples_per_step} does not divide the "
                f"{self.length} samples of a beat; use one that does"
            )

    def to_mapping(self) -> dict[str, Any]:
        """Return the plain values, as kept in a checkpoint's JSON."""
        return asdict(self)

    @property
    def steps(self) -> int:
        """Steps that the LSTMs take over a beat."""
        return self.length // self.samples_per_step

    @property
    def layers(self) -> dict[str, tuple[int, int]]:
        """Inputs and units of each LSTM, in the order in which a beat passes them."""
        e, p = self.embedding, self.samples_per_step
        return {
            "encoder_outer": (p, 2 * e),
            "encoder_inner": (2 * e, e),
            "decoder_inner": (e, e),
            "decoder_outer": (e, 2 * e),
        }

    @property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each array of weights, by the name that torch gives it."""
        shapes: dict[str, tuple[int, ...]] = {"template": (self.length,), "scale": (1,)}
        for name, (inputs, units) in self.layers.items():
            shapes[f"{name}.weight_ih_l0"] = (GATES * units, inputs)
            shapes[f"{name}.weight_hh_l0"] = (GATES * units, units)
            shapes[f"{name}.bias_ih_l0"] = shapes[f"{name}.bias_hh_l0"] = (GATES * units,)
        e, p = self.embedding, self.samples_per_step
        return {**shapes, "output.weight": (p, 2 * e), "output.bias": (p,)}

    @property
    def flop_per_beat(self) -> int:
        """Multiplications and additions of one reconstruction's matrix products."""
        weights = sum(GATES * units * (inputs + units) for inputs, units in self.layers.values())
        return 2 * self.steps * (weights + 2 * self.embedding * self.samples_per_step)


def _check_whole(name: str, value: object, bounds: tuple[int, int]) -> None:
    low, high = bounds
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidConfig(
            f"autoencoder {name} {value!r} is out of range; use a whole number of {low} to {high}"
        )
