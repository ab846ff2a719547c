"""Leads that change every few seconds: hearts of other rates and gains, gaps, noise, plugs pulled.

More changes in less time than `test_stream.stretch` gives: what a detector makes of one stretch is
still open when the next begins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.segmenter.synthetic import ecg


def hard_leads(seed: int, fs_hz: float, seconds: float, leads: int) -> NDArray[np.float64]:
    """Return leads that differ, shape (leads, n), mV."""
    chance = np.random.default_rng(seed)
    n = int(seconds * fs_hz)
    return np.stack([_lead(chance, fs_hz, n) for _ in range(leads)])


def _lead(chance: np.random.Generator, fs_hz: float, n: int) -> NDArray[np.float64]:
    lead = np.zeros(0)
    while len(lead) < n:
        length_s = chance.choice([0.05, 0.3, 1.0, 2.5, 5.0, 12.0, 20.0]) * chance.uniform(0.5, 1.5)
        lead = np.append(lead, _stretch(chance, fs_hz, max(1, int(length_s * fs_hz))))
    return lead[:n]


def _stretch(chance: np.random.Generator, fs_hz: float, n: int) -> NDArray[np.float64]:
    time_s = np.arange(n) / fs_hz
    kind = chance.integers(0, 11)
    if kind < 5:
        return _heart(chance, fs_hz, n)
    return np.asarray(
        [
            np.full(n, chance.choice([0.0, 1.0, 1e6])),
            np.full(n, np.nan),
            chance.normal(size=n) * chance.choice([0.001, 0.1, 1.0, 1e5]),
            chance.choice([0.01, 1.0, 10.0]) * np.sin(2 * np.pi * chance.uniform(1, 50) * time_s),
            np.where(chance.random(n) < chance.choice([0.001, 0.05, 0.5]), np.nan, time_s % 0.8),
            np.where(time_s % 1.0 < 1.5 / fs_hz, chance.choice([1.0, 1e3, 1e6]), 0.0),
        ][kind - 5]
    )


def _heart(chance: np.random.Generator, fs_hz: float, n: int) -> NDArray[np.float64]:
    length_s, rr_s = n / fs_hz, chance.uniform(0.22, 2.2)
    spread = rr_s * chance.choice([0.0, 0.03, 0.3])
    intervals = np.maximum(chance.normal(rr_s, spread, int(length_s / 0.2) + 1), 0.2)
    r_s = np.cumsum(intervals) - chance.uniform(0, rr_s)
    noise_mv = chance.choice([0.0, 0.005, 0.05, 0.2])
    seed = int(chance.integers(99))
    signal = ecg(fs_hz, r_s[r_s < length_s], length_s + 1 / fs_hz, noise_mv, seed)
    gain = float(chance.choice([1.0, -1.0, 0.1, 10.0, 0.003]))
    return (signal[:n] * gain).astype(np.float64)
