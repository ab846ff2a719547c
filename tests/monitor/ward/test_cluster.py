"""Three servers with three replicas: whichever dies, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.ward.names import SAMPLES, WARD
from monitor.ward.past import past_alerts
from tests.monitor.ward.servers import require_nats
from tests.monitor.ward.test_ward_run import ids, on_one_machine, records, started
from tools.nats_cluster import Cluster, ended_at_last

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    require_nats()
    one = Cluster(tmp_path, 2)
    with ended_at_last(one):
        one.begin()
        yield one


def test_alerts_are_those_of_one_machine_though_leaders_die(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Of the alerts' stream, then of the samples'; each is started again after some seconds."""
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
