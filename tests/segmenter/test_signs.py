"""Signs beside beats: what hops hold, where complexes and pulses stand, what gaps leave out.

That any cut, a bank, a pool and a restart give the same to the bit is tested with the beats
(`gather.Whole` holds signs).
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from segmenter.bank import SegmenterBank
from segmenter.beat import BeatSpec
from segmenter.errors import InvalidSignal, InvalidState, OtherState
from segmenter.hops import HopWindows
from segmenter.oscillation import measure, signal_windows
from segmenter.pool import SegmenterPool
from segmenter.pulse_wave import PulseDetector
from segmenter.signs import Signs, joined_signs
from segmenter.stream import Segmenter
from tests.segmenter.synthetic import ecg, regular
from tests.segmenter.test_stream import TROUBLED

FS_HZ = 250.0
HOP = 125


def pulse_wave(seconds: float, rr_s: float = 0.8) -> NDArray[np.float32]:
    """Return an arterial pressure, mmHg, with a pulse after each beat of `regular`."""
    t = np.arange(round(seconds * FS_HZ)) / FS_HZ
    wave = np.full(len(t), 80.0)
    for at in regular(rr_s, seconds) + 0.2:
        since = np.maximum(t - at, 0)
        wave += 60 * (np.exp(-since / 0.25) - np.exp(-since / 0.05))
    return wave.astype(np.float32)


def signs_of(
    samples: NDArray[np.floating], step: int = 1 << 20, leads: int = 1, waves: int = 0
) -> Signs:
    segmenter = Segmenter(FS_HZ, BeatSpec(), leads, waves, measure_signs=True)
    samples = np.atleast_2d(samples)
    pieces = range(0, samples.shape[1], step)
    found = [segmenter.update(samples[:, at : at + step]).signs for at in pieces]
    return joined_signs(found, leads, waves)


def assert_same(one: Signs, other: Signs) -> None:
    for name, array in vars(one).items():
        assert getattr(other, name).shape == array.shape, name
        assert getattr(other, name).tobytes() == array.tobytes(), name


def test_windows_are_those_of_the_signal() -> None:
    """Each hop measures the last four seconds, wherever the bank keeps them."""
    found = signs_of(TROUBLED)
    expected = [
        measure(end, window)
        for end, window in HopWindows(FS_HZ).update(np.where(np.isinf(TROUBLED), np.nan, TROUBLED))
    ]
    got = signal_windows(found.end_sample, found.windows[:, 0])
    assert repr(got) == repr(expected)


def test_a_complex_stands_in_the_first_hop_behind_it() -> None:
    """Half a second behind R, and behind the beat's closing; each beat once."""
    segmenter = Segmenter(FS_HZ, BeatSpec(), measure_signs=True)
    found = segmenter.update(ecg(FS_HZ, regular(0.8, 40), 40))
    complexes = found.signs.complexes
    behind = np.maximum(found.beats.r_sample + HOP, found.beats.closed_sample + 1)
    expected = -(-behind // HOP) * HOP
    n = len(complexes)
    assert n >= len(found.beats) - 2
    assert complexes["end_sample"].tolist() == expected[:n].tolist()
    for name in ("r_sample", "rr_before_ms", "rr_after_ms", "quality"):
        np.testing.assert_array_equal(complexes[name], getattr(found.beats, name)[:n])
    good = found.beats.lead_judgeable[:n, 0]
    np.testing.assert_array_equal(complexes["good_leads"], good)
    assert (found.signs.shapes["correlation"][3:] > 0.9).all()


def test_a_complex_whose_signal_is_not_whole_has_no_shape() -> None:
    """It is there, and NaN in the lead that lacks it."""
    lead = ecg(FS_HZ, regular(0.8, 40), 40)
    holed = lead.copy()
    r_sample = round(regular(0.8, 40)[20] * FS_HZ)
    holed[r_sample + 5] = np.nan
    found = signs_of(np.stack([lead, holed]), leads=2)
    (at,) = np.flatnonzero(np.abs(found.complexes["r_sample"] - r_sample) < 5)
    assert np.isfinite(found.shapes["distance"][at, 0])
    for name in found.shapes.dtype.names or ():
        assert np.isnan(found.shapes[name][at, 1])
    assert np.isfinite(found.shapes["distance"][at + 1]).all()


@pytest.mark.parametrize("step", [1 << 20, 333, 40])
def test_pulse_waves_are_searched_beside_the_leads(step: int) -> None:
    """Their pulses stand in their hops, as a detector of their own finds them."""
    lead, wave = ecg(FS_HZ, regular(0.8, 40), 40), pulse_wave(40)
    flat = np.full_like(wave, 3)
    found = signs_of(np.stack([lead, flat, wave]), step, waves=2)
    expected = PulseDetector(FS_HZ).update(wave)
    assert found.end_sample.tolist() == [HOP * (k + 1) for k in range(len(expected))]
    assert found.readable[:, 1].tolist() == [hop.readable for hop in expected]
    assert not found.readable[:, 0].any()
    pulses = [(HOP * (k + 1), pulse, 1) for k, hop in enumerate(expected) for pulse in hop.pulses]
    assert found.pulses.tolist() == pulses
    assert len(pulses) > 40
    assert_same(signs_of(lead), signs_of(np.stack([lead, wave])[:1]))


def test_hops_are_left_out_where_nothing_is_seen_for_ten_seconds() -> None:
    """A wave that is there keeps them; so does another lead."""
    lead, wave = ecg(FS_HZ, regular(0.8, 60), 60), pulse_wave(60)
    off = lead.copy()
    off[5000:12000] = np.nan
    gone = signs_of(off).end_sample
    assert [*gone[(gone > 5000) & (gone <= 12000)]] == [*range(5000 + HOP, 7500, HOP)]
    every = [*range(HOP, 15001, HOP)]
    assert signs_of(np.stack([off, wave]), waves=1).end_sample.tolist() == every
    assert signs_of(np.stack([off, lead]), leads=2).end_sample.tolist() == every
    both = np.stack([off, np.where(np.isnan(off), np.nan, wave)])
    assert signs_of(both, waves=1).end_sample.tolist() == gone.tolist()


def test_nothing_is_said_of_a_stream_that_has_not_begun() -> None:
    """Before the first sample no hop is told, however long it takes."""
    late = ecg(FS_HZ, regular(0.8, 20), 20)
    late[:2000] = np.nan
    assert signs_of(late).end_sample[0] == 2000 + HOP


def test_a_gap_equals_as_many_nans_for_waves_too() -> None:
    """A day without samples takes no time, and the pulses before it go on counting."""
    samples = np.stack([ecg(FS_HZ, regular(0.8, 30), 30), pulse_wave(30)])
    for n in (50, 1700, 9000):
        by_gap, by_nan = (Segmenter(FS_HZ, BeatSpec(), 1, 1, measure_signs=True) for _ in range(2))
        said = [
            [by_gap.update(samples).signs, by_gap.gap(n).signs, by_gap.update(samples).signs],
            [by_nan.update(samples).signs, by_nan.update(np.full((2, n), np.nan)).signs,
             by_nan.update(samples).signs],
        ]  # fmt: skip
        assert_same(*(joined_signs(one, 1, 1) for one in said))
        assert by_gap.to_bytes() == by_nan.to_bytes()
    day = Segmenter(FS_HZ, BeatSpec(), 1, 1, measure_signs=True)
    day.update(samples)
    assert len(day.gap(24 * 3600 * 250).signs) == 19


def test_signs_are_saved_with_the_state() -> None:
    """With pulse waves, at any sample, in a segmenter and in a pool, to the bit."""
    samples = np.stack([TROUBLED, np.resize(pulse_wave(40), TROUBLED.shape)])
    whole = signs_of(samples, waves=1)
    segmenter, parts = Segmenter(FS_HZ, BeatSpec(), 1, 1, measure_signs=True), []
    pool = SegmenterPool(FS_HZ, BeatSpec(), 1, 1, measure_signs=True)
    row = pool.add()
    for piece in np.split(samples, [1, 700, 701, 3333, 5000, 9001], axis=1):
        parts.append(segmenter.update(piece).signs)
        pool.update([row], piece[None])
        state = segmenter.to_bytes()
        assert pool.to_bytes(row) == state
        segmenter = Segmenter.from_bytes(state)
        other = pool.add()
        pool.remove(row)
        pool.restore(other, state)
        row = other
    assert_same(joined_signs(parts, 1, 1), whole)


def test_a_state_of_other_waves_is_refused() -> None:
    """As one of other leads is; one without signs is taken, and they begin anew."""
    with_wave = SegmenterBank(1, FS_HZ, BeatSpec(), 1, 1, measure_signs=True)
    with pytest.raises(OtherState, match="1 leads and 1 waves"):
        SegmenterBank(1, FS_HZ, BeatSpec(), measure_signs=True).restore(0, with_wave.to_bytes(0))
    silent = Segmenter(FS_HZ, BeatSpec())
    silent.update(TROUBLED[:5000])
    bank = SegmenterBank(1, FS_HZ, BeatSpec(), measure_signs=True)
    bank.restore(0, silent.to_bytes())
    found = bank.update(TROUBLED[None, None, 5000:6000]).found_signs.signs
    assert found.end_sample[0] == 5000 + HOP
    bank.restore(0, bank.to_bytes(0))


def test_without_measuring_there_are_no_signs() -> None:
    """Waves are then taken and not looked at."""
    segmenter = Segmenter(FS_HZ, BeatSpec(), 1, 1)
    found = segmenter.update(np.stack([TROUBLED, TROUBLED]))
    assert len(found.signs) == len(found.signs.complexes) == 0
    assert len(found.beats) > 20


def test_absurd_waves_and_states_are_refused() -> None:
    """A bank takes 64 waves at most; a chunk has a row for each."""
    with pytest.raises(InvalidSignal, match="65 pulse waves"):
        SegmenterBank(1, FS_HZ, BeatSpec(), 1, 65)
    with pytest.raises(InvalidSignal, match=r"\(2, n\)"):
        Segmenter(FS_HZ, BeatSpec(), 1, 1).update(np.zeros(9))
    state = Segmenter(FS_HZ, BeatSpec(), 1, 1, measure_signs=True).to_bytes()
    with pytest.raises(InvalidState):
        Segmenter.from_bytes(state[:-1])


def test_signs_move_with_their_stretch() -> None:
    """Ends of hops, R peaks and pulses; what is measured stays."""
    samples = np.stack([ecg(FS_HZ, regular(0.8, 20), 20), pulse_wave(20)])
    found = signs_of(samples, waves=1)
    moved = found.moved(1000)
    assert (moved.end_sample - found.end_sample == 1000).all()
    for name in ("end_sample", "r_sample"):
        assert (moved.complexes[name] - found.complexes[name] == 1000).all()
    for name in ("end_sample", "sample"):
        assert (moved.pulses[name] - found.pulses[name] == 1000).all()
    assert moved.windows.tobytes() == found.windows.tobytes()
    assert_same(moved.moved(-1000), found)
    assert_same(found.copy(), found)
