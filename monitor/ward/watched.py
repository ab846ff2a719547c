"""What a view says once a second: whom it shows, so that workers send their signal and beats."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from monitor.errors import InvalidMessage
from monitor.wire.messages import Name

MOST_WATCHED = 1_000

Names = Annotated[list[Name], Meta(max_length=MOST_WATCHED)]


class Watched(msgspec.Struct, frozen=True):
    """Patients by name.

    Attributes
    ----------
    shown : list of str
        For some seconds from now on.
    begun : list of str
        Of these the last ten seconds are wanted, too.
    """

    shown: Names
    begun: Names = []


_decoder = msgspec.json.Decoder(Watched)


def encode_watched(watched: Watched) -> bytes:
    """Return it as JSON."""
    return msgspec.json.encode(watched)


def decode_watched(content: bytes) -> Watched:
    """Read it; InvalidMessage if it is none."""
    try:
        return _decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage(f"it names no patients: {error}") from error
