"""Processor time of the live view of a ward: a made-up stream of N patients, drawn for nobody.

    python -m tools.bench_view                           # 2,000 patients; in docs/program.md
    python -m tools.bench_view --patients 200 --seconds 30 --sizes 120x40 --alerts-per-second 10
    python -m tools.bench_view --quick                   # few patients, once; writes nothing

A process of its own publishes what a monitor of N patients would: a heartbeat a second, 1.2 beats
and five stretches of waveform a second a patient, alerts that begin and end. The view watches it
on a pseudo-terminal as `ecg-monitor view` does, and goes a patient down every two seconds. The
figure is its processor time per heartbeat heard, a second of the ward's: a wall clock would count
the pauses of a busy machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO

import numpy as np
from msgspec.structs import replace
from rich.console import Console

from monitor.delivery.publisher import Publisher
from monitor.journal.writer import Journal
from monitor.run.watch import watch
from monitor.stages.consumer import STATUS_PATIENTS
from monitor.view.screens import LiveScreen
from monitor.wire.codec import all_encoded, decode_message, encode_message
from monitor.wire.messages import (
    Alert,
    BeatScored,
    Message,
    Neighbour,
    PatientStatus,
    Status,
    Wave,
)
from monitor.wire.sockets import WAVE_MESSAGES, Sockets
from tools.fuzz_damage import split_frames
from tools.fuzz_decoders import valid
from tools.measured import CommandFailed
from tools.pages import spread, table
from tools.parts import Found, Plan, measure_parts, option

FS_HZ = 250.0
TICK_S = 0.2  # of the ward's: a block of 200 ms of each patient
WARM_UP_BEATS = 12  # heartbeats that are not counted: imports, until each of 2,000 was spoken of
LARGE, CALM, ALARMING = "160x48", 2.0, 50.0  # of the headlines
KEY_EVERY = 2  # heartbeats between two presses of the down key


PUBLISH = "publish"  # what a process of a ward is started with
# A message of each type, of which those of the ward are copies with changes.
EXAMPLES = [decode_message(split_frames(case)) for case in valid("world-messages")]
ALERT = next(one for one in EXAMPLES if isinstance(one, Alert))
BEAT = next(one for one in EXAMPLES if isinstance(one, BeatScored))
STATUS = next(one for one in EXAMPLES if isinstance(one, Status))


@dataclass(frozen=True, kw_only=True)
class Views(Plan):
    """What the view is measured on: every size with every rate of alerts, several times."""

    patients: int = option(2000, 20)
    seconds: int = option(20, 3)
    sizes: tuple[str, ...] = option(("80x24", LARGE), ("80x24",), "columns x rows")
    alerts_per_second: tuple[float, ...] = option((CALM, ALARMING), (CALM,), "of the ward")


# --- the ward ---------------------------------------------------------------------------------


class Ward:
    """What a monitor of many patients says, tick by tick.

    Parameters
    ----------
    n_patients : int
    alerts_per_s : float
        Episodes that begin in a second in the whole ward; each ends a second later.
    """

    def __init__(self, n_patients: int, alerts_per_s: float) -> None:
        self.names = [f"bed {n:05d}" for n in range(n_patients)]
        self._rng = np.random.default_rng(7)
        self._alerts_per_tick = alerts_per_s * TICK_S
        self._owed = 0.0
        self._seq = 0
        self._open: deque[tuple[int, Alert]] = deque()  # tick at which it ends
        self._tick = 0
        self._reported = 0
        self._beat = np.sin(np.arange(140) / 9).round(3).tolist()
        self._trace = self._beat[:25]

    @property
    def _sample(self) -> int:
        return round(self._tick * TICK_S * FS_HZ)

    def waves(self) -> list[Wave]:
        """Return a stretch of each patient's signal."""
        return [Wave(1, name, self._sample, FS_HZ / 2, self._trace, []) for name in self.names]

    def beats(self) -> list[BeatScored]:
        """Return the beats of a tick: of about every fourth patient one."""
        chosen = np.flatnonzero(self._rng.random(len(self.names)) < 1.2 * TICK_S)
        return [replace(BEAT, loss=10.0, **self._place(self.names[n])) for n in chosen]

    def alerts(self) -> list[Alert]:
        """Return the episodes that end and begin in this tick."""
        said = []
        while self._open and self._open[0][0] <= self._tick:
            nothing: dict[str, Any] = {"beat": [], "reconstruction": [], "neighbours": []}
            said.append(self._numbered(self._open.popleft()[1], state="cleared", **nothing))
        self._owed += self._alerts_per_tick
        for name in self._rng.choice(self.names, int(self._owed)):
            ratio = round(float(self._rng.uniform(1, 4)), 2)
            begun = self._numbered(
                replace(ALERT, **self._place(str(name)), episode_start_sample=self._sample),
                priority="medium" if self._seq % 20 else "high", loss=26.0 * ratio, ratio=ratio,
                beat=self._beat, reconstruction=self._beat,
                neighbours=[Neighbour(30.0, self._beat)] * 3,
            )  # fmt: skip
            self._open.append((self._tick + round(1 / TICK_S), begun))
            said.append(begun)
        self._owed %= 1
        return said

    def status(self) -> Status:
        """Return the heartbeat: it speaks of some patients, in turn, as a monitor's does."""
        turn = [(self._reported + n) % len(self.names) for n in range(STATUS_PATIENTS)]
        self._reported = (turn[-1] + 1) % len(self.names)
        return replace(STATUS, patients=[self._patient(n) for n in dict.fromkeys(turn)])

    def tick(self) -> bool:
        """Go on by one block; return whether a heartbeat is due."""
        self._tick += 1
        return self._tick % round(1 / TICK_S) == 0

    def _patient(self, n: int) -> PatientStatus:
        return replace(
            STATUS.patients[0], patient=self.names[n], record=self.names[n], fs_hz=FS_HZ,
            position=self._sample, n_samples=None, state="monitoring" if n % 50 else "learning",
            beats=self._sample // 200, anomalous=n % 7, alerts=n % 5, technical=[],
            heart_rate_bpm=60.0 + (n + self._tick) % 40,
        )  # fmt: skip

    def _place(self, name: str) -> dict[str, Any]:
        time_s = self._sample / FS_HZ
        return {"patient": name, "record": name, "sample": self._sample, "time_s": time_s}

    def _numbered(self, alert: Alert, **changes: object) -> Alert:
        self._seq += 1
        return replace(alert, id=f"{self._seq:032x}", seq=self._seq, **changes)


def publish(ward: Ward, folder: Path) -> NoReturn:
    """Say what the ward says, in real time, until killed."""
    with Sockets() as sockets, Journal(folder / "journal.sqlite") as journal:
        publisher = Publisher(sockets, endpoint(folder, "alerts"), journal, lambda _asked: "")
        waves = sockets.publish(endpoint(folder, "waves"), WAVE_MESSAGES)
        due_s = time.monotonic()
        while True:
            alerts = [replace(a, journal=journal.identity) for a in ward.alerts()]
            journal.commit(all_encoded(alerts), [])
            publisher.publish(all_encoded([*alerts, *ward.beats()]))
            for wave in ward.waves():
                waves.send_multipart(encode_message(wave))
            if ward.tick():
                status = replace(
                    ward.status(), journal=journal.identity, newest_seq=journal.newest_seq
                )
                publisher.publish(all_encoded([status]))
            due_s = max(due_s + TICK_S, time.monotonic() - 1.0)  # a pause is not made up for
            while (remaining_s := due_s - time.monotonic()) > 0:
                publisher.requests.poll(round(1000 * remaining_s) + 1)
                publisher.answer_waiting()


def endpoint(folder: Path, name: str) -> str:
    """Return a private endpoint."""
    return f"ipc://{folder / name}"


# --- the view ---------------------------------------------------------------------------------


class WatchedScreen(LiveScreen):
    """The live view on one end of a pseudo-terminal, at whose other end keys are pressed.

    Attributes
    ----------
    cpu_s : list of float
        Processor time of this process at each heartbeat heard.
    """

    def __init__(self, console: Console, typed: int, keyboard: TextIO, n_heartbeats: int) -> None:
        super().__init__(console, keyboard)
        self.cpu_s: list[float] = []
        self._typed = typed
        self._n_heartbeats = n_heartbeats

    def take(self, message: Message) -> None:
        """Take a message in; with every second heartbeat go a patient down, at the end leave."""
        super().take(message)
        if isinstance(message, Status) and message.patients:
            self.cpu_s.append(time.process_time())
            if len(self.cpu_s) >= WARM_UP_BEATS + self._n_heartbeats:
                os.write(self._typed, b"q")
            elif len(self.cpu_s) % KEY_EVERY == 0:
                os.write(self._typed, b"\x1b[B")

    def share(self) -> float:
        """Return the processor time a heartbeat, in % of its second, after the warm-up."""
        counted = self.cpu_s[WARM_UP_BEATS - 1 :]
        return 100 * (counted[-1] - counted[0]) / (len(counted) - 1)


def measured(plan: Views, size: str, alerts_per_s: float) -> float:
    """Return the view's share of a core, in %, over some heartbeats of the ward."""
    width, by, height = size.partition("x")
    if not (by and width.isdecimal() and height.isdecimal()):
        raise CommandFailed(f"--sizes: {size!r} is not like 80x24")
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", int(height), int(width), 0, 0))
    threading.Thread(target=_drain, args=(master,), daemon=True).start()
    with os.fdopen(os.dup(terminal)) as keyboard, os.fdopen(terminal, "w") as screen_of:
        command = ["-m", "tools.bench_view", PUBLISH, str(plan.folder)]
        command += [str(plan.patients), str(alerts_per_s)]
        console = Console(file=screen_of, force_terminal=True, width=int(width), height=int(height))
        screen = WatchedScreen(console, master, keyboard, plan.seconds)
        ward = subprocess.Popen([sys.executable, *command])
        try:
            watch(endpoint(plan.folder, "alerts"), endpoint(plan.folder, "waves"), screen)
        finally:
            ward.kill()
            ward.wait()
    return screen.share()


def _drain(master: int) -> None:
    """Read what is drawn, as a terminal would, until nobody draws."""
    with contextlib.suppress(OSError):  # the other end is closed
        while os.read(master, 1 << 16):
            pass
    os.close(master)


def view_part(plan: Views) -> Found:
    """Measure the share of a core that the view takes."""
    cases = [(size, rate) for size in plan.sizes for rate in plan.alerts_per_second]
    shares: dict[tuple[str, float], list[float]] = {case: [] for case in cases}
    for _ in range(plan.times):  # in turn, so that what else the machine does hits all alike
        for size, rate in cases:
            shares[size, rate].append(measured(plan, size, rate))
    rows = [[size, f"{rate:g}", spread(of_case, ".1f")] for (size, rate), of_case in shares.items()]
    figures = {}
    if plan.is_whole("patients"):
        named = {"view.share": (LARGE, CALM), "view.share_alarming": (LARGE, ALARMING)}
        figures = {name: shares[case] for name, case in named.items() if case in shares}
    return Found(
        f"{plan.patients:,} patients, a patient down every {KEY_EVERY} s, {plan.seconds} s after "
        f"{WARM_UP_BEATS} that do not count, {plan.times} times.\n\n"
        + table(["columns x rows", "alerts a second", "% of a core"], rows),
        figures,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == [PUBLISH]:
        folder, patients, rate = given[1:]
        publish(Ward(int(patients), float(rate)), Path(folder))
    page, parts = ("program.md", "The program"), {"view": view_part}
    return measure_parts("bench_view", __doc__, page, parts, Views, arguments)


if __name__ == "__main__":
    sys.exit(main())
