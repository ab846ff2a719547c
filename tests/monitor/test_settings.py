"""Options are read as people write them, and refused with a line that helps."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from monitor.errors import InvalidOption
from monitor.settings import (
    ConsumerSettings,
    ProducerSettings,
    Resume,
    decode_settings,
    encode_settings,
    parse_duration,
    parse_since,
    parse_speed,
    parse_threshold,
    parse_threshold_change,
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


NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8:00:00", "2026-03-01T04:00:00.000Z"),
        ("90", "2026-03-01T11:58:30.000Z"),
        ("2026-02-28T23:00Z", "2026-02-28T23:00:00.000Z"),
        ("2026-02-28T23:00:00.5+01:00", "2026-02-28T22:00:00.500Z"),
    ],
)
def test_since_is_a_time_or_how_long_ago(text: str, expected: str) -> None:
    """Both become a wall time in UTC, as messages say it."""
    assert parse_since(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "1:99", "0001-01-01T00:00+23:00"])
def test_a_since_that_is_no_time_is_refused(text: str) -> None:
    """The message names the option."""
    with pytest.raises(InvalidOption, match="--since"):
        parse_since(text, NOW)


@pytest.mark.parametrize("text", ["up", "", "%", "5%", "+x%", "-3", "0", "-95%", "nan"])
def test_what_moves_no_threshold_is_told_both_ways_that_do(text: str) -> None:
    """It is no --threshold, which takes a loss alone."""
    with pytest.raises(InvalidOption, match=r"give a loss, such as 26, or -90% to \+900%") as said:
        parse_threshold_change(text)
    assert "--threshold" not in str(said.value)


def test_a_threshold_is_moved_to_a_loss_or_by_a_share() -> None:
    """A number is a loss, also a small one; a share has a sign."""
    assert parse_threshold_change("26") == (26.0, None)
    assert parse_threshold_change("1.05") == (1.05, None)
    loss, factor = parse_threshold_change("-5%")
    assert loss is None
    assert factor == pytest.approx(0.95)
