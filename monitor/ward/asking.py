"""Requests to whoever serves a patient, and their answers: acknowledge, threshold, learn, mark."""

from __future__ import annotations

import asyncio

from monitor.errors import InvalidMessage, InvalidOption, MonitorSilent
from monitor.ward.link import Unanswered, WardAccess, WardLink, connected
from monitor.ward.names import WardIdentity, ask_subject
from monitor.ward.setup import require_ward
from monitor.wire.codec import decode_reply, encode_json
from monitor.wire.messages import ControlRequest, Done, Refused

ANSWER_S = 10.0  # a partition that changes hands answers when it is served again


def carry_out(access: WardAccess, request: ControlRequest) -> str:
    """Have a ward do something and return what was done.

    Raises
    ------
    InvalidOption
        If it refuses; the words are its own.
    MonitorSilent
        If nobody serves the patient.
    """
    return asyncio.run(_carry_out(access, request))


async def _carry_out(access: WardAccess, request: ControlRequest) -> str:
    async with connected(access, "request") as link:
        answer = await asked(link, await require_ward(link), request)
    match answer:
        case Done(text=text):
            return text
        case Refused(text=text):
            if text.startswith(SILENT):
                raise MonitorSilent(text)
            raise InvalidOption(text)


SILENT = "nobody serves"


async def asked(link: WardLink, ward: WardIdentity, request: ControlRequest) -> Done | Refused:
    """Ask who serves the patient, or everybody; a request to all is done if anybody did it."""
    if request.patient is not None:
        return await _one(link, ward.partition_of(request.patient), request)
    answers = await asyncio.gather(
        *(_one(link, partition, request) for partition in range(ward.partitions))
    )
    done = [one.text for one in answers if isinstance(one, Done)]
    if done:
        return Done("; ".join(done))
    heard = [one for one in answers if not one.text.startswith(SILENT)]
    return (heard or answers)[0]


async def _one(link: WardLink, partition: int, request: ControlRequest) -> Done | Refused:
    try:
        content = await link.ask(ask_subject(partition), encode_json(request), timeout_s=ANSWER_S)
        reply = decode_reply(content)
    except Unanswered:
        whose = "this patient" if request.patient is not None else "these patients"
        return Refused(f"{SILENT} {whose} now; start a worker, or try again in some seconds")
    except InvalidMessage as error:
        return Refused(f"the answer is no worker's: {error}")
    return (
        reply if isinstance(reply, Done | Refused) else Refused("the answer is to another request")
    )
