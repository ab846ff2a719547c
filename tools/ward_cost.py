"""A ward on NATS on this machine: how late alerts are, and what a beat costs beside one machine.

    python -m tools.ward_cost --patients 2000 --workers 2 --seconds 20      # under three minutes
    python -m tools.ward_cost --patients 300 --failovers 4  # for how long a partition has no worker

Needs the extra [nats]. Each ward is live: patients at 250 Hz in real time, as `ecg-monitor bench
ward` has them; in turn the same number is run through the three stages of one machine. CPU time is
that of all processes but the subscriber, nats-server included, while nobody looks at a patient. A
delay is from when a block with the last sample that an alert needed was sent to when a subscriber
has the alert; patients are looked at for it, since only then their beats go out.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.run.ward_bench import RECORD_S, RECORDS, run_ward
from monitor.settings import ProducerSettings, Ward
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.ward import bed_name
from monitor.ward.feeder import FeedOptions, feed
from monitor.ward.link import WardAccess
from monitor.ward.listener import WardListener
from monitor.wire.messages import ALL_WAVES, Alert, BeatScored, Status
from tools.chaos_ward import GAP
from tools.disturbed import free_port
from tools.nats_cluster import child_of
from tools.pages import PROGRAM, table

WARM_UP_S = 15.0
DELAYS_S = 10.0  # of looking at patients, behind the time in which CPU is measured
WATCHED = 100  # patients who are looked at
TAKEN_OVER_S = 12.0  # for others to take over what was a dead worker's
RATIO = 1.5  # of the CPU time a beat that is aimed at


@dataclass(frozen=True)
class NatsResult:
    """What a ward came to."""

    beats: int
    cores: dict[str, float]  # CPU time over the time measured
    alert_delays_ms: list[float]
    beat_delays_ms: list[float]
    seconds: float

    @property
    def us_a_beat(self) -> float:
        """CPU time of all processes over the beats."""
        return 1e6 * sum(self.cores.values()) * self.seconds / max(1, self.beats)


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(
    folder: Path, patients: int, workers: int, leads: int
) -> Iterator[tuple[WardAccess, dict[str, int]]]:
    """Run a ward for the block; yield where it is, and its processes."""
    for seed in range(RECORDS):
        write_record(folder / f"r{seed}", SimulationSettings(hours=RECORD_S / 3600, seed=seed))
    port = free_port()
    access = WardAccess(f"nats://127.0.0.1:{port}")
    to = ("--ward", access.servers)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    with (folder / "log").open("ab") as log:

        def begin(name: str, *command: str) -> None:
            processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

        try:
            store = ("--store", str(folder / "ward"), "--port", str(port))
            begin("server", *PROGRAM, "ward", "up", *store)
            time.sleep(4.0)
            for number in range(1, workers + 1):
                begin(f"worker {number}", *PROGRAM, "worker", *to)
            time.sleep(6.0)
            sending = ("--send", str(folder), "--to", access.servers)
            size = ("--patients", str(patients), "--leads", str(leads))
            begin("producer", sys.executable, "-m", "tools.ward_cost", *sending, *size)
            pids = {name: one.pid for name, one in processes.items()}
            pids["server"] = child_of(processes["server"].pid) or processes["server"].pid
            yield access, pids
        finally:
            for one in reversed(list(processes.values())):  # the server last: workers need it
                one.terminate()
                try:
                    one.wait(15.0)
                except subprocess.TimeoutExpired:
                    one.kill()
                    one.wait()


def measure(
    patients: int, workers: int, seconds: float, leads: int, store: Path | None
) -> NatsResult:
    """Let a ward live for some time."""
    with (
        tempfile.TemporaryDirectory(prefix="ecgm-nats-", dir=store) as name,
        running(Path(name), patients, workers, leads) as (access, pids),
    ):
        return _listen(access, pids, patients, seconds)


def _listen(access: WardAccess, pids: dict[str, int], patients: int, seconds: float) -> NatsResult:
    sent_ns: dict[tuple[str, int], int] = {}
    alerts: list[tuple[tuple[str, int], int]] = []
    beat_delays_ms: list[float] = []
    with WardListener(access, ("alert", "beat", "status"), None) as listener:
        newest: Status | None = None

        def listen(until_s: float) -> int:
            """Listen until then; return how many beats were scored so far."""
            nonlocal newest
            while time.monotonic() < until_s:
                message = listener.receive(0.1)
                now_ns = time.time_ns()
                for _ in listener.waves():
                    pass
                match message:
                    case Status():
                        newest = message
                    case BeatScored():
                        sent_ns[message.patient, message.sample] = message.sent_ns
                        beat_delays_ms.append((now_ns - message.sent_ns) / 1e6)
                    case Alert() if message.state != "cleared":
                        alerts.append(((message.patient, message.sample), now_ns))
                    case _:
                        pass
            return 0 if newest is None else newest.ward.beats

        beats_before = listen(time.monotonic() + WARM_UP_S)
        before, began_s = {name: cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
        beats = listen(began_s + seconds) - beats_before
        after, elapsed_s = {n: cpu_s(pid) for n, pid in pids.items()}, time.monotonic() - began_s
        listener.show([f"{ALL_WAVES}{bed_name(n)}" for n in range(1, min(patients, WATCHED) + 1)])
        listen(time.monotonic() + DELAYS_S)
    delays = [(at - sent_ns[key]) / 1e6 for key, at in alerts if key in sent_ns]
    cores = {name: (after[name] - before[name]) / elapsed_s for name in after}
    return NatsResult(beats, cores, delays, beat_delays_ms, elapsed_s)


def failovers_s(patients: int, times: int, store: Path | None) -> list[int]:
    """Kill one of two workers so often; return for how long each of its partitions had none."""
    with tempfile.TemporaryDirectory(prefix="ecgm-nats-", dir=store) as name:
        folder = Path(name)
        with running(folder, patients, 2, 1) as (access, pids):
            victim = pids["worker 1"]
            others: list[subprocess.Popen[bytes]] = []
            time.sleep(WARM_UP_S)
            for _ in range(times):
                os.kill(victim, signal.SIGKILL)
                time.sleep(TAKEN_OVER_S)
                with (folder / "log").open("ab") as log:
                    command = (*PROGRAM, "worker", "--ward", access.servers)
                    others.append(subprocess.Popen(command, stdout=log, stderr=log))
                victim = others[-1].pid
                time.sleep(TAKEN_OVER_S)
            for one in others:
                one.terminate()
                one.wait(15.0)
        return sorted(map(int, GAP.findall((folder / "log").read_text())))


def send(folder: Path, servers: str, patients: int, leads: int) -> None:
    """Send a ward's samples until interrupted."""
    settings = ProducerSettings(
        records=[str(folder / f"r{seed}") for seed in range(RECORDS)],
        leads=[str(lead) for lead in range(leads)],
        samples="",
        ward=Ward(patients),
        loop=True,
    )
    feed(FeedOptions(WardAccess(servers), settings, "bench"))


def percentile(values: Sequence[float], percent: float) -> str:
    """Return a percentile as a table shows it."""
    return f"{np.percentile(values, percent):.0f}" if values else "-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--patients", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--leads", type=int, default=1, choices=(1, 2), help="of each patient")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--times", type=int, default=2, help="of each, in turn")
    parser.add_argument("--store", type=Path, help="where its files lie: /dev/shm has no disk")
    parser.add_argument("--failovers", type=int, default=0, help="kill a worker so often instead")
    parser.add_argument("--send", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--to", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.send is not None:
        send(given.send, given.to, given.patients, given.leads)
        return 0
    if given.failovers:
        gaps_s = failovers_s(given.patients, given.failovers, given.store)
        print(
            f"Of a worker that was killed {given.failovers} times {len(gaps_s)} partitions had no "
            f"worker for {percentile(gaps_s, 50)} s at the median, {percentile(gaps_s, 100)} s at "
            "most."
        )
        return 0
    rows: list[list[str]] = []
    costs: dict[bool, list[float]] = {True: [], False: []}  # whether it is a ward on NATS
    for _ in range(given.times):
        found = measure(given.patients, given.workers, given.seconds, given.leads, given.store)
        costs[True].append(found.us_a_beat)
        rows.append(
            ["NATS", f"{found.beats / found.seconds:,.0f}", percentile(found.alert_delays_ms, 50),
             percentile(found.alert_delays_ms, 99), percentile(found.beat_delays_ms, 99),
             f"{found.us_a_beat:.0f}", _listed(found.cores)]
        )  # fmt: skip
        embedded = run_ward(given.patients, given.seconds, leads=given.leads)
        cores = {name: value for name, value in embedded.cores.items() if name != "subscriber"}
        costs[False].append(1e6 * sum(cores.values()) / max(1.0, embedded.beats_per_s))
        rows.append(
            ["one machine's stages", f"{embedded.beats_per_s:,.0f}", "-",
             f"{embedded.alert_delay_p99_ms or 0:.0f}", f"{embedded.delay_p99_ms or 0:.0f}",
             f"{costs[False][-1]:.0f}", _listed(cores)]
        )  # fmt: skip
    headings = ["through", "beats/s", "alert delay ms, median", "99th percentile",
                "beat delay ms, 99th percentile", "CPU us a beat", "cores busy"]  # fmt: skip
    print(table(headings, rows))
    ratio = float(np.median(costs[True]) / np.median(costs[False]))
    print(f"\nA beat costs {ratio:.2f} times that of one machine's stages ({RATIO} aimed at).")
    return 0


def _listed(cores: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in cores.items())


if __name__ == "__main__":
    sys.exit(main())
