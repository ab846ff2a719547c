"""NATS for a ward, for tools and tests: three servers with three replicas, or `ward up`.

Each server can be killed, paused and started again over its files.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

from monitor.errors import MonitorError
from monitor.ward.link import WardAccess
from monitor.ward.names import SAMPLES, WARD
from monitor.ward.server import MAX_PAYLOAD, server_program
from monitor.ward.setup import WardSize
from monitor.ward.ward_up import init
from tools.disturbed import LOOK_S, ChaosFailed, free_port
from tools.pages import PROGRAM

NAMES = ("s0", "s1", "s2")
START_S = 60.0


class Cluster:
    """Three servers of one cluster."""

    victim = "leader"

    def __init__(self, folder: Path, partitions: int) -> None:
        self._folder, self._size = folder, WardSize(partitions, replicas=3)
        self._routes = {name: free_port() for name in NAMES}
        self._ports = {name: free_port() for name in NAMES}
        self._looks = {name: free_port() for name in NAMES}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        servers = ",".join(f"nats://127.0.0.1:{port}" for port in self._ports.values())
        self.access = WardAccess(servers)

    def begin(self) -> None:
        """Start all servers and make the ward's streams."""
        for name in NAMES:
            self.start(name)
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                init(self.access, self._size)
            except MonitorError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.5)
            else:
                return

    def start(self, name: str) -> None:
        """Start a server, or start it again."""
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self._routes.values())
        config = self._folder / f"{name}.conf"
        config.write_text(
            f'server_name: {name}\nlisten: "127.0.0.1:{self._ports[name]}"\n'
            f'http: "127.0.0.1:{self._looks[name]}"\nmax_payload: {MAX_PAYLOAD}\n'
            f'jetstream {{ store_dir: "{self._folder / name}", sync_interval: always }}\n'
            f'cluster {{ name: ward, listen: "127.0.0.1:{self._routes[name]}", '
            f"routes: [{routes}] }}\n"
        )
        self._running[name] = subprocess.Popen(
            [server_program(), "-c", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self, name: str) -> None:
        """Kill a server."""
        self._running[name].kill()
        self._running[name].wait()

    def leader(self, stream: str) -> str:
        """Return who leads a stream, as its servers say."""
        for name in NAMES:
            address = f"http://127.0.0.1:{self._looks[name]}/jsz?streams=true"
            with contextlib.suppress(OSError), urlopen(address, timeout=2) as answer:
                accounts = json.load(answer).get("account_details", [])
                for found in (one for each in accounts for one in each.get("stream_detail", [])):
                    if found["name"] == stream and found["cluster"].get("leader"):
                        return str(found["cluster"]["leader"])
        return NAMES[0]

    @property
    def is_whole(self) -> bool:
        """Whether every server runs."""
        return all(one.poll() is None for one in self._running.values())

    def pid(self, number: int) -> int | None:
        """Return the process that leads one of the two streams; None while one is down."""
        leader = self._running[self.leader((WARD, SAMPLES)[number % 2])]
        return leader.pid if self.is_whole else None

    def revive(self) -> None:
        """Start again what has ended."""
        for name, process in list(self._running.items()):
            if process.poll() is not None:
                self.start(name)

    def end(self) -> None:
        """End all servers."""
        for name in self._running:
            self.kill(name)


class OneServer:
    """`ecg-monitor ward up`."""

    victim = "server"

    def __init__(self, folder: Path, partitions: int) -> None:
        self._port = free_port()
        self._folder, self._partitions = folder, partitions
        self.access = WardAccess(f"nats://127.0.0.1:{self._port}")

    def begin(self) -> None:
        """Start it, and wait until the ward is there."""
        self.revive()
        told, deadline_s = self._folder / "server.err", time.monotonic() + START_S
        while b"partitions at" not in told.read_bytes():
            if time.monotonic() > deadline_s or self._process.poll() is not None:
                raise ChaosFailed(told.read_text()[-1000:])
            time.sleep(LOOK_S)

    @property
    def is_whole(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def pid(self, _number: int) -> int | None:
        """Return the process of nats-server; None while there is none."""
        return child_of(self._process.pid) if self.is_whole else None

    def revive(self) -> None:
        """Start it, or start it again."""
        store = ("--store", str(self._folder / "ward"), "--port", str(self._port))
        with (self._folder / "server.err").open("ab") as errors:
            self._process = subprocess.Popen(
                [*PROGRAM, "ward", "up", *store, "--partitions", str(self._partitions)],
                stdin=subprocess.DEVNULL,
                stderr=errors,
            )

    def end(self) -> None:
        """End it in order."""
        self._process.terminate()
        try:
            self._process.wait(20.0)
        except subprocess.TimeoutExpired:
            self._process.kill()


@contextlib.contextmanager
def ended_at_last(servers: Cluster | OneServer) -> Iterator[None]:
    """End servers when the block ends."""
    try:
        yield
    finally:
        servers.end()


def child_of(pid: int) -> int | None:
    """Return the process that another started; None while there is none."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
    )
    for line in listed.stdout.splitlines():
        child, parent, state = line.split()
        if int(parent) == pid and not state.startswith("Z"):
            return int(child)
    return None
