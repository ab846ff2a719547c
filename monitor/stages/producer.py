"""The producer: replays records as blocks of samples, paced on the monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Sequence

import zmq

from monitor.settings import BLOCK_S, DRAIN_S, ProducerSettings
from monitor.stages.arrivals import MAX_NAMED
from monitor.stages.host import Counters, StageHost, StageStopped, Waits, send_now
from monitor.stages.live_feed import LiveFeed, most_waiting
from monitor.stages.playback import Pacer, Playback, open_playbacks
from monitor.step_result import StepResult
from monitor.wire.messages import StageMessage, joined_leads, named_leads
from monitor.wire.sockets import queue_messages

# How often a source that does not wait sends what fell due. The more goes together, the less of it
# is what a step costs whatever it holds: with 20 ms the segmenter takes a sixth more CPU.
TICK_S = 0.05


def run(settings: ProducerSettings) -> Counters:
    """Replay the records until their end, or until told to stop.

    Raises
    ------
    MonitorError
        If a record, an option or an endpoint cannot be used.
    """
    with StageHost("producer", settings) as host:
        playbacks = open_playbacks(settings, host.pass_over)
        sender = host.sockets.push(settings.samples, queue_messages(settings.live))
        try:
            host.ready([playback.stream() for playback in playbacks])
            for playback in playbacks[:MAX_NAMED]:
                host.say(_what_is_sent(playback, settings.samples))
            if len(playbacks) > MAX_NAMED:
                host.say(f"sends {len(playbacks) - MAX_NAMED} further records")
            pacer = Pacer(playbacks, settings.speed, time.monotonic())
            if settings.live:
                feed = LiveFeed(pacer, most_waiting(len(playbacks)))
                host.run(LiveProducerStage(host, sender, pacer, feed))
            else:
                host.run(ProducerStage(host, sender, pacer))
            host.finished()
        except StageStopped:
            running = [playback for playback in playbacks if not playback.ended]
            _end_early(host, sender, running)
    return host.counters


def _what_is_sent(playback: Playback, endpoint: str) -> str:
    source = playback.source
    waves = f" and {joined_leads(playback.waves)}" if playback.waves else ""
    return (
        f"sends record {source.record}, {named_leads(source.leads)}{waves}, {source.fs_hz:g} Hz, "
        f"as patient {playback.patient} to {endpoint}, from sample {playback.position}"
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
        if self._wait_s(now_s) > 0:
            return StepResult()
        return StepResult(self._pacer.take_due(now_s, round(1e9 * now_s)))

    def pass_on(self, result: StepResult[StageMessage], now_s: float) -> None:
        """Send to the segmenter."""
        self._report_failed()
        self._host.send_health(self._sender)
        self._host.send(self._sender, result.messages)

    def _report_failed(self) -> None:
        for patient, text in self._pacer.failed:
            self._host.pass_over(patient, text)
        self._pacer.failed.clear()

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
        """Never: a source that is live does not end by itself."""
        return False

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
        self._report_failed()
        self._host.send_health(sender)
        counters.messages_out += self._feed.send(lambda frames: send_now(sender, frames))
        counters.dropped = self._feed.dropped


def _end_early(host: StageHost, sender: zmq.Socket[bytes], running: list[Playback]) -> None:
    """Tell the next stage that no more will come, as far as it takes messages in time."""
    now_ns = time.monotonic_ns()
    ends = [one.end("stopped", one is running[-1], now_ns) for one in running]
    host.send_before(sender, ends, time.monotonic() + DRAIN_S)
