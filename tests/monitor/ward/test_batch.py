"""A batch is written whole and once, or not at all; of two writers one writes."""

from __future__ import annotations

import asyncio
import threading

import pytest

from monitor.errors import Fenced
from monitor.ward.batch import BatchMessage, commit_batch
from monitor.ward.link import WardLink
from monitor.ward.names import WARD, WardIdentity, alert_subject, head_subject
from monitor.ward.stream_reader import StreamReader, read_all
from tests.monitor.ward.servers import WardServer


def alerts(*contents: bytes) -> list[BatchMessage]:
    return [BatchMessage(alert_subject(1, "p"), one) for one in contents]


HEAD = BatchMessage(head_subject(1), b"head", True)


async def kept(link: WardLink) -> list[bytes]:
    return [one.content for one in await read_all(StreamReader(link, WARD, "ecg.alert.1.>"))]


def test_of_two_writers_one_writes(ward: WardServer) -> None:
    """Nothing of the other's batch is kept."""

    async def work(link: WardLink, _: WardIdentity) -> None:
        first = await commit_batch(link, WARD, alerts(b"1", b"2"), HEAD, 0)
        with pytest.raises(Fenced):
            await commit_batch(link, WARD, alerts(b"other"), HEAD, 0)
        with pytest.raises(Fenced):
            await commit_batch(link, WARD, [], HEAD, 0)
        await commit_batch(link, WARD, alerts(b"3"), HEAD, first)
        assert await kept(link) == [b"1", b"2", b"3"]

    ward.run(work)


def test_what_is_written_outlives_the_server(ward: WardServer) -> None:
    """A commit while the server is away waits, and is written once."""

    async def work(link: WardLink, _: WardIdentity) -> None:
        first = await commit_batch(link, WARD, alerts(b"1"), HEAD, 0)
        ward.kill()
        again = threading.Timer(0.5, ward.start)
        again.start()
        await commit_batch(link, WARD, alerts(b"2", b"3"), HEAD, first)
        again.join()
        assert await kept(link) == [b"1", b"2", b"3"]

    ward.run(work)


def test_a_reader_goes_on_where_the_server_broke_off(ward: WardServer) -> None:
    """Each message once, in order."""

    async def work(link: WardLink, _: WardIdentity) -> None:
        reader = StreamReader(link, WARD, "ecg.alert.1.>")
        head = await commit_batch(link, WARD, alerts(b"1", b"2"), HEAD, 0)
        found = [one.content for one in await reader.read(10, 5.0)]
        ward.kill()
        again = threading.Thread(target=ward.start)
        again.start()
        head = await commit_batch(link, WARD, alerts(b"3"), HEAD, head)
        again.join()
        while len(found) < 3:
            found += [one.content for one in await reader.read(10, 5.0)]
        await commit_batch(link, WARD, alerts(b"4"), HEAD, head)
        found += [one.content for one in await reader.read(10, 5.0)]
        assert found == [b"1", b"2", b"3", b"4"]
        await reader.close()

    ward.run(work)


def test_a_batch_for_which_there_is_no_room_is_written_whole_later(ward: WardServer) -> None:
    """JetStream holds 50 unfinished batches of a stream; until one ends nothing of another is."""
    n_open = 50

    async def work(link: WardLink, _: WardIdentity) -> None:
        for number in range(n_open):
            headers = {"Nats-Batch-Id": f"open{number}", "Nats-Batch-Sequence": "1"}
            subject = alert_subject(2, f"other{number}")
            assert await link.ask(subject, b"open", headers) == b""
        whys: list[str] = []

        async def end_one() -> None:
            while not whys:
                await asyncio.sleep(0.05)
            assert await kept(link) == []
            headers = {"Nats-Batch-Id": "open0", "Nats-Batch-Sequence": "2"}
            await link.ask(head_subject(2), b"", headers | {"Nats-Batch-Commit": "1"})

        ending = asyncio.create_task(end_one())
        await commit_batch(link, WARD, alerts(b"1", b"2", b"3"), HEAD, 0, whys.append)
        await ending
        assert await kept(link) == [b"1", b"2", b"3"]

    ward.run(work)


def test_a_reader_takes_about_as_many_bytes_as_it_is_told(ward: WardServer) -> None:
    """The rest comes with the next call."""

    async def work(link: WardLink, _: WardIdentity) -> None:
        reader = StreamReader(link, WARD, "ecg.alert.1.>")
        await commit_batch(link, WARD, alerts(b"12", b"34", b"56", b"78", b"9"), HEAD, 0)
        found: list[list[bytes]] = []
        while sum(map(len, found)) < 5:
            found.append([one.content for one in await reader.read(10, 5.0, 4)])
        assert max(map(len, found)) <= 2
        assert [one for each in found for one in each] == [b"12", b"34", b"56", b"78", b"9"]
        await reader.close()

    ward.run(work)
