"""What a ward on NATS comes to with more patients: messages, bytes, commits, what saturates first.

    python -m tools.ward_growth                # the table, on paper and by simulation
    python -m tools.ward_growth --measure 5    # with the rates of a server on this machine, first

Sizes of messages are those of real blocks; who serves what is decided by the code that workers
run. Rates are of one stream, whose messages one server orders and writes: more servers keep more
copies, and take no more of it.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.settings import BLOCK_S
from monitor.ward.bundle import encode_samples
from monitor.ward.common_segmenter import STATES_PER_S
from monitor.ward.feeder import TICK_S
from monitor.ward.link import WardAccess, WardLink, connected
from monitor.ward.names import MOST_PARTITIONS, PARTITIONS, WardIdentity, samples_subject
from monitor.ward.partition_host import COMMIT_S, STATUS_S
from monitor.ward.server import served
from monitor.ward.setup import WardSize
from monitor.ward.shares import shares
from monitor.ward.ward_up import init
from monitor.ward.worker import BEAT_S
from monitor.wire.messages import SamplesHeader, SamplesMessage
from tools.disturbed import free_port
from tools.pages import table

PATIENTS = (100, 500, 2_000, 10_000, 50_000, 100_000)
FS_HZ, LEADS = 250.0, 2
BEATS_PER_S = 1.25
STATE_BYTES = 25_000  # 15 to 40 KB a patient (docs/SCALE.md)
ALERT_BYTES = 4_000
ALERTS_PER_HOUR = 60.0  # of a patient; 203 of MIT-BIH has 96
BUSY = 0.7  # of a worker's core
MOST_FULL = 0.85  # partitions are uneven: a worker's core is somewhat fuller than `BUSY`
OF_A_WORKER = 4  # partitions, so that shares are even
AT_ONCE = 64  # messages that wait for their answers while a server is measured


@dataclass(frozen=True)
class Rates:
    """What a machine takes.

    Attributes
    ----------
    us_a_beat : float
        CPU time of a worker, of `python -m tools.ward_cost`.
    writes_per_s : float
        Messages that one stream takes, each synced to the disk.
    mb_per_s : float
        Of a network between servers.
    """

    us_a_beat: float
    writes_per_s: float
    mb_per_s: float


@dataclass(frozen=True)
class Load:
    """What a ward of so many patients comes to, a second."""

    patients: int
    workers: int
    partitions: int
    largest: float  # partition over the mean
    sample_messages: float
    sample_mb: float
    commits: float
    commit_messages: float
    commit_mb: float
    unkept_messages: float  # leases and heartbeats, as they arrive

    def first_full(self, rates: Rates, replicas: int) -> tuple[str, float]:
        """Return what is the fullest, and how full it is, of 1."""
        mb = (self.sample_mb + self.commit_mb) * replicas
        shares_ = {
            "the samples' stream: writes": self.sample_messages / rates.writes_per_s,
            "the alerts' stream: writes": self.commit_messages / rates.writes_per_s,
            "network": mb / rates.mb_per_s,
            "a worker's core": self.largest
            * self.patients
            / self.workers
            * BEATS_PER_S
            * rates.us_a_beat
            / 1e6,
        }
        name = max(shares_, key=lambda one: shares_[one])
        return name, shares_[name]


def load_of(patients: int, beds_of_producer: int, rates: Rates) -> Load:
    """Return what a ward comes to.

    Parameters
    ----------
    beds_of_producer : int
        Patients that one producer sends, in one message a partition.
    """
    of_worker = BUSY * 1e6 / (BEATS_PER_S * rates.us_a_beat)
    workers = math.ceil(patients / of_worker)
    partitions = min(MOST_PARTITIONS, max(PARTITIONS, OF_A_WORKER * workers))
    producers = math.ceil(patients / beds_of_producer)
    due = patients / producers * min(1.0, TICK_S / BLOCK_S)  # blocks a tick of one producer
    together = partitions * (1 - (1 - 1 / partitions) ** due)  # messages that they fall into
    messages = producers * together / TICK_S
    empty, one_more = message_bytes(0), message_bytes(1)
    mb = (messages * empty + patients / BLOCK_S * (one_more - empty)) / 1e6
    alerts = patients * ALERTS_PER_HOUR / 3600
    commits = partitions / COMMIT_S + alerts
    states = min(STATES_PER_S * workers, patients)
    return Load(
        patients,
        workers,
        partitions,
        unevenness(patients, partitions),
        messages,
        mb,
        commits,
        2 * commits + alerts,  # a head and a message of states each
        (states * STATE_BYTES + alerts * ALERT_BYTES) / 1e6,
        workers * workers / BEAT_S + partitions / STATUS_S,
    )


def wards_of(patients: int, beds_of_producer: int, rates: Rates, replicas: int) -> int:
    """Return among how many wards, each with servers of its own, nothing is too full."""
    wards = 1
    while True:
        one = load_of(math.ceil(patients / wards), beds_of_producer, rates)
        if one.first_full(rates, replicas)[1] <= MOST_FULL:
            return wards
        wards += 1


def message_bytes(blocks: int) -> int:
    """Return the size of a message with so many patients' blocks."""
    n = round(BLOCK_S * FS_HZ)
    messages = [
        SamplesMessage(
            SamplesHeader(
                version=5,
                patient=f"ward-3/bed-{number:05d}",
                record="bed",
                sequence=1_000_000,
                sent_ns=1_800_000_000_000_000_000,
                position=10_000_000,
                leads=["MLII", "V1"],
                fs_hz=FS_HZ,
                n_samples=n,
                sender=(1 << 47) + number,
            ),
            np.zeros((LEADS, n), np.float32),
        )
        for number in range(blocks)
    ]
    positions = {one.header.patient: 10_000_000 for one in messages}
    return len(encode_samples(messages, positions, ended=False))


def unevenness(patients: int, partitions: int) -> float:
    """Return how much larger than the mean the largest partition is, of names drawn by number."""
    ward = WardIdentity("", partitions)
    of_each = np.bincount([ward.partition_of(f"bed-{n:06d}") for n in range(patients)])
    return float(of_each.max() * partitions / patients)


def moved(workers: int, partitions: int) -> tuple[int, int]:
    """Return how many partitions move as one worker comes to so many, and as one dies."""
    names = [f"w{number:03d}" for number in range(workers + 1)]
    owners: dict[int, str] = {}
    _settle(names[:workers], owners, partitions)
    before = dict(owners)
    _settle(names, owners, partitions)
    come = sum(before[one] != owners[one] for one in owners)
    before = dict(owners)
    _settle(names[1:], owners, partitions)
    return come, sum(before[one] != owners[one] for one in owners)


def _settle(alive: Sequence[str], owners: dict[int, str], partitions: int) -> None:
    """Let workers act in turn until none wants anything."""
    while True:
        acted = False
        for one in alive:
            wanted = shares(one, alive, owners, partitions)
            for partition in wanted.release:
                owners[partition] = ""
            for partition in wanted.claim:
                owners[partition] = one
            acted = acted or bool(wanted.claim or wanted.release)
        if not acted:
            return


def measured_writes_per_s(seconds: float) -> float:
    """Return how many messages of samples a stream takes on this machine's disk."""
    with tempfile.TemporaryDirectory(prefix="ecgm-growth-") as name:
        port = free_port()
        access = WardAccess(f"nats://127.0.0.1:{port}")
        with served(Path(name), port):
            time.sleep(1.0)
            init(access, WardSize(PARTITIONS))
            return asyncio.run(_writes_per_s(access, seconds))


async def _writes_per_s(access: WardAccess, seconds: float) -> float:
    content = bytes(message_bytes(10))

    async def write(link: WardLink, number: int) -> int:
        n = 0
        while time.monotonic() < until_s:
            await link.ask(samples_subject(number % PARTITIONS, f"p{number}"), content)
            n += 1
        return n

    async with connected(access, "growth") as link:
        until_s = time.monotonic() + seconds
        return sum(await asyncio.gather(*(write(link, one) for one in range(AT_ONCE)))) / seconds


def growth_table(
    patients: Sequence[int], beds_of_producer: int, rates: Rates, replicas: int
) -> str:
    """Return what wards of so many patients come to, as a table in Markdown."""
    rows = []
    for one in [load_of(n, beds_of_producer, rates) for n in patients]:
        full, share = one.first_full(rates, replicas)
        come, gone = moved(one.workers, one.partitions)
        wards = wards_of(one.patients, beds_of_producer, rates, replicas)
        rows.append(
            [f"{one.patients:,}", f"{one.workers}", f"{one.partitions}", f"{one.largest:.2f}",
             f"{come}, {gone}", f"{one.sample_messages:,.0f}", f"{one.sample_mb:,.1f}",
             f"{one.commits:,.0f}", f"{one.commit_messages:,.0f}", f"{one.commit_mb:,.1f}",
             f"{one.unkept_messages:,.0f}", f"{full} {100 * share:.0f} %", f"{wards}"]
        )  # fmt: skip
    headings = ["patients", "workers", "partitions", "largest over mean",
                "partitions moved: one comes, one dies", "messages of samples/s", "MB/s",
                "commits/s", "messages of commits/s", "MB/s", "leases, heartbeats/s",
                "fullest", "wards that take it"]  # fmt: skip
    return table(headings, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--patients", type=int, nargs="*", default=PATIENTS)
    parser.add_argument("--producer", type=int, default=500, help="patients that one sends")
    parser.add_argument("--us-a-beat", type=float, default=600.0, help="of tools.ward_cost")
    parser.add_argument("--writes", type=float, default=2000.0, help="a stream takes a second")
    parser.add_argument("--network", type=float, default=120.0, help="MB/s: 1 Gb/s")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--measure", type=float, default=0.0, help="seconds to measure --writes")
    given = parser.parse_args(arguments)
    writes = measured_writes_per_s(given.measure) if given.measure else given.writes
    rates = Rates(given.us_a_beat, writes, given.network)
    print(
        f"A producer sends {given.producer} patients; a worker takes {rates.us_a_beat:.0f} us a "
        f"beat, a stream {rates.writes_per_s:,.0f} messages/s, the network {rates.mb_per_s:.0f} "
        f"MB/s of {given.replicas} copies.\n"
    )
    print(growth_table(given.patients, given.producer, rates, given.replicas))
    return 0


if __name__ == "__main__":
    sys.exit(main())
