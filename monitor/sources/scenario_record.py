"""The simulated record of a scenario, made once and then kept: what `replay --scenario` plays."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from pathlib import Path

from monitor.errors import InvalidOption
from monitor.sources.simulated import (
    SIMULATOR_VERSION,
    SimulationSettings,
    kept_record,
    records_folder,
)
from monitor.sources.simulated_events import load_scenario

SEED = 8  # with which every event of `night` raises its alarm
AFTER_S = 8.0  # of signal behind the last event: its alarm ends 5 s after it
LONGEST_S = 24 * 3600.0  # 65 MB in the cache; longer ones are written where a person wants them


def scenario_record(
    name: str, cache_dir: Path | None = None, on_progress: Callable[[float], None] | None = None
) -> Path:
    """Return the record of a scenario: no beat but those of its events is anomalous.

    Parameters
    ----------
    name : str
        A scenario's name, or its file, after which the record is named.
    cache_dir, on_progress : optional
        As `default_record` takes them.

    Returns
    -------
    Path
        The record, without suffix.

    Raises
    ------
    InvalidOption
        If there is no such scenario, it has no event, or it is too long to be kept.
    RecordError
        If the cache folder cannot be written.
    """
    events = load_scenario(name)
    if not events:
        raise InvalidOption(f"scenario {name!r} has no event; give it [[event]] tables")
    length_s = math.ceil(events[-1].until_s + AFTER_S)
    if length_s > LONGEST_S:
        hours = math.ceil(length_s / 360) / 10
        raise InvalidOption(
            f"scenario {name!r} needs {hours:g} h, and one that is replayed may have "
            f"{LONGEST_S / 3600:g}; write it with `ecg-monitor simulate RECORD --hours {hours:g} "
            f"--scenario {name}` and replay that"
        )
    settings = SimulationSettings(length_s / 3600, SEED, anomaly_rate=0.0, scenario=events)
    digest = hashlib.sha256(repr(settings).encode()).hexdigest()[:12]
    record = re.sub(r"[^-\w]", "_", Path(name).stem, flags=re.ASCII)[:100] or "scenario"
    folder = records_folder(cache_dir) / f"scenario-{digest}-v{SIMULATOR_VERSION}"
    return kept_record(folder / record, settings, on_progress)
