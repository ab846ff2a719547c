"""How long after its first sample an event's alarm is on the socket, in real time, by kind.

    python -m tools.alarm_delays                   # 128 patients, three minutes; for docs/ALARMS.md
    python -m tools.alarm_delays --patients 16

Simulated records of `--scenario night`, each with another seed, are replayed side by side through
the three stages of every run. An event's first sample falls due, as at a device, when its record
has played for so long; the delay is from then to the alarm's arrival at a subscriber. It holds the
wait for the alarm's condition, for the block of samples to be full (0.2 s), and all that the stages
do. Records begin a few milliseconds after the stages were told to; delays are too long by that.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from monitor.errors import InvalidMessage, StageFailed
from monitor.run.replay import ReplayOptions, stage_settings
from monitor.run.short_folder import base_folder
from monitor.run.supervisor import Supervisor
from monitor.settings import BLOCK_S
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.simulated_events import NIGHT, Event
from monitor.wire.codec import decode_message
from monitor.wire.messages import AlarmKind, Alert
from monitor.wire.sockets import Sockets, receive_waiting
from tools.measure_rhythm import KIND_OF, LATE_S
from tools.pages import machine, table
from tools.parts import say

PATIENTS = 128
AFTER_S = 8.0  # of signal behind the last event
READY_S = 120.0
POLL_MS = 20


@dataclass
class Heard:
    """When each alarm of a patient arrived: kind, its time in the record, and by the clock."""

    began_s: float  # by the clock, when the patient's record began
    alarms: list[tuple[AlarmKind, float, float]] = field(default_factory=list)

    def delay_s(self, event: Event, speed: float) -> float | None:
        """Return how long after an event's first sample its alarm came; None if none did."""
        kind = KIND_OF.get(event.kind)
        due_s = self.began_s + event.at_s / speed
        return min(
            (
                came_s - due_s
                for found, time_s, came_s in self.alarms
                if found == kind and event.at_s <= time_s <= event.until_s + LATE_S
            ),
            default=None,
        )


def measure(
    folder: Path, patients: int, events: tuple[Event, ...] = NIGHT, speed: float = 1.0
) -> dict[AlarmKind, list[float | None]]:
    """Return the delay of each event's alarm in seconds, by kind, None where it did not come.

    Raises
    ------
    StageFailed
        If the stages do not start, or die.
    """
    length_s = events[-1].until_s + AFTER_S
    names = [f"night{seed}" for seed in range(patients)]
    for seed, name in enumerate(names):
        settings = SimulationSettings(length_s / 3600, seed, anomaly_rate=0.0, scenario=events)
        write_record(folder / name, settings)
    heard = _heard(folder, names, speed)
    delays: dict[AlarmKind, list[float | None]] = {}
    for event in events:
        if event.kind in KIND_OF:
            of_kind = delays.setdefault(KIND_OF[event.kind], [])
            of_kind += [heard[name].delay_s(event, speed) for name in names]
    return delays


def _heard(folder: Path, names: Sequence[str], speed: float) -> dict[str, Heard]:
    """Replay records side by side and listen."""
    options = ReplayOptions(
        records=[str(folder / name) for name in names],
        alerts=f"ipc://{folder / 'alerts'}",
        speed=speed,
    )
    with contextlib.ExitStack() as stack:
        supervisor = stack.enter_context(Supervisor(stage_settings(options, folder), folder))
        sockets = stack.enter_context(Sockets())
        socket = sockets.subscribe(options.alerts, ["alert.", "status"])
        ready_by_s = time.monotonic() + READY_S
        while not (supervisor.ready and socket.poll(POLL_MS)):  # a heartbeat: the line is open
            supervisor.poll()
            if time.monotonic() > ready_by_s:
                raise StageFailed(f"the stages were not ready within {READY_S:g} s; try again")
        supervisor.begin()
        began_s = time.monotonic()
        # First blocks are spread over one block's time, see Pacer.
        heard = {name: Heard(began_s + n * BLOCK_S / len(names)) for n, name in enumerate(names)}
        while not supervisor.finished:
            socket.poll(POLL_MS)
            _listen(receive_waiting(socket, 5_000), heard)
            for news in supervisor.poll():
                say(news)
        _listen(receive_waiting(socket, 5_000), heard)
        return heard


def _listen(frames: Iterable[list[bytes]], heard: Mapping[str, Heard]) -> None:
    came_s = time.monotonic()
    for each in frames:
        with contextlib.suppress(InvalidMessage):
            message = decode_message(each)
            if (
                isinstance(message, Alert)
                and message.state == "onset"
                and message.kind != "anomalous_beats"
                and message.patient in heard
            ):
                heard[message.patient].alarms.append((message.kind, message.time_s, came_s))


def to_table(delays: Mapping[AlarmKind, Sequence[float | None]]) -> str:
    """Return the table of docs/ALARMS.md."""
    rows = []
    for kind, each in delays.items():
        known = [delay_s for delay_s in each if delay_s is not None]
        figures = [float(np.percentile(known, share)) for share in (50, 99, 100)] if known else []
        missed = len(each) - len(known)
        rows.append(
            [f"`{kind}`", *(f"{one:.2f}" for one in figures or [])]
            + ["-"] * (3 - len(figures))
            + [f"{missed} of {len(each)}"]
        )
    headings = ["alarm", "median, s", "99th percentile, s", "longest, s", "missed"]
    return table(headings, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 1 if no alarm came at all."""
    parser = argparse.ArgumentParser(prog="python -m tools.alarm_delays", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--patients", type=int, default=PATIENTS, help=f"({PATIENTS})")
    parser.add_argument("--speed", type=float, default=1.0, help="times real time; to try it (1)")
    options = parser.parse_args(arguments)
    if not (1 <= options.patients <= 2000 and 0 < options.speed <= 1000):
        parser.error("--patients: 1 to 2000; --speed: above 0, at most 1000")
    with tempfile.TemporaryDirectory(prefix="ecgd-", dir=base_folder()) as folder:
        try:
            delays = measure(Path(folder), options.patients, NIGHT, options.speed)
        except StageFailed as error:
            say(f"not measured: {error}")
            return 1
    print(f"{options.patients} patients, {machine()}\n\n{to_table(delays)}")
    return 0 if any(one is not None for each in delays.values() for one in each) else 1


if __name__ == "__main__":
    sys.exit(main())
