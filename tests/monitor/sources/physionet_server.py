"""A small server on this machine that lays records out as PhysioNet does, and can misbehave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


class PhysioNetServer:
    """What the server has and what it was asked for.

    Attributes
    ----------
    files : dict of URL path to bytes or function
        A function answers for itself.
    requested : list of str
        Paths asked for, in order.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes | Answer] = {}
        self.requested: list[str] = []
        self.released = threading.Event()  # set at the end: lets silent answers go
        self.url = ""

    def add_database(self, database: str, version: str, files: dict[str, bytes]) -> None:
        """Serve a database: its page redirects to its newest version, as PhysioNet's does."""
        page = f"/content/{database}/{version}/"
        self.files[f"/content/{database}/"] = redirect(page)
        self.files[page] = b"<html></html>"
        for name, content in files.items():
            self.files[f"/files/{database}/{version}/{name}"] = content


@contextmanager
def serve() -> Iterator[PhysioNetServer]:
    """Run a server on a free port of 127.0.0.1 until the block ends."""
    state = PhysioNetServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requested.append(self.path)
            answer = state.files.get(self.path)
            if callable(answer):
                answer(self)
            elif answer is None:
                send(self, 404, b"not here")
            else:
                send(self, 200, answer)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def send(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, length: int | str | None = None
) -> None:
    """Answer with a body, whose announced length may be a lie."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def redirect(location: str) -> Answer:
    """Return an answer that leads elsewhere."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer
