"""`ecg-monitor producer --ward`: replays records into the samples' stream of a ward.

A producer has a name, by default that of its machine and records. Of one name only one sends: each
message names the one that it follows. Started again under its name it goes on behind what it sent.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import math
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from monitor.errors import Fenced, InvalidMessage, InvalidOption, RecordError, WardUnreachable
from monitor.interrupts import Interrupts
from monitor.settings import BLOCK_S, ProducerSettings, Resume
from monitor.sources.kinds import is_live
from monitor.stages.host import collect_seldom
from monitor.stages.playback import Pacer, Playback, open_sources
from monitor.text import counted, harmless
from monitor.ward.batch import BatchMessage, commit_batch
from monitor.ward.bundle import SampleBundle, decode_samples, encode_samples
from monitor.ward.link import JetStreamError, Unanswered, WardAccess, WardLink, connected
from monitor.ward.names import SAMPLES, WardIdentity, samples_subject
from monitor.ward.setup import require_ward
from monitor.wire.codec import in_bundles
from monitor.wire.messages import EndHeader, SamplesMessage, StageMessage

ROOM = 4096  # bytes of a message beside samples and headers
HEADER_BYTES = 400  # of a block, about
# What falls due within it goes together: each message costs the server a write to its disk.
TICK_S = BLOCK_S
WAITED_S = 5.0  # before a person is told that nothing is taken
TRY_S = 0.25


@dataclass(frozen=True)
class FeedOptions:
    """What `ecg-monitor producer --ward` was asked for."""

    access: WardAccess
    settings: ProducerSettings
    name: str = ""


@dataclass
class PartitionFeed:
    """What one producer sends of one partition."""

    subject: str
    patients: list[str]
    expected: int = 0  # number of the last message
    before: SampleBundle | None = None  # what that held


def feed(options: FeedOptions) -> int:
    """Send records until their end, or until told to stop; return how many were passed over.

    Raises
    ------
    MonitorError
        If a record or an option cannot be used, the ward cannot be reached, or another producer
        sends under this name.
    """
    with Interrupts() as interrupts:
        return asyncio.run(_feed(options, interrupts))


def producer_name(given: str, records: Sequence[str]) -> str:
    """Return what a producer is called in subjects: the name given, or its machine and records."""
    told = given or "\x1f".join([socket.gethostname(), *records])
    return hashlib.sha256(told.encode()).hexdigest()[:12]


async def _feed(options: FeedOptions, interrupts: Interrupts) -> int:
    settings, passed_over = options.settings, [0]

    def pass_over(_record: str, text: str) -> None:
        passed_over[0] += 1
        say(f"passed over: {text}")

    async with contextlib.AsyncExitStack() as opened:
        with interrupts.at_once():
            link = await opened.enter_async_context(connected(options.access, "producer", say))
        ward = await require_ward(link)
        name = producer_name(options.name, settings.records)
        _refuse_live_sources(settings)
        playbacks = open_sources(settings, pass_over).playbacks
        feeds = await _feeds(link, ward, name, [one.patient for one in playbacks])
        places = _places(feeds)
        if places:
            say(f"goes on behind what {options.name or name} has sent")
            resume = [Resume(patient, position, b"") for patient, position in places.items()]
            resumed = msgspec.structs.replace(settings, resume=resume)
            playbacks = open_sources(resumed).playbacks
        for one in playbacks:
            one.sender = int(name, 16)
        say(
            f"sends {counted(len(playbacks), 'record')} as {options.name or name} to the ward "
            f"{ward.identity} at {link.address}"
        )
        sender = Sender(link, ward, feeds, playbacks)
        pacer = Pacer(playbacks, settings.speed, time.monotonic())
        pace = Pace()
        collect_seldom()
        while pacer and not interrupts.happened:
            now_s = time.monotonic()
            wait_s = pace.wait_s(now_s, pacer.due_s)
            if wait_s > 0:
                await asyncio.sleep(min(wait_s, TICK_S))
                continue
            due = pacer.take_due(now_s, time.time_ns())
            pace.took(now_s)
            for patient, text in pacer.failed:
                pass_over(patient, text)
            pacer.failed.clear()
            try:
                await sender.send(due)
            except Fenced as error:
                raise Fenced(
                    f"another producer sends as {options.name or name} to {link.address}; give "
                    "each its own --name"
                ) from error
        if interrupts.happened:
            running = [one for one in playbacks if not one.ended]
            ends = [one.end("stopped", one is running[-1], time.time_ns()) for one in running]
            await asyncio.wait_for(sender.send(list(ends)), 2.0)
    return passed_over[0]


class Pace:
    """When what is due is sent: once a block's time, for all patients together.

    Blocks of many patients are due one after the other, all the time: sent as they come they would
    be messages of a few patients each. Who is late waits for nothing.
    """

    def __init__(self) -> None:
        self._taken_s = -math.inf

    def wait_s(self, now_s: float, due_s: float) -> float:
        """Return how long to wait, at least, until what is due is sent.

        Parameters
        ----------
        now_s, due_s : float
            Now, and when the next block is due.
        """
        if now_s - due_s >= TICK_S:
            return 0.0
        return max(0.0, due_s - now_s, self._taken_s + TICK_S - now_s)

    def took(self, now_s: float) -> None:
        """Take note that what was due is sent; that a sleep was long does not add up."""
        self._taken_s = max(self._taken_s + TICK_S, now_s - TICK_S / 2)


async def _feeds(
    link: WardLink, ward: WardIdentity, name: str, patients: Sequence[str]
) -> dict[int, PartitionFeed]:
    """Return what is sent of each partition that has patients, and what was sent before."""
    feeds: dict[int, PartitionFeed] = {}
    for patient in patients:
        partition = ward.partition_of(patient)
        feed_ = feeds.setdefault(partition, PartitionFeed(samples_subject(partition, name), []))
        feed_.patients.append(patient)
    for feed_ in feeds.values():
        found = await _last(link, feed_.subject)
        if found is not None:
            feed_.expected, feed_.before = found
    return feeds


async def _last(link: WardLink, subject: str) -> tuple[int, SampleBundle] | None:
    for _ in range(20):
        try:
            found = await link.last(SAMPLES, subject)
        except (Unanswered, JetStreamError):
            await asyncio.sleep(TRY_S)
            continue
        if found is None:
            return None
        try:
            bundle = decode_samples(base64.b64decode(found.get("data", "")))
        except InvalidMessage:
            bundle = SampleBundle([], {}, True)
        return int(found["seq"]), bundle
    raise WardUnreachable(f"{link.address}: JetStream does not answer; is its cluster whole?")


def _places(feeds: dict[int, PartitionFeed]) -> dict[str, int]:
    """Return where patients go on; none where all had come to their ends, or none had begun."""
    before = [one.before for one in feeds.values()]
    if all(one is not None and one.ended for one in before):
        return {}
    return {
        patient: position
        for one in before
        if one is not None
        for patient, position in one.positions.items()
    }


class Sender:
    """Sends blocks, of each partition one message at a time, and waits until they are kept.

    A ward whose stream is full takes nothing until workers have judged some: the records wait.
    """

    def __init__(
        self,
        link: WardLink,
        ward: WardIdentity,
        feeds: dict[int, PartitionFeed],
        playbacks: Sequence[Playback],
    ) -> None:
        self._link, self._ward, self._feeds = link, ward, feeds
        self._playbacks = {one.patient: one for one in playbacks}
        self._most = max(1, link.client.max_payload - ROOM)
        self._refused_s: float | None = None
        self._told = False

    async def send(self, messages: Sequence[StageMessage]) -> None:
        """Send messages of many patients; return when the stream holds them.

        Raises
        ------
        Fenced
            If another producer sends under this name.
        RecordError
            If a block is larger than the server takes.
        """
        of_partitions: defaultdict[int, list[StageMessage]] = defaultdict(list)
        for message in messages:
            if isinstance(message, SamplesMessage):
                of_partitions[self._ward.partition_of(message.header.patient)].append(message)
            elif isinstance(message, EndHeader):
                of_partitions[self._ward.partition_of(message.patient)].append(message)
        sending = [self._send(*one) for one in of_partitions.items()]
        await asyncio.gather(*sending)
        self._refused_s, self._told = None, False

    async def _send(self, partition: int, messages: list[StageMessage]) -> None:
        feed_ = self._feeds[partition]
        known = [self._playbacks[one] for one in feed_.patients if one in self._playbacks]
        for bundle in self._bundles(messages):
            content = encode_samples(
                bundle,
                {one.patient: one.position for one in known},
                ended=all(one.ended and one.exhausted for one in known),
            )
            message = BatchMessage(feed_.subject, content)
            feed_.expected = await commit_batch(
                self._link, SAMPLES, [], message, feed_.expected, self._waits
            )

    def _bundles(self, messages: list[StageMessage]) -> list[list[StageMessage]]:
        """Divide messages into bundles that the server takes."""
        bundles: list[list[StageMessage]] = []
        size = 0
        for message in [one for part in in_bundles(messages) for one in part]:
            n_bytes = HEADER_BYTES
            if isinstance(message, SamplesMessage):
                n_bytes += message.samples.nbytes
            if n_bytes > self._most:
                raise RecordError(
                    f"a block of {n_bytes} bytes is more than the server takes; set its "
                    f"max_payload to 8MB, as `ecg-monitor ward up` does, or use a lower --speed"
                )
            if not bundles or size + n_bytes > self._most:
                bundles.append([])
                size = 0
            bundles[-1].append(message)
            size += n_bytes
        return bundles

    def _waits(self, why: str) -> None:
        now_s = time.monotonic()
        self._refused_s = self._refused_s or now_s
        if now_s - self._refused_s > WAITED_S and not self._told:
            self._told = True
            say(f"nothing is taken for {WAITED_S:.0f} s ({why}); it is tried again")


def say(text: str) -> None:
    """Report to whoever started the producer."""
    sys.stderr.write(f"ecg-monitor producer: {harmless(text, 1000)}\n")
    sys.stderr.flush()


def _refuse_live_sources(settings: ProducerSettings) -> None:
    """Raise InvalidOption if a source is live: what a ward resends it would have to keep."""
    live = [one for one in settings.records if is_live(one)]
    if live:
        raise InvalidOption(
            f"--ward takes records, and {live[0]} is a live source; monitor it with `ecg-monitor "
            f"replay {live[0]}`, or keep it first: `ecg-monitor record {live[0]} OUT`"
        )
