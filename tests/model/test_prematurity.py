"""How unusual a beat's time is: premature, late, and what is neither."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model.prematurity import MIN_BEATS, Timing, TimingState, follow_rhythm


def followed(intervals_ms: list[float] | NDArray[np.float64]) -> list[Timing]:
    """Return the timing of each beat of a stream."""
    state, timings = TimingState(), []
    for rr_ms in intervals_ms:
        state, timing = follow_rhythm(state, float(rr_ms))
        timings.append(timing)
    return timings


def sinus(n: int, spread: float = 0.02, seed: int = 0) -> NDArray[np.float64]:
    """RR intervals of about 800 ms."""
    return 800 * np.exp(np.random.default_rng(seed).normal(0, spread, n))


def test_a_regular_rhythm_weighs_nothing() -> None:
    """Every beat in time: the loss is judged as it is."""
    assert all(timing.factor < 1.6 and timing.in_time for timing in followed(sinus(500)))


def test_a_premature_beat_weighs_and_its_pause_does_not() -> None:
    """A beat 30 % early raises its loss at least fourfold; the compensatory pause is its doing."""
    *_, premature, pause, after = followed([*sinus(100), 560, 1040, 800])
    assert premature.factor > 4
    assert premature.deviation > 5
    assert not premature.in_time
    assert (pause.factor, pause.deviation) == (1.0, 0.0)
    assert after.factor == pytest.approx(1, abs=0.1)


def test_the_beat_behind_an_interpolated_one_is_in_time() -> None:
    """It comes when it would have come without the one between."""
    *_, interpolated, next_one = followed([*sinus(100), 400, 400])
    assert interpolated.factor > 10
    assert next_one == Timing(-0.0, 1.0)


def test_a_run_of_premature_beats_weighs_to_its_end() -> None:
    """Twenty beats at 120 a minute do not become the usual rhythm."""
    run = followed([*sinus(100), *[500.0] * 20])[100:]
    assert sum(timing.factor > 3 for timing in run) >= 18


def test_a_rate_that_lasts_becomes_the_usual_one() -> None:
    """After a minute at another rate its beats are in time."""
    timings = followed([*sinus(100), *(sinus(100, seed=1) * 0.7)])
    assert all(timing.factor == pytest.approx(1, abs=0.7) for timing in timings[-40:])


def test_a_pause_weighs() -> None:
    """A dropped beat: twice the usual interval is late, a tenth more is not."""
    *_, late = followed([*sinus(100), 1600])
    assert late.factor > 3
    assert late.deviation < 0
    *_, slower = followed([*sinus(100), 880])
    assert slower.factor == 1


def test_in_fibrillation_early_beats_are_no_news() -> None:
    """The spread is the patient's own: what is premature in sinus rhythm is usual here."""
    irregular = 700 * np.exp(np.random.default_rng(3).normal(0, 0.2, 1000))
    timings = followed(irregular)[200:]
    assert np.mean([timing.factor > 2 for timing in timings]) < 0.02


@pytest.mark.parametrize("unknown", [np.nan, np.inf, 0.0, -5.0])
def test_an_interval_that_is_none_is_passed_over(unknown: float) -> None:
    """The first beat, and the first one behind a gap, have no time; the rhythm is kept."""
    *_, without, premature = followed([*sinus(100), unknown, 560])
    assert without == Timing()
    assert premature.factor > 4


def test_nothing_is_said_before_the_rhythm_is_known() -> None:
    """The first intervals weigh nothing, whatever they are."""
    assert followed([300, 1500] * (MIN_BEATS // 2)) == [Timing()] * MIN_BEATS
