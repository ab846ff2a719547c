"""Electrocardiograms made of bumps: QRS complexes at known samples, P and T waves, noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# amplitude (mV), centre and width (s) from R, of P, Q, R, S and T
WAVES = ((0.1, -0.18, 0.025), (-0.1, -0.03, 0.01), (1.0, 0.0, 0.01), (-0.2, 0.03, 0.01),
         (0.25, 0.28, 0.05))  # fmt: skip


def ecg(
    fs_hz: float, r_s: NDArray[np.float64], seconds: float, noise_mv: float = 0.01, seed: int = 0
) -> NDArray[np.float32]:
    """Return a lead with R peaks at the given times, shape (seconds * fs_hz,), float32, mV."""
    t = np.arange(round(seconds * fs_hz)) / fs_hz
    signal = noise_mv * np.random.default_rng(seed).normal(size=len(t))
    for amplitude, centre, width in WAVES:
        for r in r_s:
            near = slice(*np.searchsorted(t, [r + centre - 6 * width, r + centre + 6 * width]))
            signal[near] += amplitude * np.exp(-0.5 * ((t[near] - r - centre) / width) ** 2)
    return signal.astype(np.float32)


def regular(rr_s: float, seconds: float) -> NDArray[np.float64]:
    """Return R times, one every rr_s, from 0.5 s until a little before the end."""
    return np.arange(0.5, seconds - 0.5, rr_s)
