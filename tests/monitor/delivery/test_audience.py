"""Whose topics are asked for: what ZeroMQ tells of subscriptions, taken in."""

from __future__ import annotations

import pytest

from monitor.delivery.audience import Audience
from monitor.wire.messages import ALL_BEATS


def after(*frames: bytes, most: int = 100) -> Audience:
    audience = Audience(ALL_BEATS, most)
    for frame in frames:
        audience.take(frame)
    return audience


@pytest.mark.parametrize("topic", ["", "b", "beat", "beat.", "beat.ä", "beat.äb"])
def test_a_topic_stands_for_all_that_begin_with_it(topic: str) -> None:
    """As ZeroMQ sends: the topic of one patient, of several, of all, and of everything."""
    assert after(b"\x01" + topic.encode()).wants("äb")


@pytest.mark.parametrize("topic", ["alert.", "status", "beat.c", "beat.äbc", "beats", "beat.Ä"])
def test_other_topics_ask_for_nothing(topic: str) -> None:
    """Alerts alone are what most subscribe to."""
    audience = after(b"\x01" + topic.encode())
    assert not audience.wants("äb")
    assert not audience.may_want("äb")


def test_a_topic_that_ends_within_a_character_is_one() -> None:
    """ZeroMQ compares bytes."""
    assert after(b"\x01beat.\xc3").wants("äb")


def test_what_nobody_wants_any_more_is_not_made() -> None:
    """The last who asked for it has left; one who asks for another topic stays."""
    audience = after(b"\x01beat.a", b"\x01beat.b", b"\x00beat.a", b"\x00beat.never")
    assert (audience.wants("a"), audience.wants("b")) == (False, True)


def test_who_finds_no_room_may_want_everything() -> None:
    """So that nobody is left without what was asked for; memory stays bounded."""
    audience = after(b"\x01beat.a", b"\x01beat.b", b"\x01beat.c", b"\x01beat." + 600 * b"x", most=2)
    assert audience.refused == 1
    assert (audience.wants("a"), audience.wants("c")) == (True, False)
    assert audience.may_want("c")
