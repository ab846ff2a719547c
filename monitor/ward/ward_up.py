"""`ecg-monitor ward up` and `ward init`: a server on this machine, and a ward's streams on any."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from monitor.errors import StageFailed, WardUnreachable
from monitor.interrupts import Interrupts
from monitor.text import counted, harmless
from monitor.ward.link import WardAccess, connected
from monitor.ward.names import WardIdentity
from monitor.ward.server import served
from monitor.ward.setup import WardSize, make_ward

START_S = 10.0
LOOK_S = 0.2


def init(access: WardAccess, size: WardSize) -> WardIdentity:
    """Make a ward's streams on a server that is there."""
    return asyncio.run(_init(access, size))


async def _init(access: WardAccess, size: WardSize) -> WardIdentity:
    async with connected(access, "ward init") as link:
        return await make_ward(link, size)


def up(folder: Path, port: int, size: WardSize) -> None:
    """Run a server with a ward until told to stop.

    Raises
    ------
    StageFailed
        If the server does not start, or ends by itself.
    """
    access = WardAccess(f"nats://127.0.0.1:{port}")
    log = folder / "nats-server.log"
    with Interrupts() as interrupts, served(folder, port) as server:
        deadline_s = time.monotonic() + START_S
        while True:
            if server.poll() is not None:
                raise StageFailed(
                    f"nats-server ended with exit code {server.returncode}; is port {port} taken? "
                    f"{harmless(str(log), 500)} says why"
                )
            try:
                ward = init(access, size)
            except WardUnreachable:
                if time.monotonic() > deadline_s or interrupts.happened:
                    raise
                time.sleep(LOOK_S)
            else:
                break
        sys.stderr.write(
            f"ward {ward.identity} of {counted(ward.partitions, 'partition')} at "
            f"{access.servers}; its files are in {harmless(str(folder), 500)}\n"
        )
        sys.stderr.flush()
        while not interrupts.happened:
            if server.poll() is not None:
                raise StageFailed(
                    f"nats-server ended with exit code {server.returncode}; {log} says why"
                )
            time.sleep(LOOK_S)
