"""`ecg-monitor web` in a process of its own, as tests ask it."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.monitor.ports import free_port

STARTS_S = 60.0
TOKEN = "a-token-of-tests-only"


@dataclass
class PageServer:
    """A running server.

    Attributes
    ----------
    port : int
    process : Popen
    """

    port: int
    process: subprocess.Popen[str]
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def get(
        self, path: str, headers: dict[str, str] | None = None, data: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of an answer."""
        asked = urllib.request.Request(f"{self.url}{path}", data, headers or {})
        try:
            with urllib.request.urlopen(asked, timeout=30, context=self.tls) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    def act(self, token: str | None = TOKEN, **action: Any) -> tuple[int, str]:
        """Ask for an action; return status and text."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        status, _, body = self.get("/act", headers, json.dumps(action).encode())
        return status, json.loads(body)["text"]


def page_server(
    alerts: str,
    wave: str,
    folder: Path,
    *options: str,
    port: int | None = None,
    tls: ssl.SSLContext | None = None,
) -> contextlib.AbstractContextManager[PageServer]:
    """Run the server for a monitor until the block ends."""
    return page_server_of(folder, alerts, "--wave", wave, *options, port=port, tls=tls)


@contextlib.contextmanager
def page_server_of(
    folder: Path,
    *options: str,
    port: int | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[PageServer]:
    """Run the server until the block ends; it must then have ended by itself, without an error."""
    port = port or free_port()
    command = [sys.executable, "-m", "monitor", "web", "--listen", f"127.0.0.1:{port}", *options]
    log = folder / "web.log"
    with log.open("w") as errors:
        process = subprocess.Popen(command, stderr=errors, text=True, env=dict(os.environ))
    server = PageServer(port, process, tls)
    try:
        deadline_s = time.monotonic() + STARTS_S
        while "open http" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.05)
        wait_until(lambda: _answers(server))
        yield server
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def _answers(server: PageServer) -> bool:
    with contextlib.suppress(urllib.error.URLError):
        return server.get("/health")[0] in (200, 503)
    return False


def wait_until(is_so: Any, within_s: float = 30.0) -> None:
    """Wait until something is so; fail if it is not in time."""
    deadline_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def token_file(folder: Path) -> Path:
    """Return a file with the token."""
    path = folder / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    return path
