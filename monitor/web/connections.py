"""Connections of browsers that ask for nothing, or never end asking: they are let go.

uvicorn waits without end for the first request of a connection, and for the rest of one. Browsers
open connections that they do not use, and machines that sleep leave theirs open: after
`MAX_CONNECTIONS` of them nobody else would be answered. The live socket has pings of its own.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

ANSWERED_WITHIN_S = 30.0  # a request, from the connection or the answer before to its own answer


class PromptConnection(H11Protocol):
    """Closes where no request was asked and answered in time."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        """Wait for the next request; uvicorn closes sooner where nothing at all comes."""
        self._wait()
        super().on_response_complete()

    def handle_websocket_upgrade(self, event: Any) -> None:  # noqa: ANN401  of h11, uvicorn's
        """Leave the connection to the live socket."""
        self._let_go()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._let_go()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._let_go()
        self._deadline = self.loop.call_later(ANSWERED_WITHIN_S, self.transport.abort)

    def _let_go(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
