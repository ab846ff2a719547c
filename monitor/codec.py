"""The bytes of every message in `wire`; every decoder raises InvalidMessage and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.errors import InvalidMessage
from monitor.wire import (
    BEAT_COLUMNS,
    MAX_BEAT_VALUE,
    MAX_JSON_BYTES,
    MAX_REPLY_BYTES,
    MAX_STATE_BYTES,
    Alert,
    BeatsHeader,
    BeatsMessage,
    EndHeader,
    HealthHeader,
    Lifecycle,
    Message,
    Reply,
    Request,
    SamplesHeader,
    SamplesMessage,
    StageMessage,
    Status,
    Technical,
)
from segmenter.beat import Beats, Quality

T_co = TypeVar("T_co", covariant=True)

_msgpack = msgspec.msgpack.Encoder()
_json = msgspec.json.Encoder()
_StageHeader = SamplesHeader | BeatsHeader | EndHeader | HealthHeader
_stage_header: msgspec.msgpack.Decoder[_StageHeader] = msgspec.msgpack.Decoder(_StageHeader)
_lifecycle: msgspec.msgpack.Decoder[Lifecycle] = msgspec.msgpack.Decoder(Lifecycle)
_message: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_numbered: msgspec.json.Decoder[Alert | Technical] = msgspec.json.Decoder(Alert | Technical)
_request: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_reply: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)
# Plain numbers: an IntFlag takes a microsecond to combine, and each beat is asked for all of them.
_QUALITY_NAMES = [(int(flag), flag.name.lower()) for flag in Quality if flag and flag.name]


def encode_samples(header: SamplesHeader, samples: NDArray[np.float32]) -> list[bytes]:
    """Return the frames of a block of samples."""
    return [_msgpack.encode(header), samples.astype("<f4", copy=False).tobytes()]


def encode_beats(header: BeatsHeader, beats: Beats, state: bytes) -> list[bytes]:
    """Return the frames of beats that became ready."""
    columns = np.empty(len(beats), BEAT_COLUMNS)
    for name in BEAT_COLUMNS.names or ():
        columns[name] = getattr(beats, name)
    values = beats.values.astype("<f4", copy=False)
    return [_msgpack.encode(header), columns.tobytes(), values.tobytes(), state]


def encode_header(header: EndHeader | HealthHeader) -> list[bytes]:
    """Return the one frame of a message that is a header only."""
    return [_msgpack.encode(header)]


def decode_stage_message(frames: Sequence[bytes]) -> StageMessage:
    """Check and unpack a message between stages.

    Raises
    ------
    InvalidMessage
        If the frames are no such message, whole and within bounds.
    """
    header = _decode(_stage_header, frames[0] if frames else b"")
    match header:
        case SamplesHeader():
            _require_sizes(frames[1:], [4 * header.n_samples])
            return SamplesMessage(header, np.frombuffer(frames[1], "<f4"))
        case BeatsHeader():
            return _decode_beats(header, frames[1:])
        case _:
            _require_sizes(frames[1:], [])
            return header


def _decode_beats(header: BeatsHeader, frames: Sequence[bytes]) -> BeatsMessage:
    n = header.n_beats
    if len(frames) == 3 and len(frames[2]) > MAX_STATE_BYTES:
        raise InvalidMessage(f"a state of {len(frames[2])} bytes; at most {MAX_STATE_BYTES}")
    _require_sizes(frames[:2], [n * BEAT_COLUMNS.itemsize, 4 * n * header.length])
    if len(frames) != 3:
        raise InvalidMessage(f"{len(frames) + 1} frames, expected 4")
    columns = np.frombuffer(frames[0], BEAT_COLUMNS)
    values = np.frombuffer(frames[1], "<f4").reshape(n, header.length)
    if not (np.abs(values) <= MAX_BEAT_VALUE).all():  # NaN is not
        raise InvalidMessage("a beat holds values that are not finite, or absurd")
    r_sample = columns["r_sample"]
    if n and (r_sample[0] < 0 or (r_sample[1:] <= r_sample[:-1]).any()):  # differences overflow
        raise InvalidMessage("R peaks are not in rising order")
    if n and r_sample[-1] > header.position:
        raise InvalidMessage("an R peak lies behind the position reached")
    beats = Beats(values=values, **{name: columns[name] for name in BEAT_COLUMNS.names or ()})
    return BeatsMessage(header, beats, bytes(frames[2]))


def _require_sizes(frames: Sequence[bytes], sizes: list[int]) -> None:
    if [len(frame) for frame in frames] != sizes:
        got = ", ".join(str(len(frame)) for frame in frames[:8])
        raise InvalidMessage(f"data frames of [{got}] bytes, the header announces {sizes}")


def encode_lifecycle(message: Lifecycle) -> bytes:
    """Return the one frame between a stage and its supervisor."""
    return _msgpack.encode(message)


def decode_lifecycle(frame: bytes) -> Lifecycle:
    """Check and unpack a frame between a stage and its supervisor; InvalidMessage otherwise."""
    return _decode(_lifecycle, frame)


def encode_message(message: Message) -> list[bytes]:
    """Return the two frames, topic and JSON, of a message to the world."""
    return [topic_of(message).encode(), _json.encode(message)]


def decode_message(frames: Sequence[bytes]) -> Message:
    """Check and unpack topic and JSON; InvalidMessage if they are not such a message."""
    if len(frames) != 2 or len(frames[1]) > MAX_JSON_BYTES:
        raise InvalidMessage("a message to the world has two frames, topic and JSON")
    message = _decode(_message, frames[1])
    if topic_of(message).encode() != frames[0]:
        raise InvalidMessage("topic and JSON speak of different things")
    return message


def decode_numbered(text: bytes) -> Alert | Technical:
    """Check and unpack an alert as it was kept; InvalidMessage if it is none."""
    return _decode(_numbered, text)


def encode_json(value: Message | Request | Reply) -> bytes:
    """Return the JSON of a message, request or reply."""
    return _json.encode(value)


def decode_request(frame: bytes) -> Request:
    """Check and unpack a request; InvalidMessage if it is none."""
    return _decode(_request, frame)


def decode_reply(frame: bytes) -> Reply:
    """Check and unpack a reply; InvalidMessage if it is none."""
    return _decode(_reply, frame)


class _Decoder(Protocol[T_co]):
    def decode(self, buf: bytes, /) -> T_co: ...


def _decode(decoder: _Decoder[T_co], frame: bytes) -> T_co:
    if len(frame) > MAX_REPLY_BYTES:
        raise InvalidMessage(f"{len(frame)} bytes; at most {MAX_REPLY_BYTES}")
    try:
        return decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage(str(error)) from error


def topic_of(message: Message) -> str:
    """Return the topic a message is published under: its type, and the patient if it has one."""
    match message:
        case Status():
            return "status"
        case _:
            kind = type(message).__struct_config__.tag
            return f"{kind}.{message.patient}"


def quality_names(flags: int) -> list[str]:
    """Return the names of a beat's quality flags; an empty list is a good beat."""
    return [name for bit, name in _QUALITY_NAMES if bit & flags]


def numbers_or_none(values: NDArray[np.float32], decimals: int) -> list[float | None]:
    """Return rounded values, with None for NaN and infinities."""
    rounded: list[float | None] = np.round(values.astype(np.float64), decimals).tolist()
    for index in np.flatnonzero(~np.isfinite(values)).tolist():
        rounded[index] = None
    return rounded


def number_or_none(value: float) -> float | None:
    """Return None for NaN and infinities, which JSON cannot say."""
    return float(value) if math.isfinite(value) else None
