"""Real servers on this machine that archives lie on: the web, an S3 bucket, FTP, SFTP."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.monitor.ports import free_port

Answer = Callable[[SimpleHTTPRequestHandler], bool]  # False: answer as a server does


class Web:
    """A folder on the web.

    Attributes
    ----------
    url : str
    answers : dict of path to function
        Answers in the server's place; a path behind `HEAD` is asked without the file's bytes.
    requested : list of str
        Method and path, in order.
    """

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, Answer] = {}
        self.requested: list[str] = []


@contextmanager
def web(folder: Path) -> Iterator[Web]:
    """Serve a folder as `python -m http.server` does, until the block ends."""
    state = Web()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requested.append(f"GET {self.path}")
            answer = state.answers.get(self.path)
            if answer is None or not answer(self):
                super().do_GET()

        def do_HEAD(self) -> None:
            state.requested.append(f"HEAD {self.path}")
            answer = state.answers.get(f"HEAD {self.path}")
            if answer is None or not answer(self):
                super().do_HEAD()

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def failing(status: int, times: int = 1_000_000) -> Answer:
    """Return an answer that refuses so many times."""
    left = [times]

    def answer(handler: SimpleHTTPRequestHandler) -> bool:
        left[0] -= 1
        if left[0] < 0:
            return False
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return answer


def broken_off(times: int) -> Answer:
    """Return an answer that ends in the middle of a file, so many times."""
    left = [times]

    def answer(handler: SimpleHTTPRequestHandler) -> bool:
        left[0] -= 1
        if left[0] < 0:
            return False
        content = Path(handler.translate_path(handler.path)).read_bytes()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.close_connection = True
        return True

    return answer


@contextmanager
def bucket_server(folder: Path) -> Iterator[dict[str, str]]:
    """Serve each folder in a folder as an S3 bucket; yield what a client's environment says."""
    port = free_port()
    with _started(["-m", "localbucket", str(folder), "--port", str(port)], port):
        yield {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }


@contextmanager
def ftp_server(folder: Path, user: str, password: str) -> Iterator[str]:
    """Serve a folder over FTP, for writing too; yield its address."""
    port = free_port()
    where = ["-i", "127.0.0.1", "-p", str(port), "-d", str(folder)]
    with _started(["-m", "pyftpdlib", *where, "-w", "-u", user, "-P", password], port):
        yield f"ftp://{user}:{password}@127.0.0.1:{port}"


SFTP = """
import asyncio, asyncssh, sys
class Server(asyncssh.SSHServer):
    def password_auth_supported(self):
        return True
    def validate_password(self, user, password):
        return (user, password) == (sys.argv[3], sys.argv[4])
async def serve():
    sftp = lambda channel: asyncssh.SFTPServer(channel, chroot=sys.argv[1])
    key = asyncssh.generate_private_key("ssh-ed25519")
    public = key.export_public_key().decode()
    open(sys.argv[5], "w").write(f"[127.0.0.1]:{sys.argv[2]} {public}")
    where = "127.0.0.1", int(sys.argv[2])
    await asyncssh.create_server(Server, *where, server_host_keys=[key], sftp_factory=sftp)
    await asyncio.sleep(300)
asyncio.run(serve())
"""


@contextmanager
def sftp_server(folder: Path, user: str, password: str, known_hosts: Path) -> Iterator[str]:
    """Serve a folder over SFTP, for writing too; yield its address. Its key goes into a file."""
    port = free_port()
    given = [str(folder), str(port), user, password, str(known_hosts)]
    with _started(["-c", SFTP, *given], port):
        yield f"sftp://{user}:{password}@127.0.0.1:{port}"


@contextmanager
def _started(arguments: list[str], port: int) -> Iterator[None]:
    """Have a server while the block lasts; its port takes connections."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen([sys.executable, *arguments], stdout=quiet, stderr=quiet) as process:
        try:
            until_s = time.monotonic() + 20
            while not _takes_connections(port):
                assert process.poll() is None, "the server has ended"
                assert time.monotonic() < until_s, "the server does not answer"
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


def _takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
