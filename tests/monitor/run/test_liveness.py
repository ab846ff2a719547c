"""Who has not been heard for how long, and how often stages may be restarted."""

from __future__ import annotations

import pytest

from monitor.run.liveness import (
    AWAKE_S,
    HEAL_S,
    HUNG_S,
    MAX_RESTARTS,
    SILENT_S,
    Liveness,
    RestartBudget,
)
from monitor.stages.pulse import BEAT, LAST_WORDS, STARTING


def looked_at(one: Liveness, signs: list[bytes], from_s: float, step_s: float, ready: bool) -> None:
    for number, sign in enumerate(signs, 1):
        one.look(sign, ready, from_s + number * step_s)


@pytest.mark.parametrize("ready", [False, True])
def test_a_stage_that_beats_does_not_hang(ready: bool) -> None:
    """Once a second, looked at ten times a second, for five minutes."""
    one = Liveness(0.0)
    for tenth in range(3000):
        one.look(BEAT if tenth % 10 == 0 else b"", ready, tenth / 10)
        assert not one.silent


def test_a_stage_that_is_silent_is_reported_then_killed() -> None:
    """At five seconds and at twenty, whether it had started or not."""
    for ready in (False, True):
        one = Liveness(100.0)
        found = []
        for tenth in range(300):
            one.look(b"", ready, 100.0 + tenth / 10)
            found.append((one.silent, one.hangs))
        assert found.index((True, False)) == pytest.approx(10 * SILENT_S, abs=1)
        assert found.index((True, True)) == pytest.approx(10 * HUNG_S, abs=1)


def test_a_slow_start_is_no_silence_but_a_loop_that_stands_still_is() -> None:
    """The starting thread lives on in a stage whose loop hangs; it counts only until ready."""
    one = Liveness(0.0)
    looked_at(one, [STARTING] * 100, 0.0, 1.0, ready=False)
    assert not one.silent
    looked_at(one, [STARTING] * 25, 100.0, 1.0, ready=True)
    assert one.hangs


def test_time_in_which_the_supervisor_was_stopped_does_not_count() -> None:
    """A laptop was suspended, or all processes were frozen: the stage is given time to be heard."""
    one = Liveness(0.0)
    one.look(BEAT, True, 0.1)
    one.look(b"", True, 3600.0)
    assert one.silent_s <= AWAKE_S
    one.look(BEAT, True, 3601.0)
    assert one.silent_s == 0.0
    alone = Liveness(
        0.0
    )  # the supervisor alone was stopped: what the stage wrote waits in the pipe
    alone.look(BEAT * 3600, True, 3600.0)
    assert alone.silent_s == 0.0


def test_a_stage_hung_while_the_supervisor_was_stopped_is_still_found() -> None:
    """It needs a little longer."""
    one = Liveness(0.0)
    looked_at(one, [b""] * 3, 0.0, 600.0, ready=True)
    looked_at(one, [b""] * round(HUNG_S / 0.1), 1800.0, 0.1, ready=True)
    assert one.hangs


def test_last_words_are_kept() -> None:
    """They come behind the signs of life; what else comes later does not take them away."""
    one = Liveness(0.0)
    one.look(BEAT + LAST_WORDS + b"ValueError: 3 is not 4!", True, 1.0)
    one.look(b"", True, 1.1)
    assert one.last_words == "ValueError: 3 is not 4!"


def deaths(every_s: float, n: int) -> int:
    """Return how many of so many deaths, with healthy time between, were followed by a restart."""
    budget = RestartBudget()
    for number in range(n):
        for _ in range(round(every_s * 10)):
            budget.heal(0.1)
        if not budget.take():
            return number
    return n


def test_a_stage_that_dies_again_at_once_is_given_up() -> None:
    """Three restarts in a row, and hardly more where each gets on for a second."""
    assert deaths(0.0, 100) == MAX_RESTARTS
    assert deaths(1.0, 100) == MAX_RESTARTS


@pytest.mark.parametrize("every_s", [HEAL_S, 30.0, 600.0])
def test_healthy_time_heals(every_s: float) -> None:
    """No number of deaths is for life."""
    assert deaths(every_s, 1000) == 1000


def test_health_is_not_saved_up() -> None:
    """A year without a fault gives no more restarts in a row than a minute."""
    budget = RestartBudget()
    budget.heal(3e7)
    assert [budget.take() for _ in range(MAX_RESTARTS + 1)] == [True] * MAX_RESTARTS + [False]
    assert budget.left == 0
