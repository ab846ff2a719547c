"""A real mosquitto for tests, and a reader of its topics; they are skipped where there is none."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.monitor.ports import free_port

SEARCHED = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def program(name: str) -> str:
    """Return where a program of mosquitto's lies; skip the test where it is not installed."""
    found = shutil.which(name, path=SEARCHED)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


class Heard(NamedTuple):
    """What a reader received."""

    topic: str
    payload: bytes
    retained: bool


class Broker:
    """A broker that can be killed, stopped and started again on its port."""

    def __init__(self, folder: Path, config: str = "allow_anonymous true") -> None:
        pytest.importorskip("paho.mqtt", reason="the extra mqtt is not installed")
        self._program = program("mosquitto")
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        # Who starts it as root would have it become another user, who may not read its files.
        self._config.write_text(f"user root\nlistener {self.port} 127.0.0.1\n{config}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._config)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until_s = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            assert self._process.poll() is None, "mosquitto ended"
            assert time.monotonic() < until_s
            time.sleep(0.02)

    def hold(self) -> None:
        """Let it answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it, and forget all that it held."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"mqtt://127.0.0.1:{self.port}"


@contextlib.contextmanager
def broker(folder: Path, config: str = "allow_anonymous true") -> Iterator[Broker]:
    """Run a broker."""
    running = Broker(folder, config)
    try:
        running.start()
        yield running
    finally:
        running.kill()


class Reader:
    """Hears topics of a broker."""

    def __init__(self, port: int, user: str = "", password: str = "") -> None:
        from paho.mqtt.client import Client, MQTTv5
        from paho.mqtt.enums import CallbackAPIVersion

        self._heard: queue.Queue[Heard] = queue.Queue()
        self._listens: queue.Queue[None] = queue.Queue()
        self._client: Any = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        self._client.on_connect = lambda client, *given: client.subscribe("#", 1)
        self._client.on_subscribe = lambda *given: self._listens.put(None)
        self._client.on_message = lambda client, _, one: self._heard.put(
            Heard(one.topic, bytes(one.payload), bool(one.retain))
        )
        if user:
            self._client.username_pw_set(user, password)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._listens.get(timeout=10)

    def next(self, timeout_s: float = 10.0) -> Heard:
        """Return the next message."""
        return self._heard.get(timeout=timeout_s)

    def waiting(self) -> list[Heard]:
        """Return what has come."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._heard.get_nowait())
        return found

    def close(self) -> None:
        """End the connection."""
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def reader(port: int, user: str = "", password: str = "") -> Iterator[Reader]:
    """Read while the block lasts."""
    reading = Reader(port, user, password)
    try:
        yield reading
    finally:
        reading.close()
