"""The segmenter's process: receives samples, finds and cuts beats, sends them on.

One `Segmenter` a patient. Holes between messages are passed on as gaps; samples that were received
before are dropped; both are counted.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass, field

import numpy as np
import zmq
from numpy.typing import NDArray

from monitor.codec import (
    decode_stage_message,
    encode_beats,
    encode_header,
    encode_message,
    numbers_or_none,
)
from monitor.errors import InvalidMessage
from monitor.settings import Resume, SegmenterSettings
from monitor.sockets import WAVE_MESSAGES, receive_waiting
from monitor.stages.host import Counters, StageHost, Stopped
from monitor.wire import (
    BeatsHeader,
    BeatsMessage,
    EndHeader,
    HealthHeader,
    SamplesHeader,
    SamplesMessage,
    SignalEvent,
    StageMessage,
    Stream,
    Wave,
)
from segmenter.beat import BeatSpec
from segmenter.errors import SegmenterError
from segmenter.stream import Segmented, Segmenter

MAX_PATIENTS = 10_000  # more names than a ward has patients are an attack on memory
WAVE_FS_HZ = 125.0
WAVE_PERIOD_S = 0.1  # of real time between two stretches of a patient's waveform
WAVE_S = 10.0  # signal a stretch at most: what a view can show
_ORIGIN = struct.Struct("<q")


@dataclass
class PatientStream:
    """One patient's segmenter, and where in the record its sample 0 lies."""

    stream: Stream  # names, lead and rate do not change
    segmenter: Segmenter
    origin: int
    sequence: int = 0
    wave_due_s: float = 0.0

    @property
    def position(self) -> int:
        """The sample of the record that is expected next."""
        return self.origin + self.segmenter.position

    def to_bytes(self) -> bytes:
        """Return what `resumed` needs to go on from here."""
        return _ORIGIN.pack(self.origin) + self.segmenter.to_bytes()

    @classmethod
    def resumed(cls, stream: Stream, state: bytes) -> PatientStream:
        """Go on from what `to_bytes` returned."""
        (origin,) = _ORIGIN.unpack_from(state)
        return cls(stream, Segmenter.from_bytes(state[_ORIGIN.size :]), origin)


@dataclass
class Produced:
    """What a message led to: frames for the next stage, waveforms for views."""

    frames: list[list[bytes]] = field(default_factory=list)
    waves: list[Wave] = field(default_factory=list)
    last: bool = False  # nothing else will come


class SegmenterStage:
    """The stage without its sockets: `step(message) -> Produced`."""

    def __init__(
        self, spec: BeatSpec, streams: list[Stream], resume: list[Resume], counters: Counters
    ) -> None:
        self._spec = spec
        self._counters = counters
        states = {one.patient: one.segmenter_state for one in resume}
        self._streams = {
            one.patient: PatientStream.resumed(one, states[one.patient])
            for one in streams
            if one.patient in states
        }

    def step(self, message: StageMessage, now_s: float) -> Produced:
        """Take a message in; InvalidMessage if it does not fit what came before."""
        match message:
            case SamplesMessage(header, samples):
                return self._samples(header, samples, now_s)
            case EndHeader():
                return self._end(message)
            case HealthHeader():
                return Produced(frames=[encode_header(message)])
            case BeatsMessage():
                raise InvalidMessage("beats were sent to the segmenter; it takes samples")

    def _samples(
        self, header: SamplesHeader, samples: NDArray[np.float32], now_s: float
    ) -> Produced:
        stream = self._streams.get(header.patient) or self._open(header)
        if (header.fs_hz, header.lead) != (stream.stream.fs_hz, stream.stream.lead):
            raise InvalidMessage(f"{header.patient}: rate or lead changed within a stream")
        missing = header.position - stream.position
        if missing < 0:  # received before, or a sender that went back
            self._counters.gaps += 1
            self._counters.dropped += min(-missing, len(samples))
            samples = samples[-missing:]
        produced = Produced()
        if missing > 0:
            self._counters.gaps += 1
            self._counters.dropped += missing
            self._pass_on(stream, header.sent_ns, stream.segmenter.gap(missing), produced)
        segmented = stream.segmenter.update(samples)
        self._pass_on(stream, header.sent_ns, segmented, produced)
        if now_s >= stream.wave_due_s:
            stream.wave_due_s = now_s + WAVE_PERIOD_S
            produced.waves.append(_wave(stream, samples, segmented))
        return produced

    def _open(self, header: SamplesHeader) -> PatientStream:
        if len(self._streams) >= MAX_PATIENTS:
            raise InvalidMessage(f"more than {MAX_PATIENTS} patients")
        try:
            segmenter = Segmenter(header.fs_hz, self._spec)
        except SegmenterError as error:
            raise InvalidMessage(f"{header.patient}: {error}") from error
        described = Stream(
            patient=header.patient,
            record=header.record,
            lead=header.lead,
            fs_hz=header.fs_hz,
            first_sample=header.position,
            n_samples=None,
        )
        stream = PatientStream(described, segmenter, origin=header.position)
        self._streams[header.patient] = stream
        return stream

    def _end(self, header: EndHeader) -> Produced:
        produced = Produced(last=header.last)
        stream = self._streams.pop(header.patient, None)
        if stream is not None and header.reason == "complete":
            # Not where a person stopped it: a run that is resumed cuts the open beats whole.
            self._pass_on(stream, header.sent_ns, stream.segmenter.flush(), produced)
        produced.frames.append(encode_header(header))
        return produced

    def _pass_on(
        self, stream: PatientStream, sent_ns: int, segmented: Segmented, produced: Produced
    ) -> None:
        beats = segmented.beats
        header = BeatsHeader(
            version=1,
            patient=stream.stream.patient,
            record=stream.stream.record,
            sequence=stream.sequence,
            sent_ns=sent_ns,
            position=stream.position,
            lead=stream.stream.lead,
            fs_hz=stream.stream.fs_hz,
            spec=self._spec.identity,
            length=self._spec.length,
            n_beats=len(beats),
            events=[
                SignalEvent(event.kind, event.state, stream.origin + event.sample)
                for event in segmented.events
            ],
        )
        stream.sequence += 1
        in_record = beats.moved(stream.origin)
        produced.frames.append(encode_beats(header, in_record, stream.to_bytes()))


def _wave(stream: PatientStream, samples: NDArray[np.float32], segmented: Segmented) -> Wave:
    """Thin the newest samples for the view; on a fixed grid, so that stretches join."""
    fs_hz = stream.stream.fs_hz
    every = max(1, round(fs_hz / WAVE_FS_HZ))
    start = max(stream.position - len(samples), stream.position - round(WAVE_S * fs_hz))
    first = -(-start // every) * every
    thinned = samples[len(samples) - (stream.position - first) :: every]
    return Wave(
        schema=1,
        patient=stream.stream.patient,
        sample=first,
        fs_hz=fs_hz / every,
        values=numbers_or_none(thinned, 4),
        r_samples=[int(r) + stream.origin for r in segmented.r_samples][-64:],
    )


def run(settings: SegmenterSettings) -> Counters:
    """Segment what comes until told to stop, or until the last stream has ended.

    Raises
    ------
    MonitorError
        If an endpoint cannot be used.
    SegmenterError
        If a stream's sampling rate cannot be segmented.
    """
    with StageHost("segmenter", settings) as host:
        receiver = host.sockets.pull(settings.samples)
        waves = host.sockets.publish(settings.wave, WAVE_MESSAGES)
        sender = host.sockets.push(settings.beats)
        try:
            start = host.ready()
            spec = _beat_spec(settings, start.spec)
            for stream in start.streams:
                Segmenter(stream.fs_hz, spec)  # refuse now what cannot be segmented
            stage = SegmenterStage(spec, start.streams, settings.resume, host.counters)
            _segment(host, stage, receiver, sender, waves)
            host.finished()
        except Stopped:
            pass
    return host.counters


def _beat_spec(settings: SegmenterSettings, wanted: dict[str, str | int]) -> BeatSpec:
    return BeatSpec.from_mapping(wanted if settings.window is None else {"window": settings.window})


def _segment(
    host: StageHost,
    stage: SegmenterStage,
    receiver: zmq.Socket[bytes],
    sender: zmq.Socket[bytes],
    waves: zmq.Socket[bytes],
) -> None:
    last = False
    while not (last and host.supervised):
        host.send_health(sender)
        host.wait([receiver])
        for frames in receive_waiting(receiver):
            host.counters.messages_in += 1
            try:
                produced = stage.step(decode_stage_message(frames), time.monotonic())
            except InvalidMessage:
                host.counters.malformed += 1
                continue
            for outgoing in produced.frames:
                host.send(sender, outgoing)
            for wave in produced.waves:
                waves.send_multipart(encode_message(wave), zmq.DONTWAIT)
            last = last or produced.last
