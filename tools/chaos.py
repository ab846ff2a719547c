"""Kill and pause a running monitor at random, and compare what it said with an undisturbed run.

    python -m tools.chaos --kills 100
    python -m tools.chaos --kills 1000 --out docs/CHAOS.md     # hours; writes its section

docs/CHAOS.md says what a disturbance and a round are, and what must hold; with alerts lost or
doubled the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from monitor.journal.reader import JournalReader
from monitor.sources.simulated import write_record
from monitor.wire.codec import decode_numbered
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
from tools.pages import PROGRAM, table

STAGES = ("producer", "segmenter", "consumer")
VICTIMS = (*STAGES, "parent", "subscriber")
SPEED = "150"  # blocks of 30 s, as at full speed, so that the order of alerts is the same
PAUSE_SHARE = 0.2  # of the disturbances
LONG_SHARE = 0.15  # of the pauses
EVER_SHARE, EVER_S = 0.15, 90.0  # of the pauses, of stages alone; within so long they are killed
DEATHS, APART_S = 4, 600.0  # of a round that is steady, and the signal between two
STEADY_SPEED, RESTART_S = 20, 6.0  # and what a restart takes of the time between
CATCH_UP_S = 120.0  # for a subscriber, when the record has ended


@dataclass
class Tally:
    """What happened, and what became of the alerts."""

    kills: Counter[str] = field(default_factory=Counter)
    pauses: Counter[str] = field(default_factory=Counter)  # short ones
    long_pauses: Counter[str] = field(default_factory=Counter)
    hangs: Counter[str] = field(default_factory=Counter)  # pauses for ever
    begun: int = 0  # times that a replay was begun
    rounds: int = 0
    expected: int = 0
    lost: Counter[str] = field(default_factory=Counter)  # by "journal" and "subscriber"
    doubled: Counter[str] = field(default_factory=Counter)
    disordered: Counter[str] = field(default_factory=Counter)

    @property
    def flawless(self) -> bool:
        """Whether nothing was lost, doubled or out of order."""
        return not any((self.lost.total(), self.doubled.total(), self.disordered.total()))

    def compare(self, place: str, expected: Sequence[str], found: Sequence[str]) -> None:
        """Count what differs between the alerts expected and those found in one place."""
        missing = Counter(expected) - Counter(found)
        surplus = Counter(found) - Counter(expected)
        self.lost[place] += missing.total()
        self.doubled[place] += surplus.total()
        for identity in [*missing, *surplus][:5]:
            sys.stderr.write(
                f"{place}: {'missing' if identity in missing else 'doubled'} {identity}\n"
            )
        in_order = missing or surplus or list(expected) == list(found)
        self.disordered[place] += not in_order


def identities(messages: Sequence[Alert | Technical]) -> list[str]:
    """Return what two runs must agree in; what the monitor says of itself is of one run only."""
    return [
        f"{one.id} {one.state} {one.event if isinstance(one, Technical) else one.rule}"
        for one in messages
        if one.patient != MONITOR
    ]


def journaled(path: Path) -> list[str]:
    """Return what a journal holds, also while a monitor writes it."""
    with JournalReader(path) as journal:
        return identities(list(journal.alerts()))


class Round:
    """One record from its beginning to its end, in one journal, disturbed on its way."""

    def __init__(self, record: Path, folder: Path, chance: random.Random, tally: Tally) -> None:
        self.journal = folder / "journal.sqlite"
        self.inbox = folder / "state" / "ecg-monitor" / "subscribers" / "chaos.sqlite"
        self._record = record
        self._alerts = f"ipc://{folder / 'a'}"
        self._speed = SPEED
        self._folder = folder
        self._chance = chance
        self._tally = tally
        self._environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, kills: int, every_s: float, steady: bool = False) -> None:
        """Go to the record's end, disturbing it until there were so many kills in all.

        Raises
        ------
        ChaosFailed
            If a replay ends with an error that no kill explains, or a hung stage stays.
        """
        self._speed = str(STEADY_SPEED) if steady else SPEED
        with self._ended_at_last():
            self._begin_subscriber()
            self._begin_replay()
            if steady:
                self._die_at_intervals()
            while not self._is_over():
                if self._tally.kills.total() < kills:
                    self._wait(self._chance.uniform(0, 2 * every_s))
                    self._disturb()
                else:
                    self._wait(LOOK_S)
                self._begin_what_is_gone()
            self._serve_the_rest()
        self._tally.rounds += 1

    def _die_at_intervals(self) -> None:
        """Kill a stage now and then; healthy time between must give the run its restarts back."""
        for _ in range(DEATHS):
            self._wait(APART_S / STEADY_SPEED + RESTART_S)
            victim = self._chance.choice(STAGES)
            pid = self._pid(victim)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                self._tally.kills[victim] += 1
        self._wait(RESTART_S)
        if self._running["parent"].poll() is not None:
            raise ChaosFailed(f"the run did not outlive {DEATHS} deaths, {APART_S:.0f} s apart")

    def _wait(self, wait_s: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._running["parent"].wait(wait_s)

    def _is_over(self) -> bool:
        return self._running["parent"].poll() == 0

    def _begin_what_is_gone(self) -> None:
        if self._running["subscriber"].poll() is not None:
            self._begin_subscriber()
        code = self._running["parent"].poll()
        if code == 2:
            raise ChaosFailed((self._folder / "parent.err").read_text()[-1000:])
        if code:  # killed, or given up after too many restarts
            self._begin_replay()

    def _begin_replay(self) -> None:
        self._tally.begun += 1
        options = ("--journal", str(self.journal), "--speed", self._speed, "--json")
        self._begin("parent", "replay", str(self._record), "--alerts", self._alerts, *options)

    def _begin_subscriber(self) -> None:
        self._begin("subscriber", "subscribe", self._alerts, "--durable", "chaos", "--json")

    def _begin(self, name: str, *command: str) -> None:
        with (self._folder / f"{name}.err").open("ab") as errors:
            self._running[name] = subprocess.Popen(
                [*PROGRAM, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=self._environment,
            )

    def _disturb(self) -> None:
        victim = self._chance.choice(VICTIMS)
        pid = self._pid(victim)
        if pid is None:  # it is just being begun again
            return
        with contextlib.suppress(ProcessLookupError):
            if self._chance.random() < PAUSE_SHARE:
                self._pause(victim, pid)
            else:
                os.kill(pid, signal.SIGKILL)
                self._tally.kills[victim] += 1

    def _pause(self, victim: str, pid: int) -> None:
        kind = self._chance.random()
        if kind < EVER_SHARE and victim in STAGES:
            self._tally.hangs[victim] += 1
            os.kill(pid, signal.SIGSTOP)
            self._wait_until_gone(victim, pid)
            return
        is_long = kind < EVER_SHARE + LONG_SHARE
        with stopped(pid):
            (self._tally.long_pauses if is_long else self._tally.pauses)[victim] += 1
            time.sleep(LONG_S if is_long else self._chance.uniform(0, MAX_PAUSE_S))

    def _wait_until_gone(self, victim: str, pid: int) -> None:
        deadline_s = time.monotonic() + EVER_S
        while self._pid(victim) == pid:
            if time.monotonic() > deadline_s:
                raise ChaosFailed(f"the {victim} hung for {EVER_S:.0f} s, and nobody killed it")
            time.sleep(LOOK_S)

    def _pid(self, victim: str) -> int | None:
        if victim in self._running:
            process = self._running[victim]
        else:
            return stage_pid(self._running["parent"].pid, victim)
        return process.pid if process.poll() is None else None

    def _serve_the_rest(self) -> None:
        """Have a consumer alone serve the journal until the subscriber has all of it."""
        beats = f"ipc://{self._folder / 'b'}"
        serve = ("--beats", beats, "--alerts", self._alerts, "--journal", str(self.journal))
        self._begin("server", "consumer", *serve)
        self._begin_what_is_gone()
        wanted = journaled(self.journal)
        deadline_s = time.monotonic() + CATCH_UP_S
        while len(self.received()) < len(wanted) and time.monotonic() < deadline_s:
            time.sleep(LOOK_S)

    def received(self) -> list[str]:
        """Return what the subscriber has stored."""
        if not self.inbox.exists():
            return []
        path = f"file:{quote(str(self.inbox))}?mode=ro"  # the subscriber writes it
        with contextlib.closing(sqlite3.connect(path, uri=True)) as inbox:
            rows = inbox.execute("SELECT message FROM alerts ORDER BY number").fetchall()
        return identities([decode_numbered(message) for (message,) in rows])

    @contextlib.contextmanager
    def _ended_at_last(self) -> Iterator[None]:
        try:
            yield
        finally:
            for process in self._running.values():
                process.terminate()
            for process in self._running.values():
                process.wait()


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Have a process pause for the block; it goes on however the block ends, by Ctrl-C too."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def stage_pid(parent: int, stage: str) -> int | None:
    """Return the process of a stage of a running replay; None while there is none."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    for line in listed.stdout.splitlines():
        pid, ppid, *command = line.split()
        if int(ppid) == parent and command[-2:] == ["monitor.stages", stage]:
            return int(pid)
    return None


def undisturbed(record: Path, journal: Path, speed: str = "max") -> list[str]:
    """Return the alerts of a run to which nothing happens.

    The order of alerts and technical alerts depends on how long the blocks are, so on the speed.
    """
    run_undisturbed([record], journal, speed)
    return journaled(journal)


def chaos(kills: int, hours: float, every_s: float, seed: int) -> Tally:
    """Disturb rounds until there were so many kills; the tally of all of them."""
    tally, chance = Tally(), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="ecgm-chaos-") as name:
        folder = Path(name)
        write_record(folder / "sim", disturbed_signal(hours, seed))
        in_blocks = undisturbed(folder / "sim", folder / "undisturbed.sqlite")
        while tally.kills.total() < kills:
            place = folder / str(tally.rounds)
            place.mkdir()
            one = Round(folder / "sim", place, chance, tally)
            steady = tally.rounds == 0 and hours * 3600 > (DEATHS + 1) * APART_S
            expected = in_blocks
            if steady:
                expected = undisturbed(folder / "sim", place / "u.sqlite", str(STEADY_SPEED))
            one.run(kills, every_s, steady)
            tally.expected += len(expected)
            tally.compare("journal", expected, journaled(one.journal))
            tally.compare("subscriber", expected, one.received())
            wrong = sum((tally.lost + tally.doubled + tally.disordered).values())
            sys.stderr.write(
                f"round {tally.rounds}: {tally.kills.total()} kills so far, of {tally.expected} "
                f"alerts {wrong} lost or doubled\n"
            )
    return tally


def tables(tally: Tally) -> str:
    """Return what happened as tables in Markdown."""
    faults = (tally.kills, tally.pauses, tally.long_pauses, tally.hangs)
    killed = [[one, *(f"{fault[one]}" for fault in faults)] for one in VICTIMS]
    killed.append(["all", *(f"{fault.total()}" for fault in faults)])
    kinds = ["process", "kills", "pauses to 3 s", f"pauses of {LONG_S:.0f} s", "pauses for ever"]
    counts = (tally.lost, tally.doubled, tally.disordered)
    kept = [
        [place, f"{tally.expected}", *(f"{count[place]}" for count in counts)]
        for place in ("journal", "subscriber")
    ]
    headings = ["alerts in", "expected", "lost", "doubled", "rounds out of order"]
    return (
        f"{table(kinds, killed)}\n\n{table(headings, kept)}\n\n"
        f"{tally.rounds} rounds; `replay` was begun {tally.begun} times."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 1 if anything was lost, doubled or out of order."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--hours", type=float, default=2.0, help="signal of a round")
    add_options(parser, 6.0)
    given = parser.parse_args(arguments)

    def run() -> tuple[Tally, str]:
        tally = chaos(given.kills, given.hours, given.every, given.seed)
        return tally, tables(tally)

    return told("chaos", "Measured", arguments, given.out, run)


if __name__ == "__main__":
    sys.exit(main())
