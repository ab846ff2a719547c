"""A source that cannot wait: while the next stage is behind its blocks queue up; the oldest go.

What is dropped is counted, and is a hole in the positions: the segmenter takes it as a gap, and the
heartbeat says `overload`. Nothing here knows a clock or a socket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from monitor.stages.playback import Pacer
from monitor.wire.codec import encode_bundle, in_bundles
from monitor.wire.messages import SamplesMessage

BLOCKS_A_PATIENT = 4  # that may wait, on the average: a second or a few
FEWEST_BLOCKS = 32


def most_waiting(patients: int) -> int:
    """Return how many blocks of so many patients may wait."""
    return max(FEWEST_BLOCKS, BLOCKS_A_PATIENT * patients)


class Waiting(NamedTuple):
    """A bundle that waits to be sent."""

    frames: list[bytes]
    blocks: int
    samples: int


class LiveFeed:
    """Blocks as they fall due, at most so many waiting.

    Parameters
    ----------
    pacer : Pacer
        When each block is due.
    most : int
        Blocks that may wait, beside the newest bundle.
    """

    def __init__(self, pacer: Pacer, most: int) -> None:
        self._pacer = pacer
        self._most = most
        self._waiting: deque[Waiting] = deque()
        self._blocks = 0
        self.dropped = 0  # samples

    @property
    def waiting(self) -> int:
        """How many blocks wait."""
        return self._blocks

    def take_due(self, now_s: float) -> None:
        """Take the blocks that have fallen due; when too many wait, the oldest are dropped."""
        while due := self._pacer.take_due(now_s, None):  # again where several of a patient are
            for bundle in in_bundles(due):
                sizes = [len(one.samples) for one in bundle if isinstance(one, SamplesMessage)]
                self._waiting.append(Waiting(encode_bundle(bundle), len(bundle), sum(sizes)))
                self._blocks += len(bundle)
            if self._blocks > self._most:  # in one piece: holes cost the segmenter more than blocks
                while self._blocks > self._most // 2 and len(self._waiting) > 1:
                    self.dropped += self._next().samples

    def send(self, try_send: Callable[[list[bytes]], bool]) -> int:
        """Send what waits, oldest first, until it is not taken; return how many messages were."""
        sent = 0
        while self._waiting and try_send(self._waiting[0].frames):
            sent += self._next().blocks
        return sent

    def _next(self) -> Waiting:
        oldest = self._waiting.popleft()
        self._blocks -= oldest.blocks
        return oldest
