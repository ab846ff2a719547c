"""Sources that cannot wait: blocks queue up while the next stage is behind; patients are shed.

Who is shed is not sent at all until there is room again, see `shedding`; once a header says so to
the stages behind, and again now and then. Only where nothing is taken for long do the oldest blocks
of all go. What is dropped is counted, and is a hole in the positions: the segmenter takes it as a
gap, and the heartbeat says `overload`. Nothing here knows a clock or a socket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from monitor.stages.playback import Pacer
from monitor.stages.shedding import Serving
from monitor.wire.codec import encode_bundle, in_bundles
from monitor.wire.messages import (
    EndHeader,
    SamplesHeader,
    SamplesMessage,
    ShedHeader,
    StageMessage,
)

BLOCKS_A_PATIENT = 16  # that may wait, on the average: of the shortest, 3 s
MOST_LATE_S = 3.0  # that a block may wait: a second behind it, nobody would hear of its beats
FEWEST_BLOCKS = 32
# Who is shed is said again within this time: a stage behind may have been started anew. In turn:
# 10,000 at once would be a burst.
REPEAT_S = 30.0


def most_waiting(patients: int) -> int:
    """Return how many blocks of so many patients may wait."""
    return max(FEWEST_BLOCKS, BLOCKS_A_PATIENT * patients)


@dataclass
class WaitingBundle:
    """A bundle that waits to be sent; encoded when it is tried first."""

    messages: list[StageMessage]
    frames: list[bytes] | None = None

    @property
    def blocks(self) -> list[SamplesMessage]:
        """The messages that hold samples."""
        return [one for one in self.messages if isinstance(one, SamplesMessage)]


class LiveFeed:
    """Blocks as they fall due, at most so many waiting.

    Parameters
    ----------
    pacer : Pacer
        When each block is due.
    most : int
        Blocks that may wait, beside the newest bundle.

    Attributes
    ----------
    dropped : int
        Samples that fell due and are not sent.
    """

    def __init__(self, pacer: Pacer, most: int) -> None:
        self._pacer = pacer
        self._most = most
        self._waiting: deque[WaitingBundle] = deque()
        self._blocks = 0
        self._serving = Serving(pacer.patients)
        self._newest: dict[str, SamplesHeader] = {}  # of those who are served
        self._shed: dict[str, ShedHeader] = {}
        self._repeated_s: float | None = None
        self._offered = self._taken = 0  # samples of who is served
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How many blocks wait."""
        return self._blocks

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be sent."""
        return not self._waiting

    @property
    def n_shed(self) -> int:
        """How many patients are shed."""
        return self._serving.n_shed

    def take_due(self, now_s: float) -> None:
        """Take the blocks that have fallen due; shed patients when too much waits for too long."""
        self._shed_who_cannot_be_served(now_s)
        while due := self._pacer.take_due(now_s, None):  # again where several of a patient are
            self._put([one for one in due if not self._is_shed(one)])
            # In one piece: holes cost the segmenter more than blocks.
            if self._blocks > self._most or self._late_s(now_s) > MOST_LATE_S:
                while (
                    self._blocks > self._most // 2 or self._late_s(now_s) > MOST_LATE_S / 2
                ) and self._drop_oldest():
                    pass
        self._put(self._to_be_repeated(now_s))

    def send(self, try_send: Callable[[list[bytes]], bool]) -> int:
        """Send what waits, oldest first, until it is not taken; return how many messages were."""
        sent = 0
        while self._waiting:
            oldest = self._waiting[0]
            if oldest.frames is None:
                oldest.frames = encode_bundle(oldest.messages)
            if not try_send(oldest.frames):
                break
            self._waiting.popleft()
            sent += len(oldest.messages)
            self._blocks -= len(oldest.blocks)
            self._taken += _samples(oldest.blocks)
        return sent

    def _put(self, messages: Iterable[StageMessage]) -> None:
        """Let messages wait to be sent."""
        for bundle in in_bundles(list(messages)):
            waiting = WaitingBundle(bundle)
            self._waiting.append(waiting)
            self._blocks += len(waiting.blocks)
            self._offered += _samples(waiting.blocks)

    def _is_shed(self, message: StageMessage) -> bool:
        """Tell whether a message is not sent; a patient's end always is."""
        if isinstance(message, EndHeader):
            self._serving.end(message.patient)
            self._newest.pop(message.patient, None)
            self._shed.pop(message.patient, None)
        if not isinstance(message, SamplesMessage):
            return False
        header = message.header
        if not self._serving.is_shed(header.patient):
            self._shed.pop(header.patient, None)
            self._newest[header.patient] = header
            return False
        if self._serving.is_starting:
            return True  # nobody has been told of this patient yet
        if header.patient not in self._shed:  # came when others were shed
            self._shed[header.patient] = _shed_from(header, header.position)
            self._put([self._shed[header.patient]])
        self.dropped += header.n_samples
        return True

    def _shed_who_cannot_be_served(self, now_s: float) -> None:
        """Shed whole patients, with what waits of them, and say so before all else."""
        shed = self._serving.look(now_s, self._late_s(now_s), self._offered, self._taken)
        if not shed:
            return
        headers = {name: self._newest.pop(name) for name in shed if name in self._newest}
        ends = {name: one.position + one.n_samples for name, one in headers.items()}
        still_waiting: deque[WaitingBundle] = deque()
        for waiting in self._waiting:
            kept: list[StageMessage] = []
            for one in waiting.messages:
                if isinstance(one, SamplesMessage) and one.header.patient in headers:
                    name = one.header.patient
                    ends[name] = min(ends[name], one.header.position)
                    self.dropped += one.header.n_samples
                else:
                    kept.append(one)
            if len(kept) == len(waiting.messages):
                still_waiting.append(waiting)
            elif kept:
                still_waiting.append(WaitingBundle(kept))
        new = {name: _shed_from(one, ends[name]) for name, one in headers.items()}
        self._shed.update(new)
        first = [WaitingBundle(bundle) for bundle in in_bundles(list(new.values()))]
        self._waiting = deque([*first, *still_waiting])
        self._blocks = sum(len(one.blocks) for one in self._waiting)

    def _to_be_repeated(self, now_s: float) -> list[ShedHeader]:
        """Return some of those who are shed, each in its turn."""
        elapsed_s = 0.0 if self._repeated_s is None else now_s - self._repeated_s
        n_due = int(len(self._shed) * min(1.0, elapsed_s / REPEAT_S))
        if n_due or not self._shed or self._repeated_s is None:
            self._repeated_s = now_s
        due = list(islice(self._shed, n_due))
        for name in due:
            self._shed[name] = self._shed.pop(name)  # behind the others
        return [self._shed[name] for name in due]

    def _late_s(self, now_s: float) -> float:
        """Return for how long the oldest block has waited."""
        for waiting in self._waiting:
            for one in waiting.messages:
                if isinstance(one, SamplesMessage):
                    return now_s - one.header.sent_ns / 1e9
        return 0.0

    def _drop_oldest(self) -> bool:
        """Drop the bundle of blocks that has waited longest, unless it is the newest.

        What else it holds is kept. Returns whether blocks were dropped.
        """
        last = len(self._waiting) - 1
        place = next((n for n, one in enumerate(self._waiting) if one.blocks), last)
        if place >= last:
            return False
        waiting = self._waiting[place]
        self.dropped += _samples(waiting.blocks)
        self._blocks -= len(waiting.blocks)
        kept: list[StageMessage]
        kept = [one for one in waiting.messages if not isinstance(one, SamplesMessage)]
        if kept:
            self._waiting[place] = WaitingBundle(kept)
        else:
            del self._waiting[place]
        return True


def _samples(blocks: Iterable[SamplesMessage]) -> int:
    return sum(one.header.n_samples for one in blocks)


def _shed_from(header: SamplesHeader, position: int) -> ShedHeader:
    """Say that a patient is not sent from a position on."""
    return ShedHeader(
        version=5,
        patient=header.patient,
        record=header.record,
        sequence=header.sequence,
        sent_ns=header.sent_ns,
        position=position,
        leads=header.leads,
        fs_hz=header.fs_hz,
    )
