"""The 2-layer LSTM autoencoder: one beat in, its reconstruction out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model.errors import InvalidConfig

BEAT_SAMPLES = 140  # the length of an ECG5000 beat
LENGTH_BOUNDS = (16, 4096)
EMBEDDING_BOUNDS = (1, 256)  # 256 costs 1.1 GFLOP a beat; above it nothing but memory is at stake


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

    Raises
    ------
    InvalidConfig
        If a value is out of bounds.
    """

    length: int = BEAT_SAMPLES
    embedding: int = 16
    reverse: bool = True

    def __post_init__(self) -> None:
        _check_whole("length", self.length, LENGTH_BOUNDS)
        _check_whole("embedding", self.embedding, EMBEDDING_BOUNDS)
        if not isinstance(self.reverse, bool):
            raise InvalidConfig(f"autoencoder reverse {self.reverse!r} is neither true nor false")

    def to_mapping(self) -> dict[str, Any]:
        """Return the plain values, as kept in a checkpoint's JSON."""
        return asdict(self)

    @property
    def flop_per_beat(self) -> int:
        """Multiplications and additions of one reconstruction."""
        e = self.embedding
        layers = ((1, 2 * e), (2 * e, e), (e, e), (e, 2 * e))  # (inputs, units)
        weights = sum(4 * units * (inputs + units) for inputs, units in layers) + 2 * e
        return 2 * self.length * weights


class LstmAutoencoder(nn.Module):
    """Encode a beat into one embedding vector and write it again from that vector alone.

    The architecture published with ECG5000: the encoder is two LSTMs of 2e and e units, whose last
    hidden state is the embedding; the decoder is fed the embedding at every sample, through LSTMs
    of e and 2e units and a linear layer to one value.

    Parameters
    ----------
    config : AutoencoderConfig
        Size and shape.
    seed : int
        The initial weights; torch's global generator is left as it was.
    """

    def __init__(self, config: AutoencoderConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        e = config.embedding
        with torch.random.fork_rng(devices=[]):  # the layers' own initialisation draws from it
            self.encoder_outer = nn.LSTM(1, 2 * e, batch_first=True)
            self.encoder_inner = nn.LSTM(2 * e, e, batch_first=True)
            self.decoder_inner = nn.LSTM(e, e, batch_first=True)
            self.decoder_outer = nn.LSTM(e, 2 * e, batch_first=True)
            self.output = nn.Linear(2 * e, 1)
        self._draw_weights(seed)

    def _draw_weights(self, seed: int) -> None:
        """Draw every weight uniformly from +-1/sqrt(units), torch's own rule, from a seed."""
        generator = torch.Generator().manual_seed(seed)
        for layer in self.children():
            units = layer.hidden_size if isinstance(layer, nn.LSTM) else self.output.in_features
            bound = units**-0.5
            for weights in layer.parameters():
                nn.init.uniform_(weights, -bound, bound, generator=generator)

    def encode(self, beats: Tensor) -> Tensor:
        """Return the embeddings, shape (batch, e), of beats, shape (batch, length)."""
        hidden, _ = self.encoder_outer(beats[:, :, None])  # (batch, length, 2e)
        _, (last, _) = self.encoder_inner(hidden)  # (1, batch, e)
        embeddings: Tensor = last[0]  # (batch, e)
        return embeddings

    def decode(self, embeddings: Tensor) -> Tensor:
        """Return the beats, shape (batch, length), written from embeddings, shape (batch, e)."""
        repeated = embeddings[:, None, :].expand(-1, self.config.length, -1)  # (batch, length, e)
        hidden, _ = self.decoder_inner(repeated)  # (batch, length, e)
        hidden, _ = self.decoder_outer(hidden)  # (batch, length, 2e)
        beats: Tensor = self.output(hidden)[:, :, 0]  # (batch, length)
        return beats.flip(1) if self.config.reverse else beats

    def forward(self, beats: Tensor) -> Tensor:
        """Reconstruct beats, shape (batch, length), from their embeddings."""
        return self.decode(self.encode(beats))


def _check_whole(name: str, value: object, bounds: tuple[int, int]) -> None:
    low, high = bounds
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidConfig(
            f"autoencoder {name} {value!r} is not a whole number of {low} to {high}"
        )
