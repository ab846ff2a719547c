"""A web server on this machine that does what it is told, for tests of what posts to it."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Request(NamedTuple):
    """What was posted."""

    path: str
    headers: dict[str, str]
    body: bytes


class WebServer:
    """Answers with `status` and `headers`; `mode` is what it does beyond that.

    Attributes
    ----------
    mode : str
        `answer`; `silent`, without an answer; `endless`, an answer without end, a byte at a time;
        `huge`, 64 MiB of it; `nonsense`, which is no HTTP.
    """

    def __init__(self) -> None:
        self.status, self.headers = 200, dict[str, str]()
        self.mode, self.body = "answer", b""
        self.requests: list[Request] = []
        self.left = threading.Event()
        self.url = ""

    def taken(self) -> list[Request]:
        """Return what was answered with success."""
        return list(self.requests)


@contextlib.contextmanager
def web_server(tls: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """Serve on a free port, over TLS where that is given."""
    told = WebServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with contextlib.suppress(OSError):  # who asked may have left
                self._answer(Request(self.path, dict(self.headers), body))

        def _answer(self, request: Request) -> None:
            match told.mode:
                case "silent":
                    told.left.wait(30)
                case "endless":
                    while not told.left.wait(0.02):
                        self.wfile.write(b"H")
                case "nonsense":
                    self.wfile.write(b"this is no HTTP\r\n\r\n")
                case mode:
                    if told.status < 300:
                        told.requests.append(request)
                    self.send_response(told.status)
                    for name, value in told.headers.items():
                        self.send_header(name, value)
                    content = told.body
                    times = 1
                    if mode == "huge":
                        content, times = b"x" * (1 << 16), 1 << 10
                    self.send_header("Content-Length", str(len(content) * times))
                    self.end_headers()
                    for _ in range(times):
                        self.wfile.write(content)

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # a client that does not trust us leaves
                super().handle()

        def log_message(self, *given: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        if tls is not None:
            serving.socket = tls.wrap_socket(serving.socket, server_side=True)
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        told.url = f"http{'s' if tls else ''}://127.0.0.1:{serving.server_port}"
        try:
            yield told
        finally:
            told.left.set()
            serving.shutdown()
            thread.join()
