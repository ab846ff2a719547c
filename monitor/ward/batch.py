"""One atomic batch of messages to a stream, fenced, and written once however often it is tried.

A batch that is not answered may have been written or not. So each commit bears a name, in its last
message; who sees that the fence has moved looks whose name stands there.
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

from monitor.errors import Fenced, WardUnreachable
from monitor.ward.link import JetStreamError, Unanswered, WardLink, answer_of

MOST = 1000  # messages a batch, of JetStream
COMMIT_NAME = "Ecg-Commit"
WRONG_LAST = frozenset({10071, 10164})  # another message of the subject followed
# Too large, batches or rollups not allowed. All else is tried again: no leader, no room, a batch
# that was forgotten at a restart.
NEVER = frozenset({10052, 10054, 10111, 10174})
RETRY_S = 0.25


class BatchMessage(NamedTuple):
    """One message of a batch; `rollup` leaves it alone under its subject."""

    subject: str
    content: bytes
    rollup: bool = False


async def commit_batch(
    link: WardLink,
    stream: str,
    messages: Sequence[BatchMessage],
    fence: BatchMessage,
    expected: int,
    waits: Callable[[str], None] = lambda _why: None,
) -> int:
    """Write messages and the fence behind them, all or nothing; return the fence's number.

    It is tried until it is written: JetStream may have no leader, no room, or no connection.

    Parameters
    ----------
    expected : int
        Number of the fence's last message in the stream; 0 where there is none.
    waits : callable
        Hears each time why it is not written yet.

    Raises
    ------
    Fenced
        If another has written the fence since.
    WardUnreachable
        If JetStream will never take it.
    """
    name = uuid.uuid4().hex
    while True:
        await link.until_connected()
        try:
            return await _write(link, messages, fence, expected, name)
        except JetStreamError as error:
            if error.code in WRONG_LAST:
                return await _ours(link, stream, fence.subject, name)
            if error.code in NEVER:
                raise WardUnreachable(
                    f"{link.address} does not take what is to be written: {error}; a ward's server "
                    f"must be as `ecg-monitor ward up` makes one (docs/SCALE.md)"
                ) from error
            waits(str(error))
        except Unanswered as error:
            waits(str(error))
        await asyncio.sleep(RETRY_S)
        if (written := await _written(link, stream, fence.subject, name)) is not None:
            return written


async def _write(
    link: WardLink,
    messages: Sequence[BatchMessage],
    fence: BatchMessage,
    expected: int,
    name: str,
) -> int:
    batch = uuid.uuid4().hex
    of_fence = {
        COMMIT_NAME: name,
        "Nats-Expected-Last-Subject-Sequence": str(expected),
    }
    if fence.rollup:
        of_fence["Nats-Rollup"] = "sub"
    if not messages:
        return int(answer_of(await link.ask(fence.subject, fence.content, of_fence))["seq"])
    for number, one in enumerate(messages, 1):
        headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
        if one.rollup:
            headers["Nats-Rollup"] = "sub"
        await link.publish(one.subject, one.content, headers)
    # The last alone is answered: a batch of which something was not taken, because JetStream has no
    # room for another, is not taken with it.
    last = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(len(messages) + 1)}
    last["Nats-Batch-Commit"] = "1"
    return int(answer_of(await link.ask(fence.subject, fence.content, last | of_fence))["seq"])


async def _ours(link: WardLink, stream: str, subject: str, name: str) -> int:
    """Return the number of the fence if it is of this commit; Fenced if it is another's."""
    while True:
        try:
            found = await link.last(stream, subject)
        except (JetStreamError, Unanswered):
            await asyncio.sleep(RETRY_S)
            continue
        if found is not None and commit_name(found.get("hdrs", "")) == name:
            return int(found["seq"])
        raise Fenced(f"another writes {subject}")


async def _written(link: WardLink, stream: str, subject: str, name: str) -> int | None:
    """Return the number of the fence if this commit wrote it, as far as can be heard."""
    try:
        found = await link.last(stream, subject)
    except (JetStreamError, Unanswered):
        return None
    if found is not None and commit_name(found.get("hdrs", "")) == name:
        return int(found["seq"])
    return None


def commit_name(headers: str) -> str:
    """Return the name of the commit that wrote a message, of its encoded headers."""
    for line in base64.b64decode(headers).decode(errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == COMMIT_NAME:
            return value.strip()
    return ""
