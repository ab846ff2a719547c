"""What a ward's stream holds of alerts, and of whom: `history`, `show`, `mark` with `--ward`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from monitor.errors import InvalidMessage, WardUnreachable
from monitor.journal.kept_beats import KeptBeat
from monitor.journal.reader import is_number, is_prefix
from monitor.journal.run import JournaledRun, decode_run
from monitor.ward.link import Unanswered, WardAccess, connected
from monitor.ward.names import RUN, WARD, alert_subject, states_subject
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
    return _decoded(stored)


def _decoded(stored: Iterable[Stored]) -> list[Alert | Technical]:
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


class WardPast:
    """What `show` and `mark` look into: a ward's alerts in the place of a journal's.

    No beats are kept beside them.

    Raises
    ------
    MonitorError
        If the ward cannot be reached; each method raises it, too.
    """

    kind = "ward"

    def __init__(self, access: WardAccess) -> None:
        self._access = access
        self.identity, self._alerts = asyncio.run(_identity_and_alerts(access))

    def alerts(self, since: str = "", patient: str | None = None) -> Iterator[Alert | Technical]:
        """Yield the alerts since a wall time, in order, of one patient or of all."""
        for one in self._alerts:
            if one.wall_time >= since and patient in (None, one.patient):
                yield one

    def find(self, name: str) -> list[Alert | Technical]:
        """Return the alerts of this number, one in a partition, or whose identity begins so."""
        if is_number(name):
            return [one for one in self._alerts if one.seq == int(name)]
        if is_prefix(name):
            return [one for one in self._alerts if one.id.startswith(name.lower())]
        return []

    def beats_around(self, patient: str, sample: int) -> list[KeptBeat]:
        """Return none: a ward keeps alerts alone."""
        return []

    def run(self) -> JournaledRun | None:
        """Return what decides the alerts, and the streams of those who are monitored."""
        return asyncio.run(_run(self._access))


async def _identity_and_alerts(access: WardAccess) -> tuple[str, list[Alert | Technical]]:
    async with connected(access, "history") as link:
        ward = await require_ward(link)
        stored = await _read(access, StreamReader(link, WARD, "ecg.alert.>", 1))
    return ward.identity, _decoded(stored)


async def _run(access: WardAccess) -> JournaledRun | None:
    async with connected(access, "history") as link:
        await require_ward(link)
        stored = await _read(access, StreamReader(link, WARD, RUN))
        states = await _read(access, StreamReader(link, WARD, states_subject("*")))
    if not stored:
        return None
    newest = {row.stream.patient: row.stream for one in states for row in patient_rows(one.content)}
    run = decode_run(stored[-1].content, Path(access.servers))
    return msgspec.structs.replace(run, streams=[*newest.values()])
