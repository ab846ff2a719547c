"""Free tcp ports on the loopback, for tests that need a real endpoint."""

from __future__ import annotations

import os
import random
import socket

# pytest-xdist tells each of its processes which it is, and how many there are: none takes a pair of
# ports that another has just found free and not yet bound.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
N_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


FIRST, LAST = 10_240, 32_000  # below those that the system gives to who connects


def free_port() -> int:
    """Return a port that is free, and whose next one, for requests, is free too.

    None that the system gives to connections: one of another test's could take it meanwhile.
    """
    while True:
        port = random.randrange(FIRST + 1, LAST, 2)
        if port // 2 % N_WORKERS != WORKER:
            continue
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
        return port
