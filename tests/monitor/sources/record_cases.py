"""A small record of each format, and what its own library reads of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import wfdb

from monitor.sources.simulated import SimulationSettings, write_record
from tests.monitor.sources.conformance import RecordCase, Written

MINUTES = 2


def wfdb_record(folder: Path) -> Written:
    """Simulated, its leads off for some seconds."""
    path = folder / "sim"
    settings = SimulationSettings(hours=MINUTES / 60, seed=3, lead_off_per_hour=60)
    write_record(path, settings)
    read = wfdb.rdrecord(str(path))
    signal = np.ascontiguousarray(read.p_signal.T.astype(np.float32))
    return Written(path, tuple(read.sig_name), float(read.fs), signal)


def long_wfdb_record(folder: Path) -> Path:
    """A day of zeros."""
    path, n_samples = folder / "long", 24 * 3600 * 250
    lines = ["long 2 250 21600000", *(f"long.dat 16 200/mV 16 0 0 0 0 ECG{n}" for n in (1, 2))]
    path.with_suffix(".hea").write_text("\n".join(lines) + "\n")
    with path.with_suffix(".dat").open("wb") as file:
        file.truncate(2 * 2 * n_samples)
    return path


RECORD_CASES = [RecordCase("wfdb", wfdb_record, long_wfdb_record, by_content=False)]
