"""The 2-layer LSTM autoencoder: one beat in, its reconstruction out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.config import MIN_SCALE, AutoencoderConfig
from model.trained import TrainedAutoencoder

FORGET_BIAS = 2.0  # sigmoid(2) = 0.88: half of a value is left after 5 samples, not after 1


class LstmAutoencoder(nn.Module):
    """Encode a beat into one embedding vector and write it again from that vector alone.

    The architecture published with ECG5000: the encoder is two LSTMs of 2e and e units, whose last
    hidden state is the embedding; the decoder is fed the embedding at every sample, through LSTMs
    of e and 2e units and a linear layer to one value. Published for one sample a step; `config` may
    ask for several.

    Around it stands one affine step: what goes in is the beat's deviation from `template`, over
    `scale`; what comes out is put back the same way. The network then need not spend its first
    hundreds of steps on drawing the mean beat, and another patient's mean beat costs it nothing.
    With the initial template of zeros and scale of one it is the published network.

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
            self.encoder_outer = nn.LSTM(config.samples_per_step, 2 * e, batch_first=True)
            self.encoder_inner = nn.LSTM(2 * e, e, batch_first=True)
            self.decoder_inner = nn.LSTM(e, e, batch_first=True)
            self.decoder_outer = nn.LSTM(e, 2 * e, batch_first=True)
            self.output = nn.Linear(2 * e, config.samples_per_step)
        self.template: Tensor
        self.scale: Tensor
        self.register_buffer("template", torch.zeros(config.length))
        self.register_buffer("scale", torch.ones(1))
        self._draw_weights(seed)

    def _draw_weights(self, seed: int) -> None:
        """Draw the weights so that the gradient reaches through 140 samples from the first step on.

        Orthogonal recurrent weights and an open forget gate (Jozefowicz, Zaremba, Sutskever 2015).
        With torch's own rule the mean beat takes about three times as many epochs to learn.
        """
        generator = torch.Generator().manual_seed(seed)
        layers = (self.encoder_outer, self.encoder_inner, self.decoder_inner, self.decoder_outer)
        with torch.no_grad():
            for layer in layers:
                units = layer.hidden_size
                inputs, recurrent, *biases = layer.all_weights[0]
                for gate in range(4):  # torch's order: input, forget, cell, output
                    rows = slice(gate * units, (gate + 1) * units)
                    nn.init.xavier_uniform_(inputs[rows], generator=generator)
                    nn.init.orthogonal_(recurrent[rows], generator=generator)
                for bias in biases:
                    nn.init.zeros_(bias)
                biases[0][units : 2 * units] = FORGET_BIAS
            nn.init.xavier_uniform_(self.output.weight, generator=generator)
            nn.init.zeros_(self.output.bias)

    @classmethod
    def of(cls, trained: TrainedAutoencoder) -> LstmAutoencoder:
        """Return one that starts from a copy of trained weights."""
        autoencoder = cls(trained.config)
        autoencoder.load_state_dict(
            {name: torch.from_numpy(array.copy()) for name, array in trained.weights.items()}
        )
        return autoencoder

    def trained(self) -> TrainedAutoencoder:
        """Return a copy of the weights as they are now, in arrays."""
        weights = {
            name: tensor.detach().cpu().numpy().copy() for name, tensor in self.state_dict().items()
        }
        return TrainedAutoencoder(self.config, weights)

    def centre_on(self, beats: Tensor) -> None:
        """Take the template and the scale from beats, shape (n, length)."""
        self.template.copy_(beats.mean(dim=0))
        deviation = float((beats - self.template).std())
        self.scale.fill_(max(deviation, MIN_SCALE))

    def encode(self, beats: Tensor) -> Tensor:
        """Return the embeddings, shape (batch, e), of beats, shape (batch, length)."""
        deviations = (beats - self.template) / self.scale  # (batch, length)
        shape = (len(beats), self.config.steps, self.config.samples_per_step)
        steps = deviations.reshape(shape)  # (batch, steps, p)
        hidden, _ = self.encoder_outer(steps)  # (batch, steps, 2e)
        _, (last, _) = self.encoder_inner(hidden)  # (1, batch, e)
        embeddings: Tensor = last[0]  # (batch, e)
        return embeddings

    def decode(self, embeddings: Tensor) -> Tensor:
        """Return the beats, shape (batch, length), written from embeddings, shape (batch, e)."""
        repeated = embeddings[:, None, :].expand(-1, self.config.steps, -1)  # (batch, steps, e)
        hidden, _ = self.decoder_inner(repeated)  # (batch, steps, e)
        hidden, _ = self.decoder_outer(hidden)  # (batch, steps, 2e)
        deviations: Tensor = self.output(hidden).flatten(1)  # (batch, length)
        if self.config.reverse:
            deviations = deviations.flip(1)
        return self.template + self.scale * deviations

    def forward(self, beats: Tensor) -> Tensor:
        """Reconstruct beats, shape (batch, length), from their embeddings."""
        return self.decode(self.encode(beats))
