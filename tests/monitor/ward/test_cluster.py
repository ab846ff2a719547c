"""Three servers with three replicas: whichever dies, nothing is lost."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from monitor.ward.link import WardAccess
from monitor.ward.names import SAMPLES, WARD
from monitor.ward.past import past_alerts
from monitor.ward.server import server_program
from monitor.ward.setup import WardSize
from monitor.ward.ward_up import init
from tests.monitor.ward.servers import free_port, require_nats
from tests.monitor.ward.test_ward_run import ids, on_one_machine, records, started

pytestmark = pytest.mark.slow
NAMES = ("s0", "s1", "s2")


class Cluster:
    """Servers of one cluster; one that was killed can be started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._routes = {name: free_port() for name in NAMES}
        self._ports = {name: free_port() for name in NAMES}
        self._looks = {name: free_port() for name in NAMES}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        servers = ",".join(f"nats://127.0.0.1:{port}" for port in self._ports.values())
        self.access = WardAccess(servers)

    def start(self, name: str) -> None:
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self._routes.values())
        config = self._folder / f"{name}.conf"
        config.write_text(
            f'server_name: {name}\nlisten: "127.0.0.1:{self._ports[name]}"\n'
            f'http: "127.0.0.1:{self._looks[name]}"\nmax_payload: 8388608\n'
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


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    require_nats()
    one = Cluster(tmp_path)
    try:
        for name in NAMES:
            one.start(name)
        yield one
    finally:
        for name in NAMES:
            with contextlib.suppress(KeyError):
                one.kill(name)


def test_alerts_are_those_of_one_machine_though_leaders_die(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Of the alerts' stream, then of the samples'; each is started again after some seconds."""
    deadline_s = time.monotonic() + 40.0
    while True:
        try:
            init(cluster.access, WardSize(2, replicas=3))
            break
        except Exception:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.5)
    paths = records(tmp_path, 2, hours=0.3)
    wanted = on_one_machine(paths, tmp_path)
    to = ("--ward", cluster.access.servers)
    with (
        started("worker", *to),
        started("worker", *to),
        started("producer", *paths, "--speed", "40", *to) as sending,
    ):
        for stream in (WARD, SAMPLES):
            time.sleep(5.0)
            leader = cluster.leader(stream)
            cluster.kill(leader)
            time.sleep(4.0)
            cluster.start(leader)
        assert sending.wait(60) == 0
        deadline_s = time.monotonic() + 60.0
        while ids(past_alerts(cluster.access)) != wanted and time.monotonic() < deadline_s:
            time.sleep(0.5)
        assert ids(past_alerts(cluster.access)) == wanted
