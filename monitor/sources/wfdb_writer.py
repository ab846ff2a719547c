"""A WFDB record, written as its samples come: format 24, a step of 10 nV, NaN as WFDB's missing.

The header is written first, without a length, which then follows from the signal file: a record
whose writer was killed is whole up to what was written. `close` adds length and checksums.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from monitor.errors import InvalidOption
from monitor.sources.wfdb_header import RECORD_NAME

GAIN_PER_MV = 100_000  # finer than any recorder's step; it spans 83 mV either way
LIMIT = (1 << 23) - 1
MISSING = -(1 << 23)  # in format 24


class WfdbWriter:
    """A record that grows; a with-block.

    Parameters
    ----------
    path : Path
        The record, without suffix; its folder is there.
    leads : sequence of str
        Their names.
    fs_hz : float
        Their sampling rate.
    comments : sequence of str
        Lines for the header.
    append : bool
        Whether a record that is there goes on, as after a kill; it has these leads.

    Raises
    ------
    InvalidOption
        If WFDB does not allow the record's name.
    OSError
        If it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        leads: Sequence[str],
        fs_hz: float,
        comments: Sequence[str] = (),
        *,
        append: bool = False,
    ) -> None:
        if not RECORD_NAME.fullmatch(path.name):
            raise InvalidOption(
                f"{path.name!r} cannot name a WFDB record; use letters, digits, - and _, without a "
                "suffix"
            )
        self.n_samples = 0
        self.n_clipped = 0  # samples beyond what the format holds
        self._path = path
        self._leads = [" ".join(one.split()) or "ECG" for one in leads]
        self._fs_hz = fs_hz
        self._comments = comments
        self._sums = np.zeros(len(leads), np.int64)
        self._first: list[int] | None = None
        signal_file = path.with_name(f"{path.name}.dat")
        goes_on = append and signal_file.exists()
        self._file = signal_file.open("r+b" if goes_on else "w+b")
        if goes_on:
            self._take_over()
        self._write_header()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, samples: NDArray[np.float32]) -> None:
        """Add samples.

        Parameters
        ----------
        samples : np.ndarray, shape (leads, n), float32
            Millivolts; NaN is missing.
        """
        if not samples.shape[1]:
            return
        steps = np.round(samples.astype(np.float64) * GAIN_PER_MV)
        self.n_clipped += int((np.abs(steps) > LIMIT).sum())
        clipped = np.clip(steps, -LIMIT, LIMIT)
        digital = np.where(np.isnan(samples), MISSING, clipped).astype("<i4")
        if self._first is None:
            self._first = digital[:, 0].tolist()
        self._sums += digital.sum(axis=1, dtype=np.int64)
        frames = np.ascontiguousarray(digital.T)  # (n, leads)
        self._file.write(frames.view(np.uint8).reshape(-1, 4)[:, :3].tobytes())
        self.n_samples += samples.shape[1]

    def flush(self) -> None:
        """Hand what was written to the system, so that a kill does not lose it."""
        self._file.flush()

    def close(self) -> None:
        """Write the length into the header; once."""
        if not self._file.closed:
            self._file.close()
            self._write_header()

    def _take_over(self) -> None:
        """Go on behind the last whole frame, with the sums of what is there."""
        frame_bytes = 3 * len(self._leads)
        while chunk := self._file.read(frame_bytes * (1 << 16)):
            whole = np.frombuffer(chunk[: len(chunk) // frame_bytes * frame_bytes], np.uint8)
            widened = np.zeros((len(whole) // 3, 4), np.uint8)
            widened[:, 1:] = whole.reshape(-1, 3)
            digital = (widened.view("<i4") >> 8).reshape(-1, len(self._leads))
            if self._first is None and len(digital):
                self._first = digital[0].tolist()
            self._sums += digital.sum(axis=0, dtype=np.int64)
            self.n_samples += len(digital)
        self._file.seek(self.n_samples * frame_bytes)
        self._file.truncate()

    def _write_header(self) -> None:
        is_whole = self._file.closed and self.n_samples
        length = f" {self.n_samples}" if is_whole else ""
        first = self._first or [0] * len(self._leads)
        lines = [f"{self._path.name} {len(self._leads)} {self._fs_hz:.12g}{length}"]
        for name, value, total in zip(self._leads, first, self._sums.tolist(), strict=True):
            checksum = (total + 0x8000) % 0x10000 - 0x8000
            lines.append(
                f"{self._path.name}.dat 24 {GAIN_PER_MV}(0)/mV 24 0 {value} {checksum} 0 {name}"
            )
        lines += [f"# {' '.join(one.split())}" for one in self._comments]
        # Whole or as it was: a header cut short would spoil the record.
        header = self._path.with_name(f"{self._path.name}.hea")
        new = header.with_name(f".{header.name}")
        new.write_text("\n".join(lines) + "\n", encoding="utf-8")
        new.replace(header)
