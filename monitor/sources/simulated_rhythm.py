"""When the simulated heart beats, and what kind of beat each is.

The sinus rhythm varies as a heart's does: with respiration (about 0.25 Hz), with blood pressure
(about 0.1 Hz), slowly over minutes and hours, and over the day. Ectopic beats come early by their
class's coupling ratio; ventricular ones leave the sinus node alone, so that the pause after them
compensates; supraventricular ones reset it, so that it does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]

MEAN_RR_S = 20 * 3600 / 92_600  # chf07: about 92,600 beats in 20 h
SHORTEST_SINUS_RR_S, LONGEST_SINUS_RR_S = 0.5, 1.3

# chf07's abnormal beats, as ECG5000 holds them all.
CLASS_COUNTS = {"r": 1767, "V": 96, "S": 194, "Q": 24}
CHF07_ANOMALY_RATE = sum(CLASS_COUNTS.values()) / 92_600

# Standard deviations of the sinus RR interval, s. Together 60 ms with the day's swing: SDNN of
# heart failure (50 to 100 ms), not of a healthy heart (about 140 ms).
RESPIRATION_SD_S, PRESSURE_SD_S, SLOW_SD_S, DAY_SWING_S = 0.012, 0.015, 0.035, 0.05
RESPIRATION_HZ, PRESSURE_HZ = 0.25, 0.1
SLOW_TIMES_S = (60.0, 600.0, 3600.0)

COUPLING_SPREAD = 0.04  # ectopic foci fire at a nearly fixed interval after the beat before
RESET_PAUSE, RESET_SPREAD = 1.05, 0.03  # after S, in sinus intervals
MARGIN_S = 0.4  # the record opens this long after a QRS, in diastole

# Probability of 1, 2, 3 and 4 ectopic beats in a row.
RUN_LENGTHS = {
    "r": (0.86, 0.10, 0.03, 0.01),
    "V": (0.86, 0.10, 0.03, 0.01),
    "S": (0.92, 0.08, 0.0, 0.0),
    "Q": (1.0, 0.0, 0.0, 0.0),
}


@dataclass(frozen=True)
class Rhythm:
    """The beats of a record, from just before its start to just after its end.

    Attributes
    ----------
    time_s : np.ndarray, shape (n,)
        When each beat is, from the record's start; the first is before it.
    symbol : np.ndarray, shape (n,), str
        N, r, V, S or Q.
    respiration : np.ndarray, shape (n,)
        The breath at each beat, mean 0 and standard deviation 1.
    """

    time_s: Floats
    symbol: NDArray[np.str_]
    respiration: Floats


def draw_rhythm(
    duration_s: float,
    anomaly_rate: float,
    first_anomaly_s: float | None,
    coupling: Mapping[str, float],
    rng: np.random.Generator,
) -> Rhythm:
    """Draw the beats of a record.

    Parameters
    ----------
    duration_s : float
        The record's length.
    anomaly_rate : float
        Share of beats that are not N, 0 to 0.5.
    first_anomaly_s : float, optional
        No anomaly comes before this time, and one comes within 2 s after it.
    coupling : mapping of class to float
        RR interval before an abnormal beat, in sinus intervals.
    rng : np.random.Generator
        Where chance comes from.
    """
    n_beats = math.ceil(duration_s / (0.5 * MEAN_RR_S)) + 16  # more than can be needed
    respiration = _resonance(n_beats, RESPIRATION_HZ, rng)
    sinus_rr_s = _draw_sinus_rr(respiration, rng)
    first = 1
    if first_anomaly_s is not None:  # it follows the first normal beat that is not before
        first += int(np.searchsorted(_beat_times(sinus_rr_s), first_anomaly_s))
    symbol = np.full(n_beats, "N")
    if anomaly_rate > 0:
        drawn = _draw_symbols(n_beats, anomaly_rate, first_anomaly_s is not None, rng)
        symbol[first:] = drawn[: max(0, n_beats - first)]
    time_s = _beat_times(sinus_rr_s * _draw_rr_factors(symbol, coupling, rng))
    n_needed = int(np.searchsorted(time_s, duration_s, side="right")) + 1
    return Rhythm(time_s[:n_needed], symbol[:n_needed], respiration[:n_needed])


def _beat_times(rr_s: Floats) -> Floats:
    """Return when beats are whose intervals to the one before are given."""
    return np.concatenate([[0.0], np.cumsum(rr_s[1:])]) - MARGIN_S


def _draw_sinus_rr(respiration: Floats, rng: np.random.Generator) -> Floats:
    """Return the interval before each beat if all were of the sinus node, in seconds."""
    n_beats = len(respiration)
    variation = RESPIRATION_SD_S * respiration
    variation += PRESSURE_SD_S * _resonance(n_beats, PRESSURE_HZ, rng)
    for time_s in SLOW_TIMES_S:
        share = SLOW_SD_S / math.sqrt(len(SLOW_TIMES_S))
        variation += share * _slow_noise(n_beats, time_s / MEAN_RR_S, rng)
    day = np.arange(n_beats) * MEAN_RR_S / 86_400 + rng.uniform()
    variation += DAY_SWING_S * np.sin(2 * np.pi * day)
    return np.clip(MEAN_RR_S + variation, SHORTEST_SINUS_RR_S, LONGEST_SINUS_RR_S)


def _draw_symbols(
    n_beats: int, anomaly_rate: float, starts_ectopic: bool, rng: np.random.Generator
) -> NDArray[np.str_]:
    """Return the class of each beat: normal beats with runs of ectopic ones between them."""
    names = list(CLASS_COUNTS)
    mean_run = np.array([np.dot(RUN_LENGTHS[name], (1, 2, 3, 4)) for name in names])
    weight = np.array([CLASS_COUNTS[name] for name in names]) / mean_run
    weight /= weight.sum()
    # Runs of mean length m after gaps of mean length 1 / p hold the share m / (m + 1 / p).
    p_run = anomaly_rate / ((1 - anomaly_rate) * float(weight @ mean_run))
    expected = n_beats * p_run
    n_runs = math.ceil(expected + 6 * math.sqrt(expected)) + 8
    kind = rng.choice(len(names), size=n_runs, p=weight)
    gap = rng.geometric(min(p_run, 1.0), size=n_runs)
    if starts_ectopic:
        gap[0], kind[0] = 0, names.index("r")
    length = np.empty(n_runs, dtype=np.int64)
    for i, name in enumerate(names):
        of_kind = kind == i
        length[of_kind] = rng.choice((1, 2, 3, 4), size=int(of_kind.sum()), p=RUN_LENGTHS[name])
    stretch = np.stack([np.full(n_runs, "N"), np.array(names)[kind]], axis=1).ravel()
    repeats = np.minimum(np.stack([gap, length], axis=1).ravel(), n_beats)
    n_stretches = int(np.searchsorted(np.cumsum(repeats), n_beats)) + 1
    symbols = np.repeat(stretch[:n_stretches], repeats[:n_stretches])[:n_beats]
    return np.concatenate([symbols, np.full(n_beats - len(symbols), "N")])


def _draw_rr_factors(
    symbol: NDArray[np.str_], coupling: Mapping[str, float], rng: np.random.Generator
) -> Floats:
    """Return the interval before each beat in sinus intervals, shape (n,)."""
    chance = rng.standard_normal(len(symbol))
    factor = np.ones(len(symbol))
    for name, ratio in coupling.items():
        of_class = symbol == name
        factor[of_class] = ratio * (1 + COUPLING_SPREAD * chance[of_class])
    after = np.concatenate([["N"], symbol[:-1]])
    pause = (symbol == "N") & np.isin(after, ("r", "V"))
    factor[pause] = np.maximum(2 - np.roll(factor, 1)[pause], 1.0)
    reset = (symbol == "N") & (after == "S")
    factor[reset] = RESET_PAUSE + RESET_SPREAD * chance[reset]
    return factor


def _resonance(n_beats: int, frequency_hz: float, rng: np.random.Generator) -> Floats:
    """Return noise that swings at about `frequency_hz`, standard deviation 1, shape (n_beats,)."""
    radius = 0.93  # a bandwidth of about 0.03 Hz
    angle = 2 * math.pi * frequency_hz * MEAN_RR_S
    denominator = [1.0, -2 * radius * math.cos(angle), radius**2]
    settling = 128  # radius ** 128 is 1e-4
    impulse = np.zeros(settling)
    impulse[0] = 1.0
    gain = math.sqrt(float((lfilter([1.0], denominator, impulse) ** 2).sum()))
    noise: Floats = lfilter([1.0], denominator, rng.standard_normal(n_beats + settling))
    return noise[settling:] / gain


def _slow_noise(n_beats: int, time_beats: float, rng: np.random.Generator) -> Floats:
    """Return noise of standard deviation 1 whose correlation dies out within `time_beats` beats."""
    memory = math.exp(-1 / time_beats)
    innovation = rng.standard_normal(n_beats)
    innovation[1:] *= math.sqrt(1 - memory**2)
    noise: Floats = lfilter([1.0], [1.0, -memory], innovation)
    return noise
