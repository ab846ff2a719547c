"""Kill and pause a ward's workers, producers and server at random; compare with one machine's run.

    python -m tools.chaos_ward --faults 50 --patients 10
    python -m tools.chaos_ward --faults 60 --patients 4 --servers 3      # their leaders die
    python -m tools.chaos_ward --faults 200 --patients 50 --out docs/CHAOS.md

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
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from monitor.errors import WardUnreachable
from monitor.journal.reader import JournalReader
from monitor.sources.simulated import write_record
from monitor.ward.past import past_alerts
from monitor.wire.messages import MONITOR, Alert, Technical
from tools.disturbed import (
    LONG_S,
    LOOK_S,
    MAX_PAUSE_S,
    ChaosFailed,
    add_options,
    disturbed_signal,
    run_undisturbed,
    told,
)
from tools.nats_cluster import Cluster, OneServer, ended_at_last
from tools.pages import PROGRAM, table

WORKERS = ("worker 1", "worker 2", "worker 3")
PRODUCERS = ("producer 1", "producer 2")
PARTITIONS = 8
SPEED_MARGIN = 0.9  # of the time that a producer takes at least
PAUSE_SHARE = 0.3
LONG_SHARE = 0.2  # of the pauses: longer than a lease lasts, so that another serves its patients
DOWN_S = 2.0  # at most, before what was killed is started again
BACK_S = 2.0  # for a server that is started again to answer
QUIET_S = 25.0  # without another alert: all is judged
# What a patient of whom nothing comes is reported as, too: those that are more than the undisturbed
# run's are counted apart.
SILENCE, SILENT = ("no_verdict", "signal_lost"), "silent"
GAP = re.compile(r"had no worker for (\d+) s")
FOUGHT = "another writes"  # as a worker says whose commit was refused


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
    own_gaps_s: list[float] = field(default_factory=list)  # less the time without a server
    fights: int = 0  # commits refused to one of two workers of a partition
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
        self,
        records: Sequence[Path],
        folder: Path,
        servers: Cluster | OneServer,
        chance: random.Random,
        tally: WardTally,
    ) -> None:
        self._folder, self._servers = folder, servers
        self._records = {
            name: records[number :: len(PRODUCERS)] for number, name in enumerate(PRODUCERS)
        }
        self._chance, self._tally = chance, tally
        self.access = servers.access
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._due_s: dict[str, float] = {}  # when what was killed is started again
        self._stopped: dict[str, tuple[int, float]] = {}  # until when which process is paused
        # Wall times between which there was no server; of three there always is one.
        self.outages_s: list[tuple[float, float]] = []

    def run(
        self, faults: int, every_s: float, minutes: float, speed: float
    ) -> list[Alert | Technical]:
        """Go to the records' end, disturbing it until there were so many faults in all."""
        self._speed = speed
        with ended_at_last(self._servers), self._ended_at_last():
            self._servers.begin()
            self._begin("subscriber")
            time.sleep(1.0)
            for one in (*WORKERS, *PRODUCERS):
                self._begin(one)
            next_s = time.monotonic() + 5.0
            # One that had sent all would begin again with all of it.
            self._spared_s = time.monotonic() + SPEED_MARGIN * 60 * minutes / speed
            while any(self._running[one].poll() != 0 for one in PRODUCERS):
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
        while time.monotonic() - quiet_s < QUIET_S or not kept:
            self._go_on(time.monotonic())
            time.sleep(1.0)
            with contextlib.suppress(WardUnreachable):  # it is just being begun again
                now = past_alerts(self.access)
                if len(now) != len(kept):
                    kept, quiet_s = now, time.monotonic()
        with (self._folder / "subscriber.out").open() as lines:
            heard = [json.loads(line) for line in lines]
        for worker in WORKERS:
            self._tally.fights += self._errors_of(worker).read_text().count(FOUGHT)
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
            case "producer 1" | "producer 2":
                records = [str(one) for one in self._records[name]]
                pace = ("--speed", f"{self._speed:g}")
                command = ("producer", *records, *pace, *ward, "--name", _slug(name))
            case "subscriber":
                command = ("subscribe", *ward, "--json")
            case _:
                command = ("worker", *ward, "--name", _slug(name))
        out = self._folder / f"{_slug(name)}.out"
        with out.open("ab") as output, self._errors_of(name).open("ab") as errors:
            self._running[name] = subprocess.Popen(
                [*PROGRAM, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=errors
            )

    def _errors_of(self, name: str) -> Path:
        return self._folder / f"{_slug(name)}.err"

    def _go_on(self, now_s: float) -> None:
        """Continue what was paused long enough; start again what was killed."""
        for name, (pid, until_s) in list(self._stopped.items()):
            if now_s >= until_s:
                del self._stopped[name]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        for name in (*WORKERS, *PRODUCERS):
            code = self._running[name].poll()
            if code is None or (name in PRODUCERS and code == 0):
                continue
            if code == 2 and name in WORKERS:
                text = self._errors_of(name).read_text()
                if "answers" not in text[-500:] and "JetStream" not in text[-500:]:
                    raise ChaosFailed(f"{name}: {text[-1000:]}")
            if self._is_due(name, now_s):
                self._begin(name)
        if not self._servers.is_whole and self._is_due(self._servers.victim, now_s):
            self._servers.revive()

    def _is_due(self, name: str, now_s: float) -> bool:
        """Tell whether what has ended is to be started again now."""
        due_s = self._due_s.setdefault(name, now_s + self._chance.uniform(0, DOWN_S))
        if now_s < due_s:
            return False
        del self._due_s[name]
        if name == OneServer.victim:
            self.outages_s[-1] = self.outages_s[-1][0], time.time() + BACK_S
        return True

    def _disturb(self, now_s: float) -> None:
        victim = self._chance.choice((*WORKERS, *PRODUCERS, self._servers.victim))
        if victim in PRODUCERS and now_s >= self._spared_s:
            return
        if victim in self._stopped or victim in self._due_s:
            return
        if victim == self._servers.victim:
            pid = self._servers.pid(self._chance.randrange(2))
        else:
            process = self._running[victim]
            pid = process.pid if process.poll() is None else None
        if pid is None:
            return
        tally, pause_s = self._tally, 0.0
        if self._chance.random() < PAUSE_SHARE:
            is_long = self._chance.random() < LONG_SHARE
            pause_s = LONG_S if is_long else self._chance.uniform(0, MAX_PAUSE_S)
        with contextlib.suppress(ProcessLookupError):
            if not pause_s:
                os.kill(pid, signal.SIGKILL)
                tally.kills[victim] += 1
            else:
                os.kill(pid, signal.SIGSTOP)
                (tally.long_pauses if is_long else tally.pauses)[victim] += 1
                self._stopped[victim] = pid, now_s + pause_s
            if victim == OneServer.victim:
                self.outages_s.append((time.time(), time.time() + pause_s + BACK_S))

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


def _slug(name: str) -> str:
    return name.replace(" ", "")


def undisturbed(records: Sequence[Path], journal: Path) -> list[Alert | Technical]:
    """Return the alerts of a run on one machine to which nothing happens."""
    run_undisturbed(records, journal)
    with JournalReader(journal) as reader:
        return list(reader.alerts())


@dataclass(frozen=True)
class WardChaos:
    """What is to be disturbed, and how much.

    Attributes
    ----------
    faults, patients, servers : int
    minutes : float
        Signal of a round.
    every_s : float
        Between two faults, mean.
    speed : float
        Times real time.
    """

    faults: int
    patients: int
    servers: int
    minutes: float
    every_s: float
    speed: float
    seed: int


def chaos_ward(plan: WardChaos) -> WardTally:
    """Disturb rounds until there were so many faults; the tally of all of them."""
    tally, chance = WardTally(), random.Random(plan.seed)
    with tempfile.TemporaryDirectory(prefix="ecgm-chaos-") as name:
        folder = Path(name)
        records = [folder / f"bed{number:03d}" for number in range(plan.patients)]
        for number, record in enumerate(records):
            write_record(record, disturbed_signal(plan.minutes / 60, plan.seed * 1000 + number))
        expected = identities(undisturbed(records, folder / "undisturbed.sqlite"))
        while tally.faults < plan.faults:
            place = folder / str(tally.rounds)
            place.mkdir()
            servers = (Cluster if plan.servers == 3 else OneServer)(place, PARTITIONS)
            one = WardRound(records, place, servers, chance, tally)
            found = one.run(plan.faults, plan.every_s, plan.minutes, plan.speed)
            tally.rounds += 1
            compare(tally, expected, found, one.outages_s)
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
    tally: WardTally,
    expected: dict[str, list[str]],
    found: Sequence[Alert | Technical],
    outages_s: Sequence[tuple[float, float]] = (),
) -> None:
    """Count what differs between the alerts expected and those of a ward.

    Parameters
    ----------
    outages_s : sequence of (float, float)
        Wall times between which there was no server.
    """
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
                end_s = datetime.fromisoformat(one.wall_time).timestamp()
                tally.own_gaps_s.append(gap_without(end_s - int(gap[1]), end_s, outages_s))


def gap_without(begin_s: float, end_s: float, outages_s: Sequence[tuple[float, float]]) -> float:
    """Return how long a stretch of time is, less the outages that lie in it."""
    covered_s, at_s = 0.0, begin_s
    for from_s, to_s in sorted(outages_s):
        from_s, to_s = max(from_s, at_s), min(to_s, end_s)
        if to_s > from_s:
            covered_s, at_s = covered_s + to_s - from_s, to_s
    return end_s - begin_s - covered_s


def tables(tally: WardTally) -> str:
    """Return what happened as tables in Markdown."""
    faults = (tally.kills, tally.pauses, tally.long_pauses)
    victims = (*WORKERS, *PRODUCERS, OneServer.victim, Cluster.victim)
    rows = [
        [one, *(f"{fault[one]}" for fault in faults)]
        for one in victims
        if any(fault[one] for fault in faults)
    ]
    rows.append(["all", *(f"{fault.total()}" for fault in faults)])
    kinds = ["process", "kills", "pauses to 3 s", f"pauses of {LONG_S:.0f} s"]
    headings = ["expected", "lost", "doubled", "out of order", "holes", "subscriber differs"]
    counts = (tally.expected, tally.lost, tally.doubled, tally.disordered, tally.holes)
    kept = [[*map(str, counts), f"{tally.subscriber_differs}"]]
    gaps, own = sorted(tally.gaps_s), sorted(tally.own_gaps_s)
    longest = "never"
    if gaps:
        longest = (
            f"{len(gaps)} times, the longest {gaps[-1]} s, the median {gaps[len(gaps) // 2]} s; "
            f"less the time in which there was no server, the longest {own[-1]:.0f} s"
        )
    return (
        f"{table(kinds, rows)}\n\n{table(headings, kept)}\n\n"
        f"{tally.rounds} rounds. A partition had no worker {longest}. Of the commits of two "
        f"workers of one partition one was refused {tally.fights} times. "
        f"{tally.silent} reports that a patient is silent, or is heard again."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 1 if anything was lost, doubled or out of order."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--patients", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=60.0, help="signal of a round")
    parser.add_argument("--servers", type=int, default=1, choices=(1, 3))
    parser.add_argument("--speed", type=float, default=20.0, help="times real time")
    add_options(parser, 2.0)
    given = parser.parse_args(arguments)

    def run() -> tuple[WardTally, str]:
        tally = chaos_ward(
            WardChaos(
                given.faults,
                given.patients,
                given.servers,
                given.minutes,
                given.every,
                given.speed,
                given.seed,
            )
        )
        return tally, tables(tally)

    many = "three servers" if given.servers == 3 else "a ward on NATS"
    return told("chaos_ward", f"Measured, {many}", arguments, given.out, run)


if __name__ == "__main__":
    sys.exit(main())
