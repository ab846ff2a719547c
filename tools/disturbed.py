"""What the chaos tools share: the signal, the undisturbed run, ports, how a run is told."""

from __future__ import annotations

import argparse
import contextlib
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from monitor.sources.simulated import SimulationSettings
from tools.pages import PROGRAM, command_line, section, write_sections

LOOK_S = 0.1
MAX_PAUSE_S = 3.0
LONG_S = 30.0  # a pause for which a run takes a stage for hung, and a ward a worker for gone


class ChaosFailed(Exception):
    """A process was refused or given up, or hung for ever: no fault explains that."""


class Flawless(Protocol):
    """A tally of a disturbed run."""

    @property
    def flawless(self) -> bool:
        """Whether nothing was lost, doubled or out of order."""


def disturbed_signal(hours: float, seed: int) -> SimulationSettings:
    """Return a record with alerts and technical alerts all along."""
    return SimulationSettings(
        hours=hours, seed=seed, anomaly_rate=0.05, first_anomaly_s=10.0, lead_off_per_hour=12.0
    )


def run_undisturbed(records: Sequence[Path], journal: Path, speed: str = "max") -> None:
    """Have one machine monitor records into a journal, with nothing happening to it."""
    alerts = ("--alerts", f"ipc://{journal.with_name('u')}")
    options = (*alerts, "--journal", str(journal), "--speed", speed, "--json")
    subprocess.run(
        [*PROGRAM, "replay", *map(str, records), *options], stdout=subprocess.DEVNULL, check=True
    )


def free_port() -> int:
    """Return a port that nobody listens on now, and that the system gives to no connection."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(10_240, 32_000)))
            port: int = probe.getsockname()[1]
            return port


def add_options(parser: argparse.ArgumentParser, every_s: float) -> None:
    """Add what both tools take."""
    parser.add_argument("--every", type=float, default=every_s, help="mean seconds between two")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="page whose section is written, too")


def told(
    tool: str,
    heading: str,
    arguments: Sequence[str] | None,
    out: Path | None,
    run: Callable[[], tuple[Flawless, str]],
) -> int:
    """Run a tool, print its tables, write them to a page; return its exit code.

    Parameters
    ----------
    run : callable
        Returns the tally and the tables in Markdown.
    """
    try:
        tally, tables = run()
    except ChaosFailed as error:
        sys.stderr.write(f"{tool}: {error}\n")
        return 1
    print(tables)
    if out is not None:
        measured = section(command_line(tool, arguments), tables)
        write_sections(out, "Chaos", {heading: measured})
    return 0 if tally.flawless else 1
