"""What a ward's stream holds of alerts, from a wall time on: `history --ward`."""

from __future__ import annotations

import asyncio
import contextlib

from monitor.errors import InvalidMessage, WardUnreachable
from monitor.ward.link import Unanswered, WardAccess, connected
from monitor.ward.names import WARD, alert_subject
from monitor.ward.setup import require_ward
from monitor.ward.stream_reader import StreamReader, read_all
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
        try:
            stored = await read_all(StreamReader(link, WARD, subjects, 1, since=since))
        except Unanswered as error:
            raise WardUnreachable(f"{access.servers}: {error}") from error
    found: list[Alert | Technical] = []
    for one in stored:
        with contextlib.suppress(InvalidMessage):
            found.append(decode_numbered(one.content))
    return found
