"""Options that several commands share."""

from __future__ import annotations

import pytest

from monitor.cli.options import checked_topics, learn_seconds
from monitor.errors import InvalidOption


@pytest.mark.parametrize(
    ("text", "seconds", "minutes"),
    [("5", 5.0, "5:00"), ("1.5", 1.5, "1:30"), (" 59 ", 59.0, "59:00")],
)
def test_a_bare_number_below_a_minute_is_said_to_be_seconds(
    text: str, seconds: float, minutes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--learn 5` is five seconds, and most who write it mean minutes: it is obeyed, and said."""
    assert learn_seconds(text) == seconds
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ecg-monitor: --learn ")
    assert f"is {seconds:g} seconds" in line
    assert line.endswith(f"for minutes write {minutes}")


@pytest.mark.parametrize(
    ("text", "seconds"), [(None, None), ("5:00", 300.0), ("0:05", 5.0), ("60", 60.0), ("0", 0.0)]
)
def test_what_is_clear_is_not_commented_on(
    text: str | None, seconds: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Colons, a minute or more, none at all; 0 is refused elsewhere."""
    assert learn_seconds(text) == seconds
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("topic", ["nonsense", "alerts", "alert119", "wave.119", "beats.119"])
def test_a_topic_on_which_nothing_comes_is_an_error(topic: str) -> None:
    """It would wait for ever, as on a quiet night."""
    with pytest.raises(InvalidOption, match=r"alert, technical, beat, status"):
        checked_topics([topic])


def test_topics_are_beginnings() -> None:
    """Of a kind of message, or of one patient's."""
    topics = ("alert", "a", "alert.", "alert.11", "status", "technical.monitor")
    assert checked_topics(topics) == topics
