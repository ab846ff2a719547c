"""A live source's way to the next stage: whose blocks they are, and where in each stream they lie.

The source counts from its opening on. Where a run goes on, behind a restart or in its journal, the
stream's positions go on behind what was judged, by as much as the run's clock says, and by a second
at least: what came meanwhile is lost, so R peaks before and after it are no neighbours.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.settings import MAX_BLOCK_S, ProducerSettings
from monitor.sources.given import odd_span_mv
from monitor.sources.source import LiveBlock, LiveSource, LiveStream
from monitor.stages.recorder import Recorder
from monitor.text import counted, harmless
from monitor.wire.messages import (
    MAX_LEADS,
    MONITOR,
    EndHeader,
    SamplesHeader,
    SamplesMessage,
    Stream,
)
from segmenter.errors import InvalidSignal
from segmenter.rates import check_rate

LEAST_HOLE_S = 1.0  # of a stream that goes on
MUTE_S = 5.0  # from the opening on
SCALE_S = 5.0  # of each stream's first samples, by which it is seen whether its unit can be
DIGEST = "live"  # of signal that nobody can know again
MAX_STREAMS = 10_000  # of one source; as many as a segmenter has room for


@dataclass
class _Sent:
    """What was sent of one stream."""

    patient: str
    leads: list[str]
    base: int  # position of the source's sample 0
    stop: int | None  # where --duration ends it
    position: int  # behind the last sample sent
    heard_s: float  # when the last sample came here, on the monotonic clock
    sequence: int = 0
    first: list[NDArray[np.float32]] | None = field(default_factory=list)  # until looked at


class Reception:
    """One live source, as messages for the next stage.

    Parameters
    ----------
    record : str
        The source, as it was named.
    patient : str
        Whose a stream is that names no patient.
    resume : mapping of str to int
        Positions that patients had reached when the run ended before.
    waits : bool
        Whether the source waits until it is taken, as a pipe does: its time is not the clock's.

    Raises
    ------
    RecordError
        If a stream cannot be segmented.
    """

    def __init__(
        self,
        record: str,
        source: LiveSource,
        patient: str,
        settings: ProducerSettings,
        resume: Mapping[str, int],
        sender: int,
        waits: bool = False,
    ) -> None:
        self.record = harmless(record, 100)
        self.source = source
        self._patient = patient
        self._settings = settings
        self._resume = resume
        self._sender = sender
        self._waits = waits
        self._closed = False
        self._opened_s = time.monotonic()
        self._told_mute = False
        self._notices: list[str] = []
        self._recorder = (
            Recorder(Path(settings.record), patient) if settings.record is not None else None
        )
        self._sent: dict[LiveStream, _Sent] = {}
        for stream in source.streams:
            self._admit(stream)

    @property
    def patients(self) -> list[str]:
        """The patients so far."""
        return [one.patient for one in self._sent.values()]

    @property
    def ended(self) -> bool:
        """Whether no more will come, or no more is wanted."""
        is_over = bool(self._sent) and all(
            one.stop is not None and one.position >= one.stop for one in self._sent.values()
        )
        return self.source.ended or is_over

    def is_overdue(self, now_s: float) -> bool:
        """Whether --duration is over by the clock, and what is missing of it does not come.

        Who sends nothing would have the run go on for ever.

        Raises
        ------
        RecordError
            If no stream came at all until then.
        """
        duration_s = self._settings.duration_s
        if duration_s is None or self._waits:
            return False
        elapsed_s = now_s - self._opened_s
        if not self._sent:
            if elapsed_s < duration_s:
                return False
            raise RecordError(
                f"source {self.record}: nobody sent anything within --duration; is the sender on, "
                "and does it name this address?"
            )
        return all(
            one.position >= one.stop
            or (one.base + elapsed_s * stream.fs_hz >= one.stop and now_s - one.heard_s > MUTE_S)
            for stream, one in self._sent.items()
            if one.stop is not None
        )

    def streams(self) -> list[Stream]:
        """Describe the streams so far for the other stages."""
        return [
            Stream(
                patient=sent.patient,
                record=self.record,
                leads=sent.leads,
                fs_hz=stream.fs_hz,
                first_sample=0,
                n_samples=None,
                digest=DIGEST,
                warnings=[text[:1000] for text in self.source.warnings],
            )
            for stream, sent in self._sent.items()
        ]

    def take(self) -> list[SamplesMessage]:
        """Take what came.

        Raises
        ------
        RecordError
            If the source cannot go on, or does not keep what a source promises.
        """
        messages = [message for block in self.source.take() for message in self._messages(block)]
        if self._recorder is not None:
            self._recorder.take(messages, time.monotonic())
        return messages

    def take_notices(self, now_s: float) -> list[str]:
        """Return what happened to the source since it was asked last.

        Of a stream that never sent anything nobody behind here knows; once it did, they report it.
        """
        told = [*self.source.take_notices(), *self._notices]
        self._notices.clear()
        if not self._told_mute and now_s - self._opened_s > MUTE_S:
            self._told_mute = True
            if any(one.position == one.base for one in self._sent.values()):
                told.append(f"no sample came for {MUTE_S:g} s; does it send?")
        return [harmless(f"{self.record}: {text}", 300) for text in told]

    def end(
        self, reason: Literal["complete", "stopped"], last: bool, sent_ns: int
    ) -> list[EndHeader]:
        """Close the source; return the messages that end its streams, once."""
        self.source.close()
        if self._recorder is not None:
            self._recorder.close()
        streams = [] if self._closed else list(self._sent.values())
        self._closed = True
        return [
            EndHeader(
                version=5,
                patient=one.patient,
                record=self.record,
                sequence=one.sequence,
                sent_ns=sent_ns,
                position=one.position,
                reason=reason,
                last=last and one is streams[-1],
            )
            for one in streams
        ]

    def _messages(self, block: LiveBlock) -> list[SamplesMessage]:
        sent = self._sent.get(block.stream) or self._admit(block.stream)
        first = sent.base + block.first_sample
        n_leads, n_samples = block.samples.shape
        if first < sent.position or n_leads != len(sent.leads) or not n_samples:
            raise RecordError(
                f"source {self.record} gave a block of {counted(n_leads, 'lead')} at sample "
                f"{block.first_sample}, where {counted(len(sent.leads), 'lead')} from sample "
                f"{sent.position - sent.base} on can follow; ask whoever wrote it"
            )
        kept = n_samples if sent.stop is None else max(0, min(n_samples, sent.stop - first))
        most = max(1, round(MAX_BLOCK_S * block.stream.fs_hz))
        messages: list[SamplesMessage] = []
        for start in range(0, kept, most):
            piece = np.ascontiguousarray(block.samples[:, start : min(start + most, kept)])
            header = SamplesHeader(
                version=5,
                patient=sent.patient,
                record=self.record,
                sequence=sent.sequence,
                sent_ns=block.received_ns,
                position=first + start,
                leads=sent.leads,
                fs_hz=block.stream.fs_hz,
                n_samples=piece.shape[1],
                sender=self._sender,
            )
            sent.sequence += 1
            messages.append(SamplesMessage(header, piece.astype(np.float32, copy=False)))
        sent.position = max(sent.position, first + n_samples)
        sent.heard_s = block.received_ns / 1e9
        self._look_at_scale(sent, block)
        return messages

    def _look_at_scale(self, sent: _Sent, block: LiveBlock) -> None:
        """Say once, of a stream whose samples can be no ECG in their unit, what they span."""
        if sent.first is None:
            return
        sent.first.append(block.samples)
        enough = SCALE_S * block.stream.fs_hz
        if sent.position - sent.base < enough:
            return  # not joined yet: blocks may be of one sample
        samples = np.concatenate(sent.first, axis=1)
        present = np.isfinite(samples)
        if present.sum(axis=1).max() < enough:
            if samples.shape[1] > 10 * enough:  # mostly missing: nothing is to be seen of it
                sent.first = None
            return
        sent.first = None
        span_mv = odd_span_mv(samples[present.any(axis=1)])
        if span_mv is not None:
            self._notices.append(
                f"{sent.patient}: its first {SCALE_S:g} s span {span_mv:.3g} mV, and an ECG spans "
                "some mV; give the unit with --units, or convert ADC values to a voltage first"
            )

    def _admit(self, stream: LiveStream) -> _Sent:
        """Take a stream in: name its patient, and find where its positions begin."""
        if len(self._sent) >= MAX_STREAMS:
            raise RecordError(
                f"source {self.record} has more than {MAX_STREAMS} streams; send fewer"
            )
        if not 1 <= len(stream.leads) <= MAX_LEADS:
            raise RecordError(
                f"source {self.record} has {len(stream.leads)} leads; name 1 to {MAX_LEADS} of "
                "them (--lead)"
            )
        try:
            check_rate(stream.fs_hz)
        except InvalidSignal as error:
            raise RecordError(f"source {self.record}: {error}") from error
        patient = harmless(stream.patient, 100).replace(" ", "_") or self._patient
        if patient in self.patients or patient == MONITOR:
            raise RecordError(f"source {self.record} has two streams of patient {patient}")
        base = self._base(patient, stream.fs_hz)
        duration_s = self._settings.duration_s
        stop = None if duration_s is None else math.ceil(duration_s * stream.fs_hz)
        leads = [harmless(one, 100) for one in stream.leads]
        sent = _Sent(patient, leads, base, stop, base, time.monotonic())
        self._sent[stream] = sent
        return sent

    def _base(self, patient: str, fs_hz: float) -> int:
        reached = self._resume.get(patient)
        if reached is None:
            return 0
        began_s = self._settings.began_unix_s
        elapsed_s = 0.0 if began_s is None else time.time() - began_s
        return max(reached + round(LEAST_HOLE_S * fs_hz), round(elapsed_s * fs_hz))
