"""A wide beat of another shape stands out of the lead's own; others beside it change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segmenter.errors import InvalidState
from segmenter.qrs_shape import ComplexCutter, ShapeMemory
from segmenter.signs import SHAPE_COLUMNS
from tests.segmenter.synthetic import ecg, regular

FS_HZ = 250.0
R_S = regular(0.8, 40.0)
WIDE = (30, 40)  # these beats are ventricular


def signal_and_r() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    narrow = np.delete(R_S, WIDE)
    signal = ecg(FS_HZ, narrow, 40.0).astype(np.float64)
    t = np.arange(len(signal)) / FS_HZ
    for k in WIDE:
        signal -= 1.4 * np.exp(-0.5 * ((t - R_S[k] - 0.01) / 0.045) ** 2)
        signal += 0.6 * np.exp(-0.5 * ((t - R_S[k] - 0.2) / 0.06) ** 2)
    return signal.astype(np.float32), np.rint(R_S * FS_HZ).astype(np.int64)


def complexes() -> NDArray[np.float32]:
    return ComplexCutter(FS_HZ).cut(*signal_and_r())


def measured_alone() -> NDArray[Any]:
    """Measure the beats of one lead, one after the other."""
    memory, place = ShapeMemory(1), np.zeros(1, np.intp)
    return np.concatenate([memory.measure(place, beat[None]) for beat in complexes()])


def test_a_wide_beat_stands_out() -> None:
    """It is wide, unlike the dominant shape, and far from it; usual beats are none of that."""
    for k, shape in enumerate(measured_alone()):
        if k in WIDE:
            assert shape["width_ms"] > 1.3 * shape["usual_width_ms"]
            assert shape["correlation"] < 0.7
            assert shape["distance"] > 0.8
            assert shape["like_last"] < 0.7
        elif k >= 3:
            assert shape["correlation"] > 0.95
            assert shape["distance"] < 0.3
            assert shape["height_ratio"] == pytest.approx(1.0, abs=0.1)
            assert shape["dominant_share"] > 0.9


def test_the_first_beat_has_nothing_to_be_compared_with() -> None:
    """Its width is known; what is usual is not."""
    first = measured_alone()[0]
    assert np.isnan(first["usual_width_ms"])
    assert (first["correlation"], first["distance"], first["dominant_share"]) == (0, 1, 0)
    assert first["width_ms"] > 0


def test_leads_side_by_side_give_what_they_give_alone() -> None:
    """To the bit, whichever places they have, and whatever the others show."""
    beats, alone = complexes(), measured_alone()
    noise = np.random.default_rng(1).normal(size=(len(beats), 5, beats.shape[1]))
    memory = ShapeMemory(9)
    for k, beat in enumerate(beats):
        places = np.array([8, 3, 5, 0, 1, 2][: 2 + k % 5])
        others = noise[k, : len(places) - 1].astype(np.float32)
        found = memory.measure(places, np.concatenate((beat[None], others)))
        assert found[:1].tobytes() == alone[k : k + 1].tobytes()


def test_a_beat_is_cut_alike_at_any_rate_and_level() -> None:
    """Its values lie 8 ms apart around R, and their median is 0."""
    for fs_hz in (100.0, 128.0, 360.0, 1000.0):
        bump = np.exp(-0.5 * ((np.arange(2 * fs_hz) / fs_hz - 1) / 0.05) ** 2)
        cutter = ComplexCutter(fs_hz)
        (beat,) = cutter.cut((bump + 3).astype(np.float32), np.array([round(fs_hz)]))
        expected = np.exp(-0.5 * (np.arange(-20, 31) * 0.008 / 0.05) ** 2)
        np.testing.assert_allclose(beat, expected - np.median(expected), atol=0.03)
        assert cutter.before + cutter.after < fs_hz * 0.55


def test_places_move_and_are_forgotten() -> None:
    """Memory that grows holds what it held; a place that is forgotten is as a new one."""
    beats, alone = complexes(), measured_alone()
    memory, place = ShapeMemory(2), np.ones(1, np.intp)
    for beat in beats[:20]:
        memory.measure(place, beat[None])
    memory = memory.moved_to(8)
    assert memory.measure(place, beats[20:21]).tobytes() == alone[20:21].tobytes()
    memory.forget(1)
    assert memory.measure(place, beats[:1]).tobytes() == alone[:1].tobytes()
    assert alone.dtype == SHAPE_COLUMNS


def test_absurd_memories_are_refused() -> None:
    """A shape cannot have come a negative number of times."""
    memory = ShapeMemory(1)
    memory.check(0)
    memory.arrays(0)["shape_counts"][2] = -1
    with pytest.raises(InvalidState):
        memory.check(0)
