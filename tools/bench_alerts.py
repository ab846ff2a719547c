"""Measure what alerts cost: the journal's share of a replay, and how long an alert is under way.

    python -m tools.bench_alerts                     # both, in docs/program.md; minutes
    python -m tools.bench_alerts --only latency --patients 16 --seconds 60
    python -m tools.bench_alerts --only journal --hours 20
    python -m tools.bench_alerts --quick             # a minute of both, once; writes nothing

Journal: the stages, started alone, judge a simulated record at full speed; this process is the
consumer, and measures the time in `Journal.commit`, as wall time and as CPU time of its thread,
from the first commit that holds progress to the last. The target is below 10 % of that time.

Latency: this process is the producer, at real-time speed, of several simulated patients; by a
threshold that every beat exceeds, every beat is an alert. It notes when the block left that holds
the last sample that a beat needs, and when the beat's alert came from the alert socket. A beat ends
when the next one is known, as its alert tells the RR interval behind it: its last sample is the
next one's R peak + `delay_ms`. The target is a 99th percentile of at most 50 ms. What else computes
on the machine is in these times: measure when it is quiet.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np
import zmq

from monitor.delivery.subscriber import AlertSubscriber
from monitor.journal.kept_beats import KeptBeat
from monitor.journal.writer import Journal, Progress
from monitor.settings import ConsumerSettings, ProducerSettings
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.stages.consumer import run as run_consumer
from monitor.stages.playback import Pacer, open_playbacks
from monitor.wire.codec import Encoded, encode_bundle
from monitor.wire.messages import Alert, Message, SamplesMessage, Status, Technical
from monitor.wire.sockets import Sockets
from tools.measured import CommandFailed
from tools.pages import DOCS, PROGRAM, spread, table
from tools.parts import Found, measure_parts

EVERY_BEAT = 1e-3  # a threshold below any loss
READY_WITHIN_S = 120.0
SILENT_S = 60.0  # then a stage has failed
LAST_ALERTS_S = 5.0  # after the last block
T = TypeVar("T")
HOURS, PATIENTS, SECONDS = 20.0, 16, 60.0  # of the headlines


@dataclass(frozen=True)
class Plan:
    """How much is measured: `hours` of the journal's record, `seconds` of each patient."""

    hours: float
    patients: int
    seconds: float
    times: int


@dataclass
class Commits:
    """What was spent in `Journal.commit`."""

    n: int = 0
    alerts: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    began_s: float | None = None  # of the first commit that held progress
    ended_s: float = 0.0  # of the last

    @property
    def end_to_end_s(self) -> float:
        """From the first commit that held progress to the last."""
        return 0.0 if self.began_s is None else self.ended_s - self.began_s

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Measure every commit of the block."""
        commit = Journal.commit

        def timed(
            journal: Journal,
            alerts: Iterable[Encoded[Alert | Technical]],
            progress: Iterable[Progress[Any]],
            beats: Iterable[KeptBeat],
        ) -> None:
            said, reached = list(alerts), list(progress)
            wall_s, cpu_s = time.perf_counter(), time.thread_time()
            commit(journal, said, reached, beats)
            if not reached:
                return
            self.ended_s = time.perf_counter()
            self.began_s = wall_s if self.began_s is None else self.began_s
            self.n, self.alerts = self.n + 1, self.alerts + len(said)
            self.wall_s += self.ended_s - wall_s
            self.cpu_s += time.thread_time() - cpu_s

        with patch.object(Journal, "commit", timed):
            yield


def measure_journal(hours: float, folder: Path) -> Commits:
    """Have a simulated record judged at full speed, with this process as the consumer."""
    write_record(folder / "sim", SimulationSettings(hours=hours, seed=7))
    ends = {name: f"ipc://{folder / name[0]}" for name in ("samples", "beats", "wave", "alerts")}
    stages = (
        ("segmenter", *options(ends, "samples", "beats", "wave")),
        ("producer", str(folder / "sim"), "--speed", "max", *options(ends, "samples")),
    )
    settings = ConsumerSettings(
        beats=ends["beats"],
        alerts=ends["alerts"],
        journal=str(folder / "journal.sqlite"),
        real_time=False,
    )
    commits = Commits()
    with started(*stages), commits.measured():
        threading.Thread(target=_stop_at_end, args=(ends["alerts"],), daemon=True).start()
        run_consumer(settings)  # until that thread has it stop
    if not commits.end_to_end_s:
        raise CommandFailed("nothing was journaled; is a stage failing?")
    return commits


def _stop_at_end(alerts: str) -> None:
    """Have this process's consumer leave when all patients have ended, or nothing more comes."""
    with AlertSubscriber(alerts, ("status",), after=None) as subscriber:
        while subscriber.silent_s < SILENT_S:
            message = subscriber.receive(1.0)
            patients = message.patients if isinstance(message, Status) else []
            if patients and all(one.state == "ended" for one in patients):
                break
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass
class Latencies:
    """When blocks left, and how long after the right one each alert came."""

    alerts_ms: list[float] = field(default_factory=list)
    unmatched: int = 0  # alerts of beats whose next one, or its block, was not seen
    _before: dict[str, tuple[Alert, int]] = field(default_factory=dict)
    _ends: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _left_ns: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the alerts' delays; NaN if none came."""
        return float(np.percentile(self.alerts_ms, percent)) if self.alerts_ms else float("nan")

    def sent(self, patient: str, end_sample: int, left_ns: int) -> None:
        """Note that a patient's samples before `end_sample` have left."""
        self._ends[patient].append(end_sample)
        self._left_ns[patient].append(left_ns)

    def take(self, message: Message, fs_hz: float, now_ns: int) -> None:
        """Take what came from the alert socket; an alert counts when that of the next beat came."""
        if not isinstance(message, Alert) or message.delay_ms is None:
            return
        before = self._before.get(message.patient)
        self._before[message.patient] = message, now_ns
        if before is None:
            return
        alert, came_ns = before
        if not _follows(alert, message, fs_hz):
            self.unmatched += 1
            return
        # `delay_ms` is rounded to 0.1 ms, far less than a sample.
        needed = message.sample + round(message.delay_ms * fs_hz / 1000) + 1
        place = bisect_left(self._ends[message.patient], needed)
        if place == len(self._ends[message.patient]):
            self.unmatched += 1
            return
        self.alerts_ms.append((came_ns - self._left_ns[message.patient][place]) / 1e6)


def _follows(alert: Alert, later: Alert, fs_hz: float) -> bool:
    """Whether a later alert is of the very next beat."""
    if alert.rr_after_ms is None:
        return False
    return abs(alert.sample + alert.rr_after_ms * fs_hz / 1000 - later.sample) < 1


def measure_latency(patients: int, seconds: float, folder: Path) -> Latencies:
    """Be the producer of several patients at real-time speed, and time every beat's alert."""
    records = [str(folder / f"sim{n}") for n in range(patients)]
    for seed, record in enumerate(records):
        write_record(Path(record), SimulationSettings(hours=seconds / 3600, seed=seed))
    ends = {name: f"ipc://{folder / name[0]}" for name in ("samples", "beats", "wave", "alerts")}
    journal = ("--journal", str(folder / "journal.sqlite"), "--threshold", str(EVERY_BEAT))
    stages = (
        ("segmenter", *options(ends, "samples", "beats", "wave")),
        ("consumer", *options(ends, "beats", "alerts"), *journal),
    )
    settings = ProducerSettings(records=records, samples=ends["samples"])
    latencies = Latencies()
    with (
        started(*stages),
        Sockets() as sockets,
        AlertSubscriber(ends["alerts"], ("alert", "status")) as subscriber,
    ):
        sender = sockets.push(ends["samples"])
        _wait_until_ready(subscriber)
        _produce(settings, sender, subscriber, latencies)
    return latencies


def _wait_until_ready(subscriber: AlertSubscriber) -> None:
    """Return when the consumer has heard of the segmenter, too."""
    deadline_s = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline_s:
        message = subscriber.receive(1.0)
        if isinstance(message, Status) and any(one.stage == "segmenter" for one in message.stages):
            return
    raise CommandFailed(f"the stages were not ready in {READY_WITHIN_S:g} s")


def _produce(
    settings: ProducerSettings,
    sender: zmq.Socket[bytes],
    subscriber: AlertSubscriber,
    latencies: Latencies,
) -> None:
    playbacks = open_playbacks(settings)
    fs_hz = playbacks[0].source.fs_hz
    pacer = Pacer(playbacks, settings.speed, time.monotonic())
    while pacer:
        wait_s = pacer.wait_s(time.monotonic(), paused=False)
        if wait_s > 0:
            _listen(subscriber, wait_s, fs_hz, latencies)
            continue
        now_ns = time.monotonic_ns()
        due = pacer.take_due(now_ns / 1e9, now_ns)
        sender.send_multipart(encode_bundle(due))
        for message in due:
            if isinstance(message, SamplesMessage):
                stop = message.header.position + message.header.n_samples
                latencies.sent(message.header.patient, stop, now_ns)
    _listen(subscriber, LAST_ALERTS_S, fs_hz, latencies)


def _listen(
    subscriber: AlertSubscriber, seconds: float, fs_hz: float, latencies: Latencies
) -> None:
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        message = subscriber.receive(left_s)
        if message is not None:
            latencies.take(message, fs_hz, time.monotonic_ns())


def options(ends: dict[str, str], *names: str) -> tuple[str, ...]:
    """Return a stage's options that name its endpoints."""
    return tuple(word for name in names for word in (f"--{name}", ends[name]))


@contextlib.contextmanager
def started(*stages: Sequence[str]) -> Iterator[None]:
    """Run stages in processes of their own, and end them."""
    running = [subprocess.Popen([*PROGRAM, *stage]) for stage in stages]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def journal_part(plan: Plan) -> Found:
    """Measure the journal's share of a replay."""
    runs = _repeated(plan, lambda folder: measure_journal(plan.hours, folder))
    shares = [100 * one.wall_s / one.end_to_end_s for one in runs]
    rows = [
        ["share of the wall time, %", spread(shares, ".1f")],
        ["of the first commit to the last, s", spread([one.end_to_end_s for one in runs], ".2f")],
        ["in commits, s", spread([one.wall_s for one in runs], ".2f")],
        ["the same, CPU, s", spread([one.cpu_s for one in runs], ".2f")],
        ["commits", spread([one.n for one in runs], ",.0f")],
        ["alerts", spread([one.alerts for one in runs], ",.0f")],
    ]
    return Found(
        f"A simulated record of {plan.hours:g} h at full speed, {plan.times} times.\n\n"
        + table(["what", "measured"], rows),
        {"alerts.journal_share": shares} if plan.hours == HOURS else {},
    )


def latency_part(plan: Plan) -> Found:
    """Measure how long alerts are under way."""
    runs = _repeated(plan, lambda folder: measure_latency(plan.patients, plan.seconds, folder))
    middle, high, highest = ([one.percentile_ms(of) for one in runs] for of in (50, 99, 100))
    rows = [
        ["median, ms", spread(middle, ".1f")],
        ["99th percentile, ms", spread(high, ".1f")],
        ["largest, ms", spread(highest, ".1f")],
        ["alerts", spread([len(one.alerts_ms) for one in runs], ",.0f")],
        ["not matched with a block", spread([one.unmatched for one in runs], ",.0f")],
    ]
    headline = (plan.patients, plan.seconds) == (PATIENTS, SECONDS)
    return Found(
        f"{plan.patients} patients for {plan.seconds:g} s, every beat an alert, {plan.times} "
        f"times.\n\n{table(['what', 'measured'], rows)}",
        {"alerts.delay": high} if headline else {},
    )


def _repeated(plan: Plan, measure: Callable[[Path], T]) -> list[T]:
    """Measure several times, in a folder of its own each."""
    runs = []
    for _ in range(plan.times):
        with tempfile.TemporaryDirectory(prefix="ecgm-alerts-") as name:
            runs.append(measure(Path(name)))
    return runs


PARTS: dict[str, Callable[[Plan], Found]] = {"latency": latency_part, "journal": journal_part}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 1 if the stages failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_alerts", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", action="append", choices=list(PARTS), help="repeatable")
    parser.add_argument("--hours", type=float, default=HOURS, help="signal for the journal's share")
    parser.add_argument("--patients", type=int, default=PATIENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="signal of each patient")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small, once; writes nothing")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of page and figures")
    given = parser.parse_args(arguments)
    plan = Plan(given.hours, given.patients, given.seconds, given.times)
    return measure_parts(
        "bench_alerts",
        ("program.md", "The program"),
        PARTS,
        Plan(hours=0.2, patients=2, seconds=15.0, times=1) if given.quick else plan,
        only=given.only,
        out=None if given.quick else given.out,
        arguments=arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
