"""Kill and pause a ward's workers, producer and server at random; compare with one machine's run.

    python -m tools.chaos_ward --faults 50 --patients 10
    python -m tools.chaos_ward --faults 200 --patients 50 --out docs/CHAOS.md   # half an hour

Needs the extra [nats]. docs/CHAOS.md says what is compared; with alerts lost or doubled, or a
subscriber that heard something else than the stream holds, the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monitor.errors import WardUnreachable
from monitor.journal.reader import JournalReader
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.ward.link import WardAccess
from monitor.ward.past import past_alerts
from monitor.wire.messages import MONITOR, Alert, Technical
from tools.pages import PROGRAM, command_line, section, table, write_sections

WORKERS = ("worker 1", "worker 2", "worker 3")
VICTIMS = (*WORKERS, "producer", "server")
SPEED = 30.0
SPEED_MARGIN = 0.9  # of the time that a producer takes at least
PAUSE_SHARE = 0.3
MAX_PAUSE_S = 3.0
LONG_SHARE, LONG_S = 0.2, 30.0  # of the pauses: longer than a lease lasts
DOWN_S = 2.0  # at most, before what was killed is started again
QUIET_S = 25.0  # without another alert: all is judged
LOOK_S = 0.1
# What a patient of whom nothing comes is reported as, too: those that are more than the undisturbed
# run's are counted apart.
SILENCE, SILENT = ("no_verdict", "signal_lost"), "silent"
GAP = re.compile(r"had no worker for (\d+) s")


@dataclass
class WardTally:
    """What happened, and what became of the alerts."""

    kills: Counter[str] = field(default_factory=Counter)
    pauses: Counter[str] = field(default_factory=Counter)
    long_pauses: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    expected: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    subscriber_differs: int = 0
    holes: int = 0
    gaps_s: list[int] = field(default_factory=list)  # without a worker, as the ward says
    silent: int = 0  # patients reported as silent

    @property
    def faults(self) -> int:
        """How often something was disturbed."""
        return sum(one.total() for one in (self.kills, self.pauses, self.long_pauses))

    @property
    def flawless(self) -> bool:
        """Whether nothing was lost, doubled, out of order or heard otherwise."""
        counts = (self.lost, self.doubled, self.disordered, self.subscriber_differs, self.holes)
        return not any(counts)


def identities(messages: Sequence[Alert | Technical]) -> dict[str, list[str]]:
    """Return what two runs must agree in, by patient, in order.

    What the monitor says of itself is of one run only.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for one in messages:
        if one.patient == MONITOR:
            continue
        # The order of alerts among technical alerts depends on how long blocks are.
        kind = "alert"
        if isinstance(one, Technical):
            kind = SILENT if one.event in SILENCE else "technical"
        found[f"{one.patient} {kind}"].append(f"{one.id} {one.state}")
    return found


class WardRound:
    """Records from their beginning to their end, in one ward, disturbed on the way."""

    def __init__(
        self, records: Sequence[Path], folder: Path, chance: random.Random, tally: WardTally
    ) -> None:
        self._records, self._folder = records, folder
        self._chance, self._tally = chance, tally
        self._port = free_port()
        self.access = WardAccess(f"nats://127.0.0.1:{self._port}")
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._due_s: dict[str, float] = {}  # when what was killed is started again
        self._stopped: dict[str, tuple[int, float]] = {}  # until when which process is paused

    def run(self, faults: int, every_s: float, minutes: float) -> list[Alert | Technical]:
        """Go to the records' end, disturbing it until there were so many faults in all."""
        sent_s = SPEED_MARGIN * 60 * minutes / SPEED
        with self._ended_at_last():
            self._begin("server")
            self._wait_for_server()
            self._begin("subscriber")
            time.sleep(1.0)
            for one in (*WORKERS, "producer"):
                self._begin(one)
            next_s = time.monotonic() + 5.0
            # One that had sent all would begin again with all of it.
            self._spared_s = time.monotonic() + sent_s
            while True:
                if self._running["producer"].poll() == 0:
                    break
                now_s = time.monotonic()
                self._go_on(now_s)
                if now_s >= next_s and self._tally.faults < faults:
                    next_s = now_s + self._chance.uniform(0, 2 * every_s)
                    self._disturb(now_s)
                time.sleep(LOOK_S)
            return self._collect()

    def _collect(self) -> list[Alert | Technical]:
        """Let workers judge the rest; return what the stream holds, and compare who listened."""
        kept: list[Alert | Technical] = []
        quiet_s = time.monotonic()
        while time.monotonic() - quiet_s < QUIET_S:
            self._go_on(time.monotonic())
            time.sleep(1.0)
            with contextlib.suppress(WardUnreachable):  # it is just being begun again
                now = past_alerts(self.access)
                if len(now) != len(kept):
                    kept, quiet_s = now, time.monotonic()
        with (self._folder / "subscriber.out").open() as lines:
            heard = [json.loads(line) for line in lines]
        heard_ids = [(one["journal"], one["seq"], one["id"]) for one in heard]
        kept_ids = [(one.journal, one.seq, one.id) for one in kept]
        if heard_ids != kept_ids:
            self._tally.subscriber_differs += 1
            sys.stderr.write(f"subscriber: {len(heard_ids)} heard, {len(kept_ids)} kept\n")
        return kept

    def _begin(self, name: str) -> None:
        command: tuple[str, ...]
        ward = ("--ward", self.access.servers)
        match name:
            case "server":
                store = ("--store", str(self._folder / "ward"))
                command = ("ward", "up", *store, "--port", str(self._port), "--partitions", "8")
            case "producer":
                records = [str(one) for one in self._records]
                command = ("producer", *records, "--speed", f"{SPEED:g}", *ward, "--name", "chaos")
            case "subscriber":
                command = ("subscribe", *ward, "--json")
            case _:
                command = ("worker", *ward, "--name", name.replace(" ", ""))
        slug = name.replace(" ", "")
        out, err = self._folder / f"{slug}.out", self._folder / f"{slug}.err"
        with out.open("ab") as output, err.open("ab") as errors:
            self._running[name] = subprocess.Popen(
                [*PROGRAM, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=errors
            )

    def _wait_for_server(self) -> None:
        deadline_s = time.monotonic() + 20.0
        while b"partitions at" not in (self._folder / "server.err").read_bytes():
            if time.monotonic() > deadline_s or self._running["server"].poll() is not None:
                raise ChaosWardFailed((self._folder / "server.err").read_text()[-1000:])
            time.sleep(LOOK_S)

    def _go_on(self, now_s: float) -> None:
        """Continue what was paused long enough; start again what was killed."""
        for name, (pid, until_s) in list(self._stopped.items()):
            if now_s >= until_s:
                del self._stopped[name]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        for name in VICTIMS:
            process = self._running[name]
            code = process.poll()
            if code is None or (name == "producer" and code == 0):
                continue
            if code == 2 and name != "producer":
                slug = name.replace(" ", "")
                text = (self._folder / f"{slug}.err").read_text()
                if "answers" not in text[-500:] and "JetStream" not in text[-500:]:
                    raise ChaosWardFailed(f"{name}: {text[-1000:]}")
            due_s = self._due_s.setdefault(name, now_s + self._chance.uniform(0, DOWN_S))
            if now_s >= due_s:
                del self._due_s[name]
                self._begin(name)

    def _disturb(self, now_s: float) -> None:
        victim = self._chance.choice(VICTIMS)
        if victim == "producer" and now_s >= self._spared_s:
            return
        if victim in self._stopped or self._running[victim].poll() is not None:
            return
        pid = self._running[victim].pid
        if victim == "server":
            child = child_of(pid)
            if child is None:
                return
            pid = child
        tally = self._tally
        with contextlib.suppress(ProcessLookupError):
            if self._chance.random() >= PAUSE_SHARE:
                os.kill(pid, signal.SIGKILL)
                tally.kills[victim] += 1
                return
            is_long = self._chance.random() < LONG_SHARE and victim != "server"
            pause_s = LONG_S if is_long else self._chance.uniform(0, MAX_PAUSE_S)
            os.kill(pid, signal.SIGSTOP)
            (tally.long_pauses if is_long else tally.pauses)[victim] += 1
            self._stopped[victim] = pid, now_s + pause_s

    @contextlib.contextmanager
    def _ended_at_last(self) -> Iterator[None]:
        try:
            yield
        finally:
            for pid, _ in self._stopped.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            for name in reversed(list(self._running)):
                self._running[name].terminate()
            for process in self._running.values():
                try:
                    process.wait(20.0)
                except subprocess.TimeoutExpired:
                    process.kill()


class ChaosWardFailed(Exception):
    """A process was refused or given up: no fault explains that."""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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


def undisturbed(records: Sequence[Path], journal: Path) -> list[Alert | Technical]:
    """Return the alerts of a run on one machine to which nothing happens."""
    options = ("--journal", str(journal), "--speed", "max", "--json")
    alerts = ("--alerts", f"ipc://{journal.with_name('u')}")
    subprocess.run(
        [*PROGRAM, "replay", *map(str, records), *alerts, *options],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    with JournalReader(journal) as reader:
        return list(reader.alerts())


def chaos_ward(faults: int, patients: int, minutes: float, every_s: float, seed: int) -> WardTally:
    """Disturb rounds until there were so many faults; the tally of all of them."""
    tally, chance = WardTally(), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="ecgm-chaos-") as name:
        folder = Path(name)
        records = [folder / f"bed{number:03d}" for number in range(patients)]
        for number, record in enumerate(records):
            write_record(record, _signal(minutes, seed * 1000 + number))
        expected = identities(undisturbed(records, folder / "undisturbed.sqlite"))
        while tally.faults < faults:
            place = folder / str(tally.rounds)
            place.mkdir()
            found = WardRound(records, place, chance, tally).run(faults, every_s, minutes)
            tally.rounds += 1
            compare(tally, expected, found)
            sys.stderr.write(
                f"round {tally.rounds}: {tally.faults} faults so far, of {tally.expected} alerts "
                f"{tally.lost} lost, {tally.doubled} doubled\n"
            )
            if not tally.flawless:
                _keep(place)
    return tally


def _keep(place: Path) -> None:
    """Say what the processes said, for whoever looks for the fault."""
    for path in sorted(place.glob("*.err")):
        sys.stderr.write(f"--- {path.name}\n{path.read_text()[-3000:]}\n")


def compare(
    tally: WardTally, expected: dict[str, list[str]], found: Sequence[Alert | Technical]
) -> None:
    """Count what differs between the alerts expected and those of a ward."""
    by_patient = identities(found)
    tally.expected += sum(map(len, expected.values()))
    for name in {*expected, *by_patient}:
        if name.endswith(SILENT):
            continue
        wanted, got = expected.get(name, []), by_patient.get(name, [])
        missing, surplus = Counter(wanted) - Counter(got), Counter(got) - Counter(wanted)
        tally.lost += missing.total()
        tally.doubled += surplus.total()
        for identity in [*missing, *surplus][:3]:
            sys.stderr.write(
                f"{name}: {'missing' if identity in missing else 'doubled'} {identity}\n"
            )
        tally.disordered += not (missing or surplus) and wanted != got
    last: dict[str, int] = {}
    for name in {*by_patient}:
        if name.endswith(SILENT):
            tally.silent += len(set(by_patient[name]) - set(expected.get(name, [])))
    for one in found:
        tally.holes += one.seq != last.get(one.journal, 0) + 1
        last[one.journal] = one.seq
        if isinstance(one, Technical):
            gap = GAP.search(one.text) if one.patient == MONITOR else None
            if gap is not None and one.state == "onset":
                tally.gaps_s.append(int(gap[1]))


def _signal(minutes: float, seed: int) -> SimulationSettings:
    return SimulationSettings(
        hours=minutes / 60, seed=seed, anomaly_rate=0.05, first_anomaly_s=10.0,
        lead_off_per_hour=12.0,
    )  # fmt: skip


def tables(tally: WardTally) -> str:
    """Return what happened as tables in Markdown."""
    faults = (tally.kills, tally.pauses, tally.long_pauses)
    rows = [[one, *(f"{fault[one]}" for fault in faults)] for one in VICTIMS]
    rows.append(["all", *(f"{fault.total()}" for fault in faults)])
    kinds = ["process", "kills", "pauses to 3 s", f"pauses of {LONG_S:.0f} s"]
    headings = ["expected", "lost", "doubled", "out of order", "holes", "subscriber differs"]
    counts = (tally.expected, tally.lost, tally.doubled, tally.disordered, tally.holes)
    kept = [[*map(str, counts), f"{tally.subscriber_differs}"]]
    gaps = sorted(tally.gaps_s)
    longest = f"the longest {gaps[-1]} s, the median {gaps[len(gaps) // 2]} s" if gaps else "none"
    return (
        f"{table(kinds, rows)}\n\n{table(headings, kept)}\n\n"
        f"{tally.rounds} rounds. {len(gaps)} times a partition had no worker: {longest}. "
        f"{tally.silent} reports that a patient is silent, or is heard again."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 1 if anything was lost, doubled or out of order."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--patients", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=60.0, help="signal of a round")
    parser.add_argument("--every", type=float, default=2.0, help="mean seconds between two")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="page whose section is written, too")
    given = parser.parse_args(arguments)
    try:
        tally = chaos_ward(given.faults, given.patients, given.minutes, given.every, given.seed)
    except ChaosWardFailed as error:
        sys.stderr.write(f"chaos_ward: {error}\n")
        return 1
    print(tables(tally))
    if given.out is not None:
        measured = section(command_line("chaos_ward", arguments), tables(tally))
        write_sections(given.out, "Chaos", {"Measured, a ward on NATS": measured})
    return 0 if tally.flawless else 1


if __name__ == "__main__":
    sys.exit(main())
