"""What live sources send, kept as WFDB records while it is monitored.

    OUT.hea, OUT.dat            of a source's one patient
    OUT-PATIENT.hea, .dat       of each patient that a source of several names

Sample 0 of the record is position 0 of the stream; a gap is as long in the record, as WFDB's
missing samples. Whatever the monitor sheds later is in the record. What was written is handed to
the system at least every second, so a kill loses no more.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from monitor.errors import RecordError
from monitor.sources.wfdb_writer import WfdbWriter
from monitor.wire.messages import SamplesHeader, SamplesMessage

FLUSH_S = 0.5
FILL_SAMPLES = 1 << 16  # of a gap, written at once
_UNSAFE = re.compile(r"[^-\w]+", re.ASCII)


def record_path(out: Path, patient: str, unnamed: str) -> Path:
    """Return where a patient's record lies.

    Parameters
    ----------
    unnamed : str
        What the one patient of a source that names none is called.

    Examples
    --------
    >>> record_path(Path("night"), "bed-1", "push:").name
    'night-bed-1'
    """
    if patient == unnamed:
        return out
    name = _UNSAFE.sub("_", patient)
    if name != patient:  # two names must not share a file
        name += "-" + hashlib.sha256(patient.encode()).hexdigest()[:6]
    return out.with_name(f"{out.name}-{name[:80]}")


class Recorder:
    """Writes the records of one source.

    Parameters
    ----------
    out : Path
        The record, without suffix.
    unnamed : str
        As `record_path` takes it.
    """

    def __init__(self, out: Path, unnamed: str) -> None:
        self._out, self._unnamed = out, unnamed
        self._writers: dict[str, WfdbWriter] = {}
        self._flushed_s = -FLUSH_S

    def take(self, messages: Iterable[SamplesMessage], now_s: float) -> None:
        """Write samples.

        Raises
        ------
        RecordError
            If the record cannot be written.
        """
        try:
            for header, samples in messages:
                writer = self._writers.get(header.patient) or self._open(header)
                self._fill(writer, header.position - writer.n_samples, len(header.leads))
                new = writer.n_samples - header.position  # behind a restart some came before
                writer.write(samples[:, max(0, new) :])
            if now_s - self._flushed_s >= FLUSH_S:
                self._flushed_s = now_s
                for writer in self._writers.values():
                    writer.flush()
        except OSError as error:
            raise RecordError(
                f"cannot write the record {self._out}: {error.strerror}; make room, or choose "
                "another place"
            ) from error

    def close(self) -> None:
        """Write lengths into the headers."""
        for writer in self._writers.values():
            writer.close()

    def _open(self, header: SamplesHeader) -> WfdbWriter:
        path = record_path(self._out, header.patient, self._unnamed)
        comments = [f"patient {header.patient}", f"source {header.record}"]
        writer = WfdbWriter(path, header.leads, header.fs_hz, comments, append=True)
        self._writers[header.patient] = writer
        return writer

    @staticmethod
    def _fill(writer: WfdbWriter, n_missing: int, n_leads: int) -> None:
        while n_missing > 0:
            n = min(n_missing, FILL_SAMPLES)
            writer.write(np.full((n_leads, n), np.nan, np.float32))
            n_missing -= n
