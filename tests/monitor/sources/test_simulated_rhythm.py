"""When the simulated heart beats, and what kind of beat each is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import welch

from monitor.sources.simulated_rhythm import (
    CHF07_ANOMALY_RATE,
    CLASS_COUNTS,
    MEAN_RR_S,
    Rhythm,
    draw_rhythm,
)

COUPLING = {"r": 0.66, "V": 0.93, "S": 0.75, "Q": 0.89}
HOUR_S = 3600.0


def rhythm_of(
    hours: float, rate: float, seed: int = 0, first_anomaly_s: float | None = None
) -> Rhythm:
    rng = np.random.default_rng(seed)
    return draw_rhythm(hours * HOUR_S, rate, first_anomaly_s, COUPLING, rng)


def rr_before(rhythm: Rhythm) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return interval before, class before and class of each beat but the first."""
    return np.diff(rhythm.time_s), rhythm.symbol[:-1], rhythm.symbol[1:]


def test_classes_come_in_chf07s_proportions() -> None:
    """Over a long record each class has its share, within four standard errors of a run process."""
    rhythm = rhythm_of(400, CHF07_ANOMALY_RATE)
    for name, count in CLASS_COUNTS.items():
        share = float((rhythm.symbol == name).mean())
        expected = count / 92_600
        error = np.sqrt(1.5 * expected / len(rhythm.symbol))
        assert share == pytest.approx(expected, abs=4 * error), name


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.02, 0.2, 0.5])
def test_anomaly_rate_is_met(rate: float) -> None:
    """The share of beats that are not N is the one asked for."""
    rhythm = rhythm_of(40, rate)
    assert float((rhythm.symbol != "N").mean()) == pytest.approx(rate, rel=0.1, abs=1e-4)


def test_beats_cover_the_record() -> None:
    """The first beat is before the record's start, the last one after its end, times rise."""
    rhythm = rhythm_of(1, 0.1)
    assert rhythm.time_s[0] < 0
    assert rhythm.time_s[-2] <= HOUR_S < rhythm.time_s[-1]
    assert (np.diff(rhythm.time_s) > 0.25).all()


def test_sinus_rhythm_varies_as_a_failing_hearts_does() -> None:
    """SDNN and RMSSD lie in the range of heart failure; the mean is chf07's."""
    rr_s = np.diff(rhythm_of(24, 0.0).time_s)
    assert rr_s.mean() == pytest.approx(MEAN_RR_S, rel=0.05)
    assert 0.045 < rr_s.std() < 0.1
    assert 0.008 < np.sqrt((np.diff(rr_s) ** 2).mean()) < 0.04


def test_sinus_rhythm_has_the_two_peaks_of_its_spectrum() -> None:
    """Power is concentrated at 0.1 Hz (blood pressure) and at 0.25 Hz (respiration)."""
    rr_s = np.diff(rhythm_of(24, 0.0).time_s)
    frequency_hz, power = welch(rr_s, fs=1 / MEAN_RR_S, nperseg=512)

    def mean_power(low_hz: float, high_hz: float) -> float:
        return float(power[(frequency_hz > low_hz) & (frequency_hz < high_hz)].mean())

    valley = mean_power(0.16, 0.19)
    assert mean_power(0.09, 0.11) > 3 * valley
    assert mean_power(0.24, 0.26) > 3 * valley
    assert mean_power(0.38, 0.5) < valley


def test_ventricular_pause_compensates() -> None:
    """An r comes early by its coupling, and the pause after it makes up for that."""
    rr_s, before, current = rr_before(rhythm_of(60, 0.03))
    r = np.flatnonzero((before == "N") & (current == "r"))
    r = r[(r + 1 < len(current)) & (r > 0)]
    r = r[(current[np.minimum(r + 1, len(current) - 1)] == "N") & (before[r - 1] == "N")]
    assert len(r) > 500
    sinus_s = rr_s[r - 1]
    assert np.median(rr_s[r] / sinus_s) == pytest.approx(0.66, abs=0.03)
    assert np.median((rr_s[r] + rr_s[r + 1]) / sinus_s) == pytest.approx(2.0, abs=0.05)


def test_supraventricular_pause_does_not_compensate() -> None:
    """S comes early, resets the sinus node, and the next beat follows after about one interval."""
    rr_s, before, current = rr_before(rhythm_of(200, 0.03))
    after = np.flatnonzero((before == "S") & (current == "N"))
    after = after[after > 1]
    after = after[before[after - 1] == "N"]
    assert len(after) > 100
    sinus_s = MEAN_RR_S
    assert np.median(rr_s[after - 1]) < 0.8 * sinus_s
    assert 0.98 * sinus_s < np.median(rr_s[after]) < 1.15 * sinus_s


def test_some_ectopic_beats_come_in_runs() -> None:
    """About a seventh of the ventricular runs are longer than one beat, none longer than four."""
    symbol = rhythm_of(60, 0.03).symbol
    text = "".join("v" if name in "rV" else "." for name in symbol)
    lengths = np.array([len(run) for run in text.split(".") if run])
    assert 0.08 < (lengths > 1).mean() < 0.25
    assert 3 <= lengths.max() <= 8  # two runs may follow each other by one normal beat only


@pytest.mark.parametrize("first_anomaly_s", [0.0, 8.0, 100.0])
@pytest.mark.parametrize("seed", range(5))
def test_first_anomaly_comes_when_asked(first_anomaly_s: float, seed: int) -> None:
    """It is not before the time given and at most two seconds after."""
    rhythm = rhythm_of(0.1, 0.02, seed, first_anomaly_s)
    first_s = rhythm.time_s[rhythm.symbol != "N"][0]
    assert first_anomaly_s <= first_s < first_anomaly_s + 2
