"""The simulated record that benchmarks replay, and its replay as a person runs it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from monitor.run.replay import Summary
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.wire.messages import ALARM_KINDS
from tools.measured import Measured, run_measured
from tools.pages import PROGRAM

RECORD, SEED = "simulated", 7
REPLAY = ("replay", RECORD, "--speed", "max", "--no-live", "--json")
WARM_UP_S = 60  # of a replay that does not count: files are in memory


class Replayed(NamedTuple):
    """One replay: what the command took, and what its last line says."""

    measured: Measured
    summary: Summary


def make_record(folder: Path, hours: float, name: str = RECORD) -> Path:
    """Write a simulated record into a folder, unless it is there; return its path."""
    path = folder / name
    if not Path(f"{path}.hea").exists():
        write_record(path, SimulationSettings(hours=hours, seed=SEED))
    return path


def replay(folder: Path, *options: str, record: str = RECORD) -> Replayed:
    """Replay a record as fast as it goes, with an alert socket of its own.

    Raises
    ------
    CommandFailed
        If it ends with an error.
    """
    command = ["replay", record, *REPLAY[2:], *options, "--alerts", private_endpoint(folder)]
    measured = run_measured([*PROGRAM, *command], folder)
    return Replayed(measured, msgspec.json.decode(measured.output.splitlines()[-1], type=Summary))


def rules_without_alarms(folder: Path) -> Path:
    """Write rules in which all named alarms are off."""
    path = folder / "off.toml"
    path.write_text("[alarms]\n" + "".join(f'{kind} = "off"\n' for kind in ALARM_KINDS))
    return path


def private_endpoint(folder: Path) -> str:
    """Return an address of a folder's own."""
    return f"ipc://{folder / 'alerts'}"
