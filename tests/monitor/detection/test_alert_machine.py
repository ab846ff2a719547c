"""Alerts as tables: verdicts of beats in, transitions out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detection.alert_machine import (
    AlertMachine,
    AlertState,
    Transition,
    Verdict,
    alert_identity,
)
from monitor.errors import InvalidOption
from monitor.settings import AlertRule

SIGNS = {"x": True, "a": True, "n": True, ".": False, "~": False, "?": None}
LETTERS = {"onset": "O", "ongoing": "o", "cleared": "C"}


def run(machine: AlertMachine, beats: str) -> tuple[AlertState, list[Transition | None]]:
    """Feed beats, 100 samples apart.

    x is anomalous, a absorbed, n called normal, . normal, ~ hardly so; ? has no verdict.
    """
    state, transitions = AlertState(), []
    for index, sign in enumerate(beats):
        anomalous = SIGNS[sign]
        loss = 50.0 + index if anomalous else 10.0
        ratio = 0.95 if sign == "~" else 0.4
        begins, called = sign not in "an", sign == "n"
        verdict = Verdict(100 * index, anomalous, loss, ratio, begins=begins, called_normal=called)
        state, transition = machine.beat(state, verdict)
        transitions.append(transition)
    return state, transitions


def letters(transitions: list[Transition | None]) -> str:
    """Write transitions as O onset, o ongoing, C cleared, a dot for none."""
    return "".join("." if one is None else LETTERS[one.state] for one in transitions)


@pytest.mark.parametrize(
    ("rule", "beats", "expected"),
    [
        # the default rule: every anomalous beat counts, five normal ones end the episode
        (AlertRule(), "....", "...."),
        (AlertRule(), "..x.....", "..O....C"),
        (AlertRule(), "x....x.....", "O....o....C"),
        (AlertRule(), "xxx.....x", "Ooo....CO"),
        (AlertRule(), "x.x.x.....", "O.o.o....C"),  # bigeminy is one episode
        (AlertRule(), "x?????.....", "O.........C"),  # no verdict is not normal
        (AlertRule(), "??????", "......"),
        # absorbed beats begin nothing, and are part of what was begun
        (AlertRule(), "a.aaa.....", ".........."),
        (AlertRule(), ".ax.a.....", "..O.o....C"),
        (AlertRule(n=2, m=3), "aa.a", "...."),
        (AlertRule(n=2, m=3), "xa", ".O"),
        # what a person called normal is calm, but in a high alert
        (AlertRule(), "nnnnnn", "......"),
        (AlertRule(), "xnnnnn", "O....C"),
        (AlertRule(), "x..nnx.....", "O....o....C"),
        (AlertRule(), "xxxnnnnnn.....", "Ooooooooo....C"),
        (AlertRule(n=2, m=3), "xnn", "..."),
        (AlertRule(n=2, m=3), "x..aa", "....."),
        # two of three
        (AlertRule(n=2, m=3), "..x..x..", "........"),
        (AlertRule(n=2, m=3), "x.x", "..O"),
        (AlertRule(n=2, m=3), "xx.....x", ".O....C."),
        (AlertRule(n=2, m=3), "x..x.x", ".....O"),
        (AlertRule(n=2, m=3), "x?x", "..O"),  # beats without a verdict are passed over
        (AlertRule(n=3, m=3, clear_after=1), "xxx.xx.xxx", "..OC.....O"),
    ],
)
def test_life_cycle(rule: AlertRule, beats: str, expected: str) -> None:
    """Onset, ongoing and cleared come at the beats of the table."""
    assert letters(run(AlertMachine(rule), beats)[1]) == expected


def test_an_episode_counts_its_beats_and_remembers_its_worst() -> None:
    """Start, number of anomalous beats and peak loss go along with every transition."""
    _, transitions = run(AlertMachine(), ".xx.....")
    onset, ongoing, cleared = [one for one in transitions if one is not None]
    assert (onset.episode_start_sample, onset.episode_beats, onset.peak_loss) == (100, 1, 51.0)
    assert (ongoing.episode_start_sample, ongoing.episode_beats) == (100, 2)
    assert (cleared.episode_start_sample, cleared.episode_beats) == (100, 2)
    assert cleared.peak_loss == 52.0


@pytest.mark.parametrize(
    ("rule", "beats", "expected"),
    [
        (AlertRule(repeat_beats=3), "xxxxxxxx.....", "O.o..o......C"),
        (AlertRule(repeat_beats=3, run_beats=2), "xx.x.x.x.....", "Oo.....o....C"),  # high: news
        (AlertRule(clear_after=2, clear_ratio=0.8), "x.~.~..", "O.....C"),  # ~: just below
        (AlertRule(clear_after=2, clear_ratio=0.8), "x~~~~~", "O....."),
        (AlertRule(clear_after=2), "x~~", "O.C"),
    ],
)
def test_repeats_and_hysteresis(rule: AlertRule, beats: str, expected: str) -> None:
    """A lasting episode is said at every k-th beat; beats just below the threshold keep it open."""
    assert letters(run(AlertMachine(rule), beats)[1]) == expected


def test_an_episode_begins_at_its_first_anomalous_beat() -> None:
    """Where n of m were waited for, it began before it was said; its last beat is told, too."""
    _, transitions = run(AlertMachine(AlertRule(n=2, m=3)), ".x.x.x.....")
    onset, ongoing, cleared = [one for one in transitions if one is not None]
    assert (onset.episode_start_sample, onset.episode_beats) == (100, 2)
    assert [one.episode_last_sample for one in (onset, ongoing, cleared)] == [300, 500, 500]


@pytest.mark.parametrize(
    ("before", "after", "latched", "then"),
    [
        ("xx", "", False, False),  # medium: nothing to acknowledge
        ("xxx", ".....", True, False),  # while it lasts
        ("xxx.....", "", True, False),  # when it is over
        ("xxx", "xxx", True, False),  # the same episode does not ask again
        ("xxx", ".....xxx", True, True),  # the next one does
        ("xxx.....x", "xx", True, True),  # also when it had begun, medium, as the last was seen
    ],
)
def test_high_alerts_are_acknowledged(before: str, after: str, latched: bool, then: bool) -> None:
    """A high alert asks for it until a person has seen it, once an episode."""
    machine = AlertMachine()
    state, _ = run(machine, before)
    assert state.latched is latched
    state, transition = machine.acknowledge(state)
    assert (transition is not None) is latched
    assert machine.acknowledge(state)[1] is None
    for index, sign in enumerate(after, start=100):
        state, _ = machine.beat(state, Verdict(100 * index, SIGNS[sign], 50.0))
    assert state.latched is then


def test_without_latching_nothing_asks() -> None:
    """The rule can be without it."""
    assert not run(AlertMachine(AlertRule(latch=False)), "xxxx")[0].latched


def test_a_run_raises_the_priority() -> None:
    """Three anomalous beats in a row are of high priority; the end is of low."""
    _, transitions = run(AlertMachine(), "xxxx.x.....")
    priorities = [one.priority for one in transitions if one is not None]
    assert priorities == ["medium", "medium", "high", "high", "medium", "low"]


def test_a_run_ends_with_its_episode() -> None:
    """What was anomalous before the end does not make the next beat one of high priority."""
    machine = AlertMachine()
    state, _ = run(machine, "xx")
    state, _ = machine.finish(state)
    state, transition = machine.beat(state, Verdict(900, True, 50.0))
    assert transition is not None
    assert (transition.priority, state.latched) == ("medium", False)


def test_finish_clears_an_open_episode_once() -> None:
    """The record's end ends the episode; there is nothing to end twice."""
    machine = AlertMachine()
    state, _ = run(machine, "xx")
    state, cleared = machine.finish(state)
    assert cleared is not None
    assert (cleared.state, cleared.episode_beats) == ("cleared", 2)
    assert machine.finish(state) == (state, None)


def test_technical_events_begin_and_end_once() -> None:
    """A repeated onset, or an end without one, is no news."""
    machine = AlertMachine()
    state, news = machine.technical(AlertState(), "noisy", onset=True)
    assert news
    assert state.technical == ("noisy",)
    assert machine.technical(state, "noisy", onset=True) == (state, False)
    state, news = machine.technical(state, "lead_off", onset=True)
    state, news = machine.technical(state, "noisy", onset=False)
    assert news
    assert state.technical == ("lead_off",)
    assert machine.technical(state, "noisy", onset=False) == (state, False)


@pytest.mark.parametrize(
    "values",
    [
        {"n": 0},
        {"n": 3, "m": 2},
        {"m": 100},
        {"clear_after": 0},
        {"run_beats": 0},
        {"repeat_beats": 0},
        {"clear_ratio": 0.0},
        {"clear_ratio": 1.1},
        {"clear_ratio": float("nan")},
    ],
)
def test_absurd_rules_are_refused(values: dict[str, Any]) -> None:
    """A rule that can never begin, or never end, is not taken."""
    with pytest.raises(InvalidOption):
        AlertRule(**values)


@given(st.text("x.?", max_size=60), st.integers(0, 60))
def test_state_survives_bytes_at_any_point(beats: str, cut: int) -> None:
    """Saved and restored between any two beats, the machine goes on as if nothing had happened."""
    machine = AlertMachine(AlertRule(n=2, m=3))
    whole = letters(run(machine, beats)[1])
    state, transitions = run(machine, beats[:cut])
    restored = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=AlertState)
    for index, sign in enumerate(beats[cut:], start=cut):
        verdict = Verdict(100 * index, SIGNS[sign], 50.0)
        restored, transition = machine.beat(restored, verdict)
        transitions.append(transition)
    assert letters(transitions) == whole


@given(st.text("x.?", max_size=200))
def test_episodes_alternate(beats: str) -> None:
    """An onset is never followed by an onset, and nothing is cleared that had not begun."""
    spoken = letters(run(AlertMachine(), beats)[1]).replace(".", "").replace("o", "")
    assert spoken == ("OC" * len(spoken))[: len(spoken)]


def test_identity_tells_transitions_apart() -> None:
    """The same transition has the same identity; any other part makes another."""
    parts = ("119", "119", 3600, "loss-1-of-1", "m1", "onset")
    assert alert_identity(*parts) == alert_identity(*parts)
    others = [alert_identity(*parts[:i], "other", *parts[i + 1 :]) for i in range(len(parts))]
    assert len({alert_identity(*parts), *others}) == len(parts) + 1
    assert alert_identity("a", "bc") != alert_identity("ab", "c")
