"""Named alarms over signals that nothing was chosen on: what must ring, and what must not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.detection.rhythm.patient_alarms import AlarmsState, take
from monitor.offline.rhythm_signs import hops_of_signals
from monitor.settings import AlarmRules
from tests.segmenter.synthetic import ecg

Signal = NDArray[np.float64]
FS_HZ = 250.0
BEGINS_S, LASTS_S, LENGTH_S = 50.0, 16.0, 80.0
TIME_S = np.arange(int(LASTS_S * FS_HZ)) / FS_HZ


def rang(
    event: Callable[[Signal], Signal], leads: int, noisy_lead: int | None = None
) -> dict[str, float]:
    """Return which alarms began, and when: of a heart of 75 a minute that an event befalls.

    One lead may show the noise of muscles as long, half as high as R waves.
    """
    r_s = np.arange(0.5, LENGTH_S - 0.5, 0.8)
    begin = int(BEGINS_S * FS_HZ)
    during = slice(begin, begin + len(TIME_S))
    signals = []
    for lead in range(leads):
        heart = (1.0 - 0.4 * lead) * ecg(FS_HZ, r_s, LENGTH_S, seed=lead).astype(np.float64)
        heart[during] = event(heart[during])
        if lead == noisy_lead:
            heart[during] += muscles(0.5 * (1.0 - 0.4 * lead))
        signals.append(heart)
    state = AlarmsState()
    onsets: dict[str, float] = {}
    for hop in hops_of_signals(np.stack(signals).astype(np.float32), FS_HZ):
        state, changes = take(state, hop, FS_HZ, AlarmRules())
        for change in changes:
            if change.state == "onset":
                onsets.setdefault(str(change.kind), hop.end_sample / FS_HZ)
    return onsets


def still(*, mv: float = 0.01) -> Signal:
    """Return noise: the heart stands still."""
    return mv * np.random.default_rng(5).normal(size=len(TIME_S))


def muscles(mv: float) -> Signal:
    """Return the noise of muscles: 20 Hz and more, and less below."""
    spectrum = np.fft.rfft(np.random.default_rng(7).normal(size=len(TIME_S)))
    hz = np.fft.rfftfreq(len(TIME_S), 1 / FS_HZ)
    noise = np.fft.irfft(spectrum * np.minimum(hz / 20, 1), len(TIME_S))
    return np.asarray(mv * noise / noise.std())


def slow() -> Signal:
    """Return a heart of 30 a minute."""
    r_s = np.arange(1.0, LASTS_S, 2.0)
    return ecg(FS_HZ, r_s, LASTS_S).astype(np.float64)


def fibrillation(mv: float, hz: float) -> Signal:
    """Return a wave whose frequency and height wander."""
    steps = np.cumsum(np.random.default_rng(round(hz)).normal(size=len(TIME_S)))
    phase = 2 * np.pi * np.cumsum(np.clip(hz + 0.01 * steps, hz - 1, hz + 1)) / FS_HZ
    height = 1 + 0.3 * np.sin(2 * np.pi * 0.4 * TIME_S)
    return mv * height * np.sin(phase) + still()


def spikes(mv: float, every_s: float) -> Signal:
    """Return pacing spikes of one sample that capture nothing."""
    at = (np.arange(0, LASTS_S, every_s) * FS_HZ).astype(int)
    signal = still()
    signal[at] += mv
    return signal


def hum(mv: float, hz: float) -> Signal:
    """Return the hum of mains."""
    return mv * np.sin(2 * np.pi * hz * TIME_S)


@pytest.mark.parametrize("leads", [1, 2])
@pytest.mark.parametrize("mv", [0.15, 0.5, 1.5])
@pytest.mark.parametrize("hz", [4.5, 6.0, 7.5])
def test_fibrillation_of_any_height_rings(mv: float, hz: float, leads: int) -> None:
    """Within 5 s, whatever the heart's complexes were before."""
    onsets = rang(lambda _: fibrillation(mv, hz), leads)
    assert onsets["ventricular_fibrillation"] <= BEGINS_S + 5.0


@pytest.mark.parametrize("leads", [1, 2])
@pytest.mark.parametrize(
    "signal",
    [
        still(),
        spikes(0.3, 1.0),
        spikes(0.7, 0.75),
        still() + hum(0.3, 50.0),
        still() + hum(1.0, 60.0),
        still() + 0.5 * np.sin(2 * np.pi * 0.4 * TIME_S),
    ],
    ids=["still", "small spikes", "spikes", "hum of 50 Hz", "hum of 60 Hz", "breathing"],
)
def test_asystole_rings_under_what_lies_over_it(signal: Signal, leads: int) -> None:
    """Within 5 s."""
    assert rang(lambda _: signal, leads)["asystole"] <= BEGINS_S + 5.0


@pytest.mark.parametrize("noisy_lead", [0, 1])
@pytest.mark.parametrize(
    ("event", "alarm"),
    [
        (lambda _: still(), "asystole"),
        (lambda _: fibrillation(0.8, 6.0), "ventricular_fibrillation"),
        (lambda _: slow(), "extreme_bradycardia"),
    ],
    ids=["still", "fibrillation", "slow"],
)
def test_muscles_in_one_lead_deny_nothing_that_another_shows(
    event: Callable[[Signal], Signal], alarm: str, noisy_lead: int
) -> None:
    """Within 5 s, and as many beats as a slow rate needs; beats beside noise ring nothing."""
    onsets = rang(event, 2, noisy_lead)
    assert onsets[alarm] <= BEGINS_S + (13.0 if alarm == "extreme_bradycardia" else 5.0)
    assert rang(lambda heart: heart, 2, noisy_lead) == {}


@pytest.mark.parametrize("leads", [1, 2])
@pytest.mark.parametrize(
    "event",
    [
        lambda heart: np.zeros_like(heart),
        lambda heart: np.full_like(heart, 0.37),
        lambda heart: np.full_like(heart, 5.0),
        lambda heart: np.full_like(heart, np.nan),
        lambda heart: -heart,
        lambda heart: 10 * heart,
        lambda heart: heart + 2.0 * (np.floor(TIME_S / 3) % 2),
        lambda heart: heart + hum(0.5, 50.0),
        lambda heart: heart + hum(2.0, 60.0),
    ],
    ids=["zero", "frozen", "railed", "missing", "turned", "tenfold", "steps", "50 Hz", "60 Hz"],
)
def test_what_befalls_the_electrodes_is_no_alarm_of_the_heart(
    event: Callable[[Signal], Signal], leads: int
) -> None:
    """A lead that is off is reported otherwise; one that turned or hums shows its beats."""
    assert rang(event, leads) == {}


@pytest.mark.parametrize(
    ("event", "alarms"),
    [
        (lambda _: spikes(1.2, 0.75), {"asystole"}),
        (lambda _: spikes(1.4, 0.75), set()),
        (lambda heart: 0.3 * heart, set()),
        (lambda heart: 0.25 * heart, {"asystole"}),
        (lambda heart: heart + hum(0.3, 5.0), set()),
        (lambda heart: heart + hum(0.5, 5.0), {"ventricular_fibrillation"}),
        (lambda _: 0.8 * np.sin(5 * np.pi * TIME_S) + still(), {"asystole"}),
    ],
    ids=["spikes", "high spikes", "low", "lower", "tremor", "high tremor", "slow wave"],
)
def test_the_limits_are_as_told(event: Callable[[Signal], Signal], alarms: set[str]) -> None:
    """Those of docs/ALARMS.md, at R waves of 1 mV: where one moves, that page has to."""
    assert set(rang(event, leads=1)) == alarms
