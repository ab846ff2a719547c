"""The producer's plan: what is read of which record, in which blocks, and when each is due.

A record's block is due at `t0 + (its end - its start sample) / fs / speed`: due times come from
positions, never from the time before, so that pacing does not drift. A live source's is due when it
is there.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import InvalidOption, MonitorError, RecordError
from monitor.settings import BLOCK_S, MAX_BLOCK_S, ProducerSettings, Ward
from monitor.sources.kinds import PIPE, PIPE_SCHEME, cannot_wait, is_live, open_live, open_record
from monitor.sources.record_file import record_name
from monitor.sources.source import RecordSource, SourceOptions, WaveSource
from monitor.sources.ward import InMemory, beds
from monitor.stages.reception import Reception
from monitor.text import harmless
from monitor.wire.messages import (
    MONITOR,
    EndHeader,
    SamplesHeader,
    SamplesMessage,
    StageMessage,
    Stream,
)
from segmenter.errors import InvalidSignal, SegmenterError
from segmenter.rates import check_rate

PassOver = Callable[[str, str], None]

# How often what does not wait is looked at and sent. The more goes together, the less of it is what
# a step costs whatever it holds: with 20 ms the segmenter takes a sixth more CPU.
TICK_S = 0.05
DIGEST_S = 10.0  # signal by which a record is known again; in the block that is read first anyway


@dataclass
class Playback:
    """One record's way through time: what is sent next, and what is left.

    `position` counts from the record's start and, with `loop`, keeps rising over the record's end.
    """

    source: RecordSource
    patient: str
    first_sample: int
    stop_sample: int
    loop: bool
    position: int
    sequence: int = 0
    block_s: float = BLOCK_S  # of real time
    sender: int = 0  # the producer's identity
    ended: bool = False  # its end has been sent

    def __post_init__(self) -> None:
        waves = self.source if isinstance(self.source, WaveSource) else None
        self._waves = waves if waves is not None and waves.waves else None

    @property
    def waves(self) -> list[str]:
        """Names of the pulse waves that are sent behind the leads."""
        return [] if self._waves is None else list(self._waves.waves)

    @property
    def exhausted(self) -> bool:
        """Whether all samples asked for have been read."""
        return not self.loop and self.position >= self.stop_sample

    def next_block(self, max_samples: int) -> tuple[int, NDArray[np.float32]]:
        """Read on: the block's position and at most so many samples, (leads + waves, n).

        Never over the end.
        """
        span = self.stop_sample - self.first_sample
        start = self.first_sample + (self.position - self.first_sample) % span
        stop = min(start + max_samples, self.stop_sample)
        position = self.position
        self.position += stop - start
        samples = self.source.read(start, stop)
        if self._waves is not None:
            samples = np.concatenate((samples, self._waves.read_waves(start, stop)))
        return position, samples

    def take(self, max_samples: int, sent_ns: int) -> SamplesMessage:
        """Read on, as `next_block`; return the message."""
        position, samples = self.next_block(max_samples)
        header = SamplesHeader(
            version=5,
            patient=self.patient,
            record=self.source.record,
            sequence=self.sequence,
            sent_ns=sent_ns,
            position=position,
            leads=list(self.source.leads),
            fs_hz=self.source.fs_hz,
            n_samples=samples.shape[1],
            sender=self.sender,
            waves=self.waves,
        )
        self.sequence += 1
        return SamplesMessage(header, samples)

    def end(self, reason: Literal["complete", "stopped"], last: bool, sent_ns: int) -> EndHeader:
        """Close the source and end the stream; return the message that says so."""
        self.source.close()
        self.ended = True
        return EndHeader(
            version=5,
            patient=self.patient,
            record=self.source.record,
            sequence=self.sequence,
            sent_ns=sent_ns,
            position=self.position,
            reason=reason,
            last=last,
        )

    def stream(self) -> Stream:
        """Describe the record for the other stages."""
        return Stream(
            patient=self.patient,
            record=self.source.record,
            leads=list(self.source.leads),
            fs_hz=self.source.fs_hz,
            first_sample=self.first_sample,
            n_samples=None if self.loop else self.stop_sample,
            digest=self._digest(),
            warnings=[text[:1000] for text in self.source.warnings],
            waves=self.waves,
        )

    def _digest(self) -> str:
        stop = self.first_sample + round(DIGEST_S * self.source.fs_hz)
        samples = self.source.read(self.first_sample, min(stop, self.stop_sample))
        return hashlib.sha256(samples.astype("<f4").tobytes()).hexdigest()[:16]


class Opened(NamedTuple):
    """All that a producer sends."""

    playbacks: list[Playback]
    receptions: list[Reception]

    def streams(self) -> list[Stream]:
        """Describe all streams for the other stages."""
        return [
            *(one.stream() for one in self.playbacks),
            *(stream for one in self.receptions for stream in one.streams()),
        ]


def open_sources(
    settings: ProducerSettings, pass_over: PassOver = lambda _record, _text: None
) -> Opened:
    """Open all sources; of several, one that cannot be sent as asked is passed over.

    Parameters
    ----------
    pass_over : callable
        Receives each source that is passed over, and why.

    Raises
    ------
    RecordError, InvalidOption, InvalidSignal
        If none can be sent: why the first cannot.
    """
    if settings.ward is not None:
        return Opened(_ward_playbacks(settings, settings.ward), [])
    _refuse_what_live_sources_cannot(settings)
    # Names are given before anything is opened, so that they do not depend on what can be read.
    names = patient_names([name_of(record) for record in settings.records])
    resume = {reached.patient: reached.position for reached in settings.resume}
    sender = secrets.randbits(53)
    opened = Opened([], [])
    failed: list[tuple[str, MonitorError | SegmenterError]] = []
    for record, patient in zip(settings.records, names, strict=True):
        try:
            if is_live(record):
                live = open_live(record, _options(settings))
                waits = not cannot_wait(record)
                opened.receptions.append(
                    Reception(record, live, patient, settings, resume, sender, waits)
                )
                continue
            source = _open(record, settings)
            try:
                playback = _playback(source, patient, settings, resume.get(patient), sender)
                playback.stream()  # reads the first samples
            except BaseException:
                source.close()
                raise
            opened.playbacks.append(playback)
        except (MonitorError, SegmenterError) as error:
            failed.append((record, error))
    if not (opened.playbacks or opened.receptions):
        raise failed[0][1]
    for record, reason in failed:
        pass_over(record, str(reason))
    return opened


def _refuse_what_live_sources_cannot(settings: ProducerSettings) -> None:
    """Raise InvalidOption where an option makes no sense of a live source."""
    live = [one for one in settings.records if is_live(one)]
    if not live:
        return
    if len(set(live)) < len(live):  # standard input can be read once, an address be bound once
        raise InvalidOption("a live source is named twice; name each once")
    told = {
        "--speed": settings.speed not in (None, 1.0),
        "--start": settings.start_s > 0,
        "--loop": settings.loop,
    }
    for option, is_given in told.items():
        if is_given:
            raise InvalidOption(f"{option} is for records, and {live[0]} is live; leave it out")
    if any(map(cannot_wait, live)) and not all(map(cannot_wait, settings.records)):
        others = [one for one in settings.records if not cannot_wait(one)]
        raise InvalidOption(
            f"{others[0]} waits for the monitor and {live[0]} does not; run them apart"
        )


def name_of(record: str) -> str:
    """Return what a source's patient is named after."""
    if is_live(record):
        return PIPE_SCHEME if record == PIPE else record
    return record_name(Path(record))


def _ward_playbacks(settings: ProducerSettings, ward: Ward) -> list[Playback]:
    held = [InMemory.of(_open(record, settings)) for record in settings.records]
    resume = {reached.patient: reached.position for reached in settings.resume}
    sender = secrets.randbits(53)
    return [
        Playback(
            source=bed.source,
            patient=bed.patient,
            first_sample=0,
            stop_sample=bed.source.n_samples,
            loop=True,
            position=resume.get(bed.patient, bed.first_sample),
            block_s=bed.block_s,
            sender=sender,
        )
        for bed in beds(held, ward.patients, ward.block_s, ward.seed)
    ]


def _options(settings: ProducerSettings) -> SourceOptions:
    return SourceOptions(settings.leads, settings.fs_hz, settings.units, settings.keys)


def _open(record: str, settings: ProducerSettings) -> RecordSource:
    """Open a record that can be segmented; an error names the record."""
    source = open_record(record, _options(settings))
    try:
        check_rate(source.fs_hz)
    except InvalidSignal as error:
        source.close()
        raise RecordError(f"record {record}: {error}") from error
    return source


def patient_names(records: Sequence[str]) -> list[str]:
    """Name patients after their records, made harmless; equal ones get a number."""
    names: list[str] = []
    for record in records:
        base = harmless(record, 100).replace(" ", "_")
        name, number = base, 2
        while name in names or name == MONITOR:  # that one speaks of itself
            name, number = f"{base}#{number}", number + 1
        names.append(name)
    return names


def _playback(
    source: RecordSource, patient: str, settings: ProducerSettings, resumed: int | None, sender: int
) -> Playback:
    first = round(settings.start_s * source.fs_hz)
    if first >= source.n_samples:
        raise InvalidOption(
            f"--start {settings.start_s:g} s is behind the end of {source.record}, "
            f"which is {source.n_samples / source.fs_hz:.1f} s long"
        )
    stop = source.n_samples
    if settings.duration_s is not None:
        stop = min(stop, first + math.ceil(settings.duration_s * source.fs_hz))
    if stop - first < source.fs_hz:
        raise InvalidOption(
            f"{source.record}: less than 1 s is to be replayed; use a longer --duration"
        )
    return Playback(
        source=source,
        patient=patient,
        first_sample=first,
        stop_sample=stop,
        loop=settings.loop,
        position=first if resumed is None else resumed,
        sender=sender,
    )


class Pacer:
    """When each stream's next block is due; a pause moves all due times of records on.

    Parameters
    ----------
    playbacks, receptions : sequence
        Records, and live sources.
    speed : float or None
        How many times real time records are played; None as fast as they are taken.
    """

    def __init__(
        self,
        playbacks: Sequence[Playback],
        speed: float | None,
        now_s: float,
        receptions: Sequence[Reception] = (),
    ) -> None:
        self._speed = speed
        self._origins = [playback.position for playback in playbacks]
        self._playbacks = playbacks
        self._receptions = list(receptions)  # that have not ended
        self._n_sources = len(playbacks) + len(receptions)
        self._live_patients = [one for live in receptions for one in live.patients]
        self._more_came = False  # of a live source, when it was looked at last
        self._began_s = now_s
        self._paused_s: float | None = None
        self.failed: list[tuple[str, str]] = []  # patient and reason; who reports them clears it
        # With many streams, their first blocks are spread over one block's time.
        share = 1 / max(1, len(playbacks)) if speed is not None else 0.0
        self._offsets_s = [index * share * one.block_s for index, one in enumerate(playbacks)]
        self._queue = [(self._due_s(index), index) for index in range(len(playbacks))]
        heapq.heapify(self._queue)

    def __bool__(self) -> bool:
        return bool(self._queue or self._receptions)

    @property
    def patients(self) -> list[str]:
        """All patients' names, in the order in which they were given."""
        return [*(playback.patient for playback in self._playbacks), *self._live_patients]

    def block_samples(self, index: int) -> int:
        """How many samples a block holds: 0.2 s of real time, at most 30 s of signal."""
        playback = self._playbacks[index]
        signal_s = MAX_BLOCK_S
        if self._speed is not None:
            signal_s = min(playback.block_s * self._speed, MAX_BLOCK_S)
        return max(1, round(signal_s * playback.source.fs_hz))

    @property
    def due_s(self) -> float:
        """When the next block of a record is due."""
        return self._queue[0][0]

    def wait_s(self, now_s: float, paused: bool) -> float:
        """How long until a block is due; infinite while paused, and when all streams have ended."""
        if paused:
            self._paused_s = now_s if self._paused_s is None else self._paused_s
            return math.inf
        if self._paused_s is not None:
            pause_s, self._paused_s = now_s - self._paused_s, None
            self._began_s += pause_s
            self._queue = [(due_s + pause_s, index) for due_s, index in self._queue]
        of_live_s = math.inf
        if self._receptions:
            of_live_s = 0.0 if self._more_came else TICK_S
        return min(of_live_s, max(0.0, self.due_s - now_s) if self._queue else math.inf)

    def take_due(self, now_s: float, sent_ns: int | None) -> list[StageMessage]:
        """Take what is due of all records, of each one block at most, and what live sources have.

        With a stream's end; of several, one that cannot be read on ends, "stopped", and stands in
        `failed`.

        Parameters
        ----------
        sent_ns : int or None
            What the messages of records say of when they were sent; None: each when it was due.
        """
        taken = self._take_live(now_s)
        again: list[int] = []
        while self._queue and self.due_s <= now_s:
            due_s, index = heapq.heappop(self._queue)
            playback = self._playbacks[index]
            stamp_ns = round(1e9 * due_s) if sent_ns is None else sent_ns
            if playback.exhausted:
                is_last = not (self or again)
                taken.append(playback.end("complete", is_last, stamp_ns))
                continue
            try:
                taken.append(playback.take(self.block_samples(index), stamp_ns))
                again.append(index)
            except RecordError as error:
                if self._n_sources == 1:
                    raise
                self.failed.append((playback.patient, str(error)))
                taken.append(playback.end("stopped", not (self or again), stamp_ns))
        for index in again:
            heapq.heappush(self._queue, (self._due_s(index), index))
        return taken

    def take_notices(self, now_s: float) -> list[str]:
        """Return what happened to live sources since it was asked last."""
        return [text for one in self._receptions for text in one.take_notices(now_s)]

    def _take_live(self, now_s: float) -> list[StageMessage]:
        """Take what came of live sources; one that ends does so behind its last block."""
        taken: list[StageMessage] = []
        for one in list(self._receptions):
            reason: Literal["complete", "stopped"] = "complete"
            try:
                taken += one.take()
                if not (one.ended or one.is_overdue(now_s)):
                    continue
            except RecordError as error:
                is_alone = len(self._receptions) == 1 and not self._queue
                if self._n_sources == 1 or (is_alone and not one.patients):
                    raise  # with no stream to end, nobody behind would know that all is over
                self.failed.append((one.record, str(error)))
                reason = "stopped"
            self._receptions.remove(one)
            taken += one.end(reason, not self, round(1e9 * now_s))
        self._more_came = bool(taken)
        return taken

    def _due_s(self, index: int) -> float:
        """When the stream's next block is due: when its last sample would have been taken.

        At full speed this is the position itself, so that streams advance side by side.
        """
        playback = self._playbacks[index]
        samples = playback.position - self._origins[index] + self.block_samples(index)
        signal_s = samples / playback.source.fs_hz
        if self._speed is None:
            return self._began_s + signal_s * 1e-9
        return self._began_s + self._offsets_s[index] + signal_s / self._speed
