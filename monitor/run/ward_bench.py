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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.errors import InvalidMessage, MonitorError
from monitor.run.short_folder import base_folder
from monitor.run.supervisor import Supervisor
from monitor.settings import (
    ConsumerSettings,
    ProducerSettings,
    Rules,
    SegmenterSettings,
    VerdictBy,
    Ward,
)
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.ward import bed_name
from monitor.text import counted
from monitor.wire.codec import decode_message
from monitor.wire.messages import ALL_BEATS, Alert, BeatScored, Message, Status, Technical
from monitor.wire.sockets import Sockets, receive_waiting

MAX_PATIENTS = 10_000
RECORDS, RECORD_S = 4, 300.0  # simulated, chf07's mixture of beats; short: each patient plays one
WARM_UP_S = 12.0  # until every detector has learnt its levels, and all stages have met
MAX_DELAY_MS = 250.0
OPEN_S = 120.0  # for the stages to be ready
POLL_MS = 50
TAKEN_AT_ONCE = 5_000


class WardResult(msgspec.Struct, frozen=True):
    """What a ward came to."""

    patients: int
    leads: int  # of each
    seconds: float
    beats: int  # whose score arrived
    beats_per_s: float  # of all patients
    alerts: int
    delay_median_ms: float | None  # none where no score arrived
    delay_p99_ms: float | None
    delay_max_ms: float | None
    alert_delay_p99_ms: float | None
    shed: int  # patients of whom nothing was sent at the end: the machine cannot take more
    dropped: int  # samples and beats, in all stages
    missed: int  # beats that were scored, and did not arrive, where all are listened to
    overloads: int
    cores: dict[str, float]  # CPU time of each process over the time measured
    memory_mb: dict[str, float]  # resident, at the end
    kept_up: bool


class Moment(NamedTuple):
    """How a ward is while it lives.

    Attributes
    ----------
    elapsed_s : float
        Since the measuring began.
    delays_ms : np.ndarray, shape (n,), float64
        Of the scores that arrived since the moment before.
    dropped : int
        Samples and beats, in all stages, since the measuring began.
    overloaded : bool
        Whether `overload` was said and not ended.
    memory_mb : dict of str to float
        Resident memory of each process.
    """

    elapsed_s: float
    delays_ms: NDArray[np.float64]
    dropped: int
    overloaded: bool
    memory_mb: dict[str, float]


def nobody(moment: Moment) -> None:
    """Let a moment pass."""


@dataclass
class Ear:
    """What the subscriber hears: counted and timed from `begin` on."""

    hears_all: bool = True  # otherwise the beats of some patients
    status: Status | None = None
    overloaded: bool = False
    _measuring: bool = False
    _delays_ns: array[int] = field(default_factory=lambda: array("q"))
    _alert_delays_ns: array[int] = field(default_factory=lambda: array("q"))
    _overloads: int = 0
    _scored: int = 0  # beats that the monitor had scored when the first heartbeat was heard
    _heard: int = 0  # and how many arrived since
    _missed: int = 0
    _counted: list[tuple[int, int]] = field(default_factory=list)  # beats scored, and when: ns
    _newest: dict[str, tuple[int, int]] = field(default_factory=dict)

    def begin(self) -> None:
        """Measure from here on."""
        self._measuring = True

    def take(self, message: Message, now_ns: int) -> None:
        """Take a message that has arrived."""
        match message:
            case BeatScored():
                self._newest[message.patient] = message.sample, message.sent_ns
                self._heard += 1
                if self._measuring:
                    self._delays_ns.append(now_ns - message.sent_ns)
            case Alert():
                sample, sent_ns = self._newest.get(message.patient, (-1, 0))
                if self._measuring and sample == message.sample:
                    self._alert_delays_ns.append(now_ns - sent_ns)
            case Status():
                self._take_status(message, now_ns)
            case Technical(event="overload", state=state):
                # It is said anew when more patients are shed.
                self._overloads += state == "onset" and not self.overloaded
                self.overloaded = state == "onset"
            case _:
                pass

    def _take_status(self, status: Status, now_ns: int) -> None:
        """Compare what was scored between two heartbeats with what came between them."""
        if self._measuring:
            self._counted = [*self._counted[:1], (status.ward.beats, now_ns)]
        if self._measuring and self.hears_all and self.status is not None:
            self._missed += status.ward.beats - self._scored - self._heard
        self.status, self._scored, self._heard = status, status.ward.beats, 0

    def _rate(self, elapsed_s: float) -> float:
        """Return the beats a second that arrived; those that were scored, where not all do."""
        if self.hears_all or len(self._counted) < 2:
            return len(self._delays_ns) / elapsed_s
        (beats, since_ns), (newest, now_ns) = self._counted
        return (newest - beats) / ((now_ns - since_ns) / 1e9)

    def delays_ms(self, first: int) -> NDArray[np.float64]:
        """Return the delays of the scores that were measured, from one of them on."""
        return np.array(self._delays_ns[first:], np.float64) / 1e6

    @property
    def dropped(self) -> int:
        """Samples and beats that the stages have dropped so far."""
        return 0 if self.status is None else sum(one.dropped for one in self.status.stages)

    def result(
        self,
        patients: int,
        leads: int,
        elapsed_s: float,
        dropped_before: int,
        cores: dict[str, float],
        memory_mb: dict[str, float],
    ) -> WardResult:
        """Return what was measured."""
        delays_ms = self.delays_ms(0)
        alerts_ms = np.array(self._alert_delays_ns, np.float64) / 1e6
        p99_ms = _quantile(delays_ms, 0.99)
        dropped = self.dropped - dropped_before
        in_time = p99_ms is not None and p99_ms <= MAX_DELAY_MS
        return WardResult(
            patients=patients,
            leads=leads,
            seconds=round(elapsed_s, 1),
            beats=len(delays_ms),
            beats_per_s=round(self._rate(elapsed_s), 1),
            alerts=len(alerts_ms),
            delay_median_ms=_quantile(delays_ms, 0.5),
            delay_p99_ms=p99_ms,
            delay_max_ms=_quantile(delays_ms, 1.0),
            alert_delay_p99_ms=_quantile(alerts_ms, 0.99),
            shed=0 if self.status is None else self.status.ward.shed,
            dropped=dropped,
            missed=self._missed,
            overloads=self._overloads,
            cores=cores,
            memory_mb=memory_mb,
            kept_up=in_time and dropped == 0 and self._missed <= 0,
        )


def _quantile(values: NDArray[np.float64], share: float) -> float | None:
    return round(float(np.quantile(values, share)), 1) if len(values) else None


def run_ward(
    patients: int,
    seconds: float,
    seed: int = 1,
    tell: Callable[[Moment], None] = nobody,
    tell_every_s: float = 1.0,
    leads: int = 1,
    verdict: VerdictBy = "evidence",
    rules: Rules | None = None,
    heard: int | None = None,
) -> WardResult:
    """Let a ward live for so long and time its beats.

    Parameters
    ----------
    tell : callable
        Told now and then how the ward is.
    leads : int
        Of each patient, 1 or 2.
    verdict : "evidence" or "loss"
    rules : Rules or None
        Where all named alarms are off, no signs are measured; None: the defaults.
    heard : int or None
        Listen to the beats of so many patients; None: of all. Alerts are heard of all.

    Raises
    ------
    MonitorError
        If the stages cannot be started, or die.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="ecgw-", dir=base_folder()))
        )
        settings = ward_settings(folder, patients, seed, leads, verdict, rules)
        supervisor = stack.enter_context(Supervisor(settings, folder))
        sockets = stack.enter_context(Sockets())
        names = [""] if heard is None else map(bed_name, range(1, heard + 1))
        topics = [f"{ALL_BEATS}{name}" for name in names]
        topics += ["alert.", "technical.monitor", "status"]
        subscription = sockets.subscribe(_alerts(folder), topics)
        ear = Ear(hears_all=heard is None)

        def listen(until_s: float) -> None:
            while (left_s := until_s - time.monotonic()) > 0:
                subscription.poll(min(POLL_MS, max(1, round(1000 * left_s))))
                for frames in receive_waiting(subscription, TAKEN_AT_ONCE):
                    now_ns = time.monotonic_ns()
                    with contextlib.suppress(InvalidMessage):
                        ear.take(decode_message(frames), now_ns)
                supervisor.poll()

        ready_by_s = time.monotonic() + OPEN_S
        while not (supervisor.ready and ear.status is not None):
            if time.monotonic() > ready_by_s:
                raise MonitorError(
                    f"the stages were not ready within {OPEN_S:.0f} s; try fewer patients"
                )
            listen(time.monotonic() + 0.1)
        supervisor.begin()
        listen(time.monotonic() + WARM_UP_S)
        pids = {str(name): pid for name, pid in supervisor.pids.items()}
        pids["subscriber"] = os.getpid()
        cpu_s, began_s, dropped = _cpu_s(pids), time.monotonic(), ear.dropped
        ear.begin()
        n_told = 0
        while (elapsed_s := time.monotonic() - began_s) < seconds:
            listen(began_s + min(seconds, elapsed_s + tell_every_s))
            new_ms = ear.delays_ms(n_told)
            n_told += len(new_ms)
            elapsed_s = time.monotonic() - began_s
            tell(Moment(elapsed_s, new_ms, ear.dropped - dropped, ear.overloaded, _memory_mb(pids)))
        elapsed_s, cpu_after_s, memory = time.monotonic() - began_s, _cpu_s(pids), _memory_mb(pids)
        cores = {name: round((cpu_after_s[name] - cpu_s[name]) / elapsed_s, 3) for name in cpu_s}
        return ear.result(patients, leads, elapsed_s, dropped, cores, memory)


def find_largest(
    seconds: float,
    first: int,
    most: int = MAX_PATIENTS,
    run: Callable[[int, float], WardResult] = run_ward,
) -> Iterator[WardResult]:
    """Double a ward until it is not kept up with, then halve the interval, to a sixteenth."""
    good, bad, patients = 0, most + 1, first
    while good < patients < bad:
        result = run(patients, seconds)
        yield result
        good, bad = (patients, bad) if result.kept_up else (good, patients)
        if bad > most:
            patients = min(2 * good, most)
        elif bad - good <= max(1, good // 16):
            return
        else:
            patients = (good + bad) // 2


def result_lines(result: WardResult) -> str:
    """Return a result for people."""
    cores = ", ".join(f"{name} {share:.2f}" for name, share in result.cores.items())
    memory = ", ".join(f"{name} {size:.0f}" for name, size in result.memory_mb.items())
    return "\n".join(
        [
            f"{counted(result.patients, 'patient')} of {counted(result.leads, 'lead')} "
            f"for {result.seconds:.0f} s: {result.beats_per_s:.0f} "
            f"beats/s, {counted(result.alerts, 'alert')}: "
            f"{'kept up' if result.kept_up else 'NOT kept up'}",
            f"  delay ms    median {result.delay_median_ms}, p99 {result.delay_p99_ms}, "
            f"largest {result.delay_max_ms}; alerts p99 {result.alert_delay_p99_ms}",
            f"  lost        {result.dropped} dropped, {result.missed} not heard, "
            f"{counted(result.shed, 'patient')} shed, "
            f"{result.overloads} overload alerts",
            f"  CPU cores   {cores}",
            f"  memory MB   {memory}",
        ]
    )


def ward_settings(
    folder: Path,
    patients: int,
    seed: int,
    leads: int = 1,
    verdict: VerdictBy = "evidence",
    rules: Rules | None = None,
) -> tuple[ProducerSettings, SegmenterSettings, ConsumerSettings]:
    """Write the records of a ward into a folder, and return what its stages are told."""
    rules = rules or Rules()
    records = []
    for number in range(RECORDS):
        path = folder / f"sim{number}"
        write_record(path, SimulationSettings(hours=RECORD_S / 3600, seed=seed + number))
        records.append(str(path))
    samples, beats = f"ipc://{folder}/samples", f"ipc://{folder}/beats"
    return (
        ProducerSettings(
            records=records,
            samples=samples,
            leads=[str(lead) for lead in range(leads)],
            live=True,
            ward=Ward(patients, seed=seed),
        ),
        SegmenterSettings(
            samples=samples,
            beats=beats,
            wave=f"ipc://{folder}/wave",
            measure_signs=bool(rules.alarms.on),
            live=True,
        ),
        ConsumerSettings(
            beats=beats,
            alerts=_alerts(folder),
            journal=str(folder / "journal"),
            verdict=verdict,
            rules=rules,
            live=True,
        ),
    )


def _alerts(folder: Path) -> str:
    return f"ipc://{folder}/alerts"


def _cpu_s(pids: dict[str, int]) -> dict[str, float]:
    """Return the CPU time of processes so far, where the system tells (Linux)."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for name, pid in pids.items():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[name] = (int(fields[11]) + int(fields[12])) / ticks
    return found


def _memory_mb(pids: dict[str, int]) -> dict[str, float]:
    """Return the resident memory of processes, where the system tells (Linux)."""
    found = {}
    for name, pid in pids.items():
        with contextlib.suppress(OSError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            found[name] = round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    return found
