"""Any record as a WFDB record: `ecg-monitor convert`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.errors import RecordError
from monitor.sources.kinds import open_record
from monitor.sources.source import SourceOptions
from monitor.sources.wfdb_writer import WfdbWriter
from monitor.text import counted

BLOCK_S = 60.0


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes
    ----------
    missing_s : float
        How much of the signal is missing, in the lead that lacks most.
    """

    path: Path
    leads: tuple[str, ...]
    fs_hz: float
    n_samples: int
    missing_s: float
    warnings: tuple[str, ...]


def convert(
    record: str,
    out: Path,
    options: SourceOptions,
    *,
    overwrite: bool = False,
    on_progress: Callable[[float], None] = lambda _share: None,
) -> Converted:
    """Write a record as a WFDB record, whole or not at all.

    Parameters
    ----------
    record : str
        A record in any format that can be read.
    out : Path
        The WFDB record, without suffix.
    overwrite : bool
        Replace the record if there is one.

    Raises
    ------
    RecordError
        If the record cannot be read, or `out` exists or cannot be written.
    InvalidOption
        If WFDB does not allow the name.
    """
    header = out.with_name(f"{out.name}.hea")
    with open_record(record, options) as source:
        if not overwrite and header.exists():
            raise RecordError(f"{header} exists; name another record, or add --overwrite")
        if {header.absolute(), out.with_name(f"{out.name}.dat").absolute()} & set(source.files):
            raise RecordError(f"{out} is the record that is read; name another one")
        missing = np.zeros(len(source.leads), np.int64)
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
                made = Path(folder) / out.name
                comments = [f"converted from {Path(record).name}", *source.warnings]
                with WfdbWriter(made, source.leads, source.fs_hz, comments) as writer:
                    block = round(BLOCK_S * source.fs_hz)
                    for start in range(0, source.n_samples, block):
                        samples = source.read(start, min(start + block, source.n_samples))
                        missing += np.isnan(samples).sum(axis=1)
                        writer.write(samples)
                        on_progress((start + samples.shape[1]) / source.n_samples)
                if writer.n_clipped:
                    raise RecordError(
                        f"{record} has {counted(writer.n_clipped, 'sample')} beyond 83 mV, which "
                        "is no ECG; look at its unit"
                    )
                for suffix in (".dat", ".hea"):  # where there is a header there is a record
                    made.with_name(out.name + suffix).replace(out.with_name(out.name + suffix))
        except OSError as error:
            reason = error.strerror or error
            raise RecordError(
                f"cannot write the record {out}: {reason}; choose another folder"
            ) from error
        return Converted(
            out,
            source.leads,
            source.fs_hz,
            source.n_samples,
            float(missing.max()) / source.fs_hz,
            source.warnings,
        )
