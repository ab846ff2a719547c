"""The web server: its routes, its headers, and its life until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from monitor.delivery.metrics import Metrics
from monitor.delivery.metrics_server import served
from monitor.errors import EndpointInUse, InvalidMessage, InvalidOption, MonitorError
from monitor.interrupts import Interrupts
from monitor.text import harmless
from monitor.web.access import HEADERS, Access, Door, is_host_allowed, is_same_origin
from monitor.web.actions import MAX_ACTION_BYTES, requested
from monitor.web.browsers import Browsers
from monitor.web.connections import PromptConnection
from monitor.web.feed import Feed, HeardCounts
from monitor.web.line import Line, OpenLine
from monitor.web.station import Station

STATIC = Path(__file__).parent / "static"
LOOK_S = 0.2  # between two looks whether Ctrl-C came
LEAVE_S = 1.0  # what connections have to end
MAX_INCOMING = 16_384  # bytes of a browser's message
MAX_CONNECTIONS = 256  # of more, each gets 503; browsers have a bound of their own


@dataclass(frozen=True)
class WebOptions:
    """What `ecg-monitor web` was asked for."""

    line: OpenLine  # to what is shown
    access: Access
    metrics: str | None = None  # PORT or HOST:PORT that Prometheus reads


class Guard:
    """Refuses requests to other names and from other pages, and sets the headers of all answers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not is_host_allowed(self._access, headers) or not is_same_origin(headers):
            await self._refuse(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                mine = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *mine]
            await send(message)

        await self._app(scope, receive, with_headers)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        text = "refused: this page is asked for under another name, or by another page"
        await PlainTextResponse(text, 421)(scope, receive, send)


def make_app(access: Access, line: Line, station: Station, browsers: Browsers) -> Starlette:
    """Return the application, without the task that hears the monitor."""
    door = Door(access.token)

    async def index(request: Request) -> Response:
        return FileResponse(STATIC / "index.html", media_type="text/html")

    async def live(socket: WebSocket) -> None:
        await browsers.admit(socket)

    async def who(request: Request) -> Response:
        """Say whether a token is the right one, so that a page can tell before it acts."""
        status, reason = door.refusal(request.headers, time.monotonic())
        return JSONResponse({"text": reason or "you may act"}, status)

    async def act(request: Request) -> Response:
        status, reason = door.refusal(request.headers, time.monotonic())
        if status != 200:
            return JSONResponse({"text": reason}, status)
        try:
            asked = requested(await _body(request), station.snapshot.journal)
            text = await run_in_threadpool(line.carry_out, asked)
        except MonitorError as error:
            wrong = 400 if isinstance(error, InvalidMessage) else 409
            return JSONResponse({"text": harmless(str(error), 500)}, wrong)
        return JSONResponse({"text": harmless(text, 500)})

    async def health(request: Request) -> Response:
        is_well = station.heard and station.silent_s == 0
        return JSONResponse(
            {"heard": station.heard, "silent_s": round(station.silent_s, 1)},
            200 if is_well else 503,
        )

    app = Starlette(
        routes=[
            Route("/", index),
            Route("/may-act", who),
            Route("/act", act, methods=["POST"]),
            Route("/health", health),
            WebSocketRoute("/live", live),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
    )
    app.add_middleware(Guard, access=access)
    return app


async def _body(request: Request) -> bytes:
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > MAX_ACTION_BYTES:
            raise InvalidMessage(f"not an action: it has more than {MAX_ACTION_BYTES} bytes")
    return content


class _Server(uvicorn.Server):
    """uvicorn, ended by our own `Interrupts`: its handlers would raise the signal again."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(options: WebOptions, interrupts: Interrupts, say: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C; say where, once it can be opened.

    Raises
    ------
    MonitorError
        If an endpoint, the address or the certificate cannot be used, or a ward not be reached.
    """
    metrics = Metrics(judges=False)
    with contextlib.ExitStack() as stack:
        if options.metrics is not None:
            stack.enter_context(served(metrics, options.metrics))
        with interrupts.at_once():  # a ward that does not answer is waited for
            line = stack.enter_context(options.line())  # before anything is said to be open
        asyncio.run(_serve(options, line, interrupts, say, metrics))


async def _serve(
    options: WebOptions,
    line: Line,
    interrupts: Interrupts,
    say: Callable[[str], None],
    metrics: Metrics,
) -> None:
    access = options.access
    station = Station()
    browsers = Browsers(station)
    heard = HeardCounts(metrics)
    feed = Feed(station, line, lambda: browsers.seats, heard.take)

    def turned(now_s: float) -> None:
        metrics.browsers = len(browsers.seats)
        browsers.turned(now_s)

    config = uvicorn.Config(
        make_app(access, line, station, browsers),
        host=access.host.strip("[]"),
        port=access.port,
        ws="websockets-sansio",  # waits for a browser that is slow to read
        ws_max_size=MAX_INCOMING,
        limit_concurrency=MAX_CONNECTIONS,
        ws_per_message_deflate=False,  # costs more than it saves on one machine
        http=PromptConnection,
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=access.certificate,
        ssl_keyfile=access.key,
        timeout_graceful_shutdown=round(LEAVE_S),
    )
    try:
        config.load()
    except OSError as error:  # ssl's errors among them
        raise InvalidOption(f"--tls-cert, --tls-key: {error.strerror or error}") from error
    server = _Server(config)
    hearing = asyncio.create_task(feed.run(turned))
    serving = asyncio.create_task(_until_served(server, access, say))
    try:
        while not interrupts.happened and not hearing.done() and not serving.done():
            await asyncio.sleep(LOOK_S)
    finally:
        browsers.leave()
        server.should_exit = True
        hearing.cancel()
        ended = await asyncio.gather(hearing, serving, return_exceptions=True)
    for result in ended:
        if isinstance(result, Exception):
            raise result


async def _until_served(server: uvicorn.Server, access: Access, say: Callable[[str], None]) -> None:
    with listening(access) as listens:
        may = "those with the token may act" if access.token else "read-only, for want of --token"
        say(f"open {access.url} ({may}); Ctrl-C ends it")
        await server.serve(sockets=[listens])


def listening(access: Access) -> socket.socket:
    """Return a socket bound to the page's address; uvicorn would say why not in a log of its own.

    Raises
    ------
    EndpointInUse
        If another process has the port.
    InvalidOption
        If the address is none of this machine's, or may not be taken.
    """
    host, port = access.host.strip("[]"), access.port
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise EndpointInUse(
                f"--listen {access.host}:{port}: another process has this port; give another"
            ) from error
        reason = (error.strerror or str(error)).split(" (while")[0]
        raise InvalidOption(
            f"--listen {access.host}:{port}: {reason}; give an address of this machine, and a port "
            "that you may take"
        ) from error
