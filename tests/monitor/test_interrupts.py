"""Signals as a question, and where they end a block at once."""

from __future__ import annotations

import signal

import pytest

from monitor.interrupts import Interrupts


def test_a_signal_is_a_question_and_a_second_ctrl_c_an_order() -> None:
    """What runs ends in order, unless a person insists."""
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.happened
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_only_waits_ends_at_once(number: signal.Signals) -> None:
    """Such as for a server that does not answer; behind the block it is a question again."""
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt), interrupts.at_once():
            signal.raise_signal(number)
        before = interrupts.happened
        signal.raise_signal(number)
        assert (before, interrupts.happened) == (False, True)
