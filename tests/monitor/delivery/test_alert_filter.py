"""Filters by state, priority, kind and patient."""

from __future__ import annotations

import pytest

from monitor.delivery.alert_filter import KINDS, PRIORITIES, STATES, AlertFilter, parse_filter
from monitor.errors import InvalidOption
from monitor.wire.messages import Message
from tests.messages import alarm, alert, beat_scored, status, technical, wave


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (parse_filter([], [], [], []), "beats asystole noise silence other"),
        (parse_filter(["onset"], [], [], []), "beats asystole noise"),
        (parse_filter(["cleared , ongoing"], [], [], []), "silence other"),
        (parse_filter([], ["high"], [], []), "asystole"),
        (parse_filter([], ["high,technical"], [], []), "asystole noise silence"),
        (parse_filter([], [], ["asystole", "no_verdict"], []), "asystole silence"),
        (parse_filter([], [], ["anomalous_beats"], []), "beats other"),
        (parse_filter([], [], [], ["bed[1]#2"]), "other"),
        (parse_filter([], [], [], ["bed*", "monitor"]), "silence other"),
        (parse_filter([], [], [], ["11?"]), "beats asystole noise"),
        (parse_filter(["onset"], ["high", "medium"], [], ["119"]), "beats asystole"),
    ],
)
def test_what_passes(wanted: AlertFilter, passes: str) -> None:
    """All that was asked for must fit; several values of one option are alternatives."""
    messages: dict[str, Message] = {
        "beats": alert(),
        "asystole": alarm(),
        "noise": technical(),
        "silence": technical(event="no_verdict", state="cleared", patient="monitor"),
        "other": alert(state="ongoing", patient="bed[1]#2", priority="low"),
    }
    assert [name for name, message in messages.items() if wanted.wants(message)] == passes.split()


def test_other_messages_have_only_a_patient() -> None:
    """A beat has no state and no priority; a heartbeat speaks of all."""
    wanted = parse_filter(["cleared"], ["high"], ["asystole"], ["119"])
    others: list[Message] = [beat_scored(), status(), wave()]
    assert all(map(wanted.wants, others))
    assert not wanted.wants(beat_scored(patient="118"))


@pytest.mark.parametrize(
    ("given", "option", "listed"),
    [
        ((["begun"], [], [], []), "--state", STATES),
        (([], ["urgent"], [], []), "--priority", PRIORITIES),
        (([], [], ["asystole,vf"], []), "--kind", KINDS),
        (([], [], [""], []), "--kind", KINDS),
    ],
)
def test_a_value_that_there_is_not(
    given: tuple[list[str], ...], option: str, listed: tuple[str, ...]
) -> None:
    """Is refused, with those that there are."""
    with pytest.raises(InvalidOption, match=option) as caught:
        parse_filter(*given)
    assert ", ".join(listed) in str(caught.value)


def test_an_empty_patient_is_refused() -> None:
    """It would stand for nobody."""
    with pytest.raises(InvalidOption, match="--patient"):
        parse_filter([], [], [], [""])


def test_that_technical_alerts_are_left_out_is_known() -> None:
    """They have no priority."""
    assert parse_filter([], ["high"], [], []).leaves_technical_out
    assert not parse_filter([], ["high", "technical"], [], []).leaves_technical_out
    assert not parse_filter(["onset"], [], [], []).leaves_technical_out
