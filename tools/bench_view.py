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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO

import msgspec
import numpy as np
from rich.console import Console

from monitor.delivery.publisher import Publisher
from monitor.journal.writer import Journal
from monitor.run.watch import watch
from monitor.stages.consumer import STATUS_PATIENTS
from monitor.view.screens import LiveScreen
from monitor.wire.codec import all_encoded, encode_message
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
from tools import messages
from tools.measured import CommandFailed
from tools.pages import spread, table
from tools.parts import Found, Plan, measure_parts, option

FS_HZ = 250.0
TICK_S = 0.2  # of the ward's: a block of 200 ms of each patient
WARM_UP_BEATS = 12  # heartbeats that are not counted: imports, until each of 2,000 was spoken of
LARGE, CALM, ALARMING = "160x48", 2.0, 50.0  # of the headlines
KEY_EVERY = 2  # heartbeats between two presses of the down key


PUBLISH = "publish"  # what a process of a ward is started with


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
        self._open: list[tuple[int, Alert]] = []  # tick at which it ends
        self._tick = 0
        self._told_of = 0
        trace = np.sin(np.arange(25) / 4).round(3).tolist()
        self._wave = Wave(1, self.names[0], 0, FS_HZ / 2, trace, [])

    def waves(self) -> list[Wave]:
        """Return a stretch of each patient's signal."""
        sample = round(self._tick * TICK_S * FS_HZ)
        return [msgspec.structs.replace(self._wave, patient=n, sample=sample) for n in self.names]

    def beats(self) -> list[BeatScored]:
        """Return the beats of a tick: of about every fourth patient one."""
        chosen = np.flatnonzero(self._rng.random(len(self.names)) < 1.2 * TICK_S)
        return [messages.beat_scored(**self._place(self.names[n])) for n in chosen]

    def alerts(self) -> list[Alert]:
        """Return the episodes that begin and end in this tick."""
        self._owed += self._alerts_per_tick
        begun = [self._alert(str(name)) for name in self._rng.choice(self.names, int(self._owed))]
        self._owed -= len(begun)
        ended = [self._cleared(alert) for tick, alert in self._open if tick <= self._tick]
        self._open = [one for one in self._open if one[0] > self._tick]
        self._open += [(self._tick + round(1 / TICK_S), alert) for alert in begun]
        return [*ended, *begun]

    def status(self) -> Status:
        """Return the heartbeat: it speaks of some patients, in turn, as a monitor's does."""
        position = round(self._tick * TICK_S * FS_HZ)
        turn = [(self._told_of + n) % len(self.names) for n in range(STATUS_PATIENTS)]
        self._told_of = (turn[-1] + 1) % len(self.names)
        patients = [self._patient(self.names[n], n, position) for n in dict.fromkeys(turn)]
        return messages.status(patients=patients)

    def tick(self) -> bool:
        """Go on by one block; return whether a heartbeat is due."""
        self._tick += 1
        return self._tick % round(1 / TICK_S) == 0

    def _patient(self, name: str, n: int, position: int) -> PatientStatus:
        return messages.patient_status(
            patient=name,
            record=name,
            fs_hz=FS_HZ,
            position=position,
            n_samples=None,
            state="learning" if n % 50 == 0 else "monitoring",
            beats=position // 200,
            anomalous=n % 7,
            alerts=n % 5,
            heart_rate_bpm=60.0 + (n + self._tick) % 40,
        )

    def _place(self, name: str) -> dict[str, Any]:
        sample = round(self._tick * TICK_S * FS_HZ)
        return {"patient": name, "record": name, "sample": sample, "time_s": sample / FS_HZ}

    def _alert(self, name: str) -> Alert:
        self._seq += 1
        beat = np.sin(np.arange(140) / 9).round(3).tolist()
        ratio = round(float(self._rng.uniform(1, 4)), 2)
        place = self._place(name)
        return messages.alert(
            **place,
            episode_start_sample=place["sample"],
            id=f"{self._seq:032x}",
            seq=self._seq,
            priority="high" if self._seq % 20 == 0 else "medium",
            loss=26.0 * ratio,
            ratio=ratio,
            beat=beat,
            reconstruction=beat,
            neighbours=[Neighbour(30.0, beat)] * 3,
        )

    def _cleared(self, alert: Alert) -> Alert:
        self._seq += 1
        return msgspec.structs.replace(
            alert, id=f"{self._seq:032x}", seq=self._seq, state="cleared", beat=[],
            reconstruction=[], neighbours=[],
        )  # fmt: skip


def publish(ward: Ward, folder: Path) -> NoReturn:
    """Say what the ward says, in real time, until killed."""
    with Sockets() as sockets, Journal(folder / "journal.sqlite") as journal:
        publisher = Publisher(sockets, endpoint(folder, "alerts"), journal, lambda _asked: "")
        waves = sockets.publish(endpoint(folder, "waves"), WAVE_MESSAGES)
        due_s = time.monotonic()
        while True:
            alerts = [msgspec.structs.replace(a, journal=journal.identity) for a in ward.alerts()]
            journal.commit(all_encoded(alerts), [])
            publisher.publish(all_encoded([*alerts, *ward.beats()]))
            for wave in ward.waves():
                waves.send_multipart(encode_message(wave))
            if ward.tick():
                status = msgspec.structs.replace(
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


@dataclass
class Heard:
    """Heartbeats heard, and the processor time at the first and the last that count."""

    n: int = 0
    began_s: float = 0.0
    ended_s: float = 0.0

    def take(self) -> None:
        """Count one."""
        self.n += 1
        self.ended_s = time.process_time()
        if self.n == WARM_UP_BEATS:
            self.began_s = self.ended_s

    @property
    def n_counted(self) -> int:
        """Heartbeats after the warm-up."""
        return self.n - WARM_UP_BEATS

    @property
    def cpu_s(self) -> float:
        """Processor time after the warm-up."""
        return self.ended_s - self.began_s


class WatchedScreen(LiveScreen):
    """The live view on one end of a pseudo-terminal, at whose other end keys are pressed."""

    def __init__(self, console: Console, typed: int, keyboard: TextIO, n_heartbeats: int) -> None:
        super().__init__(console, keyboard)
        self.heard = Heard()
        self._typed = typed
        self._n_heartbeats = n_heartbeats

    def take(self, message: Message) -> None:
        """Take a message in; with every second heartbeat go a patient down, at the end leave."""
        super().take(message)
        if isinstance(message, Status) and message.patients:
            self.heard.take()
            if self.heard.n_counted >= self._n_heartbeats:
                os.write(self._typed, b"q")
            elif self.heard.n % KEY_EVERY == 0:
                os.write(self._typed, b"\x1b[B")


def measured(plan: Views, size: str, alerts_per_s: float) -> Heard:
    """Return the processor time of the view over some heartbeats of the ward."""
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
    return screen.heard


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
            heard = measured(plan, size, rate)
            shares[size, rate].append(100 * heard.cpu_s / heard.n_counted)
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
