"""The producer: records, paced on the monotonic clock, and live sources, as blocks of samples."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import zmq

from monitor.settings import BLOCK_S, DRAIN_S, ProducerSettings
from monitor.stages.arrivals import MAX_NAMED
from monitor.stages.host import Counters, StageHost, StageStopped, Waits, send_now
from monitor.stages.live_feed import LiveFeed, most_waiting
from monitor.stages.playback import TICK_S, Opened, Pacer, open_sources
from monitor.step_result import StepResult
from monitor.wire.messages import EndHeader, StageMessage, Stream, joined_leads, named_leads
from monitor.wire.sockets import queue_messages


def run(settings: ProducerSettings) -> Counters:
    """Send records and live sources until their end, or until told to stop.

    Raises
    ------
    MonitorError
        If a record, an option or an endpoint cannot be used.
    """
    with StageHost("producer", settings) as host:
        opened = open_sources(settings, host.pass_over)
        sender = host.sockets.push(settings.samples, queue_messages(settings.live))
        try:
            streams = opened.streams()
            host.ready(streams)
            resume = {reached.patient: reached.position for reached in settings.resume}
            for stream in streams[:MAX_NAMED]:
                position = resume.get(stream.patient, stream.first_sample)
                host.say(_what_is_sent(stream, position, settings.samples))
            if len(streams) > MAX_NAMED:
                host.say(f"sends {len(streams) - MAX_NAMED} further records")
            pacer = Pacer(opened.playbacks, settings.speed, time.monotonic(), opened.receptions)
            if settings.live:
                feed = LiveFeed(pacer, most_waiting(len(pacer.patients)))
                host.run(LiveProducerStage(host, sender, pacer, feed))
            else:
                host.run(ProducerStage(host, sender, pacer))
            host.finished()
        except StageStopped:
            _end_early(host, sender, opened)
    return host.counters


def _what_is_sent(stream: Stream, position: int, endpoint: str) -> str:
    waves = f" and {joined_leads(stream.waves)}" if stream.waves else ""
    return (
        f"sends record {stream.record}, {named_leads(stream.leads)}{waves}, {stream.fs_hz:g} Hz, "
        f"as patient {stream.patient} to {endpoint}, from sample {position}"
    )


class ProducerStage:
    """Sends what falls due, waiting while the next stage is behind. It takes no messages in."""

    most = 0

    def __init__(self, host: StageHost, sender: zmq.Socket[bytes], pacer: Pacer) -> None:
        self._host, self._sender, self._pacer = host, sender, pacer

    @property
    def done(self) -> bool:
        """Whether all records have ended."""
        return not self._pacer

    def inlets(self) -> Sequence[zmq.Socket[bytes]]:
        """Return no socket: nobody sends to a producer."""
        return ()

    def waits_for(self) -> Waits:
        """Wait until the next block is due."""
        return Waits(max(0.0, self._wait_s(time.monotonic())))

    def step(self, messages: Sequence[StageMessage], now_s: float) -> StepResult[StageMessage]:
        """Return the blocks that have fallen due."""
        self._wait_s(now_s)  # a pause that is over moves on what is due
        if self._host.paused:
            return StepResult()
        return StepResult(self._pacer.take_due(now_s, round(1e9 * now_s)))

    def pass_on(self, result: StepResult[StageMessage], now_s: float) -> None:
        """Send to the segmenter."""
        self._report_failed(now_s)
        self._host.send_health(self._sender)
        self._host.send(self._sender, result.messages)

    def _report_failed(self, now_s: float) -> None:
        for patient, text in self._pacer.failed:
            self._host.pass_over(patient, text)
        self._pacer.failed.clear()
        for text in self._pacer.take_notices(now_s):
            self._host.notice(text)

    def _wait_s(self, now_s: float) -> float:
        return min(self._pacer.wait_s(now_s, self._host.paused), BLOCK_S)


class LiveProducerStage(ProducerStage):
    """Sends what falls due, for ever; what cannot be sent in time is dropped, oldest first.

    What a step found waits in the feed until the segmenter takes it, and may be dropped there.
    """

    def __init__(
        self, host: StageHost, sender: zmq.Socket[bytes], pacer: Pacer, feed: LiveFeed
    ) -> None:
        super().__init__(host, sender, pacer)
        self._feed = feed

    @property
    def done(self) -> bool:
        """Whether all sources have ended and nothing waits to be sent."""
        return super().done and self._feed.is_empty

    def waits_for(self) -> Waits:
        """Wait until the next block is due, or until the next stage takes what waits."""
        wait_s = max(self._wait_s(time.monotonic()), TICK_S)
        return Waits(wait_s, writable=None if self._feed.is_empty else self._sender)

    def step(self, messages: Sequence[StageMessage], now_s: float) -> StepResult[StageMessage]:
        """Let the feed take the blocks that have fallen due."""
        if not self._host.paused:
            self._feed.take_due(now_s)
        return StepResult()

    def pass_on(self, result: StepResult[StageMessage], now_s: float) -> None:
        """Send what waits in the feed, as much as the segmenter takes now."""
        counters, sender = self._host.counters, self._sender
        self._report_failed(now_s)
        self._host.send_health(sender)
        counters.messages_out += self._feed.send(lambda frames: send_now(sender, frames))
        counters.dropped = self._feed.dropped


def _end_early(host: StageHost, sender: zmq.Socket[bytes], opened: Opened) -> None:
    """Tell the next stage that no more will come, as far as it takes messages in time."""
    now_ns = time.monotonic_ns()
    ends: list[EndHeader] = []
    for live in opened.receptions:
        ends += live.end("stopped", False, now_ns)
    ends += [one.end("stopped", False, now_ns) for one in opened.playbacks if not one.ended]
    if ends:
        ends[-1] = msgspec.structs.replace(ends[-1], last=True)
    host.send_before(sender, ends, time.monotonic() + DRAIN_S)
