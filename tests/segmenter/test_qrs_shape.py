"""A wide beat of another shape stands out of the patient's own; the cut does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from segmenter.errors import InvalidState
from segmenter.qrs_shape import QrsShape, QrsShapes
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


def run(step: int, restart: bool = False) -> list[QrsShape]:
    """Measure the beats with chunks of `step`; some of them are known late."""
    signal, r_samples = signal_and_r()
    known = r_samples + 275
    known[::7] += 300
    shapes, found = QrsShapes(FS_HZ), []
    for start in range(0, len(signal), step):
        stop = start + step
        new = (known > start) & (known <= stop)
        found += shapes.update(signal[start:stop], r_samples[new], known[new])
        if restart:
            shapes = QrsShapes.from_bytes(shapes.to_bytes())
    return found


def test_a_wide_beat_stands_out() -> None:
    """It is wide, unlike the dominant shape, and far from it; usual beats are none of that."""
    found = {shape.r_sample: shape for shape in run(125)}
    _, r_samples = signal_and_r()
    for k, r_sample in enumerate(r_samples.tolist()):
        if k < 3 or r_sample not in found:
            continue
        shape = found[r_sample]
        if k in WIDE:
            assert shape.width_ms > 1.3 * shape.usual_width_ms
            assert shape.correlation < 0.7
            assert shape.distance > 0.8
            assert shape.like_last < 0.7
        else:
            assert shape.correlation > 0.95
            assert shape.distance < 0.3
            assert shape.height_ratio == pytest.approx(1.0, abs=0.1)
    assert len(found) >= len(r_samples) - 4  # those known after the record's end


@pytest.mark.parametrize("step", [1, 40, 125, 3000, 10_000])
def test_any_cut_gives_the_same_shapes(step: int) -> None:
    """To the bit, where each R peak comes with the chunk in which it was known."""
    assert repr(run(step)) == repr(run(25))


def test_a_saved_state_goes_on() -> None:
    """Saving after every chunk changes nothing; damaged bytes are refused."""
    assert repr(run(125, restart=True)) == repr(run(125))
    state = QrsShapes(FS_HZ).to_bytes()
    with pytest.raises(InvalidState):
        QrsShapes.from_bytes(state[:-4] + b"abcd")
