"""The producer: replays records as blocks of samples, paced on the monotonic clock."""

from __future__ import annotations

import time

import zmq

from monitor.settings import BLOCK_S, DRAIN_S, ProducerSettings
from monitor.stages.host import Counters, StageHost, Stopped, send_now
from monitor.stages.live import LiveFeed
from monitor.stages.playback import (
    Pacer,
    Playback,
    end_frames,
    open_playbacks,
    samples_frames,
)

# Blocks of many patients are sent together this often: a message alone wakes three processes.
TICK_S = 0.02


def run(settings: ProducerSettings) -> Counters:
    """Replay the records until their end, or until told to stop.

    Raises
    ------
    MonitorError
        If a record, an option or an endpoint cannot be used.
    """
    with StageHost("producer", settings) as host:
        playbacks = open_playbacks(settings)
        sender = host.sockets.push(settings.samples, settings.queue_messages)
        try:
            host.ready([playback.stream() for playback in playbacks])
            if settings.live:
                _relay(host, sender, playbacks, settings.speed)
            else:
                _replay(host, sender, playbacks, settings.speed)
            host.finished()
        except Stopped:
            _end_early(host, sender, playbacks)
    return host.counters


def _replay(
    host: StageHost,
    sender: zmq.Socket[bytes],
    playbacks: list[Playback],
    speed: float | None,
) -> None:
    pacer = Pacer(playbacks, speed, time.monotonic())
    while pacer:
        if host.stopping:
            raise Stopped
        host.send_health(sender)
        wait_s = pacer.wait_s(time.monotonic(), host.paused)
        if wait_s > 0 or host.paused:
            host.wait([], min(wait_s, BLOCK_S))
            continue
        index = pacer.pop()
        playback = playbacks[index]
        if playback.exhausted:
            host.send(sender, end_frames(playback, "complete", not pacer, time.monotonic_ns()))
            playback.ended = True
        else:
            block_samples = pacer.block_samples(index)
            host.send(sender, samples_frames(playback, block_samples, time.monotonic_ns()))
            pacer.push(index)


def _relay(
    host: StageHost,
    sender: zmq.Socket[bytes],
    playbacks: list[Playback],
    speed: float | None,
) -> None:
    """Send what falls due, for ever; what cannot be sent in time is dropped, oldest first."""
    pacer = Pacer(playbacks, speed, time.monotonic())
    feed = LiveFeed(playbacks, pacer)
    while True:
        if host.stopping:
            raise Stopped
        host.send_health(sender)
        wait_s = pacer.wait_s(time.monotonic(), host.paused)
        wait_s = min(max(wait_s, TICK_S), BLOCK_S)
        if feed.waiting:
            sender.poll(round(1000 * wait_s), zmq.POLLOUT)
        else:
            host.wait([], wait_s)
        if not host.paused:
            feed.take_due(time.monotonic())
        host.counters.messages_out += feed.send(lambda frames: send_now(sender, frames))
        host.counters.dropped = feed.dropped


def _end_early(host: StageHost, sender: zmq.Socket[bytes], playbacks: list[Playback]) -> None:
    """Tell the next stage that no more will come, as far as it takes messages in time."""
    deadline_s = time.monotonic() + DRAIN_S
    running = [playback for playback in playbacks if not playback.ended]
    for playback in running:
        frames = end_frames(playback, "stopped", playback is running[-1], time.monotonic_ns())
        host.send_before(sender, frames, deadline_s)
