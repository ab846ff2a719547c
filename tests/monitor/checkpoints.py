"""Checkpoints and beats whose losses can be told by hand, for tests of what is built on them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from model.autoencoder import LstmAutoencoder
from model.checkpoint import Checkpoint
from model.config import AutoencoderConfig
from model.scoring import reconstruction_losses
from model.thresholds import Threshold
from segmenter.beat import Beats, BeatSpec

TEMPLATE = np.sin(np.linspace(0, 6, 140)).astype(np.float32)
# A wave where the QRS complex lies: neither drift nor a shift makes up for it, and it is no noise.
ERROR = np.zeros(140, np.float32)
ERROR[46:70] = np.hanning(24)


def template_checkpoint(threshold: float = 26.0, spec: BeatSpec | None = None) -> Checkpoint:
    """Return a model that reconstructs every beat as TEMPLATE."""
    autoencoder = LstmAutoencoder(AutoencoderConfig(embedding=4))
    with torch.no_grad():
        autoencoder.output.weight.zero_()
        autoencoder.output.bias.zero_()
        autoencoder.template.copy_(torch.from_numpy(TEMPLATE))
    spec = spec or BeatSpec()
    return Checkpoint(autoencoder.trained(), spec.to_mapping(), spec.identity, Threshold(threshold))


def beats_of_loss(losses: list[float], first_sample: int = 100, rr_samples: int = 250) -> Beats:
    """Return beats whose loss against TEMPLATE is the given; NaN makes one without a verdict."""
    return beats_of_losses([[loss] for loss in losses], first_sample, rr_samples)


def beats_of_losses(
    losses: list[list[float]], first_sample: int = 100, rr_samples: int = 250
) -> Beats:
    """Return beats of given losses in each lead; NaN is a lead that cannot be read there."""
    n, leads = len(losses), len(losses[0]) if losses else 1
    of_leads = np.array(losses, np.float32).reshape(n, leads)
    noisy = 4 * np.isnan(of_leads)
    return Beats(
        r_sample=first_sample + rr_samples * np.arange(n, dtype=np.int64),
        rr_before_ms=np.full(n, 4.0 * rr_samples, np.float32),
        rr_after_ms=np.full(n, 4.0 * rr_samples, np.float32),
        quality=noisy.min(axis=1).astype(np.uint16),
        delay_ms=np.full(n, 200.0, np.float32),
        closed_sample=first_sample + rr_samples * np.arange(1, n + 1, dtype=np.int64),
        values=values_at(np.nan_to_num(of_leads) / np.float32(140)),
        lead_quality=noisy.astype(np.uint16),
    )


def values_at(shifts: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return beats, shape (..., 140), whose loss against TEMPLATE is 140 times each of `shifts`."""
    wanted = 140 * np.asarray(shifts, np.float64).reshape(-1)
    heights = wanted / 140
    for _ in range(20):  # the loss is nearly in proportion to the height
        losses = reconstruction_losses(_raised(heights), np.tile(TEMPLATE, (len(heights), 1)))
        heights *= np.where(losses > 0, wanted / np.maximum(losses, 1e-9), 1)
    return _raised(heights).reshape(*np.shape(shifts), len(TEMPLATE))


def _raised(heights: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(TEMPLATE + heights[:, None] * ERROR, np.float32)
