"""What a ward's stream holds of alerts, and of whom: `history --ward`."""

from __future__ import annotations

import asyncio
import contextlib

from monitor.errors import InvalidMessage, WardUnreachable
from monitor.ward.link import Unanswered, WardAccess, connected
from monitor.ward.names import WARD, alert_subject, states_subject
from monitor.ward.setup import require_ward
from monitor.ward.stream_reader import Stored, StreamReader, read_all
from monitor.ward.ward_journal import patient_rows
from monitor.wire.codec import decode_numbered
from monitor.wire.messages import Alert, Technical


def past_alerts(
    access: WardAccess, since: str = "", patient: str | None = None
) -> list[Alert | Technical]:
    """Return the alerts that a ward keeps, in the order in which they were committed.

    Parameters
    ----------
    since : str
        Wall time in UTC; empty: from the oldest on.
    patient : str, optional
        Only this patient's.

    Raises
    ------
    MonitorError
        If the ward cannot be reached.
    """
    return asyncio.run(_past(access, since, patient))


async def _past(access: WardAccess, since: str, patient: str | None) -> list[Alert | Technical]:
    async with connected(access, "history") as link:
        ward = await require_ward(link)
        subjects = "ecg.alert.>"
        if patient is not None:
            subjects = alert_subject(ward.partition_of(patient), patient)
        stored = await _read(access, StreamReader(link, WARD, subjects, 1, since=since))
    found: list[Alert | Technical] = []
    for one in stored:
        with contextlib.suppress(InvalidMessage):
            found.append(decode_numbered(one.content))
    return found


def past_patients(access: WardAccess) -> set[str]:
    """Return who a ward knows: those of kept alerts, and those who are monitored.

    Raises
    ------
    MonitorError
        If the ward cannot be reached.
    """
    return asyncio.run(_patients(access))


async def _patients(access: WardAccess) -> set[str]:
    async with connected(access, "history") as link:
        await require_ward(link)
        alerts = StreamReader(link, WARD, "ecg.alert.>", newest_of_each=True)
        newest = await _read(access, alerts)
        states = await _read(access, StreamReader(link, WARD, states_subject("*")))
    found: set[str] = set()
    for one in newest:
        with contextlib.suppress(InvalidMessage):
            found.add(decode_numbered(one.content).patient)
    for one in states:
        found |= {row.stream.patient for row in patient_rows(one.content)}
    return found


async def _read(access: WardAccess, reader: StreamReader) -> list[Stored]:
    try:
        return await read_all(reader)
    except Unanswered as error:
        raise WardUnreachable(f"{access.servers}: {error}") from error
