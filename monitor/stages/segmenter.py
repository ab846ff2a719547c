"""The segmenter's process: receives samples, finds and cuts beats, sends them on.

All that waits on the socket is taken in one step: patients whose blocks are equally long are rows
of one bank. Holes between messages are passed on as gaps; samples that were received before are
dropped; both are counted.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

import numpy as np
import zmq
from numpy.typing import NDArray

from monitor.delivery.audience import Audience
from monitor.errors import InvalidMessage
from monitor.freed_memory import keep_freed_memory
from monitor.settings import Resume, SegmenterSettings
from monitor.stages.host import Counters, StageHost, StageStopped, Waits
from monitor.stages.recent_signal import RecentSignal
from monitor.step_result import StepResult
from monitor.wire.codec import encode_message, numbers_or_none
from monitor.wire.messages import (
    ALL_WAVES,
    BeatsHeader,
    BeatsMessage,
    EndHeader,
    HealthHeader,
    OtherLead,
    RecordEvent,
    SamplesHeader,
    SamplesMessage,
    ShedHeader,
    StageMessage,
    Stream,
    Wave,
)
from monitor.wire.sockets import WAVE_MESSAGES, queue_messages, receive_waiting
from segmenter.beat import BeatSpec
from segmenter.errors import InvalidState, OtherState, SegmenterError
from segmenter.pool import PoolSegmented, SegmenterPool
from segmenter.signs import Signs
from segmenter.stream import Segmenter
from segmenter.tracker import SignalEvent

MAX_PATIENTS = 10_000  # more names than a ward has patients are an attack on memory
MAX_ROUND = 512  # messages a step, or a bundle more: some 30 ms of work
WAVE_PERIOD_S = 0.1  # of real time between two stretches of a patient's waveform
MAX_JOINED_S = 2.0  # of signal that came within it, and goes with the next stretch
ENDED = 256  # patients whose last seconds are kept when they have ended, 5 KB each
HISTORIES = 16  # patients whose last seconds are sent at once to a view that has come
# A state is 15 to 22 KB, takes 0.1 ms to make and is journaled. So each patient's goes along at
# most every second, and of all patients so many a second, in turn: 1 MB. With 200 the disk decided
# how large a ward may be (a 99th percentile of 1,080 ms at 1,000 patients, of 150 with 50).
STATE_S = 1.0
STATES_PER_S = 50.0
# After so long, in real time or in the signal's, a message goes out though it has neither beats nor
# events: the consumer must hear that samples come, and how far the signal is without a beat.
QUIET_S = 1.0
GOLDEN = 0.618034  # multiples of it, less their whole parts, lie evenly in 0 to 1
_ORIGIN = struct.Struct("<qQ")  # where the stretch began, and its identity
# Two producers of one patient: the second is refused for as long as the first was heard so lately.
SENDER_S = 3.0
RIVAL_S = 10.0  # without the second it is over
# Samples that lie so far back were received before; further back the sender counts anew, as where
# it skips more than an hour. An event says so, and nothing is dropped for longer.
OVERLAP_S, MAX_GAP_S = 5.0, 3600.0
MAX_IDENTITY = 1 << 53
NO_SAMPLES: NDArray[np.float32] = np.zeros((1, 0), np.float32)


class PoolKey(NamedTuple):
    """What patients of one pool have in common."""

    fs_hz: float
    leads: int
    waves: int


@dataclass(slots=True)
class PatientStream:
    """One patient's row in a pool, and where in the record its sample 0 lies."""

    stream: Stream  # names, leads and rate do not change
    key: PoolKey
    pool: SegmenterPool
    row: int
    origin: int
    position: int  # the sample of the record that is expected next
    number: int  # in the order in which patients came
    stretch: int  # tells it from the stretches of the patient before and after
    sender: int | None = None  # none after a restart: who sends first is the one
    heard_s: float = -inf
    rival_s: float = -inf  # when samples of another sender were last refused
    rivals: bool = False  # whether that was reported
    notices: list[RecordEvent] = field(default_factory=list)  # for the next message
    sequence: int = 0
    wave_due_s: float = 0.0
    wave_end: int = 0  # the sample after the last one that a view was sent
    wave_r_samples: list[int] = field(default_factory=list)  # that came before the next is due
    state_due_s: float = -inf
    sent_s: float = -inf
    sent_position: int = 0
    is_shed: bool = False  # by a source that cannot wait: the hole that follows is reported already

    @property
    def recent(self) -> RecentSignal:
        """The last ten seconds of its leads."""
        return RecentSignal(self.stream.fs_hz, self.pool.latest(self.row), self.position)

    def taken_notices(self, events: Sequence[SignalEvent]) -> list[RecordEvent]:
        """Return the notices, which are taken, and events in samples of the record."""
        notices, self.notices = self.notices, []
        return notices + [
            RecordEvent(
                event.kind,
                event.state,
                self.origin + event.sample,
                [self.stream.leads[lead] for lead in event.leads],
            )
            for event in events
        ]

    def is_quiet(self, now_s: float) -> bool:
        """Tell whether nothing was sent of it for so long that a message is due."""
        if now_s - self.sent_s >= QUIET_S:
            return True
        return (self.position - self.sent_position) / self.stream.fs_hz >= QUIET_S

    def to_bytes(self) -> bytes:
        """Return what `SegmenterStage` needs to let the patient go on from here."""
        return _ORIGIN.pack(self.origin, self.stretch) + self.pool.to_bytes(self.row)


class Block(NamedTuple):
    """The samples of a message that are new, and how many before them never came."""

    stream: PatientStream
    sent_ns: int
    samples: NDArray[np.float32]  # (leads + waves, n)
    missing: int


def nobody(patient: str) -> bool:
    """Say that no view shows this patient's waveform."""
    return False


class SampleSegmenter:
    """The stage without its sockets: `step(messages, now_s) -> StepResult`.

    Parameters
    ----------
    spec : BeatSpec
        How beats are cut.
    streams, resume : list
        Patients that are announced, and the states of those that go on.
    counters : Counters
        Holes, overlaps and what is no message for this stage are counted.
    shown : callable
        Whether anybody looks at a patient's waveform.
    measure_signs : bool
        Whether messages carry the signs that named alarms are decided on: then one goes out at the
        end of each hop.
    states_per_s : float, optional
        Of all patients together, in turn. Default: `STATES_PER_S`.
    """

    def __init__(
        self,
        spec: BeatSpec,
        streams: list[Stream],
        resume: list[Resume],
        counters: Counters,
        shown: Callable[[str], bool] = nobody,
        *,
        measure_signs: bool = True,
        states_per_s: float | None = None,
    ) -> None:
        self._spec = spec
        self._states_per_s = STATES_PER_S if states_per_s is None else states_per_s
        self._measure_signs = measure_signs
        self._identity = spec.identity
        self._counters = counters
        self._shown = shown
        self._pools: dict[PoolKey, SegmenterPool] = {}
        self._opened = 0
        self._streams: dict[str, PatientStream] = {}
        self._ended: dict[str, tuple[Stream, RecentSignal]] = {}  # the newest last
        self.expect(streams, resume)

    def expect(self, streams: Sequence[Stream], resume: Sequence[Resume]) -> None:
        """Take in patients who go on from their states; of the others nothing is known yet."""
        states = {one.patient: one.segmenter_state for one in resume}
        for one in streams:
            if one.patient in states:
                state = states[one.patient]
                if len(state) < _ORIGIN.size:
                    raise InvalidState(f"saved state of {one.patient}: it is cut short")
                origin, stretch = _ORIGIN.unpack_from(state)
                resumed = self._admit(one, origin, stretch)
                with suppress(OtherState):  # the consumer refuses the run, and says how it differs
                    resumed.pool.restore(resumed.row, state[_ORIGIN.size :])
                resumed.position = origin + resumed.pool.position(resumed.row)

    def step(self, messages: Sequence[StageMessage], now_s: float) -> StepResult[StageMessage]:
        """Take messages in; those that do not fit what came before are counted and dropped."""
        result = StepResult[StageMessage]()
        side_by_side: dict[str, SamplesMessage] = {}  # one of each patient
        for message in messages:
            if isinstance(message, SamplesMessage):
                if message.header.patient in side_by_side:
                    self._take(side_by_side, now_s, result)
                side_by_side[message.header.patient] = message
                continue
            self._take(side_by_side, now_s, result)
            match message:
                case EndHeader():
                    self._end(message, now_s, result)
                case ShedHeader():
                    if message.patient in self._streams:
                        self._streams[message.patient].is_shed = True
                    result.messages.append(message)
                case HealthHeader():
                    result.messages.append(message)
                case BeatsMessage():  # it takes samples
                    self._counters.malformed += 1
        self._take(side_by_side, now_s, result)
        return result

    def forget(self, patients: Iterable[str]) -> None:
        """Give up patients whom another serves from now on; nothing is said of them."""
        for name in patients:
            stream = self._streams.get(name)
            if stream is not None:
                self._remove(stream)
            self._ended.pop(name, None)

    def recent_waves(self, patients: Sequence[str]) -> list[Wave]:
        """Return the last ten seconds of patients, for a view that has just come to them."""
        now = {name: self._streams.get(name) for name in patients}
        kept = [
            self._ended.get(name) if one is None else (one.stream, one.recent)
            for name, one in now.items()
        ]
        waves = [_wave(stream, recent, 0, []) for stream, recent in filter(None, kept)]
        return [wave for wave in waves if wave.values]

    def knows(self, patient: str) -> bool:
        """Tell whether a patient's last seconds are kept here."""
        return patient in self._streams or patient in self._ended

    def followed(self, topic: str) -> list[str]:
        """Return the patients whose waveforms a topic asks for."""
        name, known = topic.removeprefix(ALL_WAVES), self._streams | self._ended
        if name in known:  # others may begin alike: of those nobody looks at the signal
            return [name]
        return [one for one in known if f"{ALL_WAVES}{one}".startswith(topic)]

    def _take(
        self, messages: dict[str, SamplesMessage], now_s: float, result: StepResult[StageMessage]
    ) -> None:
        """Take one block of each of some patients, those of one length together."""
        of_pools: dict[SegmenterPool, dict[int, list[Block]]] = {}
        behind_holes: dict[tuple[PoolKey, int], list[Block]] = {}
        for header, samples in messages.values():
            try:
                block = self._block(header, samples, now_s, result)
            except InvalidMessage:
                self._counters.malformed += 1
                continue
            stream, n = block.stream, block.samples.shape[1]
            if block.missing:
                behind_holes.setdefault((stream.key, block.missing), []).append(block)
            if n:
                alike = of_pools.get(stream.pool)
                if alike is None:
                    alike = of_pools[stream.pool] = {}
                blocks = alike.get(n)
                if blocks is None:
                    blocks = alike[n] = []
                blocks.append(block)
        messages.clear()
        # Together as well: when a source sheds, every patient has a hole, and if holes took longer
        # than blocks the stage would never catch up.
        for (key, missing), blocks in behind_holes.items():
            rows = [block.stream.row for block in blocks]
            found = self._pools[key].gap(rows, missing)
            for block, events in zip(blocks, found.events, strict=True):
                if block.stream.is_shed:
                    block.stream.is_shed = False
                    events[:] = [one for one in events if not _is_loss(one)]
            self._pass_on(blocks, found, [missing] * len(blocks), now_s, result)
        for pool, alike in of_pools.items():
            found = pool.update_all([_rows_and_chunk(blocks) for blocks in alike.values()])
            taken = [block for blocks in alike.values() for block in blocks]
            lengths = [n for n, blocks in alike.items() for _ in blocks]
            self._pass_on(taken, found, lengths, now_s, result)
            self._show(taken, found, now_s, result)

    def _show(
        self,
        blocks: list[Block],
        found: PoolSegmented,
        now_s: float,
        result: StepResult[StageMessage],
    ) -> None:
        """Make the waveforms of patients whom somebody looks at."""
        for place, block in enumerate(blocks):
            stream = block.stream
            if now_s < stream.wave_due_s:  # two blocks at once: the next stretch has both
                stream.wave_r_samples += [r + stream.origin for r in found.r_samples(place)]
                continue
            if self._shown(stream.stream.patient):
                stream.wave_due_s = now_s + WAVE_PERIOD_S
                start = stream.position - block.samples.shape[1]
                if 0 < start - stream.wave_end <= MAX_JOINED_S * stream.stream.fs_hz:
                    start = stream.wave_end
                r_samples = [r + stream.origin for r in found.r_samples(place)]
                r_samples = [*stream.wave_r_samples, *r_samples]
                result.waves.append(_wave(stream.stream, stream.recent, start, r_samples))
                stream.wave_end = stream.position
            stream.wave_r_samples = []

    def _pass_on(
        self,
        blocks: list[Block],
        found: PoolSegmented,
        n_samples: Sequence[int],
        now_s: float,
        result: StepResult[StageMessage],
    ) -> None:
        """Send on what became known of each patient by so many more samples."""
        origins = np.array([block.stream.origin for block in blocks], np.int64)
        beats = found.beats.moved(np.repeat(origins, found.counts))
        first = 0
        signs_of_each = found.signs.moved(origins).of_each()
        of_each = zip(blocks, n_samples, found.counts, found.events, signs_of_each, strict=True)
        for block, n_new, n_beats, events, signs in of_each:
            stream = block.stream
            stream.position += n_new
            has_state = now_s >= stream.state_due_s
            if (
                n_beats
                or signs is not None
                or has_state
                or events
                or stream.notices
                or stream.is_quiet(now_s)
            ):
                state = self._state(stream, now_s) if has_state else b""
                header = self._header(stream, block.sent_ns, n_beats, events, signs)
                result.messages.append(BeatsMessage(header, beats, state, first, signs))
                stream.sent_s, stream.sent_position = now_s, stream.position
                stream.sequence += 1
            first += n_beats

    def _block(
        self,
        header: SamplesHeader,
        samples: NDArray[np.float32],
        now_s: float,
        result: StepResult[StageMessage],
    ) -> Block:
        """Return what is new of a message, and how much is missing before it."""
        stream = self._streams.get(header.patient) or self._open(header)
        if stream.sender != header.sender or stream.rivals:
            self._require_one_sender(stream, header, now_s)
        stream.heard_s = now_s
        missing = header.position - stream.position
        as_before = _is_like(header, stream.stream)
        if missing == 0 and as_before:  # nearly always
            return Block(stream, header.sent_ns, samples, 0)
        plausible = -OVERLAP_S * header.fs_hz <= missing <= MAX_GAP_S * header.fs_hz
        if not (as_before and plausible):
            stream = self._begin_stretch(stream, header, now_s, result)
            missing = 0
        if missing < 0:  # received before, or a sender that went back
            self._counters.gaps += 1
            self._counters.dropped += min(-missing, header.n_samples)
            samples = samples[:, -missing:]
        if missing > 0:
            self._counters.gaps += 1
            self._counters.dropped += missing
        return Block(stream, header.sent_ns, samples, max(missing, 0))

    def _require_one_sender(
        self, stream: PatientStream, header: SamplesHeader, now_s: float
    ) -> None:
        """Raise InvalidMessage if the patient's samples come from another sender at this time."""
        if stream.sender not in (None, header.sender) and now_s - stream.heard_s < SENDER_S:
            stream.rival_s = now_s
            if not stream.rivals:
                stream.rivals = True
                stream.notices.append(RecordEvent("two_senders", "onset", stream.position))
            self._counters.dropped += header.n_samples
            raise InvalidMessage(f"{header.patient}: two senders at a time")
        stream.sender = header.sender
        if stream.rivals and now_s - stream.rival_s > RIVAL_S:
            stream.rivals = False
            stream.notices.append(RecordEvent("two_senders", "cleared", stream.position))

    def _begin_stretch(
        self,
        before: PatientStream,
        header: SamplesHeader,
        now_s: float,
        result: StepResult[StageMessage],
    ) -> PatientStream:
        """End a stretch of samples and begin another where the message begins."""
        self._counters.gaps += 1
        self._close(before, header.sent_ns, now_s, result)
        after = self._open(header)
        after.sequence, after.number = before.sequence, before.number
        after.sender, after.heard_s = before.sender, before.heard_s
        after.rival_s, after.rivals = before.rival_s, before.rivals
        return after

    def _close(
        self,
        stream: PatientStream,
        sent_ns: int,
        now_s: float,
        result: StepResult[StageMessage],
        *,
        flush: bool = True,
    ) -> None:
        """Give up a patient's row; its last beats are sent on first."""
        if flush:
            stream.state_due_s = -inf
            last = Block(stream, sent_ns, NO_SAMPLES, 0)
            self._pass_on([last], stream.pool.flush(stream.row), [0], now_s, result)
        self._remove(stream)

    def _remove(self, stream: PatientStream) -> None:
        del self._streams[stream.stream.patient]
        stream.pool.remove(stream.row)
        if not stream.pool.patients:
            del self._pools[stream.key]  # a sender's choice: none is kept

    def _open(self, header: SamplesHeader) -> PatientStream:
        if len(self._streams) >= MAX_PATIENTS:
            self._counters.refused_patients += 1
            raise InvalidMessage(f"more than {MAX_PATIENTS} patients")
        described = Stream(
            patient=header.patient,
            record=header.record,
            leads=header.leads,
            fs_hz=header.fs_hz,
            first_sample=header.position,
            n_samples=None,
            waves=header.waves,
        )
        try:
            return self._admit(described, header.position, header.sent_ns % MAX_IDENTITY)
        except SegmenterError as error:
            raise InvalidMessage(f"{header.patient}: {error}") from error

    def _admit(self, described: Stream, origin: int, stretch: int) -> PatientStream:
        key = PoolKey(described.fs_hz, len(described.leads), len(described.waves))
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = SegmenterPool(
                key.fs_hz,
                self._spec,
                key.leads,
                key.waves,
                measure_signs=self._measure_signs,
            )
        row, number = pool.add(), self._opened
        stream = PatientStream(described, key, pool, row, origin, origin, number, stretch)
        self._streams[described.patient] = stream
        self._opened += 1
        return stream

    def _end(self, header: EndHeader, now_s: float, result: StepResult[StageMessage]) -> None:
        result.finished = result.finished or header.last
        stream = self._streams.get(header.patient)
        if stream is not None:
            self._ended.pop(header.patient, None)
            self._ended[header.patient] = stream.stream, stream.recent
            if len(self._ended) > ENDED:
                del self._ended[next(iter(self._ended))]
            # Not where a person stopped it: a run that is resumed cuts the open beats whole.
            flush = header.reason == "complete"
            self._close(stream, header.sent_ns, now_s, result, flush=flush)
        result.messages.append(header)

    def _state(self, stream: PatientStream, now_s: float) -> bytes:
        """Return a patient's state, whose turn it is, and note when that is next."""
        # The first goes with the first message; from then on they are spread evenly.
        every_s = max(STATE_S, len(self._streams) / self._states_per_s)
        first = stream.state_due_s == -inf
        part = stream.number * GOLDEN % 1.0 if first and every_s > STATE_S else 1.0
        stream.state_due_s = now_s + part * every_s
        return stream.to_bytes()

    def _header(
        self,
        stream: PatientStream,
        sent_ns: int,
        n_beats: int,
        events: Sequence[SignalEvent],
        signs: Signs | None,
    ) -> BeatsHeader:
        described = stream.stream
        n_hops = n_complexes = n_pulses = 0
        if signs is not None:
            n_hops, n_complexes = len(signs.end_sample), len(signs.complexes)
            n_pulses = len(signs.pulses)
        return BeatsHeader(
            version=5,
            patient=described.patient,
            record=described.record,
            sequence=stream.sequence,
            sent_ns=sent_ns,
            position=stream.position,
            leads=described.leads,
            fs_hz=described.fs_hz,
            spec=self._identity,
            length=self._spec.length,
            n_beats=n_beats,
            events=stream.taken_notices(events) if events or stream.notices else [],
            stretch=stream.stretch,
            first_sample=stream.origin,
            waves=described.waves,
            n_hops=n_hops,
            n_complexes=n_complexes,
            n_pulses=n_pulses,
        )


def _rows_and_chunk(blocks: list[Block]) -> tuple[list[int], NDArray[np.float32]]:
    """Return the rows of blocks of one length, and their samples, (rows, leads + waves, n)."""
    return [block.stream.row for block in blocks], np.stack([block.samples for block in blocks])


def _is_like(header: SamplesHeader, stream: Stream) -> bool:
    """Tell whether samples are of a stream: what stays the same within a stretch."""
    return (
        header.fs_hz == stream.fs_hz
        and header.leads == stream.leads
        and header.waves == stream.waves
    )


def _is_loss(event: SignalEvent) -> bool:
    return (event.kind, event.state) == ("signal_lost", "onset")


def _wave(stream: Stream, recent: RecentSignal, start: int, r_samples: list[int]) -> Wave:
    """Return the newest signal from a sample on, as a view draws it."""
    first, values = recent.since(start)
    return Wave(
        schema=1,
        patient=stream.patient,
        sample=first,
        fs_hz=recent.fs_hz,
        values=numbers_or_none(values[0], 4),
        r_samples=r_samples[-64:],
        record_fs_hz=stream.fs_hz,
        lead=stream.leads[0],
        others=[
            OtherLead(lead, numbers_or_none(row, 4))
            for lead, row in zip(stream.leads[1:], values[1:], strict=True)
        ],
    )


class WaveAudience:
    """Who looks at waveforms: none is made that nobody asked for, or while the stage is behind.

    Parameters
    ----------
    publications : zmq.Socket
        An XPUB, on which subscriptions can be heard.
    """

    def __init__(self, publications: zmq.Socket[bytes]) -> None:
        self._publications = publications
        self._asked = Audience(ALL_WAVES, MAX_PATIENTS)
        self._new: list[str] = []
        self.is_shed = False

    @property
    def refused(self) -> int:
        """Subscriptions to more topics than are kept."""
        return self._asked.refused

    def listen(self) -> None:
        """Take note of subscriptions that began or ended."""
        for frames in receive_waiting(self._publications):
            topic = self._asked.take(frames[0])
            if topic is not None:
                self._new = [*self._new, topic][-HISTORIES:]

    def wants(self, patient: str) -> bool:
        """Tell whether a patient's waveform is to be made."""
        return not self.is_shed and self._asked.wants(patient)

    def newly_asked(self) -> list[str]:
        """Return the topics that were asked for since the last call; none while behind."""
        if self.is_shed:
            return []
        asked, self._new = self._new, []
        return asked

    def show(self, waves: list[Wave]) -> None:
        """Send waveforms to who looks; never blocks."""
        for wave in waves:
            self._publications.send_multipart(encode_message(wave), zmq.DONTWAIT)


def run(settings: SegmenterSettings) -> Counters:
    """Segment what comes until told to stop, or until the last stream has ended.

    Raises
    ------
    MonitorError
        If an endpoint cannot be used.
    SegmenterError
        If a stream's sampling rate cannot be segmented.
    """
    keep_freed_memory()
    with StageHost("segmenter", settings) as host:
        n_queued = queue_messages(settings.live)
        receiver = host.sockets.pull(settings.samples, n_queued)
        publications = host.sockets.publish(settings.wave, WAVE_MESSAGES, each=True)
        audience = WaveAudience(publications)
        sender = host.sockets.push(settings.beats, n_queued)
        try:
            start = host.ready()
            spec = _beat_spec(settings, start.spec)
            for stream in start.streams:
                # What cannot be segmented is refused now.
                Segmenter(stream.fs_hz, spec, len(stream.leads), len(stream.waves))
            host.say(
                f"listens for samples on {settings.samples}, sends beats to {settings.beats}, "
                f"publishes waveforms on {settings.wave}"
            )
            segmenter = SampleSegmenter(
                spec,
                start.streams,
                settings.resume,
                host.counters,
                audience.wants,
                measure_signs=settings.measure_signs,
            )
            host.run(SegmenterStage(host, segmenter, receiver, sender, audience))
            host.finished()
        except StageStopped:
            pass
    return host.counters


def _beat_spec(settings: SegmenterSettings, wanted: dict[str, str | int]) -> BeatSpec:
    return BeatSpec.from_mapping(wanted if settings.window is None else {"window": settings.window})


class SegmenterStage:
    """Samples in, beats out: the sockets of a `SampleSegmenter`."""

    most = MAX_ROUND

    def __init__(
        self,
        host: StageHost,
        segmenter: SampleSegmenter,
        receiver: zmq.Socket[bytes],
        sender: zmq.Socket[bytes],
        audience: WaveAudience,
    ) -> None:
        self._host, self._segmenter, self._audience = host, segmenter, audience
        self._receiver, self._sender = receiver, sender
        self._last = False

    @property
    def done(self) -> bool:
        """Whether the last stream has ended; alone, the stage waits for further ones."""
        return self._last and self._host.supervised

    def inlets(self) -> Sequence[zmq.Socket[bytes]]:
        """Return the socket that samples come from."""
        return (self._receiver,)

    def waits_for(self) -> Waits:
        """Wait for samples."""
        return Waits()

    def step(self, messages: Sequence[StageMessage], now_s: float) -> StepResult[StageMessage]:
        """Find and cut the beats of what came; views are the first to go when more waits."""
        self._audience.listen()
        self._host.counters.refused_views = self._audience.refused
        self._audience.is_shed = self._host.more_waits
        self._host.say_who_came(messages)
        # Before the newest stretches, which then join what is sent here.
        before = [
            wave
            for topic in self._audience.newly_asked()
            for wave in self._segmenter.recent_waves(self._segmenter.followed(topic)[:HISTORIES])
        ]
        result = self._segmenter.step(messages, now_s)
        result.waves[:0] = before
        return result

    def pass_on(self, result: StepResult[StageMessage], now_s: float) -> None:
        """Send beats to the consumer, waveforms to the views."""
        self._host.send_health(self._sender)
        self._host.send(self._sender, result.messages)
        self._audience.show(result.waves)
        self._last = self._last or result.finished
