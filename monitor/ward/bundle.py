"""A message of samples: blocks of one partition's patients, and how far their producer is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from monitor.errors import InvalidMessage
from monitor.wire.codec import BUNDLE_FRAMES, decode_bundle, encode_bundle
from monitor.wire.messages import MAX_BUNDLE, Count, Name, StageMessage

Frames = Annotated[list[bytes], Meta(max_length=len(BUNDLE_FRAMES))]


class SampleBundle(msgspec.Struct, frozen=True, array_like=True):
    """What a producer sends of one partition at a time.

    Attributes
    ----------
    frames : list of bytes
        As between the stages of one machine.
    positions : dict
        Of each patient of this producer and partition: the sample after the last one sent. A
        producer that is started again goes on there.
    ended : bool
        Whether all of them have ended.
    """

    frames: Frames
    positions: Annotated[dict[Name, Count], Meta(max_length=10_000)]
    ended: bool = False

    def messages(self) -> list[StageMessage]:
        """Return what it holds; InvalidMessage if that is malformed."""
        return decode_bundle(self.frames)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SampleBundle)


def encode_samples(
    messages: Sequence[StageMessage], positions: Mapping[str, int], *, ended: bool
) -> bytes:
    """Return a message of the samples' stream."""
    assert len(messages) <= MAX_BUNDLE
    return _encoder.encode(SampleBundle(encode_bundle(messages), dict(positions), ended))


def decode_samples(content: bytes) -> SampleBundle:
    """Read a message of the samples' stream; InvalidMessage if it is none."""
    try:
        return _decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage(f"no bundle of samples: {error}") from error
