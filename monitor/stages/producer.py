"""The producer: replays records as blocks of samples, paced on the monotonic clock."""

from __future__ import annotations

import time

import zmq

from monitor.settings import BLOCK_S, DRAIN_S, ProducerSettings
from monitor.stages.host import Counters, StageHost, Stopped, send_now
from monitor.stages.live import LiveFeed, most_waiting
from monitor.stages.playback import Pacer, Playback, open_playbacks

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
        playbacks = open_playbacks(settings)
        sender = host.sockets.push(settings.samples)
        try:
            host.ready([playback.stream() for playback in playbacks])
            pacer = Pacer(playbacks, settings.speed, time.monotonic())
            if settings.live:
                _relay(host, sender, pacer, LiveFeed(pacer, most_waiting(len(playbacks))))
            else:
                _replay(host, sender, pacer)
            host.finished()
        except Stopped:
            running = [playback for playback in playbacks if not playback.ended]
            _end_early(host, sender, running)
    return host.counters


def _replay(host: StageHost, sender: zmq.Socket[bytes], pacer: Pacer) -> None:
    """Send what falls due, waiting while the next stage is behind."""
    while pacer:
        wait_s = _wait_s(host, sender, pacer)
        if wait_s > 0:
            host.wait([], wait_s)
        else:
            host.send(sender, pacer.take_due(time.monotonic(), time.monotonic_ns()))


def _relay(host: StageHost, sender: zmq.Socket[bytes], pacer: Pacer, feed: LiveFeed) -> None:
    """Send what falls due, for ever; what cannot be sent in time is dropped, oldest first."""
    while True:
        wait_s = max(_wait_s(host, sender, pacer), TICK_S)
        if feed.waiting:
            sender.poll(round(1000 * wait_s), zmq.POLLOUT)
        else:
            host.wait([], wait_s)
        if not host.paused:
            feed.take_due(time.monotonic())
        host.counters.messages_out += feed.send(lambda frames: send_now(sender, frames))
        host.counters.dropped = feed.dropped


def _wait_s(host: StageHost, sender: zmq.Socket[bytes], pacer: Pacer) -> float:
    """Do what is done in every round; return how long to wait for the next block, if at all."""
    if host.stopping:
        raise Stopped
    host.send_health(sender)
    return min(pacer.wait_s(time.monotonic(), host.paused), BLOCK_S)


def _end_early(host: StageHost, sender: zmq.Socket[bytes], running: list[Playback]) -> None:
    """Tell the next stage that no more will come, as far as it takes messages in time."""
    now_ns = time.monotonic_ns()
    ends = [one.end("stopped", one is running[-1], now_ns) for one in running]
    host.send_before(sender, ends, time.monotonic() + DRAIN_S)
