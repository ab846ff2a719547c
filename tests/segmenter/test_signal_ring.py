"""The latest signal of many patients, each with an end of its own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segmenter.signal_ring import SignalRing

KEEP, ROOM, PLACES = 7, 12, 3

appends = st.lists(
    st.tuples(
        st.lists(st.integers(0, PLACES - 1), min_size=1, max_size=PLACES, unique=True),
        st.integers(0, ROOM),
        st.booleans(),
    ),
    max_size=30,
)


def test_more_than_there_is_room_for_is_refused() -> None:
    """It would lie in the next place."""
    history = SignalRing(2, KEEP, ROOM)
    with pytest.raises(ValueError, match="room for 12"):
        history.append(np.array([0]), np.zeros((1, ROOM + 1), np.float32))


@settings(max_examples=50, deadline=None)
@given(appends, st.integers(0, 9))
def test_each_place_keeps_the_newest_of_what_it_was_given(
    given_appends: list[tuple[list[int], int, bool]], seed: int
) -> None:
    """Whoever gets how much, in any order: the last `keep` samples, and the same elsewhere."""
    g = np.random.default_rng(seed)
    history = SignalRing(PLACES, KEEP, ROOM)
    signals = [np.zeros(KEEP, np.float32)] * PLACES
    missing = [np.ones(KEEP, np.bool_)] * PLACES
    for places, n, with_missing in given_appends:
        held = g.normal(size=(len(places), n)).astype(np.float32)
        lost = g.random((len(places), n)) < 0.5
        history.append(np.array(places), held, lost if with_missing else None)
        for k, place in enumerate(places):
            signals[place] = np.concatenate([signals[place], held[k]])
            missing[place] = np.concatenate([missing[place], lost[k] & with_missing])
    for kept in (history, history.moved_to(PLACES + 2, 2 * ROOM)):
        for place in range(PLACES):
            assert_holds(kept, place, signals[place], missing[place])


def assert_holds(
    history: SignalRing, place: int, signal: NDArray[np.float32], missing: NDArray[np.bool_]
) -> None:
    """Hold a place to the newest samples of a stream, and to where it says they end."""
    kept, lost = history.latest(place)
    np.testing.assert_array_equal(kept, signal[-KEEP:])
    np.testing.assert_array_equal(lost, missing[-KEEP:])
    assert history.signal[history.ends[place] - 1] == signal[-1]


def test_a_place_that_is_given_to_another_patient_says_nothing_of_the_one_before() -> None:
    """What was forgotten is missing, and 0; the places beside it keep theirs."""
    history = SignalRing(2, KEEP, ROOM)
    history.append(np.array([0, 1]), np.ones((2, ROOM), np.float32))
    history.forget(0)
    assert_holds(history, 0, np.zeros(KEEP, np.float32), np.ones(KEEP, np.bool_))
    assert_holds(history, 1, np.ones(KEEP, np.float32), np.zeros(KEEP, np.bool_))
