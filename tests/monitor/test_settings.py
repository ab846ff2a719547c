"""Options are read as people write them, and refused with a line that helps."""

from __future__ import annotations

import pytest

from monitor.errors import InvalidOption
from monitor.settings import (
    ConsumerSettings,
    ProducerSettings,
    Resume,
    decode_settings,
    encode_settings,
    parse_duration,
    parse_speed,
    parse_threshold,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1:30", 90), ("1:30:00", 5400), ("0", 0), ("2.5", 2.5), (" 5:00 ", 300)],
)
def test_durations(text: str, seconds: float) -> None:
    """Seconds, minutes and hours are written with colons."""
    assert parse_duration(text, "--learn") == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "1:75", "1:2:3:4", "nan", "inf", "1e3", "9" * 30])
def test_durations_that_are_none(text: str) -> None:
    """A malformed time names the option."""
    with pytest.raises(InvalidOption, match="--learn"):
        parse_duration(text, "--learn")


@pytest.mark.parametrize(
    ("text", "speed"), [("1", 1.0), ("0.5", 0.5), ("max", None), ("MAX", None)]
)
def test_speeds(text: str, speed: float | None) -> None:
    """A factor of real time, or max."""
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "nan", "inf", "1e9"])
def test_speeds_that_are_none(text: str) -> None:
    """Speed is a factor above 0."""
    with pytest.raises(InvalidOption, match="--speed"):
        parse_speed(text)


@pytest.mark.parametrize("text", ["", "abc", "nan", "-3", "0", "inf"])
def test_thresholds_that_are_none(text: str) -> None:
    """A threshold is a number above 0."""
    with pytest.raises(InvalidOption, match="--threshold"):
        parse_threshold(text)
    assert parse_threshold("26") == 26.0


def test_settings_reach_the_process_unchanged() -> None:
    """What the supervisor says is what the stage reads, states included."""
    producer = ProducerSettings(
        records=["a"], samples="ipc:///s", speed=None, resume=[Resume("a", 7, b"\x00\xff")]
    )
    assert decode_settings(encode_settings(producer)) == producer
    consumer = ConsumerSettings(beats="ipc:///b", alerts="ipc:///a", journal="j", learn_s=300.0)
    assert decode_settings(encode_settings(consumer)) == consumer


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"stage":"cook"}', b"\xff"])
def test_malformed_settings_are_refused(text: bytes) -> None:
    """A process that is told nonsense says so."""
    with pytest.raises(InvalidOption):
        decode_settings(text)
