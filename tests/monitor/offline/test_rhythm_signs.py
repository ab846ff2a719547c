"""Hearts that stop or fibrillate, as samples: each raises its alarm in time, and it stays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.detection.rhythm.patient_alarms import AlarmsState, take
from monitor.offline.rhythm_signs import hops_of_signals
from monitor.settings import AlarmRules

Samples = NDArray[np.float64]
LENGTH_S, STOPS_S, GOES_ON_S = 75.0, 40.0, 60.0
IN_TIME_S = 5.0
WAVES = (  # of a beat: seconds from R, seconds of width, mV
    (-0.17, 0.03, 0.12), (-0.03, 0.01, -0.1), (0.0, 0.012, 1.1), (0.03, 0.012, -0.2),
    (0.28, 0.06, 0.25),
)  # fmt: skip


def heart(fs_hz: float, stops_s: float = STOPS_S, goes_on_s: float = GOES_ON_S,
          p_waves: bool = False) -> Samples:  # fmt: skip
    """Return 75 beats a minute that cease for a while; P waves may go on."""
    t = np.arange(round(LENGTH_S * fs_hz)) / fs_hz
    signal = np.random.default_rng(1).normal(0, 0.01, len(t))
    for r_s in np.arange(0.6, LENGTH_S - 1, 0.8):
        ceased = stops_s <= r_s < goes_on_s
        for at_s, width_s, mv in WAVES[: 1 if p_waves else 0] if ceased else WAVES:
            signal += mv * np.exp(-(((t - r_s - at_s) / width_s) ** 2))
    return signal


def oscillation(fs_hz: float, mv: float, hz: float, seed: int = 2) -> Samples:
    """Return what fibrillation looks like: amplitude and frequency wander."""
    n = round((GOES_ON_S - STOPS_S) * fs_hz)
    t = np.arange(n) / fs_hz
    wandering = np.random.default_rng(seed).normal(0, 0.3, n).cumsum() / np.sqrt(n)
    now_hz = hz + 0.7 * np.sin(2 * np.pi * 0.23 * t) + wandering
    phase = 2 * np.pi * np.cumsum(now_hz) / fs_hz
    return np.asarray(mv * (1 + 0.5 * np.sin(2 * np.pi * 0.31 * t)) * np.sin(phase))


def fibrillating(fs_hz: float, *parts: Samples, at_s: float = STOPS_S) -> Samples:
    signal = heart(fs_hz, at_s, at_s + GOES_ON_S - STOPS_S)
    start = round(at_s * fs_hz)
    for part in parts:
        signal[start : start + len(part)] += part
    return signal


def told(leads: Samples, fs_hz: float) -> list[tuple[str, str, float]]:
    """Return what is told of the leads: kind, state, seconds."""
    state = AlarmsState()
    changes: list[tuple[str, str, float]] = []
    for hop in hops_of_signals(leads.astype(np.float32), fs_hz):
        state, new = take(state, hop, fs_hz, AlarmRules())
        changes += [(one.kind, one.state, one.sample / fs_hz) for one in new]
    return changes


def assert_raised(changes: list[tuple[str, str, float]], kind: str, at_s: float) -> None:
    """Assert that an alarm comes in time and lasts, and that no second one tells of the silence."""
    onset_s = [s for of, state, s in changes if (of, state) == (kind, "onset")]
    cleared_s = [s for of, state, s in changes if (of, state) == (kind, "cleared")]
    assert onset_s, changes
    assert at_s < onset_s[0] <= at_s + IN_TIME_S
    assert all(s > at_s + GOES_ON_S - STOPS_S - 2 for s in cleared_s)
    other = {"asystole": "ventricular_fibrillation", "ventricular_fibrillation": "asystole"}[kind]
    lasts_s = range(round(onset_s[0]) + 1, round(at_s + GOES_ON_S - STOPS_S))
    assert not any(of == other and round(s) in lasts_s for of, state, s in changes
                   if state == "onset")  # fmt: skip


SILENCES: dict[str, Callable[[float], Samples]] = {
    "flat": heart,
    "P waves go on": lambda fs_hz: heart(fs_hz, p_waves=True),
    "noise": lambda fs_hz: (
        heart(fs_hz) + np.random.default_rng(5).normal(0, 0.03, round(LENGTH_S * fs_hz))
    ),
    "drift": lambda fs_hz: (
        heart(fs_hz) + 0.3 * np.sin(2 * np.pi * 0.3 * np.arange(round(LENGTH_S * fs_hz)) / fs_hz)
    ),
    "hum of mains": lambda fs_hz: (
        heart(fs_hz) + 0.05 * np.sin(2 * np.pi * 50 * np.arange(round(LENGTH_S * fs_hz)) / fs_hz)
    ),
}
OSCILLATIONS: dict[str, Callable[[float], list[Samples]]] = {
    "coarse": lambda fs_hz: [oscillation(fs_hz, 0.6, 6.0)],
    "fine": lambda fs_hz: [oscillation(fs_hz, 0.12, 5.5)],
    "slow and high": lambda fs_hz: [oscillation(fs_hz, 1.2, 3.5)],
    "fast": lambda fs_hz: [oscillation(fs_hz, 0.6, 8.0)],
    "becoming finer": lambda fs_hz: [
        oscillation(fs_hz, 0.6, 5.5) * np.linspace(1, 0.15, round(20 * fs_hz))
    ],
    "two tones": lambda fs_hz: [oscillation(fs_hz, 0.5, 4.5), oscillation(fs_hz, 0.15, 7.3, 9)],
    "three tones": lambda fs_hz: [oscillation(fs_hz, 0.25, hz, round(10 * hz)) for hz in
                                  (4.0, 5.2, 6.4)],
}  # fmt: skip


@pytest.mark.parametrize("fs_hz", [125.0, 360.0])
@pytest.mark.parametrize("name", SILENCES)
def test_a_heart_that_stops(name: str, fs_hz: float) -> None:
    """Whatever else the signal holds."""
    assert_raised(told(SILENCES[name](fs_hz)[None], fs_hz), "asystole", STOPS_S)


@pytest.mark.parametrize("fs_hz", [125.0, 360.0])
@pytest.mark.parametrize("name", OSCILLATIONS)
def test_a_heart_that_fibrillates(name: str, fs_hz: float) -> None:
    """Coarse and fine, slow and fast, of one tone or several."""
    signal = fibrillating(fs_hz, *OSCILLATIONS[name](fs_hz))
    assert_raised(told(signal[None], fs_hz), "ventricular_fibrillation", STOPS_S)


def test_fibrillation_that_a_record_begins_with() -> None:
    """It needs no complexes that are usual."""
    signal = fibrillating(250.0, oscillation(250.0, 0.6, 6.0), at_s=0.0)
    assert_raised(told(signal[None], 250.0), "ventricular_fibrillation", 0.0)


@pytest.mark.parametrize("kind", ["asystole", "ventricular_fibrillation"])
def test_one_lead_of_two_that_was_never_there(kind: str) -> None:
    """The other tells it."""
    signal = heart(250.0)
    if kind == "ventricular_fibrillation":
        signal = fibrillating(250.0, oscillation(250.0, 0.6, 6.0))
    assert_raised(told(np.stack((np.full_like(signal, np.nan), signal)), 250.0), kind, STOPS_S)


def test_a_slow_heart_is_neither() -> None:
    """Of 40 beats a minute."""
    t = np.arange(round(LENGTH_S * 250)) / 250
    signal = np.random.default_rng(1).normal(0, 0.01, len(t))
    for r_s in np.arange(0.6, LENGTH_S - 1, 1.5):
        for at_s, width_s, mv in WAVES:
            signal += mv * np.exp(-(((t - r_s - at_s) / width_s) ** 2))
    kinds = {kind for kind, _, _ in told(signal[None], 250.0)}
    assert kinds.isdisjoint({"asystole", "ventricular_fibrillation"})
