"""A source that cannot wait: while the next stage is behind its blocks queue up; the oldest go.

What is dropped is counted, and is a hole in the positions: the segmenter takes it as a gap, and the
heartbeat says `overload`. Nothing here knows a clock or a socket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from monitor.stages.playback import Pacer, Playback, samples_frames

BLOCKS_A_PATIENT = 4  # that may wait, on the average: a second or a few
FEWEST_BLOCKS = 32


class LiveFeed:
    """Blocks as they fall due, at most so many waiting.

    Parameters
    ----------
    playbacks : list of Playback
    pacer : Pacer
        When each block is due.
    most : int
        Blocks that may wait.
    """

    def __init__(self, playbacks: list[Playback], pacer: Pacer, most: int | None = None) -> None:
        self._playbacks = playbacks
        self._pacer = pacer
        self._most = most or max(FEWEST_BLOCKS, BLOCKS_A_PATIENT * len(playbacks))
        self._waiting: deque[tuple[list[bytes], int]] = deque()
        self.dropped = 0  # samples

    @property
    def waiting(self) -> int:
        """How many blocks wait."""
        return len(self._waiting)

    def take_due(self, now_s: float) -> None:
        """Take the blocks that have fallen due; when too many wait, the oldest are dropped."""
        while self._pacer and self._pacer.due_s <= now_s:
            sent_ns = round(1e9 * self._pacer.due_s)  # when its last sample was there
            index = self._pacer.pop()
            playback = self._playbacks[index]
            before = playback.position
            frames = samples_frames(playback, self._pacer.block_samples(index), sent_ns)
            self._waiting.append((frames, playback.position - before))
            if len(self._waiting) > self._most:
                _, n_samples = self._waiting.popleft()
                self.dropped += n_samples
            self._pacer.push(index)

    def send(self, try_send: Callable[[list[bytes]], bool]) -> int:
        """Send what waits, oldest first, until it is not taken; return how many messages were."""
        sent = 0
        while self._waiting and try_send(self._waiting[0][0]):
            self._waiting.popleft()
            sent += 1
        return sent
