"""Requests to whoever serves a patient, and their answers: acknowledge, threshold, learn, mark."""

from __future__ import annotations

import asyncio

import msgspec

from monitor.errors import InvalidMessage, InvalidOption, MonitorSilent
from monitor.ward.link import Unanswered, WardAccess, WardLink, connected
from monitor.ward.names import WardIdentity, ask_subject
from monitor.ward.setup import require_ward
from monitor.wire.codec import decode_reply, encode_json
from monitor.wire.messages import ControlRequest, Done, MarkRequest, Refused

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
        return text_of(await asked(link, await require_ward(link), request))


def text_of(answer: Done | Refused) -> str:
    """Return what was done.

    Raises
    ------
    InvalidOption
        If it was refused; the words are the worker's.
    MonitorSilent
        If nobody serves the patient.
    """
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
        partition = ward.partition_of(request.patient)
        return await _one(link, partition, in_partition(ward, partition, request))
    answers = await asyncio.gather(
        *(_one(link, partition, request) for partition in range(ward.partitions))
    )
    done = [one.text for one in answers if isinstance(one, Done)]
    if done:
        return Done("; ".join(done))
    heard = [one for one in answers if not one.text.startswith(SILENT)]
    return (heard or answers)[0]


def in_partition(ward: WardIdentity, partition: int, request: ControlRequest) -> ControlRequest:
    """Return a request whose journal, if it names this ward at all, is that of the partition.

    Heartbeats name the ward, alerts a partition; a patient belongs to one partition for ever.
    """
    if not isinstance(request, MarkRequest):
        return request
    if ward.identity not in (request.journal, request.journal.rpartition("-")[0]):
        return request
    return msgspec.structs.replace(request, journal=ward.journal(partition))


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
