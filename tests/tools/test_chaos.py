"""The chaos tool: what counts as lost, doubled, out of order; and a short run of it."""

from __future__ import annotations

import subprocess

import pytest

from tools.chaos import Tally, chaos, stopped, tables


@pytest.mark.parametrize(
    ("found", "lost", "doubled", "disordered"),
    [
        ("abcd", 0, 0, 0),
        ("abd", 1, 0, 0),
        ("", 4, 0, 0),
        ("abbcd", 0, 1, 0),
        ("abcdx", 0, 1, 0),  # one that the undisturbed run did not say
        ("abdc", 0, 0, 1),
        ("abbd", 1, 1, 0),
    ],
)
def test_every_difference_counts(found: str, lost: int, doubled: int, disordered: int) -> None:
    """Alerts that are missing, too many, or in another order are told apart; none passes."""
    tally = Tally()
    tally.compare("journal", "abcd", found)
    assert tally.lost["journal"] == lost
    assert tally.doubled["journal"] == doubled
    assert tally.disordered["journal"] == disordered
    assert tally.flawless is (found == "abcd")


def test_a_disturbed_run_says_the_same() -> None:
    """Killed at random moments, the monitor and its subscriber lose and double nothing."""
    tally = chaos(kills=4, hours=0.4, every_s=3.0, seed=4)
    assert tally.kills.total() == 4
    assert tally.expected > 60
    assert tally.flawless, tables(tally)
    assert "| journal | " in tables(tally)


def test_what_was_stopped_goes_on_however_the_pause_ends() -> None:
    """Ctrl-C in the pause leaves no process behind that stands still for ever."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with pytest.raises(KeyboardInterrupt), stopped(process.pid):
            raise KeyboardInterrupt
        process.stdin.write(b"awake")
        process.stdin.close()
        assert process.stdout.read() == b"awake"
