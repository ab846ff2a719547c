"""Messages of a stream in order, each once, from a number on; it begins again where it broke off.

A consumer of JetStream that asks for no acknowledgement, in memory of the server: what a lost
connection or a restarted server takes away shows as a hole in the numbers it delivers, and the
reader makes another behind the last message it had.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from monitor.ward.link import JetStreamError, Unanswered, WardLink

BATCH = 256  # messages asked for at a time
EXPIRES_S = 30.0
HEARS_S = 2.0
SILENT_S = 3.0  # without a word, the server's idle heartbeat included
GONE_S = 60.0  # the server forgets a consumer that nobody asks
RETRY_S = 0.25
LOOK_S = 0.5  # between two looks whether the consumer is still there


class Stored(NamedTuple):
    """A message of a stream."""

    subject: str
    content: bytes
    number: int  # in the stream
    time_ns: int  # when the stream took it, wall time
    waiting: int  # messages behind it


class StreamReader:
    """Reads on and on.

    Parameters
    ----------
    link : WardLink
    stream : str
    subjects : str
        With wildcards.
    first : int or None
        Number to begin with; None: only what comes from now on.
    newest_of_each : bool
        Instead: the newest message of each subject.
    since : str
        Instead: the first message of this wall time or later (RFC 3339).
    may_begin : callable
        Asked before the server is: whether the stream there is still the one that was read. What it
        forbids is asked again a little later.
    """

    def __init__(
        self,
        link: WardLink,
        stream: str,
        subjects: str,
        first: int | None = 1,
        *,
        newest_of_each: bool = False,
        since: str = "",
        may_begin: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._link, self._stream, self._subjects = link, stream, subjects
        self._next = first
        self._newest_of_each = newest_of_each
        self._since = since
        self._may_begin = may_begin
        self._consumer = ""
        self._delivered = 0
        self._asked = 0
        self._heard_s = 0.0
        self._connection = 0  # in which the consumer was made
        self._inbox: Any = None
        self.waiting = 0  # messages that were there when the consumer was made, or behind the last

    @property
    def hears(self) -> bool:
        """Whether the server has said lately that nothing else waits, or something came."""
        connected = self._connection == self._link.times_connected
        return connected and bool(self._consumer) and time.monotonic() - self._heard_s < HEARS_S

    async def close(self) -> None:
        """Have the server forget the consumer, as far as it hears."""
        await self._forget()

    async def read(self, most: int, timeout_s: float, most_bytes: float = math.inf) -> list[Stored]:
        """Return up to so many messages, and about so many bytes; none if none came in time."""
        deadline_s = time.monotonic() + timeout_s
        found: list[Stored] = []
        while not found:
            left_s = deadline_s - time.monotonic()
            if self._connection != self._link.times_connected:
                self._consumer = ""  # what was sent meanwhile is lost, and so may the consumer be
            if not self._consumer and not await self._begin():
                if left_s <= 0:
                    return []
                await asyncio.sleep(min(RETRY_S, max(left_s, 0.0)))
                continue
            await self._ask()
            first = await self._heard(min(max(left_s, 0.0), LOOK_S))
            if first is None:
                if time.monotonic() - self._heard_s > SILENT_S:
                    await self._forget()
                if time.monotonic() >= deadline_s:
                    return []
                continue
            self._take(first, found)
            n_bytes = len(first.data)
            while (
                len(found) < most
                and n_bytes < most_bytes
                and self._consumer
                and self._inbox.pending_msgs
            ):
                more = await self._heard(0.05)
                if more is None:
                    break
                self._take(more, found)
                n_bytes += len(more.data)
        return found

    async def _heard(self, timeout_s: float) -> Any:  # noqa: ANN401
        from nats.errors import Error

        try:
            return await self._inbox.next_msg(timeout=max(timeout_s, 0.001))
        except (TimeoutError, Error):
            return None

    def _take(self, message: Any, found: list[Stored]) -> None:  # noqa: ANN401
        self._heard_s = time.monotonic()
        headers = message.headers or {}
        status = headers.get("Status")
        if status == "100":  # an idle heartbeat
            return
        if status is not None:
            if status in ("404", "408"):
                self._asked = 0
            else:  # 409, 503: the consumer is gone
                self._consumer = ""
            return
        place = message.metadata
        self._asked -= 1
        if place.sequence.consumer != self._delivered + 1:
            self._consumer = ""  # a hole
            return
        self._delivered += 1
        self._next = place.sequence.stream + 1
        self.waiting = place.num_pending
        stamp = message.reply.split(".")[-2]
        found.append(
            Stored(
                message.subject,
                bytes(message.data),
                place.sequence.stream,
                int(stamp),
                place.num_pending,
            )
        )

    async def _ask(self) -> None:
        """Ask for more where little is asked for."""
        if self._asked > BATCH // 2:
            return
        n = BATCH - self._asked
        self._asked += n
        wanted = {
            "batch": n,
            "expires": int(EXPIRES_S * 1e9),
            "idle_heartbeat": int(1e9),
        }
        await self._link.client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}",
            json.dumps(wanted).encode(),
            reply=self._inbox.subject,
        )

    async def _begin(self) -> bool:
        """Have the server make a consumer; return whether it did."""
        await self._forget()
        if not self._link.client.is_connected:
            return False
        if self._may_begin is not None and not await self._may_begin():
            return False
        wanted: dict[str, Any] = {
            "filter_subject": self._subjects,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "max_waiting": 64,
            "inactive_threshold": int(GONE_S * 1e9),
        }
        if self._newest_of_each and self._next in (None, 1):
            wanted["deliver_policy"] = "last_per_subject"
        elif self._since and self._next in (None, 1):
            wanted |= {"deliver_policy": "by_start_time", "opt_start_time": self._since}
        elif self._next is None:
            wanted["deliver_policy"] = "new"
        else:
            wanted |= {"deliver_policy": "by_start_sequence", "opt_start_seq": max(1, self._next)}
        connection = self._link.times_connected
        try:
            made = await self._link.jetstream(
                f"CONSUMER.CREATE.{self._stream}",
                {"stream_name": self._stream, "config": wanted},
            )
        except (JetStreamError, Unanswered):
            return False
        self._inbox = await self._link.client.subscribe(
            self._link.client.new_inbox(), pending_bytes_limit=1 << 29
        )
        self._consumer, self._connection = str(made["name"]), connection
        self._delivered = self._asked = 0
        self.waiting = int(made.get("num_pending", 0))
        self._heard_s = time.monotonic()
        return True

    async def _forget(self) -> None:
        from nats.errors import Error

        consumer, self._consumer = self._consumer, ""
        if self._inbox is not None:
            with contextlib.suppress(Error, OSError):
                await self._inbox.unsubscribe()
            self._inbox = None
        if consumer:
            await self._link.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{consumer}", b"")


async def read_all(reader: StreamReader) -> list[Stored]:
    """Return all that waits for a reader now, and close it.

    Raises
    ------
    Unanswered
        If JetStream does not answer.
    """
    found: list[Stored] = []
    try:
        for _ in range(20):
            if await reader._begin():
                break
            await asyncio.sleep(RETRY_S)
        else:
            raise Unanswered(f"{reader._stream} cannot be read")
        while reader.waiting:
            more = await reader.read(BATCH, 10.0)
            if not more:
                raise Unanswered(f"{reader._stream} cannot be read")
            found += more
    finally:
        await reader.close()
    return found
