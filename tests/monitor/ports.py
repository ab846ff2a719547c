"""Free tcp ports on the loopback, for tests that need a real endpoint."""

from __future__ import annotations

import os
import socket

# pytest-xdist tells each of its processes which it is, and how many there are: none takes a pair of
# ports that another has just found free and not yet bound.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
N_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def free_port() -> int:
    """Return a port that is free, and whose next one, for requests, is free too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            if port % 2 == 0 or port // 2 % N_WORKERS != WORKER:  # Linux gives odd ones
                continue
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
