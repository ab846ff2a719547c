"""Anomalous beats that look alike, and which of them may begin an alert."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from model.errors import InvalidConfig
from model.families import (
    MAX_FAMILIES,
    FamiliesState,
    HeardBeat,
    Placed,
    calm,
    hear,
    kept_by_word,
    marked,
    place,
)

LENGTH = 140
TIMES = np.arange(LENGTH)
KNOWN = [True, True]
CLEAR = 20.0  # score of a beat that is far above the threshold
NARROW = 1.2


def a_shape(number: int) -> NDArray[np.float32]:
    """Return one of many beats that are not alike, in two leads."""
    generator = np.random.default_rng(number)
    shape = np.zeros((2, LENGTH))
    for centre in generator.uniform(10, 130, 6):
        height = generator.normal(0, 3, (2, 1))
        shape += height * np.exp(-((TIMES - centre) ** 2) / generator.uniform(10, 80))
    return shape.astype(np.float32)


def noisy(shape: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    return (shape + generator.normal(0, 0.1, shape.shape)).astype(np.float32)


def step(
    state: FamiliesState,
    shape: NDArray[np.float32],
    at_s: float,
    score: float = CLEAR,
    early: float = 0.0,
    during_alert: bool = False,
) -> tuple[FamiliesState, Placed]:
    return place(state, shape, KNOWN, at_s, score, early, during_alert=during_alert)


def test_what_a_person_spoke_of_is_kept_from_stream_to_stream() -> None:
    """Its shape is known again, times count from 0, and no number is used a second time."""
    state = FamiliesState()
    for number in range(3):
        state, _ = step(state, a_shape(number), 5000.0 + number)
    state = kept_by_word(marked(state, 2, "normal"))
    assert [(one.number, one.word) for one in state.families] == [(2, "normal")]
    assert state.is_sane
    state, again = step(state, noisy(a_shape(1), 1), 3.0)
    assert (again.number, again.onset, again.per_minute) == (2, "", 1)
    state, other = step(state, a_shape(0), 4.0)
    assert (other.number, other.is_new) == (4, True)
    assert kept_by_word(FamiliesState()) == FamiliesState()


def test_beats_that_look_alike_are_one_family() -> None:
    """Later ones have the same number, count those before, and are not new."""
    state, found = FamiliesState(), []
    for at in range(10):
        state, one = step(calm(state), noisy(a_shape(at % 2), at), 10.0 * at)
        found.append(one)
    assert [one.number for one in found] == [1, 2] * 5
    assert [one.before for one in found] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert [one.is_new for one in found] == [True, True] + [False] * 8
    assert found[-1].per_minute == 3  # at 50, 70 and 90 s
    assert [family.beats for family in state.families] == [5, 5]


def test_the_first_of_a_family_begins_an_alert_and_later_ones_are_absorbed() -> None:
    """One shape that comes every twenty seconds is heard once."""
    state, onsets = FamiliesState(), []
    for at in range(30):
        state, one = step(calm(state), noisy(a_shape(1), at), 20.0 * at)
        onsets.append(one.onset)
    assert onsets == ["new"] + [""] * 29


def test_a_family_that_comes_once_and_narrowly_begins_nothing() -> None:
    """It begins an alert when it comes again, clearly."""
    state, first = step(FamiliesState(), a_shape(1), 0.0, NARROW)
    state, narrow = step(calm(state), a_shape(1), 30.0, NARROW)
    state, clear = step(calm(state), a_shape(1), 60.0, CLEAR)
    assert [first.onset, narrow.onset, clear.onset] == ["", "", "again"]


def test_a_family_that_comes_more_often_is_heard_again() -> None:
    """Once a class of its rate, and again only when it was slower for some minutes."""
    state, onsets = FamiliesState(), []
    for at in range(60):
        state, one = step(calm(state), a_shape(1), 2.5 * at)
        onsets.append(one.onset)
    assert onsets[0] == "new"
    assert [one for one in onsets[1:] if one] == ["rate"]
    assert onsets.index("rate") == 9
    for at in range(40):  # one in half a minute, for twenty minutes
        state, one = step(calm(state), a_shape(1), 200.0 + 30.0 * at)
        assert one.onset == ""
    for at in range(20):
        state, one = step(calm(state), a_shape(1), 1500.0 + 2.5 * at)
        onsets.append(one.onset)
    assert onsets[60:].count("rate") == 1


@pytest.mark.parametrize(("early", "expected"), [(0.4, 3), (0.0, 1)])
def test_each_early_run_is_heard_and_a_rhythm_in_time_once(early: float, expected: int) -> None:
    """A tachycardia begins an alert each time, a block that comes and goes does not."""
    state, _ = step(FamiliesState(), a_shape(1), 0.0)
    runs = 0
    for run in range(3):
        state = calm(state)
        for beat in range(4):
            state, one = step(state, a_shape(1), 300.0 * (run + 1) + 0.5 * beat, early=early)
            runs += one.onset == "run" and beat == 2
    assert runs == expected


def test_what_comes_during_an_alert_was_heard() -> None:
    """It begins no alert of its own later."""
    state, _ = step(FamiliesState(), a_shape(1), 0.0)
    state, _ = step(state, a_shape(2), 1.0, NARROW, during_alert=True)
    state, later = step(calm(state), a_shape(2), 100.0)
    assert later.onset == ""


def test_a_persons_word_goes_before_the_rule() -> None:
    """What was called normal begins nothing, what they want to hear does; both can be undone."""
    state, first = step(FamiliesState(), a_shape(1), 0.0)
    state = marked(state, first.number, "always")
    state, one = step(calm(state), a_shape(1), 10.0, NARROW)
    assert one.onset == "always"
    state = marked(state, first.number, "normal")
    for at in range(5):
        state, one = step(state, a_shape(1), 20.0 + 0.4 * at, early=0.5)
        assert one.onset == ""
    state = marked(state, first.number, "")
    state, one = step(state, a_shape(1), 22.0, early=0.5)
    assert one.onset == "run"
    with pytest.raises(InvalidConfig, match="family 7"):
        marked(state, 7, "normal")


def test_families_are_bounded_and_the_one_silent_for_longest_goes() -> None:
    """A family with a person's word stays."""
    state, first = step(FamiliesState(), a_shape(0), 0.0)
    state = marked(state, first.number, "normal")
    for number in range(1, 60):
        state, _ = step(calm(state), a_shape(number), float(number))
        assert len(state.families) <= MAX_FAMILIES
        assert state.is_sane
    assert state.families[0].number == 1
    assert state.families[-1].number == state.next_number - 1
    assert len(state.shapes) <= MAX_FAMILIES * 2 * 35 * 4


def test_a_state_goes_through_bytes_and_any_cut_gives_the_same() -> None:
    """Each beat after a restart finds what it would have found."""
    direct, restored = FamiliesState(), FamiliesState()
    for at in range(80):
        shape, score = noisy(a_shape(at % 7), at), 1.1 + at % 9
        direct, one = step(direct, shape, 1.5 * at, score, 0.1)
        restored = msgspec.msgpack.decode(msgspec.msgpack.encode(restored), type=FamiliesState)
        assert restored.is_sane
        restored, other = step(restored, shape, 1.5 * at, score, 0.1)
        assert one == other
    assert direct == restored


def test_one_lead_is_placed_as_two_with_the_second_missing() -> None:
    """A lead that cannot be judged is not looked at."""
    one_state, two_state = FamiliesState(), FamiliesState()
    for at in range(20):
        shape = noisy(a_shape(at % 3), at)
        one_state, one = place(
            one_state, shape[:1], [True], float(at), CLEAR, 0.0, during_alert=False
        )
        two_state, two = place(
            two_state, shape, [True, False], float(at), CLEAR, 0.0, during_alert=False
        )
        assert one == two


def test_a_lead_that_comes_later_is_taken_into_the_family() -> None:
    """A family seen in one lead is known by it when both can be judged."""
    state, first = place(
        FamiliesState(), a_shape(1), [True, False], 0.0, CLEAR, 0.0, during_alert=False
    )
    for at in range(1, 4):
        state, one = step(state, a_shape(1), float(at))
        assert one.number == first.number
    state, other = place(state, a_shape(1), [False, True], 5.0, CLEAR, 0.0, during_alert=False)
    assert other.number == first.number


def test_a_beat_in_noise_is_withheld_unless_its_shape_is_known() -> None:
    """What cannot be judged has no verdict; a ventricular beat seen three times before has one."""

    def heard(state: FamiliesState, score: float, doubt: float) -> tuple[FamiliesState, HeardBeat]:
        return hear(
            state,
            a_shape(1),
            KNOWN,
            0.0,
            score,
            0.0,
            doubt=doubt,
            during_alert=False,
        )

    state, withheld = heard(FamiliesState(), CLEAR, 9.0)
    assert withheld.anomalous is None
    assert state == FamiliesState()
    for _ in range(3):
        state, one = heard(state, CLEAR, 0.0)
        assert one.anomalous is True
    state, known = heard(state, CLEAR, 9.0)
    assert known.anomalous is True
    state, normal = heard(state, 0.5, 9.0)
    assert normal.anomalous is None
    state, normal = heard(state, 0.5, 0.0)
    assert normal.anomalous is False
    state, no_loss = heard(state, math.nan, 0.0)
    assert no_loss.anomalous is None


def test_in_noise_a_score_counts_from_the_doubt_on() -> None:
    """Beyond the doubt a beat has a verdict; an alert begins where the rest would have begun it."""

    def heard(score: float, doubt: float) -> HeardBeat:
        return hear(
            FamiliesState(),
            a_shape(1),
            KNOWN,
            0.0,
            score,
            0.0,
            doubt=doubt,
            during_alert=False,
        )[1]

    doubt = 2.0
    assert heard(0.9 * math.exp(doubt), doubt).anomalous is None
    marked = heard(1.1 * math.exp(doubt), doubt)
    assert marked.anomalous is True
    assert marked.placed is not None
    assert marked.placed.onset == ""
    begun = heard(20 * math.exp(doubt), doubt)
    assert begun.placed is not None
    assert begun.placed.onset == "new"
    assert heard(0.9, doubt).anomalous is None
    assert heard(0.1, doubt).anomalous is False


def test_of_many_new_families_within_minutes_one_more_begins_no_alert() -> None:
    """The sixth within five minutes is absorbed unless it runs; ten minutes later one is heard."""
    state, onsets = FamiliesState(), []
    for number in range(6):
        state, placed = step(state, a_shape(10 + number), 20.0 * number)
        state = calm(state)
        onsets.append(placed.onset)
    assert onsets == ["new"] * 5 + [""]
    for second in range(3):
        state, placed = step(state, a_shape(20), 150.0 + second)
    assert placed.onset == "run"
    state, placed = step(calm(state), a_shape(21), 750.0)
    assert placed.onset == "new"
    assert not replace(state, new_s=(math.nan,)).is_sane


def test_flat_beats_and_damaged_states_are_bounded() -> None:
    """A flat beat is a family of nothing; absurd states are not sane."""
    state, _ = step(FamiliesState(), np.zeros((2, LENGTH), np.float32), 0.0)
    state, _ = step(state, a_shape(1), 1.0)
    assert state.is_sane
    family = state.families[0]
    for damaged in (
        replace(state, shapes=state.shapes[:-4]),
        replace(state, next_number=1),
        replace(state, run_early=math.nan),
        replace(state, families=(family, family)),
        replace(state, families=(replace(family, times_s=()), state.families[1])),
        replace(state, families=(replace(family, times_s=(math.nan,)), state.families[1])),
    ):
        assert not damaged.is_sane
