"""A small record of each format, and what its own library reads of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.source import SourceOptions
from tests.monitor.sources.conformance import RecordCase, Signal, Written
from tests.monitor.sources.edf_files import EdfLead, write_edf

FS_HZ = 250
SECONDS = 120
LEADS = ("II", "V5")
DAY_SAMPLES = 24 * 3600 * FS_HZ
OF_250_HZ = SourceOptions(fs_hz=FS_HZ)


def ecg(seconds: float = SECONDS, fs_hz: float = FS_HZ) -> NDArray[np.float64]:
    """Return two leads like ECG, in mV, shape (2, n)."""
    time_s = np.arange(round(seconds * fs_hz)) / fs_hz
    beat = np.exp(-(((time_s % 0.8) - 0.4) ** 2) / 2e-4) + 0.1 * np.sin(time_s)
    rng = np.random.default_rng(2)
    return np.stack([beat, -0.5 * beat]) + rng.normal(0, 0.01, (2, len(time_s)))


# --- WFDB -------------------------------------------------------------------------------------


def wfdb_record(folder: Path) -> Written:
    """Simulated, its leads off for some seconds."""
    path = folder / "sim"
    write_record(path, SimulationSettings(hours=SECONDS / 3600, seed=3, lead_off_per_hour=60))
    read = wfdb.rdrecord(str(path))
    signal = np.ascontiguousarray(read.p_signal.T.astype(np.float32))
    return Written(path, tuple(read.sig_name), float(read.fs), signal)


def long_wfdb_record(folder: Path) -> Path:
    """A day of zeros."""
    path = folder / "long"
    lines = ["long 2 250 21600000", *(f"long.dat 16 200/mV 16 0 0 0 0 ECG{n}" for n in (1, 2))]
    path.with_suffix(".hea").write_text("\n".join(lines) + "\n")
    with path.with_suffix(".dat").open("wb") as file:
        file.truncate(2 * 2 * DAY_SAMPLES)
    return path


# --- EDF and BDF ------------------------------------------------------------------------------


def edf_by_edfio(folder: Path) -> Written:
    """EDF+C in microvolts, written and read by edfio, with an annotation."""
    edfio = pytest.importorskip("edfio", reason="edfio (extra dev) is not installed")
    path = folder / "night.edf"
    signals = [
        edfio.EdfSignal(
            1000 * row,
            FS_HZ,
            label=f"ECG {name}",
            physical_dimension="uV",
            physical_range=(-3276.8, 3276.7),
        )
        for name, row in zip(LEADS, ecg(), strict=True)
    ]
    notes = [edfio.EdfAnnotation(5.0, None, "turned over")]
    edfio.Edf(signals, annotations=notes, data_record_duration=1).write(path)
    read = edfio.read_edf(path)
    return _in_millivolts(path, [one.data for one in read.signals], 1e-3)


def bdf_by_pyedflib(folder: Path) -> Written:
    """BDF of 24 bits in millivolts, written and read by pyEDFlib, as two libraries in one."""
    pyedflib = pytest.importorskip("pyedflib", reason="pyEDFlib (extra dev) is not installed")
    path = folder / "night.bdf"
    header = {
        "dimension": "mV",
        "sample_frequency": FS_HZ,
        "physical_min": -5.0,
        "physical_max": 5.0,
        "digital_min": -(1 << 23),
        "digital_max": (1 << 23) - 1,
        "transducer": "",
        "prefilter": "",
    }
    with pyedflib.EdfWriter(str(path), 2, pyedflib.FILETYPE_BDFPLUS) as writer:
        writer.setSignalHeaders([{**header, "label": f"ECG {name}"} for name in LEADS])
        writer.writeSamples(list(ecg()))
    with pyedflib.EdfReader(str(path)) as reader:
        signals = [reader.readSignal(number) for number in (0, 1)]
    return _in_millivolts(path, signals, 1.0)


def discontinuous_edf(folder: Path) -> Written:
    """EDF+D: forty seconds, a gap of 7.5 s, and the rest; what edfio reads, with the gap."""
    digital = np.round(ecg() * 1000).astype(np.int16)
    path = folder / "holes.edf"
    leads = [
        EdfLead(f"ECG {name}", "uV", (-32768, 32767), (-32768, 32767), row)
        for name, row in zip(LEADS, digital, strict=True)
    ]
    onsets = [float(second + (7.5 if second >= 40 else 0)) for second in range(SECONDS)]
    write_edf(path, leads, FS_HZ, 1.0, onsets)
    signal = (digital * 1e-3).astype(np.float32)
    gap = np.full((2, round(7.5 * FS_HZ)), np.nan, np.float32)
    whole = np.concatenate([signal[:, : 40 * FS_HZ], gap, signal[:, 40 * FS_HZ :]], axis=1)
    return Written(path, ("ECG II", "ECG V5"), float(FS_HZ), whole)


def long_edf(folder: Path) -> Path:
    """A day of zeros."""
    path = folder / "long.edf"
    empty = np.zeros(FS_HZ, np.int16)
    leads = [EdfLead(f"ECG {name}", "uV", (-3000, 3000), (-32768, 32767), empty) for name in LEADS]
    write_edf(path, leads, FS_HZ, 1.0, None, n_records=24 * 3600)
    with path.open("r+b") as file:
        file.truncate(3 * 256 + 2 * 2 * DAY_SAMPLES)
    return path


def _in_millivolts(path: Path, signals: list[NDArray[np.float64]], mv_per_unit: float) -> Written:
    signal = np.stack([(one * mv_per_unit).astype(np.float32) for one in signals])
    return Written(path, ("ECG II", "ECG V5"), float(FS_HZ), signal)


# --- CSV and .npy -----------------------------------------------------------------------------


def csv_with_times(folder: Path) -> Written:
    """Seconds and millivolts; some samples are missing in one lead, two seconds in both."""
    table = np.round(ecg(), 4)
    table[1, 300:320] = np.nan
    lines = ["time [s],II [mV],V5 [mV]"]
    for number, (one, other) in enumerate(table.T.tolist()):
        time_s = (number + (2 * FS_HZ if number >= 5000 else 0)) / FS_HZ
        second = "" if np.isnan(other) else f"{other:.4f}"
        lines.append(f"{time_s:.3f},{one:.4f},{second}")
    path = folder / "watch.csv"
    path.write_text("\n".join(lines) + "\n")
    signal = _read_back(table)
    gap = np.full((2, 2 * FS_HZ), np.nan, np.float32)
    whole = np.concatenate([signal[:, :5000], gap, signal[:, 5000:]], axis=1)
    return Written(path, LEADS, float(FS_HZ), whole)


def csv_with_commas(folder: Path) -> Written:
    """Semicolons and decimal commas, in microvolts, without times."""
    table = np.round(1000 * ecg(), 1)
    rows = [";".join(f"{one:.1f}" for one in row).replace(".", ",") for row in table.T.tolist()]
    path = folder / "komma.csv"
    path.write_text("II [µV];V5 [µV]\n" + "\n".join(rows) + "\n", encoding="latin-1")
    signal = (_parsed(table, 1) * 1e-3).astype(np.float32)
    return Written(path, LEADS, float(FS_HZ), signal, SourceOptions(fs_hz=FS_HZ))


def long_csv(folder: Path) -> Path:
    """Two hours of the same second: 14 MB of samples."""
    rows = "".join(f"{one:.3f},{other:.3f}\n" for one, other in ecg(1).T.tolist())
    path = folder / "long.csv"
    with path.open("w") as file:
        file.write("II [mV],V5 [mV]\n")
        for _ in range(2 * 60):
            file.write(60 * rows)
    return path


def npy_of_floats(folder: Path) -> Written:
    """Microvolts, leads as columns, with missing samples."""
    samples = 1000 * ecg()
    samples[0, 1000:1100] = np.nan
    path = folder / "ecg.npy"
    np.save(path, samples.T)
    options = SourceOptions(fs_hz=FS_HZ, units="uV")
    signal = (np.load(path).T * 1e-3).astype(np.float32)
    return Written(path, ("signal 0", "signal 1"), float(FS_HZ), signal, options)


def long_npy(folder: Path) -> Path:
    """A day of zeros."""
    path = folder / "long.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.int16, shape=(2, DAY_SAMPLES)).flush()
    return path


def _parsed(table: NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    """Return the numbers that a text of so many decimals holds, as Python reads them."""
    return np.array([[float(f"{one:.{decimals}f}") for one in row] for row in table.tolist()])


def _read_back(table: NDArray[np.float64]) -> Signal:
    return _parsed(table, 4).astype(np.float32)


def _all_leads(options: SourceOptions) -> SourceOptions:
    return SourceOptions(["all"], options.fs_hz, options.units)


def _with_all_leads(write: Callable[[Path], Written]) -> Callable[[Path], Written]:
    """Ask for all leads: of those whose names say nothing, one is read unasked."""

    def written(folder: Path) -> Written:
        one = write(folder)
        return Written(one.path, one.leads, one.fs_hz, one.signal, _all_leads(one.options))

    return written


RECORD_CASES = [
    RecordCase("wfdb", wfdb_record, long_wfdb_record, by_content=False),
    RecordCase("edf by edfio", edf_by_edfio, long_edf),
    RecordCase("bdf by pyedflib", bdf_by_pyedflib, long_edf),
    RecordCase("edf+d", discontinuous_edf, long_edf),
    RecordCase("csv with times", csv_with_times, long_csv, OF_250_HZ, memory_bytes=9_000_000),
    RecordCase("csv with commas", csv_with_commas, long_csv, OF_250_HZ, memory_bytes=9_000_000),
    RecordCase(
        "npy", _with_all_leads(npy_of_floats), long_npy, SourceOptions(fs_hz=FS_HZ, units="uV")
    ),
]
