"""Samples that any program sends to a monitor: the message, its replies, and their bytes.

Over ZeroMQ, DEALER to ROUTER: one frame of JSON, or two, the second of which holds the samples as
little-endian float32, lead after lead. Replies are one frame of JSON. docs/PROTOCOL.md describes
them for other languages. Fields that are not known are passed over: newer senders may have more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from monitor.errors import InvalidMessage
from monitor.wire.messages import Count, Leads, Rate

MAX_PUSH_BYTES = 1 << 20  # a message: 16 s of 16 leads at 1,000 Hz as float32
DEFAULT_PUSH = "tcp://127.0.0.1:5576"

Unit = Annotated[str, Meta(min_length=1, max_length=32)]
Patient = Annotated[str, Meta(max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)")]
Row = list[float | None]


class PushedSamples(
    msgspec.Struct, frozen=True, tag_field="type", tag="samples", omit_defaults=True
):
    """Samples that follow the ones before; the frame of JSON. None at all announce a patient."""

    schema: Literal[1]
    leads: Leads  # the same in all messages of a patient
    fs_hz: Rate  # the same too
    patient: Patient = ""  # whose they are; empty: of the one patient of this address
    units: Unit = "mV"  # V, mV, uV, nV
    position: Count | None = None  # of the first sample, counted by the sender; none: they follow
    samples: list[Row] | None = None  # of each lead as many; null is missing; none: a second frame
    sender: Annotated[str, Meta(max_length=64)] = (
        ""  # drawn by who counts on over a lost connection
    )
    reply: bool = False  # whether `taken` is wanted; `refused` comes in any case


class PushTaken(msgspec.Struct, frozen=True, tag_field="type", tag="taken"):
    """Samples were taken."""

    schema: Literal[1]
    n_samples: Count  # of each lead


class PushRefusal(msgspec.Struct, frozen=True, tag_field="type", tag="refused"):
    """A message was not taken, and why."""

    schema: Literal[1]
    reason: str


PushReply = PushTaken | PushRefusal

_pushed = msgspec.json.Decoder(PushedSamples)
_reply: msgspec.json.Decoder[PushReply] = msgspec.json.Decoder(PushReply)
_json = msgspec.json.Encoder()


class Pushed(NamedTuple):
    """A message of samples: shape (leads, n), float32, in `header.units`."""

    header: PushedSamples
    samples: NDArray[np.float32]


def encode_pushed(header: PushedSamples, samples: NDArray[np.floating]) -> list[bytes]:
    """Return the two frames of a message."""
    return [_json.encode(header), np.ascontiguousarray(samples, "<f4").tobytes()]


def decode_pushed(frames: Sequence[bytes]) -> Pushed:
    """Check and unpack a message.

    Raises
    ------
    InvalidMessage
        If it is none: what is wrong, for its sender.
    """
    if not 1 <= len(frames) <= 2:
        raise InvalidMessage(f"{len(frames)} frames; send JSON, and the samples behind it")
    n_bytes = sum(map(len, frames))
    if n_bytes > MAX_PUSH_BYTES:
        raise InvalidMessage(f"{n_bytes} bytes; at most {MAX_PUSH_BYTES} a message")
    try:
        header = _pushed.decode(frames[0])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage(f"no message of samples: {error}") from error
    if (header.samples is None) is (len(frames) == 1):
        raise InvalidMessage("samples stand in the JSON or in a second frame, in one of them")
    if len(set(header.leads)) != len(header.leads):
        raise InvalidMessage("two leads have one name")
    rows = _of_json(header.samples) if header.samples is not None else _of_frame(header, frames[1])
    if len(rows) != len(header.leads):
        raise InvalidMessage(f"samples of {len(rows)} leads, not of {len(header.leads)}")
    return Pushed(header, rows)


def _of_json(samples: list[Row]) -> NDArray[np.float32]:
    if len({len(row) for row in samples}) > 1:
        raise InvalidMessage("not as many samples of each lead")
    with np.errstate(over="ignore"):
        return np.array(samples, np.float64).astype(np.float32)  # None becomes NaN


def _of_frame(header: PushedSamples, frame: bytes) -> NDArray[np.float32]:
    size = 4 * len(header.leads)
    if len(frame) % size:
        raise InvalidMessage(
            f"{len(frame)} bytes of samples; send a multiple of {size}: float32, little-endian, "
            "lead after lead"
        )
    return np.frombuffer(frame, "<f4").reshape(len(header.leads), -1)


def encode_reply(reply: PushReply) -> bytes:
    """Return the frame of a reply."""
    return _json.encode(reply)


def decode_reply(frame: bytes) -> PushReply:
    """Check and unpack a reply; InvalidMessage if it is none."""
    try:
        reply: PushReply = _reply.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage(str(error)) from error
    return reply
