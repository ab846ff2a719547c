"""Segmenter and engine as one process runs them: samples of one patient in, messages out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.checkpoint import Checkpoint
from monitor.detection.engine import Engine
from monitor.detection.model_store import ModelStore
from monitor.journal.writer import Journal
from monitor.settings import ConsumerSettings
from monitor.stages.host import Counters
from monitor.stages.segmenter import SampleSegmenter
from monitor.wire.messages import (
    BeatsMessage,
    EndHeader,
    Message,
    SamplesHeader,
    SamplesMessage,
    Stream,
)
from segmenter.beat import BeatSpec
from tests.monitor.checkpoints import template_checkpoint


class InProcess:
    """One patient's way from samples to messages.

    Attributes
    ----------
    engine : Engine
    position : int
        Samples sent.
    """

    def __init__(self, engine: Engine, stream: Stream) -> None:
        self.engine = engine
        self.position = stream.first_sample
        self._stream = stream
        self._segmenter = SampleSegmenter(BeatSpec(), [stream], [], Counters("segmenter", 0))
        self._sequence = 0

    def send(self, samples: NDArray[np.floating]) -> list[Message]:
        """Send the next samples, in mV, (leads, n) or of one lead (n,); return what is said."""
        block = np.atleast_2d(samples).astype(np.float32)
        header = SamplesHeader(
            version=5,
            patient=self._stream.patient,
            record=self._stream.record,
            sequence=self._sequence,
            sent_ns=1,
            position=self.position,
            leads=self._stream.leads,
            fs_hz=self._stream.fs_hz,
            n_samples=block.shape[1],
            sender=1,
        )
        self._sequence += 1
        self.position += block.shape[1]
        return self._judge(SamplesMessage(header, block))

    def end(self) -> list[Message]:
        """End the record."""
        patient, record, at = self._stream.patient, self._stream.record, self.position
        return self._judge(EndHeader(5, patient, record, self._sequence, 1, at, "complete", True))

    def _judge(self, message: SamplesMessage | EndHeader) -> list[Message]:
        found = self._segmenter.step([message], self.position / self._stream.fs_hz).messages
        judged = [one for one in found if isinstance(one, BeatsMessage | EndHeader)]
        return self.engine.step(judged, 0).messages


@contextmanager
def in_process(
    fs_hz: float,
    checkpoint: Checkpoint | None = None,
    leads: Sequence[str] = ("I",),
    **settings: Any,
) -> Iterator[InProcess]:
    """Monitor one patient in this process, from a checkpoint (default: of losses told by hand)."""
    with TemporaryDirectory() as folder, ThreadPoolExecutor(1) as executor:
        path = Path(folder) / "journal"
        with Journal(path) as journal:
            made = ConsumerSettings(
                beats="ipc:///b", alerts="ipc:///a", journal=str(path), **settings
            )
            engine = Engine(
                checkpoint or template_checkpoint(),
                made,
                journal,
                ModelStore(path.parent, journal.identity),
                executor,
                lambda: "now",
            )
            stream = Stream("p", "r", list(leads), fs_hz, 0, None)
            engine.expect([stream])
            yield InProcess(engine, stream)
