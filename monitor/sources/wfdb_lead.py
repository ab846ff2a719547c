"""One lead of a WFDB record, read in windows; a record's leads share what is decoded of a file.

Samples are decoded in blocks of about a million samples of all signals (some 10 MB while decoding),
of which the latest of each lead is kept; windows are cut from it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.sources.wfdb_formats import (
    DIFFERENCE_FORMAT,
    FLAC_BITS,
    read_flac,
    read_samples,
    with_gaps,
)
from monitor.sources.wfdb_header import RecordHeader, SignalHeader

BLOCK_SAMPLES = 1 << 20  # of all signals together, decoded at once


@dataclass(frozen=True)
class Stretch:
    """A stretch of the lead's samples that one segment holds; no header is a gap.

    Attributes
    ----------
    start, stop : int
        Samples from the record's start.
    frames_held : int
        Frames in the signal file, counted without skew.
    """

    start: int
    stop: int
    header: RecordHeader | None = None
    channel: int = 0
    frames_held: int = 0

    @property
    def signal(self) -> SignalHeader:
        """The lead's signal line in the segment's header."""
        assert self.header is not None
        return self.header.signals[self.channel]

    @property
    def restart_frame(self) -> int:
        """The last frame of the file at which sums of differences begin with the initial value.

        The C library fills its buffer against skew before time begins, and each frame of it starts
        from the initial value: frames 0 to the largest skew of the record do, one by one.
        """
        assert self.header is not None
        return max(signal.skew for signal in self.header.signals) if self.start == 0 else 0


class Decoded:
    """What was decoded last of a signal file: another lead of the same file needs it too."""

    def __init__(self) -> None:
        self._key: tuple[Path, Path, int, int] | None = None
        self._columns: NDArray[np.signedinteger] = np.empty((0, 0), np.int16)

    def forget(self) -> None:
        """Let it go: between two windows each lead keeps its own block."""
        self._key, self._columns = None, np.empty((0, 0), np.int16)

    def frames(self, stretch: Stretch, first: int, last: int) -> NDArray[np.signedinteger]:
        """Return frames [first, last) of a lead as stored, shape (frames, samples a frame).

        Raises
        ------
        RecordError
            If the file has changed or cannot be decoded.
        """
        header, signal = stretch.header, stretch.signal
        assert header is not None
        file = header.path.with_name(signal.file_name)
        members = [one for one in header.signals if one.file_name == signal.file_name]
        n_frames = max(0, last - first)
        key = header.path, file, first, n_frames
        if self._key != key:
            self._columns = _read_columns(file, members, first, n_frames)
            self._key = key
        if len(self._columns) != n_frames:
            raise RecordError(
                f"signal file {file} ends early: {len(self._columns)} of {n_frames} frames read; "
                "it has changed since it was opened"
            )
        before = header.signals[: stretch.channel]
        place = sum(one.samples_per_frame for one in before if one.file_name == signal.file_name)
        return self._columns[:, place : place + signal.samples_per_frame]


def _read_columns(
    file: Path, members: list[SignalHeader], first: int, n_frames: int
) -> NDArray[np.signedinteger]:
    """Return frames of all signals of a file as stored, shape (frames, samples of all a frame)."""
    fmt, offset, spf = members[0].fmt, members[0].byte_offset, members[0].samples_per_frame
    width = sum(one.samples_per_frame for one in members)
    try:
        if fmt not in FLAC_BITS:
            flat = read_samples(file, fmt, offset, first * width, n_frames * width)
            return flat[: len(flat) // width * width].reshape(-1, width)
        if any(one.samples_per_frame != spf for one in members):
            raise RecordError(f"the signals of FLAC file {file} differ in samples per frame")
        start = offset + first * spf  # the offset counts samples in FLAC
        columns = read_flac(file, fmt, len(members), start, n_frames * spf)
    except OSError as error:
        raise RecordError(f"signal file {file} cannot be read: {error.strerror}") from error
    by_signal = columns.reshape(-1, spf, len(members)).transpose(0, 2, 1)
    return by_signal.reshape(-1, width)


class WfdbLead:
    """One lead of a record.

    Parameters
    ----------
    channel : int
        Its number in the record, from 0.
    stretches : list of Stretch
        Where the record's segments hold it, in order, without holes.
    decoded : Decoded
        Shared by the leads of a record.
    spf : int
        Samples a frame.
    """

    def __init__(
        self, channel: int, name: str, stretches: list[Stretch], decoded: Decoded, spf: int
    ) -> None:
        self.channel, self.name = channel, name
        self.samples_per_frame = spf
        self.stretches = stretches
        self.decoded = decoded
        self._starts = [stretch.start for stretch in stretches]
        self._block_key: tuple[int, int] | None = None
        self._block = np.empty(0, np.float32)
        self._sums: dict[int, list[int]] = {}  # of differences, before each block of a stretch

    @property
    def n_samples(self) -> int:
        """Samples from the record's start to the lead's end."""
        return self.stretches[-1].stop

    @property
    def files(self) -> list[Path]:
        """The files that it is read from."""
        files: list[Path] = []
        for stretch in self.stretches:
            if stretch.header is not None:
                path = stretch.header.path
                files += [
                    path.with_name(f"{path.name}.hea"),
                    path.with_name(stretch.signal.file_name),
                ]
        return files

    def close(self) -> None:
        """Forget the decoded block; the lead can still be read."""
        self._block_key = None
        self._block = np.empty(0, np.float32)

    def read(self, start: int, window: NDArray[np.float32]) -> None:
        """Fill a window of NaN, shape (n,), with the samples from `start` on.

        In millivolts; of a signal that is no voltage, in its own unit.
        """
        stop = start + len(window)
        index = bisect_right(self._starts, start) - 1
        while index < len(self.stretches) and self.stretches[index].start < stop:
            stretch = self.stretches[index]
            low, high = max(start, stretch.start), min(stop, stretch.stop)
            if stretch.header is not None and low < high:
                self._copy(index, low - stretch.start, window[low - start : high - start])
            index += 1

    def _copy(self, index: int, at: int, out: NDArray[np.float32]) -> None:
        """Fill `out` with the stretch's samples from `at` on, block after block."""
        block_samples = self._block_frames(index) * self.samples_per_frame
        done = 0
        while done < len(out):
            number, offset = divmod(at + done, block_samples)
            part = self._decoded(index, number)[offset : offset + len(out) - done]
            out[done : done + len(part)] = part
            done += len(part)

    def _block_frames(self, index: int) -> int:
        header = self.stretches[index].header
        assert header is not None
        return max(1, BLOCK_SAMPLES // header.frame_samples)

    def _decoded(self, index: int, number: int) -> NDArray[np.float32]:
        if self._block_key != (index, number):
            self._block = self._decode(index, number)
            self._block_key = (index, number)
        return self._block

    def _decode(self, index: int, number: int) -> NDArray[np.float32]:
        """Return block `number` of a stretch; NaN beyond the file's end."""
        stretch = self.stretches[index]
        signal = stretch.signal
        first, last = self._block_range(index, number)
        values = np.full((last - first) * self.samples_per_frame, np.nan, np.float32)
        stored = self.decoded.frames(stretch, first, min(last, stretch.frames_held))
        if signal.fmt == DIFFERENCE_FORMAT:
            stored = self._added_up(index, number, first, stored)
        in_mv = signal.millivolts_per_unit
        scale = 1.0 if in_mv is None else in_mv
        physical = (with_gaps(signal.fmt, stored.reshape(-1)) - signal.baseline) / signal.gain
        values[: len(physical)] = physical * scale
        return values

    def _block_range(self, index: int, number: int) -> tuple[int, int]:
        """Return the frames of the file that a block holds; a lead with a skew starts later."""
        stretch = self.stretches[index]
        n_frames = (stretch.stop - stretch.start) // self.samples_per_frame
        first = number * self._block_frames(index)
        last = min(first + self._block_frames(index), n_frames)
        return first + stretch.signal.skew, last + stretch.signal.skew

    def _added_up(
        self, index: int, number: int, first: int, differences: NDArray[np.signedinteger]
    ) -> NDArray[np.signedinteger]:
        """Return the sums of differences from frame `first` on, shape (frames, samples a frame)."""
        stretch = self.stretches[index]
        n_alone = min(max(0, stretch.restart_frame - first), len(differences))
        alone = np.cumsum(differences[:n_alone], axis=1, dtype=np.int64)
        together = differences[n_alone:].reshape(-1).cumsum(dtype=np.int64)
        together += self._sum_before(index, number)
        joined = np.concatenate([alone, together.reshape(-1, differences.shape[1])])
        return joined + stretch.signal.init_value

    def _sum_before(self, index: int, number: int) -> int:
        """Return the sum of the differences before a block: earlier blocks are read for it once."""
        stretch = self.stretches[index]
        sums = self._sums.setdefault(index, [0])
        while len(sums) <= number:
            first, last = self._block_range(index, len(sums) - 1)
            first = max(first, stretch.restart_frame)
            block = self.decoded.frames(stretch, first, min(last, stretch.frames_held))
            sums.append(sums[-1] + int(block.sum(dtype=np.int64)))
        return sums[number]
