"""A trained autoencoder as plain arrays: what a checkpoint keeps and a scorer runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.config import AutoencoderConfig


@dataclass(frozen=True, eq=False)
class TrainedAutoencoder:
    """The weights of an autoencoder that no longer learns; needs no torch.

    Attributes
    ----------
    config : AutoencoderConfig
        Size and shape.
    weights : Mapping of str to np.ndarray, float32
        By torch's names, of the shapes that `config.weight_shapes` states.
    """

    config: AutoencoderConfig
    weights: Mapping[str, NDArray[np.float32]]

    @property
    def template(self) -> NDArray[np.float32]:
        """The mean of the beats trained on, shape (length,)."""
        return self.weights["template"]
