"""The producer's plan: what is read of which record, in which blocks, and when each is due.

A block is due at `t0 + (its end - its start sample) / fs / speed`: due times come from positions,
never from the time before, so that pacing does not drift.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from monitor.errors import InvalidOption, MonitorError, RecordError
from monitor.settings import BLOCK_S, MAX_BLOCK_S, ProducerSettings, Ward
from monitor.sources.source import Source
from monitor.sources.ward import InMemory, beds
from monitor.sources.wfdb_record import WfdbRecord
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

DIGEST_S = 10.0  # signal by which a record is known again; in the block that is read first anyway


@dataclass
class Playback:
    """One record's way through time: what is sent next, and what is left.

    `position` counts from the record's start and, with `loop`, keeps rising over the record's end.
    """

    source: Source
    patient: str
    first_sample: int
    stop_sample: int
    loop: bool
    position: int
    sequence: int = 0
    block_s: float = BLOCK_S  # of real time
    sender: int = 0  # the producer's identity
    ended: bool = False  # its end has been sent

    @property
    def exhausted(self) -> bool:
        """Whether all samples asked for have been read."""
        return not self.loop and self.position >= self.stop_sample

    def next_block(self, max_samples: int) -> tuple[int, NDArray[np.float32]]:
        """Read on: the block's position and at most so many samples of each lead, (leads, n).

        Never over the end.
        """
        span = self.stop_sample - self.first_sample
        start = self.first_sample + (self.position - self.first_sample) % span
        stop = min(start + max_samples, self.stop_sample)
        position = self.position
        self.position += stop - start
        return position, self.source.read(start, stop)

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
        )
        self.sequence += 1
        return SamplesMessage(header, samples)

    def end(self, reason: Literal["complete", "stopped"], last: bool, sent_ns: int) -> EndHeader:
        """End the stream; return the message that says so."""
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
        )

    def _digest(self) -> str:
        stop = self.first_sample + round(DIGEST_S * self.source.fs_hz)
        samples = self.source.read(self.first_sample, min(stop, self.stop_sample))
        return hashlib.sha256(samples.astype("<f4").tobytes()).hexdigest()[:16]


def open_playbacks(
    settings: ProducerSettings, pass_over: PassOver = lambda _record, _text: None
) -> list[Playback]:
    """Open all records; of several, one that cannot be replayed as asked is passed over.

    Parameters
    ----------
    pass_over : callable
        Receives each record that is passed over, and why.

    Raises
    ------
    RecordError, InvalidOption, InvalidSignal
        If none can be replayed: why the first cannot.
    """
    if settings.ward is not None:
        return _ward_playbacks(settings, settings.ward)
    # Names are given before anything is opened, so that they do not depend on what can be read.
    names = patient_names([_name_of(record) for record in settings.records])
    resume = {reached.patient: reached.position for reached in settings.resume}
    sender = secrets.randbits(53)
    playbacks: list[Playback] = []
    failed: list[tuple[str, MonitorError | SegmenterError]] = []
    for record, patient in zip(settings.records, names, strict=True):
        try:
            source = _open(record, settings.leads)
            playback = _playback(source, patient, settings, resume.get(patient), sender)
            playback.stream()  # reads the first samples
        except (MonitorError, SegmenterError) as error:
            failed.append((record, error))
        else:
            playbacks.append(playback)
    if not playbacks:
        raise failed[0][1]
    for record, reason in failed:
        pass_over(record, str(reason))
    return playbacks


def _name_of(record: str) -> str:
    return Path(record).name.removesuffix(".hea").removesuffix(".dat")


def _ward_playbacks(settings: ProducerSettings, ward: Ward) -> list[Playback]:
    held = [InMemory.of(_open(record, settings.leads)) for record in settings.records]
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


def _open(record: str, leads: Sequence[str]) -> Source:
    """Open a record that can be segmented; an error names the record."""
    source = WfdbRecord.open(Path(record), leads)
    try:
        check_rate(source.fs_hz)
    except InvalidSignal as error:
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
    source: Source, patient: str, settings: ProducerSettings, resumed: int | None, sender: int
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
    """When each stream's next block is due; a pause moves all due times on."""

    def __init__(self, playbacks: Sequence[Playback], speed: float | None, now_s: float) -> None:
        self._speed = speed
        self._origins = [playback.position for playback in playbacks]
        self._playbacks = playbacks
        self._began_s = now_s
        self._paused_s: float | None = None
        self.failed: list[tuple[str, str]] = []  # patient and reason; who reports them clears it
        # With many streams, their first blocks are spread over one block's time.
        share = 1 / max(1, len(playbacks)) if speed is not None else 0.0
        self._offsets_s = [index * share * one.block_s for index, one in enumerate(playbacks)]
        self._queue = [(self._due_s(index), index) for index in range(len(playbacks))]
        heapq.heapify(self._queue)

    def __bool__(self) -> bool:
        return bool(self._queue)

    @property
    def patients(self) -> list[str]:
        """All patients' names, in the order in which they were given."""
        return [playback.patient for playback in self._playbacks]

    def block_samples(self, index: int) -> int:
        """How many samples a block holds: 0.2 s of real time, at most 30 s of signal."""
        playback = self._playbacks[index]
        signal_s = MAX_BLOCK_S
        if self._speed is not None:
            signal_s = min(playback.block_s * self._speed, MAX_BLOCK_S)
        return max(1, round(signal_s * playback.source.fs_hz))

    @property
    def due_s(self) -> float:
        """When the next block is due."""
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
        return max(0.0, self.due_s - now_s) if self._queue else math.inf

    def take_due(self, now_s: float, sent_ns: int | None) -> list[StageMessage]:
        """Take what is due of all streams: of each one block at most, or its end.

        Of several, one that cannot be read on ends, "stopped", and stands in `failed`.

        Parameters
        ----------
        sent_ns : int or None
            What the messages say of when they were sent; None: each when it was due.
        """
        taken: list[StageMessage] = []
        again: list[int] = []
        while self._queue and self.due_s <= now_s:
            due_s, index = heapq.heappop(self._queue)
            playback = self._playbacks[index]
            stamp_ns = round(1e9 * due_s) if sent_ns is None else sent_ns
            if playback.exhausted:
                is_last = not (self._queue or again)
                taken.append(playback.end("complete", is_last, stamp_ns))
                continue
            try:
                taken.append(playback.take(self.block_samples(index), stamp_ns))
                again.append(index)
            except RecordError as error:
                if len(self._playbacks) == 1:
                    raise
                self.failed.append((playback.patient, str(error)))
                taken.append(playback.end("stopped", not (self._queue or again), stamp_ns))
        for index in again:
            heapq.heappush(self._queue, (self._due_s(index), index))
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
