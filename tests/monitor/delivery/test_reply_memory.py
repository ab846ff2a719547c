"""Replies that nobody reads are bounded in bytes, over all clients."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.delivery.reply_memory import ReplyMemory


@dataclass
class Reply:
    done: bool = False


def test_what_waits_is_bounded_until_it_leaves() -> None:
    """A reply has room while the bytes of those that wait allow it, whoever they are for."""
    memory, replies = ReplyMemory(100), [Reply() for _ in range(3)]
    for reply in replies:
        assert memory.has_room(30)
        memory.add(reply, 30)
    assert (memory.has_room(10), memory.has_room(11)) == (True, False)
    replies[1].done = True
    assert (memory.has_room(40), memory.has_room(41)) == (True, False)
    assert memory.n_bytes == 60


def test_replies_that_have_left_are_not_kept() -> None:
    """A million small ones, which never come near the bound, take no memory either."""
    memory = ReplyMemory(1 << 30)
    for _ in range(10_000):
        assert memory.has_room(1)
        memory.add(Reply(done=True), 1)
    assert memory.n_bytes < 1_000
