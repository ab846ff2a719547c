"""A NATS server with a ward, for tests; they are skipped where the extra is not installed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from monitor.errors import InvalidOption
from monitor.ward.link import WardAccess, WardLink, connected
from monitor.ward.names import WardIdentity
from monitor.ward.server import served, server_program
from monitor.ward.setup import WardSize, require_ward
from monitor.ward.ward_up import init
from tests.monitor.ports import free_port

Result = TypeVar("Result")


def require_nats() -> None:
    """Skip the test where the extra is not installed."""
    pytest.importorskip("nats", reason="the extra nats is not installed")
    try:
        server_program()
    except InvalidOption:
        pytest.skip("nats-server is not installed")


class WardServer:
    """A server that can be killed and started again over the same files."""

    def __init__(self, folder: Path, partitions: int = 4) -> None:
        self.folder, self.port, self._size = folder, free_port(), WardSize(partitions)
        self.access = WardAccess(f"nats://127.0.0.1:{self.port}")
        self._open = contextlib.ExitStack()
        # A server ends with the thread that started it, and tests start it in ones that end.
        self._starter = self._open.enter_context(ThreadPoolExecutor(1))

    def start(self) -> None:
        server = served(self.folder, self.port)
        self.process = self._starter.submit(self._open.enter_context, server).result()
        # In its thread, too: Playwright has a loop in that of the test.
        self.ward = self._starter.submit(init, self.access, self._size).result()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def resize(self, partitions: int) -> None:
        """Have the next start make a ward of so many partitions."""
        self._size = WardSize(partitions)

    def stop(self) -> None:
        self._open.close()

    def run(self, work: Callable[[WardLink, WardIdentity], Awaitable[Result]]) -> Result:
        """Do something over a connection of its own."""

        async def over_it() -> Result:
            async with connected(self.access, "test") as link:
                return await work(link, await require_ward(link))

        return asyncio.run(over_it())


@contextlib.contextmanager
def ward_server(partitions: int = 4) -> Iterator[WardServer]:
    """Run a server for the block, its files in memory where there is such a place."""
    import tempfile

    require_nats()
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="ecgm-ward-", dir=place))
    server = WardServer(folder, partitions)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


PROGRAM = (sys.executable, "-m", "monitor")
