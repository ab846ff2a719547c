"""What a person may have done from the browser, as requests to the monitor."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitor.delivery.person import MAX_PERSON
from monitor.errors import InvalidMessage
from monitor.text import harmless
from monitor.wire.messages import (
    AckRequest,
    ControlRequest,
    MarkRequest,
    Name,
    RelearnRequest,
    ThresholdRequest,
)

MAX_ACTION_BYTES = 2048
NAMELESS = "web"  # who acts and gives no name


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One action on one patient."""

    patient: Name
    what: Literal["ack", "mark", "threshold", "relearn"]
    family: Annotated[int, Meta(ge=1, le=(1 << 53) - 1)] | None = None
    word: Literal["", "normal", "always"] = ""
    factor: Annotated[float, Meta(ge=0.1, le=10)] | None = None
    by: Annotated[str, Meta(max_length=MAX_PERSON)] = ""


_decoder = msgspec.json.Decoder(Action)


def requested(body: bytes, journal: str) -> ControlRequest:
    """Return the request that a browser's action stands for.

    Raises
    ------
    InvalidMessage
        If it is none.
    """
    try:
        action = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage("not an action: reload the page and try again") from error
    by = harmless(action.by, MAX_PERSON) or NAMELESS
    match action.what:
        case "ack":
            return AckRequest(action.patient, by)
        case "relearn":
            return RelearnRequest(action.patient)
        case "threshold" if action.factor is not None:
            return ThresholdRequest(action.patient, factor=action.factor)
        case "mark" if action.family is not None:
            return MarkRequest(action.patient, action.family, action.word, by=by, journal=journal)
        case _:
            raise InvalidMessage("not an action: a factor or a family is missing")
