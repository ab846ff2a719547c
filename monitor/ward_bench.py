"""How many live patients the three stages take at once: `ecg-monitor bench ward`.

A producer process plays simulated records from memory, each patient from a place of its own, in
real time, and does not wait. Segmenter and consumer are those of every run. A subscriber in this
process times each beat:

    delay = its score arrives here - the block with the last sample that it needed fell due

So the delay holds everything that the system does, and nothing of what lies in the signal: not the
wait for the block to be full (the source's), nor that for the next R peak (the detector's).
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from array import array
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from monitor.codec import decode_message
from monitor.errors import InvalidMessage, MonitorError
from monitor.settings import ConsumerSettings, ProducerSettings, SegmenterSettings, Ward
from monitor.sockets import Sockets, receive_waiting
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.supervisor import Supervisor
from monitor.wire import Alert, BeatScored, Message, StageName, Status

RECORDS, RECORD_S = 4, 300.0  # simulated, chf07's mixture of beats; short: each patient plays one
WARM_UP_S = 12.0  # until every detector has learnt its levels, and all stages have met
MAX_DELAY_S = 0.25
OPEN_S = 120.0  # for the stages to be ready
POLL_MS = 50
TAKEN_AT_ONCE = 5_000


class WardResult(msgspec.Struct, frozen=True):
    """What a ward came to."""

    patients: int
    seconds: float
    beats: int  # whose score arrived
    beats_per_s: float
    alerts: int
    delay_median_ms: float
    delay_p99_ms: float
    delay_max_ms: float
    alert_delay_p99_ms: float | None
    dropped: int  # samples and beats, in all stages
    missed: int  # beats that were scored, and did not arrive
    overloads: int
    cores: dict[str, float]  # CPU time of each process over the time measured
    memory_mb: dict[str, float]  # resident, at the end
    kept_up: bool


@dataclass
class Ear:
    """What the subscriber hears while it measures."""

    measuring: bool = False
    delays_ns: array[int] = field(default_factory=lambda: array("q"))
    alert_delays_ns: array[int] = field(default_factory=lambda: array("q"))
    status: Status | None = None
    overloads: int = 0
    _sent_ns: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self, message: Message, now_ns: int) -> None:
        """Take a message that has arrived."""
        match message:
            case BeatScored():
                self._sent_ns[message.patient] = message.sample, message.sent_ns
                if self.measuring:
                    self.delays_ns.append(now_ns - message.sent_ns)
            case Alert():
                sample, sent_ns = self._sent_ns.get(message.patient, (-1, 0))
                if self.measuring and sample == message.sample:
                    self.alert_delays_ns.append(now_ns - sent_ns)
            case Status():
                self.status = message
            case _:
                self.overloads += getattr(message, "event", "") == "overload"

    @property
    def dropped(self) -> int:
        """Samples and beats that the stages have dropped so far."""
        return 0 if self.status is None else sum(one.dropped for one in self.status.stages)


def run_ward(patients: int, seconds: float, seed: int = 1) -> WardResult:
    """Let a ward live for so long and time its beats.

    Raises
    ------
    MonitorError
        If the stages cannot be started, or die.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ecgw-")))
        supervisor = stack.enter_context(Supervisor(_settings(folder, patients, seed), folder))
        sockets = stack.enter_context(Sockets())
        topics = ["beat.", "alert.", "technical.monitor", "status"]
        heard = sockets.subscribe(_alerts(folder), topics)
        ear = Ear()

        def listen(until_s: float) -> None:
            while (left_s := until_s - time.monotonic()) > 0:
                heard.poll(min(POLL_MS, max(1, round(1000 * left_s))))
                for frames in receive_waiting(heard, TAKEN_AT_ONCE):
                    now_ns = time.monotonic_ns()
                    with contextlib.suppress(InvalidMessage):
                        ear.take(decode_message(frames), now_ns)
                supervisor.poll()

        ready_by_s = time.monotonic() + OPEN_S
        while not (supervisor.ready and ear.status is not None):
            if time.monotonic() > ready_by_s:
                raise MonitorError(f"the stages were not ready within {OPEN_S:.0f} s")
            listen(time.monotonic() + 0.1)
        supervisor.begin()
        listen(time.monotonic() + WARM_UP_S)
        pids: dict[StageName | str, int] = {**supervisor.pids, "subscriber": os.getpid()}
        cpu_s, began_s, dropped = _cpu_s(pids), time.monotonic(), ear.dropped
        ear.overloads, ear.measuring = 0, True
        listen(began_s + seconds)
        ear.measuring = False
        elapsed_s, cpu_after_s, memory = time.monotonic() - began_s, _cpu_s(pids), _memory_mb(pids)
        cores = {name: round((cpu_after_s[name] - cpu_s[name]) / elapsed_s, 3) for name in cpu_s}
        return _result(patients, elapsed_s, ear, dropped, cores, memory)


def find_largest(seconds: float, first: int, most: int = 10_000) -> list[WardResult]:
    """Double a ward until it does not keep up, then halve the interval; results in that order."""
    results: list[WardResult] = []
    good, bad, patients = 0, most + 1, first
    while bad - good > max(50, good // 16):
        results.append(run_ward(patients, seconds))
        if results[-1].kept_up:
            good = patients
        else:
            bad = patients
        patients = min(2 * good, most) if bad > most else (good + bad) // 2
        if patients == good:
            break
    return results


def _settings(
    folder: Path, patients: int, seed: int
) -> tuple[ProducerSettings, SegmenterSettings, ConsumerSettings]:
    records = []
    for number in range(RECORDS):
        path = folder / f"sim{number}"
        write_record(path, SimulationSettings(hours=RECORD_S / 3600, seed=seed + number))
        records.append(str(path))
    samples, beats = f"ipc://{folder}/samples", f"ipc://{folder}/beats"
    queue = max(32, patients // 2)
    return (
        ProducerSettings(
            records=records,
            samples=samples,
            live=True,
            ward=Ward(patients, seed=seed),
            queue_messages=queue,
        ),
        SegmenterSettings(
            samples=samples, beats=beats, wave=f"ipc://{folder}/wave", queue_messages=queue
        ),
        ConsumerSettings(
            beats=beats,
            alerts=_alerts(folder),
            journal=str(folder / "journal"),
            queue_messages=queue,
        ),
    )


def _alerts(folder: Path) -> str:
    return f"ipc://{folder}/alerts"


def _result(
    patients: int,
    elapsed_s: float,
    ear: Ear,
    dropped_before: int,
    cores: dict[str, float],
    memory_mb: dict[str, float],
) -> WardResult:
    delays_ms = np.array(ear.delays_ns, np.float64) / 1e6
    alerts_ms = np.array(ear.alert_delays_ns, np.float64) / 1e6
    median, p99, largest = (
        (float(value) for value in np.quantile(delays_ms, [0.5, 0.99, 1.0]))
        if len(delays_ms)
        else (np.inf, np.inf, np.inf)
    )
    dropped = ear.dropped - dropped_before
    return WardResult(
        patients=patients,
        seconds=round(elapsed_s, 1),
        beats=len(delays_ms),
        beats_per_s=round(len(delays_ms) / elapsed_s, 1),
        alerts=len(alerts_ms),
        delay_median_ms=round(median, 1),
        delay_p99_ms=round(p99, 1),
        delay_max_ms=round(largest, 1),
        alert_delay_p99_ms=round(float(np.quantile(alerts_ms, 0.99)), 1) if len(alerts_ms) else None,
        dropped=dropped,
        missed=0,
        overloads=ear.overloads,
        cores=cores,
        memory_mb=memory_mb,
        kept_up=p99 <= 1e3 * MAX_DELAY_S and dropped == 0,
    )


def _cpu_s(pids: dict[StageName | str, int]) -> dict[str, float]:
    """Return the CPU time of processes so far, where the system tells (Linux)."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for name, pid in pids.items():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[str(name)] = (int(fields[11]) + int(fields[12])) / ticks
    return found


def _memory_mb(pids: dict[StageName | str, int]) -> dict[str, float]:
    """Return the resident memory of processes, where the system tells (Linux)."""
    found = {}
    for name, pid in pids.items():
        with contextlib.suppress(OSError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            found[str(name)] = round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    return found
