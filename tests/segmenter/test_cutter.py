from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segmenter import cutter
from segmenter.beat import BeatSpec
from segmenter.cutter import Windows, standardise, window_samples
from tests import naive
from tests.real_data import ECG5000_TRAIN
from tests.segmenter.gather import segment


def resample(
    signal: NDArray[np.float32], start: float, stop: float, length: int
) -> NDArray[np.float64]:
    """Read one window of a signal."""
    at, ends = np.array([[start], [stop]]), np.array([[0], [len(signal) - 1]])
    windows = Windows.at(at[0], at[1], length, np.zeros(1, np.int64), (ends[0], ends[1]))
    values: NDArray[np.float64] = cutter.resample(signal, windows, length)[0]
    return values


@settings(max_examples=30, deadline=None)
@given(
    st.floats(0, 500), st.floats(5, 1080), st.integers(16, 300), st.integers(0, 9)
)  # up to 3 s at 360 Hz
def test_agrees_with_the_plain_twin(start: float, window: float, length: int, seed: int) -> None:
    """Any window of any length is read as the formula says."""
    signal = np.random.default_rng(seed).normal(size=1700).astype(np.float32)
    stop = start + window
    cut = resample(signal, start, stop, length)
    twin = naive.cut(signal.tolist(), start, stop, length)
    np.testing.assert_allclose(standardise(cut[None])[0], twin, atol=1e-5)


def test_a_window_of_as_many_samples_comes_back() -> None:
    """140 samples become the same 140 samples."""
    signal = np.random.default_rng(0).normal(size=300).astype(np.float32)
    cut = resample(signal, 80.0, 220.0, 140)
    np.testing.assert_array_equal(cut, signal[80:220])


def test_the_place_in_the_history_does_not_matter() -> None:
    """A beat is the same to the bit wherever its window lies, whatever is cut beside it."""
    signal = np.random.default_rng(0).normal(size=3000).astype(np.float32)
    windows = [(100.0, 433.5), (700.5, 1500.0), (1500.0, 1800.5)]
    together = standardise(np.array([resample(signal, *w, 140) for w in windows]))
    for k, (start, stop) in enumerate(windows):
        later = resample(signal[90:], start - 90, stop - 90, 140)
        np.testing.assert_array_equal(standardise(later[None])[0], together[k])


def test_little_is_aliased() -> None:
    """150 Hz in a window of 1 s at 360 Hz, above the new Nyquist of 70 Hz, is taken down 20 dB."""
    signal = np.sin(2 * np.pi * 150 * np.arange(800) / 360).astype(np.float32)
    cut = resample(signal, 200.0, 560.0, 140)
    assert cut.std() < 0.1 * signal.std()


def test_windows() -> None:
    """R-to-R, midpoint to midpoint; a missing neighbour is as far away as the other one."""
    assert window_samples("rr", 100, 300, 600, 0.0) == (300, 600)
    assert window_samples("midpoint", 100, 300, 601, 0.0) == (200, 450.5)
    assert window_samples("midpoint", None, 300, 600, 0.0) == (150, 450)
    assert window_samples("midpoint", 100, 300, None, 0.0) == (200, 400)
    assert window_samples("rr", 100, 300, None, 0.0) == (300, 500)
    assert window_samples("midpoint", None, 300, None, 0.0) == (300, 300)


def test_the_typical_window_does_not_ask_its_neighbours() -> None:
    """A premature neighbour does not stretch the beats beside it."""
    assert window_samples("typical", 100, 300, 600, 200.0) == (220, 410)
    assert window_samples("typical", 250, 300, 350, 200.0) == (220, 410)
    assert window_samples("typical", None, 300, None, 200.0) == (220, 410)


def test_a_constant_window_gives_zeros() -> None:
    """What has no deviation cannot be standardised."""
    assert not standardise(np.full((2, 140), 0.7)).any()


def normal_beats() -> NDArray[np.float64]:
    if not ECG5000_TRAIN.exists():
        pytest.skip(f"{ECG5000_TRAIN} is absent")
    rows = np.loadtxt(ECG5000_TRAIN)
    normal: NDArray[np.float64] = rows[rows[:, 0] == 1, 1:]
    return normal


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    products = standardise(a).astype(np.float64) * standardise(b)
    coefficients: NDArray[np.float64] = products.sum(axis=1) / (a.shape[1] - 1)
    return coefficients


def test_stitched_beats_come_back() -> None:
    """ECG5000_TRAIN's normal beats, stretched to RR of 110 to 200 samples and joined, come back."""
    beats = normal_beats()
    lengths = np.random.default_rng(0).integers(110, 200, len(beats))
    parts = [
        np.interp(np.arange(n) * 140 / n, np.arange(140), b)
        for n, b in zip(lengths, beats, strict=True)
    ]
    joins = np.concatenate(([0], np.cumsum(lengths))).astype(np.float64)
    signal = np.concatenate(parts).astype(np.float32)
    cut = np.array([resample(signal, a, b, 140) for a, b in pairwise(joins.tolist())])
    assert np.quantile(correlation(cut, beats), 0.01) >= 0.98


def test_joins_of_stitched_beats_are_found() -> None:
    """Each join is found once, at its S wave: 12 ms after it in these beats, give or take 8 ms."""
    beats = normal_beats()
    signal = beats.astype(np.float32).ravel()
    found = segment(signal, 250.0, spec=BeatSpec(window="rr")).r_samples
    joins = np.arange(140, len(signal), 140)
    nearest = joins[np.abs(found[:, None] - joins).argmin(axis=1)]
    inside = found > 70
    offset_ms = (found - nearest)[inside] * 4.0
    assert len(found[inside]) == len(joins)
    assert np.median(offset_ms) == 12
    assert np.quantile(np.abs(offset_ms - 12), 0.97) <= 8
