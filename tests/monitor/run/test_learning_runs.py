"""Runs in which a patient is trained in a process of its own: stopped, and killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitor.sources.simulated import SimulationSettings, write_record
from monitor.view.screens import Controls
from tests.monitor.run.test_replay import Collected, is_alive, options, run, told

PROC = Path("/proc")
pytestmark = pytest.mark.skipif(not (PROC / "self/task").is_dir(), reason="no /proc to look into")


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return three simulated minutes with anomalies."""
    path = tmp_path_factory.mktemp("records") / "sim"
    settings = SimulationSettings(hours=3 / 60, seed=3, anomaly_rate=0.06, first_anomaly_s=90.0)
    write_record(path, settings)
    return path


def workers(pid: int) -> list[int]:
    """Return the processes that train and descend from one."""
    found: list[int] = []
    try:
        children = [
            int(child)
            for task in (PROC / str(pid) / "task").iterdir()
            for child in (task / "children").read_text().split()
        ]
        for child in children:
            command = (PROC / str(child) / "cmdline").read_text()
            found += [child] if "training_worker" in command else workers(child)
    except OSError:  # it has just gone
        return []
    return found


def test_ctrl_c_ends_a_run_that_learns(record: Path) -> None:
    """At once and in order; the process that trains is gone, too."""
    given = options(record)
    command = [sys.executable, "-m", "monitor", "replay", str(record), "--alerts", given.alerts]
    with subprocess.Popen(
        [*command, "--learn", "1:00", "--speed", "max", "--json"], stdout=subprocess.DEVNULL
    ) as process:
        while not (pids := workers(process.pid)):
            assert process.poll() is None
            time.sleep(0.01)
        began_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert time.monotonic() - began_s < 3.0
    assert not any(map(is_alive, pids))


def test_a_consumer_that_is_killed_while_a_patient_is_trained_learns_it_again(record: Path) -> None:
    """The alerts are those of an undisturbed run, and what trained for it is gone."""
    undisturbed = Collected()
    run(options(record, learn_s=60.0), undisturbed)
    left: list[int] = []

    def kill_once(screen: Collected, _controls: Controls) -> None:
        assert screen.supervisor is not None
        consumer = screen.supervisor.pids.get("consumer")
        if not left and consumer is not None and (pids := workers(consumer)):
            left.extend(pids)
            os.kill(consumer, signal.SIGKILL)

    disturbed = Collected(kill_once)
    summary = run(options(record, learn_s=60.0), disturbed)
    assert summary.restarts == 1
    assert len(undisturbed.alerts()) > 0
    assert told(disturbed.alerts()) == told(undisturbed.alerts())
    assert not any(map(is_alive, left))
