"""Windows at fixed places: the same however the samples came."""

from __future__ import annotations

import numpy as np
import pytest

from segmenter.errors import InvalidSignal, InvalidState
from segmenter.hops import HopWindows

SIGNAL = np.random.default_rng(0).standard_normal(3000).astype(np.float32)


def in_pieces(windows: HopWindows, pieces: list[int]) -> list[tuple[int, bytes]]:
    found, start = [], 0
    for n in [*pieces, len(SIGNAL)]:
        found += [(end, w.tobytes()) for end, w in windows.update(SIGNAL[start : start + n])]
        start += n
    return found


@pytest.mark.parametrize("pieces", [[], [1] * 600, [7, 0, 700, 3, 333], [125, 125, 1]])
def test_any_cut_gives_the_same_windows(pieces: list[int]) -> None:
    """Where a window begins and what it holds do not depend on the chunks."""
    whole = in_pieces(HopWindows(250.0), [])
    assert in_pieces(HopWindows(250.0), pieces) == whole
    assert [end for end, _ in whole] == list(range(125, 3001, 125))


def test_a_window_is_the_signal_before_its_end() -> None:
    """What lies before the stream began is missing."""
    found = HopWindows(250.0).update(SIGNAL)
    end, window = found[9]
    assert np.array_equal(window, SIGNAL[end - 1000 : end])
    first = found[0][1]
    assert np.isnan(first[:875]).all()
    assert np.array_equal(first[875:], SIGNAL[:125])


def test_a_saved_state_goes_on() -> None:
    """Saving at any sample changes nothing."""
    whole = in_pieces(HopWindows(250.0), [])
    for cut in (1, 124, 125, 1111):
        before = HopWindows(250.0)
        found = [(end, w.tobytes()) for end, w in before.update(SIGNAL[:cut])]
        after = HopWindows.from_bytes(before.to_bytes())
        found += [(end, w.tobytes()) for end, w in after.update(SIGNAL[cut:])]
        assert found == whole


def test_what_cannot_be_a_signal_or_a_state_is_refused() -> None:
    """Rates, shapes and bytes are checked."""
    with pytest.raises(InvalidSignal, match="resample"):
        HopWindows(50.0)
    with pytest.raises(InvalidSignal, match="one-dimensional"):
        HopWindows(250.0).update(np.zeros((2, 2)))
    with pytest.raises(InvalidState):
        HopWindows.from_bytes(HopWindows(250.0).to_bytes()[:-9])
