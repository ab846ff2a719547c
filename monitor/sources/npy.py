"""NumPy's .npy files: one lead, or several as rows or columns.

The array is mapped, not read, so its size does not matter. It holds numbers alone: the rate
(`--fs`) and the unit (`--units`) are a person's. Objects are refused: they would run code.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.sources.given import SCALE_S, refuse_odd_scale, with_units
from monitor.sources.record_file import MAX_LEADS, FileLead, LeadsOfFile, chosen_leads
from monitor.sources.source import FileFormat, SourceOptions

MAGIC = b"\x93NUMPY"


class NpyRecord(LeadsOfFile):
    """Leads of an array. Make it with `open`."""

    def __init__(
        self,
        path: Path,
        rows: NDArray[np.generic],
        leads: list[FileLead],
        channels: list[int],
        fs_hz: float,
        warnings: list[str],
    ) -> None:
        names = [one.name for one in leads]
        super().__init__(path, names, channels, fs_hz, rows.shape[1], warnings)
        self._rows = rows
        self._size = path.stat().st_size
        self._scale = np.array([one.mv_per_unit for one in leads], np.float64)

    @classmethod
    def open(cls, path: Path, options: SourceOptions) -> NpyRecord:
        """Map an array of numbers of the shape (n,), (leads, n) or (n, leads).

        Raises
        ------
        RecordError
            If it is of another shape or type, cut short, or its rate or unit was not given.
        """
        if options.fs_hz is None:
            units = "" if options.units else ", and the unit of its samples, such as --units mV"
            raise RecordError(
                f"{path} holds numbers alone; add their sampling rate, such as --fs 250{units}"
            )
        rows = _rows(path)
        found = [
            FileLead(f"signal {number}", "", None, options.fs_hz) for number in range(len(rows))
        ]
        leads = with_units(path, found, options)
        channels, warnings = chosen_leads(str(path), leads, options.leads)
        chosen = [leads[one] for one in channels]
        record = cls(path, rows, chosen, channels, options.fs_hz, warnings)
        first = record.read(0, min(record.n_samples, round(SCALE_S * record.fs_hz)))
        refuse_odd_scale(path, options, first)
        return record

    def _fill(self, start: int, window: NDArray[np.float32]) -> None:
        if self.files[0].stat().st_size < self._size:  # to read a map of it would kill the process
            raise RecordError(f"{self.files[0]} has become shorter; copy it again")
        stop = start + window.shape[1]
        for channel, scale, row in zip(self.channels, self._scale, window, strict=True):
            row[:] = self._rows[channel, start:stop].astype(np.float64) * scale


def _rows(path: Path) -> NDArray[np.generic]:
    """Return an array with leads as rows, not read yet."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # of a damaged header NumPy raises whatever its tokenizer does
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise RecordError(
            f"{path} cannot be read as an array of numbers: {reason}; copy it again, or save the "
            "samples alone with numpy.save"
        ) from error
    if array.dtype.kind not in "iuf":
        raise RecordError(f"{path} holds {array.dtype}, not real numbers; save the samples alone")
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2 or not array.size:
        raise RecordError(
            f"{path} has the shape {array.shape}; (n,), (leads, n) or (n, leads) is read"
        )
    rows: NDArray[np.generic] = array.T if array.shape[0] > array.shape[1] else array
    if len(rows) > MAX_LEADS:
        raise RecordError(
            f"{path} has the shape {array.shape}: of leads, {MAX_LEADS} at most are read"
        )
    return rows


def _is_npy(path: Path, head: bytes) -> bool:
    return head.startswith(MAGIC)


FORMAT = FileFormat("NumPy .npy", _is_npy, NpyRecord.open)
