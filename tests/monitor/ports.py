"""Free tcp ports on the loopback, for tests that need a real endpoint."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port that is free, and whose next one, for requests, is free too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
