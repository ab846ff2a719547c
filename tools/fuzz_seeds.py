"""Valid messages of every type and valid files, from which the fuzzer begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monitor.wire import codec
from monitor.wire.messages import (
    AckRequest,
    Alert,
    BeatsHeader,
    BeatsMessage,
    Done,
    EndHeader,
    Failed,
    Finished,
    Found,
    HealthHeader,
    Lifecycle,
    LossByPart,
    Message,
    Neighbour,
    Page,
    Pause,
    Ready,
    RecordEvent,
    Refused,
    RelearnRequest,
    ReplayRequest,
    SamplesHeader,
    SamplesMessage,
    SeekRequest,
    StageHealth,
    StageMessage,
    Start,
    Stop,
    Stream,
    Technical,
    ThresholdRequest,
)
from segmenter.beat import Beats, BeatSpec
from tools.messages import (
    WALL_TIME,
    alert,
    beat_scored,
    patient_status,
    status,
    technical,
    wave,
)

_STREAM = Stream("119", "119", "MLII", 360.0, 0, 650_000, "a1b2")
_HEALTH = StageHealth("producer", 5, 5, 0, 0, 0, 0)
_SENT: dict[str, Any] = {
    "version": 2,
    "patient": "119",
    "record": "119",
    "sequence": 7,
    "sent_ns": 123,
    "position": 2000,
}


def beats(n: int, length: int) -> Beats:
    """Return standardised beats, one a second of 360 Hz."""
    shape = np.sin(np.linspace(0, 6, length))
    shape = ((shape - shape.mean()) / shape.std(ddof=1)).astype(np.float32)
    return Beats(
        r_sample=100 + 360 * np.arange(n, dtype=np.int64),
        rr_before_ms=np.full(n, 1000, np.float32),
        rr_after_ms=np.full(n, 1000, np.float32),
        delay_ms=np.full(n, 250, np.float32),
        quality=np.zeros(n, np.uint16),
        values=np.tile(shape, (n, 1)),
    )


def beats_message(n: int, length: int, state: bytes = b"", **changes: Any) -> BeatsMessage:
    """Return a message of beats."""
    values = {"lead": "MLII", "fs_hz": 360.0, "spec": BeatSpec().identity, **_SENT, **changes}
    events = [RecordEvent("noisy", "onset", 1500)]
    header = BeatsHeader(**values, length=length, n_beats=n, events=events)
    return BeatsMessage(header, beats(n, length), state)


def bundles() -> list[list[bytes]]:
    """Return the frames of bundles between stages: of every kind of message alone, and of all."""
    samples = np.sin(np.arange(72)).astype(np.float32)
    header = SamplesHeader(**_SENT, lead="MLII", fs_hz=360.0, n_samples=len(samples))
    messages: list[StageMessage] = [
        SamplesMessage(header, samples),
        beats_message(3, 16, b"state"),
        beats_message(0, 140),
        EndHeader(**_SENT, reason="complete", last=True),
        HealthHeader(2, _HEALTH),
    ]
    return [codec.encode_bundle(some) for some in ([], *([one] for one in messages), messages)]


def numbered_messages() -> list[Alert | Technical]:
    """Return an alert and a technical one."""
    full = alert(
        quality=["noisy"],
        beat=[0.0, 1.5, -1.5],
        reconstruction=[0.5, 0.5, 0.5],
        why=["shape", "premature"],
        score=2.5,
        parts=LossByPart(0.2, 0.5, 0.3),
        neighbours=[Neighbour(20.0, [0.0, 1.0])],
    )
    return [full, technical()]


def world_messages() -> list[list[bytes]]:
    """Return topic and JSON of messages to the world, of every type."""
    patient = patient_status(n_samples=None, technical=["noisy"])
    others: list[Message] = [
        beat_scored(loss=None, rr_after_ms=None, quality=["noisy"], why=["shape"]),
        status(patients=[patient], stages=[_HEALTH]),
        wave(),
    ]
    return [codec.encode_message(message) for message in [*numbered_messages(), *others]]


def numbered() -> list[bytes]:
    """Return the JSON of an alert and of a technical one."""
    return [codec.encode_json(message) for message in numbered_messages()]


def requests() -> list[bytes]:
    """Return requests of every type."""
    return [
        codec.encode_json(request)
        for request in (
            ReplayRequest(41, 500),
            SeekRequest(WALL_TIME),
            ThresholdRequest("119", 26.0, 1.05),
            RelearnRequest("119"),
            AckRequest("119"),
        )
    ]


def replies() -> list[bytes]:
    """Return replies of every type."""
    page = Page("j1", 1, 2, numbered_messages())
    return [codec.encode_json(one) for one in (page, Found("j1", 4), Done("a"), Refused("b"))]


def lifecycle() -> Sequence[Lifecycle]:
    """Return what stages and their supervisor say to each other."""
    spec = BeatSpec().to_mapping()
    return (
        Ready("producer", [_STREAM], spec),
        Finished("consumer"),
        Failed("segmenter", "why", 2),
        Start([_STREAM], spec),
        Pause(True),
        Stop(),
    )


def ecg5000(suffix: str, length: int) -> bytes:
    """Return a data set of three beats in one of the forms of ECG5000."""
    beats = [[f"{0.1 * i - k:.3f}" for i in range(length)] for k in range(3)]
    match suffix:
        case ".arff":
            lines = ["@relation ECG5000", "@data", *(",".join([*beat, "1"]) for beat in beats)]
        case ".ts":
            lines = ["@problemName E", "@data", *(",".join(beat) + ":2" for beat in beats)]
        case _:
            lines = [" ".join(["1.0e+00", *beat]) for beat in beats]
    return "\n".join(lines).encode()
