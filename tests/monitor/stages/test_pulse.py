"""A stage's signs of life, as they lie in the pipe."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from monitor.stages.pulse import BEAT, LAST_WORDS, MAX_WORDS, STARTING, Pulse


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return both ends: to read, to write."""
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends
    for end in ends:
        os.close(end)


def test_a_loop_that_goes_round_beats_once_a_second(pipe: tuple[int, int]) -> None:
    """However fast it goes."""
    pulse = Pulse(pipe[1])
    for tenth in range(30):
        pulse.beat(100.0 + tenth / 10)
    assert os.read(pipe[0], 100) == 3 * BEAT


def test_a_supervisor_that_does_not_read_holds_nobody_up(pipe: tuple[int, int]) -> None:
    """It may be stopped for days; a pipe takes 64 KiB."""
    pulse = Pulse(pipe[1])
    for second in range(100_000):
        pulse.beat(float(second))
    pulse.say("too late")
    assert set(os.read(pipe[0], 1 << 20)) == set(BEAT)


def test_last_words_fit_into_a_pipe(pipe: tuple[int, int]) -> None:
    """Whatever the error's text is."""
    Pulse(pipe[1]).say("\udcff" * 10_000)
    words = os.read(pipe[0], 10_000)
    assert words.startswith(LAST_WORDS)
    assert len(words) <= MAX_WORDS + 1


def test_a_process_shows_that_it_starts(pipe: tuple[int, int]) -> None:
    """From a thread, while it imports."""
    os.set_blocking(pipe[0], True)
    Pulse(pipe[1]).beat_while_starting(limit_s=0.0)
    assert os.read(pipe[0], 1) == STARTING


def test_a_stage_without_a_supervisor_has_no_pulse() -> None:
    """Nothing is written, and no thread is begun."""
    pulse = Pulse(None)
    pulse.beat(1.0)
    pulse.say("nobody hears it")
    pulse.beat_while_starting()
