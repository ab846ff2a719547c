import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from segmenter.candidates import CandidateFinder
from segmenter.filters import STEPS_PER_MV, BandPass, Envelope
from tests import naive
from tests.segmenter.gather import segment
from tests.segmenter.synthetic import ecg, regular

ROW = np.array([0])


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.floats(0.25, 2.2), min_size=5, max_size=25),
    st.floats(0.01, 0.25),
    st.sampled_from([100.0, 250.0, 360.0]),
    st.integers(0, 99),
)
def test_agrees_with_the_plain_twin(
    rr_s: list[float], noise_mv: float, fs_hz: float, seed: int
) -> None:
    """Whatever the rhythm and the noise, the slow twin finds the same beats at the same samples."""
    r_s = 0.4 + np.cumsum(rr_s)
    signal = ecg(fs_hz, r_s, float(r_s[-1]) + 3.0, noise_mv, seed)
    twin = naive.detect([float(x) for x in signal], fs_hz, CandidateFinder(1, fs_hz).delay)
    found = segment(signal, fs_hz)
    assume(all(event.kind == "no_beat" for event in found.events))  # the twin knows no quality
    assert found.r_samples.tolist() == [r for r, _ in twin]


def test_delays_agree_with_the_plain_twin() -> None:
    """The sample at which a beat became known is the same."""
    signal = ecg(250.0, regular(0.7, 30), 30, noise_mv=0.05)
    twin = naive.detect([float(x) for x in signal], 250.0, CandidateFinder(1, 250.0).delay)
    beats = segment(signal, 250.0).beats
    expected = {r: known - r for r, known in twin}
    for r, delay_ms in zip(beats.r_sample.tolist(), beats.delay_ms.tolist(), strict=True):
        assert delay_ms == pytest.approx(expected[r] * 4.0)


def test_rows_are_patients_and_do_not_touch() -> None:
    """The candidates of a row are to the bit those of that patient alone."""
    signals = np.stack([ecg(250.0, regular(rr, 20), 20, seed=k) for k, rr in enumerate((0.5, 1.0))])
    finder = CandidateFinder(2, 250.0)
    together = finder.update(signals.astype(np.float64), np.arange(2), [0, 0])
    for row, signal in enumerate(signals):
        alone = CandidateFinder(1, 250.0).update(signal[None].astype(np.float64), ROW, [0])
        assert together[row] == alone[0]
        assert len(alone[0]) > 15


@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 2000.0])
def test_stated_delay_is_the_true_one(fs_hz: float) -> None:
    """The envelope of a QRS peaks within 15 ms of where the stated delays put it."""
    band_pass, envelope = BandPass(1, fs_hz), Envelope(1, fs_hz)
    signal = ecg(fs_hz, np.array([1.0]), 2.0, noise_mv=0).astype(np.float64)
    peak = envelope.update(band_pass.update(signal[None], ROW), ROW)[0].argmax()
    stated = fs_hz + band_pass.delay_samples + envelope.delay_samples
    assert abs(peak - stated) < 0.015 * fs_hz


def test_a_constant_gives_nothing_from_the_start() -> None:
    """A filter that settled on a level does not ring on it."""
    band_pass, envelope = BandPass(1, 250.0), Envelope(1, 250.0)
    band_pass.settle(0, 3.0)
    heights = envelope.update(band_pass.update(np.full((1, 500), 3.0), ROW), ROW)
    assert heights.max() / STEPS_PER_MV < 1e-6


@pytest.mark.parametrize("ratio", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("fs_hz", [125.0, 250.0, 500.0])
def test_a_tall_t_wave_is_no_beat(ratio: float, fs_hz: float) -> None:
    """However much higher than R: it is blunter, and comes within the QT interval."""
    r_s = regular(0.8, 40)
    signal = ecg(fs_hz, r_s, 40)
    t = np.arange(len(signal)) / fs_hz
    for r in r_s:
        signal += (ratio * np.exp(-0.5 * ((t - r - 0.3) / 0.042) ** 2)).astype(np.float32)
    found = segment(signal, fs_hz).r_samples / fs_hz
    assert np.abs(found - r_s[: len(found)]).max() < 0.02
    assert len(found) >= len(r_s) - 1


@pytest.mark.parametrize("artifact_mv", [5.0, 20.0, 50.0, 164.0, 400.0])
@pytest.mark.parametrize("lasts_s", [0.04, 0.2, 0.4, 0.6, 1.0])
def test_beats_are_found_on_after_an_artifact(artifact_mv: float, lasts_s: float) -> None:
    """An electrode that is touched costs two beats behind it at most.

    Its two edges look like a change of gain, and the beats behind it like P waves. Other detectors
    find none for the rest of the record (findings/detectors_after_an_artifact.sh).
    """
    r_s = regular(60 / 72, 90)
    signal = ecg(250.0, r_s, 90)
    signal[round(30.1 * 250) :][: round(lasts_s * 250)] += artifact_mv
    found_s = segment(signal, 250.0).r_samples / 250
    ends_s = 30.3 + lasts_s
    behind_s = r_s[(r_s > ends_s) & (r_s < 89)]  # the record ends before a last beat's window does
    missed = [at_s for at_s in behind_s if np.abs(found_s - at_s).min() > 0.05]
    assert len(behind_s) > 65
    assert len(missed) <= 2
    invented = [at_s for at_s in found_s[found_s > ends_s] if np.abs(r_s - at_s).min() > 0.05]
    assert len(invented) <= 1
