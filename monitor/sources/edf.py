"""EDF, EDF+, BDF and BDF+ files, continuous or not, read in windows.

Read here, not by a library, for three reasons, each tried (docs/SOURCES.md): of a discontinuous
file (EDF+D) edfio joins the parts across their gaps and pyEDFlib refuses to read it; edfio takes
eight times a BDF file's size in memory; and neither reads on from the middle of a file that is
still large. Both are asked in the tests whether the samples are right, to the bit.

What a file says of its samples' time holds: in EDF+D each data record says when it begins. Between
them lies a gap, NaN, of that length.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.sources.edf_header import EdfHeader, EdfSignal, is_edf, read_header
from monitor.sources.given import refuse_rate, with_units
from monitor.sources.record_file import LeadsOfFile, chosen_leads
from monitor.sources.source import FileFormat, SourceOptions
from monitor.sources.units import plain_units
from monitor.sources.wfdb_header import MAX_DURATION_S

LEAST_SHARE = 0.5  # of the announced data records: with less, the file was not copied whole
RUN_BYTES = 1 << 20  # of data records, read at once
ONSETS_AT_ONCE = 4096  # data records whose beginnings are looked up together
MAX_RECORDS = 20_000_000
MAX_WARNED = 3
_ONSET = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15[\d.]*)?\x14")


@dataclass(frozen=True)
class Run:
    """Data records that follow each other without a gap.

    Attributes
    ----------
    first_sample : int
        Position of its first sample, of the leads that are read.
    """

    first_record: int
    n_records: int
    first_sample: int


class EdfRecord(LeadsOfFile):
    """Leads of an EDF or BDF file. Make it with `open`."""

    def __init__(
        self,
        header: EdfHeader,
        signals: list[EdfSignal],
        channels: list[int],
        runs: list[Run],
        n_held: int,
        warnings: list[str],
    ) -> None:
        per_record = signals[0].n_samples
        last = runs[-1]
        super().__init__(
            header.path,
            [one.lead.name for one in signals],
            channels,
            signals[0].lead.fs_hz,
            last.first_sample + last.n_records * per_record,
            warnings,
        )
        self._header = header
        self._signals = signals
        self._runs = runs
        self._starts = np.array([one.first_sample for one in runs], np.int64)
        self._size = header.header_bytes + n_held * header.record_bytes
        self._per_record = per_record

    @classmethod
    def open(cls, path: Path, options: SourceOptions) -> EdfRecord:
        """Open leads of a file; of a continuous one nothing but the header is read.

        Raises
        ------
        RecordError
            If it is malformed, not copied whole or shorter than a second, or has no such leads.
        """
        header = read_header(path)
        if not header.signals:
            raise RecordError(f"{path} holds annotations alone, no signals")
        refuse_rate(path, options)
        leads = with_units(path, [one.lead for one in header.signals], options)
        numbers, warnings = chosen_leads(str(path), leads, options.leads)
        signals = [replace(header.signals[number], lead=leads[number]) for number in numbers]
        n_held, told = _records_held(header)
        runs, gaps = _runs(header, n_held, signals[0].lead.fs_hz, signals[0].n_samples)
        warnings += told + gaps + _misspelt(signals)
        return cls(header, signals, numbers, runs, n_held, warnings)

    def _fill(self, start: int, window: NDArray[np.float32]) -> None:
        stop = start + window.shape[1]
        number = int(np.searchsorted(self._starts, start, side="right")) - 1
        with self.files[0].open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size < self._size:
                raise RecordError(f"{self.files[0]} has become shorter; copy it again")
            for run in self._runs[max(0, number) :]:
                if run.first_sample >= stop:
                    break
                for first, n_records in self._parts(run, start, stop):
                    position = run.first_sample + (first - run.first_record) * self._per_record
                    samples = self._samples(file, first, n_records)
                    begin, end = max(start, position), min(stop, position + samples.shape[1])
                    window[:, begin - start : end - start] = samples[
                        :, begin - position : end - position
                    ]

    def _parts(self, run: Run, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield data records of a run that hold a window, as many as are read at once."""
        first = max(0, start - run.first_sample) // self._per_record
        last = -(-(stop - run.first_sample) // self._per_record)
        last = min(run.n_records, last)
        at_once = max(1, RUN_BYTES // self._header.record_bytes)
        for number in range(first, last, at_once):
            yield run.first_record + number, min(at_once, last - number)

    def _samples(self, file: IO[bytes], first: int, n_records: int) -> NDArray[np.float32]:
        """Return data records in millivolts, shape (leads, n)."""
        header = self._header
        offset = header.header_bytes + first * header.record_bytes
        shape = (n_records, header.record_bytes)
        if header.record_bytes <= RUN_BYTES:
            raw = np.frombuffer(
                self._bytes(file, offset, n_records * header.record_bytes), np.uint8
            )
            parts = [raw.reshape(shape)[:, one.first_byte :] for one in self._signals]
        else:  # the samples of other signals are passed over
            n_bytes = self._per_record * header.sample_bytes
            parts = [
                np.frombuffer(self._bytes(file, offset + one.first_byte, n_bytes), np.uint8)[None]
                for one in self._signals
            ]
        samples = np.empty((len(parts), n_records * self._per_record), np.float32)
        for signal, part, row in zip(self._signals, parts, samples, strict=True):
            digital = _digital(part[:, : self._per_record * header.sample_bytes], header)
            per_unit = signal.lead.mv_per_unit
            assert per_unit is not None
            row[:] = (digital.ravel() + signal.offset) * signal.gain * per_unit
        return samples

    def _bytes(self, file: IO[bytes], offset: int, n_bytes: int) -> bytes:
        content = os.pread(file.fileno(), n_bytes, offset)
        if len(content) < n_bytes:
            raise RecordError(f"{self.files[0]} has become shorter; copy it again")
        return content


def _digital(part: NDArray[np.uint8], header: EdfHeader) -> NDArray[np.int32]:
    """Return little-endian samples of 2 or 3 bytes, shape (records, n)."""
    if header.sample_bytes == 2:
        return np.ascontiguousarray(part).view("<i2").astype(np.int32)
    three = part.reshape(len(part), -1, 3).astype(np.int32)
    unsigned = three[..., 0] | three[..., 1] << 8 | three[..., 2] << 16
    signed: NDArray[np.int32] = (unsigned ^ 0x800000) - 0x800000
    return signed


def _misspelt(signals: list[EdfSignal]) -> list[str]:
    """Return what was made of units that are misspelt."""
    return [
        f"lead {one.lead.name!r} is in {one.lead.units!r}, which is taken for "
        f"{plain_units(one.lead.units)}"
        for one in signals
        if plain_units(one.lead.units) != one.lead.units.replace("µ", "u").replace("μ", "u")
    ]


def _records_held(header: EdfHeader) -> tuple[int, list[str]]:
    """Return how many whole data records a file holds, and what is wrong with that."""
    where, size = header.path, header.path.stat().st_size
    held = (size - header.header_bytes) // header.record_bytes
    if held < 1:
        raise RecordError(f"{where} is truncated: it holds no whole data record; copy it again")
    if held > MAX_RECORDS:
        raise RecordError(f"{where} has {held} data records; {MAX_RECORDS} at most are read")
    announced = header.n_records
    if announced is None or announced == held:
        return held, []
    if held < LEAST_SHARE * announced:
        raise RecordError(
            f"{where} is truncated: its header says {announced} data records, it holds {held}; "
            "copy it again"
        )
    return held, [
        f"{where}: its header says {announced} data records, it holds {held}, which are read"
    ]


def _runs(
    header: EdfHeader, n_held: int, fs_hz: float, per_record: int
) -> tuple[list[Run], list[str]]:
    """Return the stretches without a gap, and what is wrong with when they begin."""
    if not header.is_discontinuous:
        return [Run(0, n_held, 0)], []
    if header.annotations is None:
        raise RecordError(
            f"{header.path} is discontinuous (EDF+D) and has no signal that says when its data "
            "records begin; write it again"
        )
    onsets = np.concatenate(list(_onsets(header, header.annotations, n_held)))
    steps = np.diff(onsets) - header.record_s  # s between the end of one and the next
    if len(steps) and onsets[-1] - onsets[0] > MAX_DURATION_S:
        raise RecordError(
            f"{header.path}: data records lie {onsets[-1] - onsets[0]:g} s apart; none lasts so "
            "long; write it again"
        )
    # Times are written with few decimals: half a sample is no gap.
    is_late, is_early = steps * fs_hz > 0.5, steps * fs_hz < -0.5
    breaks = np.flatnonzero(is_late) + 1
    firsts = [0, *breaks.tolist()]
    runs: list[Run] = []
    for first, stop in zip(firsts, [*firsts[1:], n_held], strict=True):
        position = round(float(onsets[first] - onsets[0]) * fs_hz)
        behind = runs[-1].first_sample + runs[-1].n_records * per_record if runs else 0
        runs.append(Run(first, stop - first, max(position, behind)))
    warnings: list[str] = []
    if is_early.any():
        number = int(np.flatnonzero(is_early)[0]) + 1
        warnings.append(
            f"{header.path}: data record {number} begins {-steps[number - 1]:g} s before the one "
            f"before it ends, as do {int(is_early.sum())} in all; they are read one after the other"
        )
    return runs, warnings


def _onsets(header: EdfHeader, notes: EdfSignal, n_held: int) -> Iterator[NDArray[np.float64]]:
    """Yield when data records begin, in seconds, thousands at a time."""
    n_bytes = notes.n_samples * header.sample_bytes
    with header.path.open("rb") as file:
        for first in range(0, n_held, ONSETS_AT_ONCE):
            count = min(ONSETS_AT_ONCE, n_held - first)
            found = np.empty(count)
            for number in range(count):
                place = header.header_bytes + (first + number) * header.record_bytes
                file.seek(place + notes.first_byte)
                match = _ONSET.match(file.read(min(n_bytes, 64)))
                if match is None:
                    raise RecordError(
                        f"{header.path}: data record {first + number} does not say when it begins; "
                        "write the file again"
                    )
                found[number] = float(match[1])
            yield found


def _is_edf(path: Path, head: bytes) -> bool:
    return is_edf(head)


FORMAT = FileFormat("EDF/BDF", _is_edf, EdfRecord.open)
