"""One lead of a WFDB record, single- or multi-segment, read in windows.

Headers are checked by `wfdb_header`, samples decoded by `wfdb_formats`, the lead is chosen by
`lead_choice`. Samples are decoded in blocks of about a million samples of all signals (some 10 MB
while decoding), of which the latest is kept; windows are cut from it.

What a file lacks is missing, not an error: where a signal file is shorter than its header says,
what is there is read, and `warnings` says so. A file of less than half its length was not copied
whole, and is refused.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.sources.lead_choice import LeadCandidate, choose_lead
from monitor.sources.missing_record import why_no_record
from monitor.sources.wfdb_formats import (
    DIFFERENCE_FORMAT,
    FLAC_BITS,
    NULL_FORMAT,
    flac_samples_held,
    read_flac,
    read_samples,
    with_gaps,
)
from monitor.sources.wfdb_header import (
    MAX_NAME_LENGTH,
    RecordHeader,
    Segment,
    SignalHeader,
    frames_in_file,
    header_names,
    read_header,
)

BLOCK_SAMPLES = 1 << 20  # of all signals together, decoded at once
MIN_DURATION_S = 1.0  # less cannot hold a beat with its neighbours
LEAST_SHARE = 0.5  # of the announced samples: with less, the file was not copied whole
_SUFFIXES = (".hea", ".dat")
_MAX_WARNINGS = 5  # of the segments of one record


@dataclass(frozen=True)
class _Stretch:
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


class WfdbRecord:
    """One lead of a WFDB record; a `Source`. Make it with `open`.

    Sampling rate and positions are those of the lead itself: a lead with 4 samples a frame at
    250 frames a second is a 1,000 Hz signal.

    Attributes
    ----------
    lead : str
        Its name.
    channel : int
        Its number in the record, from 0.
    warnings : tuple of str
        What is wrong with the record and was read all the same.
    """

    def __init__(
        self,
        header: RecordHeader,
        channel: int,
        signal: SignalHeader,
        stretches: list[_Stretch],
        warnings: tuple[str, ...],
    ) -> None:
        self.record = header.path.name
        self.lead = signal.name
        self.channel = channel
        self.fs_hz = header.fs_hz * signal.samples_per_frame
        self.samples_per_frame = signal.samples_per_frame
        self.n_samples = stretches[-1].stop
        self.warnings = warnings
        self._stretches = stretches
        self._header_file = header.path.with_name(f"{header.path.name}.hea")
        self._starts = [stretch.start for stretch in stretches]
        self._block_key: tuple[int, int] | None = None
        self._block = np.empty(0, np.float32)
        self._sums: dict[int, list[int]] = {}  # of differences, before each block of a stretch

    @classmethod
    def open(cls, path: str | Path, lead: str | int | None = None) -> WfdbRecord:
        """Open a lead of the record at `path`; nothing but headers and file sizes is read.

        Parameters
        ----------
        path : str or Path
            The record as WFDB names it, without suffix; `.hea` and `.dat` are taken off.
        lead : str, int or None
            Index of the lead from 0, also as text, or its name (case and words like `lead` matter
            only between leads that differ in nothing else). None chooses an ECG lead, as
            `monitor.sources.lead_choice` says.

        Raises
        ------
        RecordError
            If the record is missing, malformed or shorter than a second, or has no such lead.
        """
        base = _record_path(path)
        header = read_header(base)
        segments = _Segments(header)
        layout = segments.layout()
        candidates = [
            LeadCandidate(one.name, one.units, one.millivolts_per_unit is not None, coverage)
            for one, coverage in zip(layout.signals, segments.coverages(), strict=True)
        ]
        channel = choose_lead(str(base), candidates, lead)
        signal = layout.signals[channel]
        stretches = segments.stretches(channel)
        warnings = segments.warnings(stretches)
        fs_hz = header.fs_hz * signal.samples_per_frame
        if stretches[-1].stop < MIN_DURATION_S * fs_hz:
            raise RecordError(
                f"record {base} is shorter than one beat: {stretches[-1].stop} samples at "
                f"{fs_hz:g} Hz; at least {MIN_DURATION_S:g} s are needed"
                + "".join(f"; {warning}" for warning in warnings)
            )
        return cls(header, channel, signal, stretches, warnings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def files(self) -> list[Path]:
        """The files that the lead is read from, headers too."""
        files = [self._header_file]
        for stretch in self._stretches:
            if stretch.header is not None:
                path = stretch.header.path
                files += [
                    path.with_name(f"{path.name}.hea"),
                    path.with_name(stretch.signal.file_name),
                ]
        return list(dict.fromkeys(files))

    def close(self) -> None:
        """Forget the decoded block; the record can still be read."""
        self._block_key = None
        self._block = np.empty(0, np.float32)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the samples [start, stop) in millivolts; NaN where there is no valid sample.

        Raises
        ------
        ValueError
            If not 0 <= start <= stop <= n_samples.
        RecordError
            If the file has changed or its contents cannot be decoded.
        """
        if not 0 <= start <= stop <= self.n_samples:
            raise ValueError(f"window [{start}, {stop}) is not within [0, {self.n_samples})")
        window = np.full(stop - start, np.nan, np.float32)
        index = bisect_right(self._starts, start) - 1
        while index < len(self._stretches) and self._stretches[index].start < stop:
            stretch = self._stretches[index]
            if stretch.header is not None:
                low, high = max(start, stretch.start), min(stop, stretch.stop)
                self._copy(index, low - stretch.start, window[low - start : high - start])
            index += 1
        return window

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
        header = self._stretches[index].header
        assert header is not None
        return max(1, BLOCK_SAMPLES // header.frame_samples)

    def _decoded(self, index: int, number: int) -> NDArray[np.float32]:
        if self._block_key != (index, number):
            self._block = self._decode(index, number)
            self._block_key = (index, number)
        return self._block

    def _decode(self, index: int, number: int) -> NDArray[np.float32]:
        """Return block `number` of a stretch in millivolts; NaN beyond the file's end."""
        stretch = self._stretches[index]
        signal = stretch.signal
        first, last = self._block_range(index, number)
        values = np.full((last - first) * self.samples_per_frame, np.nan, np.float32)
        stored = _read_frames(stretch, first, min(last, stretch.frames_held))
        if signal.fmt == DIFFERENCE_FORMAT:
            stored = self._added_up(index, number, first, stored)
        scale = signal.millivolts_per_unit
        assert scale is not None
        physical = (with_gaps(signal.fmt, stored.reshape(-1)) - signal.baseline) / signal.gain
        values[: len(physical)] = physical * scale
        return values

    def _block_range(self, index: int, number: int) -> tuple[int, int]:
        """Return the frames of the file that a block holds; a lead with a skew starts later."""
        stretch = self._stretches[index]
        n_frames = (stretch.stop - stretch.start) // self.samples_per_frame
        first = number * self._block_frames(index)
        last = min(first + self._block_frames(index), n_frames)
        return first + stretch.signal.skew, last + stretch.signal.skew

    def _added_up(
        self, index: int, number: int, first: int, differences: NDArray[np.signedinteger]
    ) -> NDArray[np.signedinteger]:
        """Return the sums of differences from frame `first` on, shape (frames, samples a frame)."""
        stretch = self._stretches[index]
        n_alone = min(max(0, stretch.restart_frame - first), len(differences))
        alone = np.cumsum(differences[:n_alone], axis=1, dtype=np.int64)
        together = differences[n_alone:].reshape(-1).cumsum(dtype=np.int64)
        together += self._sum_before(index, number)
        joined = np.concatenate([alone, together.reshape(-1, differences.shape[1])])
        return joined + stretch.signal.init_value

    def _sum_before(self, index: int, number: int) -> int:
        """Return the sum of the differences before a block: earlier blocks are read for it once."""
        stretch = self._stretches[index]
        sums = self._sums.setdefault(index, [0])
        while len(sums) <= number:
            first, last = self._block_range(index, len(sums) - 1)
            first = max(first, stretch.restart_frame)
            block = _read_frames(stretch, first, min(last, stretch.frames_held))
            sums.append(sums[-1] + int(block.sum(dtype=np.int64)))
        return sums[number]


class _Segments:
    """The segments of a record, each header read once; a record without segments is its own."""

    def __init__(self, header: RecordHeader) -> None:
        self._record = header
        self._headers: dict[str, RecordHeader] = {}
        self._variable = bool(header.segments) and header.segments[0].n_frames == 0

    def layout(self) -> RecordHeader:
        """Return the header that names the leads: the record's own, or its first segment's."""
        if not self._record.segments:
            return self._record
        named = [segment.name for segment in self._record.segments if segment.name is not None]
        if not named:
            raise RecordError(f"header {self._record.path}.hea has no segment but gaps")
        layout = self._header(named[0])
        if len(layout.signals) != self._record.n_signals:
            raise RecordError(
                f"header {self._record.path}.hea announces {self._record.n_signals} signals, its "
                f"segment {named[0]} has {len(layout.signals)}"
            )
        return layout

    def coverages(self) -> list[float]:
        """Return how much of the record each lead of the layout holds, 0 to 1."""
        layout = self.layout()
        if not self._record.segments:
            return [_coverage(self._record, one) for one in layout.signals]
        held = [0] * len(layout.signals)
        for segment in self._data():
            if segment.name is None:
                continue
            header = self._header(segment.name)
            for channel in range(len(layout.signals)):
                found = self._channel_in(header, channel)
                if found is not None:
                    held[channel] += segment.n_frames
        total = sum(segment.n_frames for segment in self._data())
        return [frames / total if total else 0.0 for frames in held]

    def stretches(self, channel: int) -> list[_Stretch]:
        """Return where each segment holds the lead; a segment that lacks it is a gap."""
        wanted = self.layout().signals[channel]
        if not self._record.segments:
            held = _frames_held(self._record, wanted)
            n_frames = held if self._record.n_frames is None else self._record.n_frames
            if held < LEAST_SHARE * n_frames:
                file = self._record.path.with_name(wanted.file_name)
                raise RecordError(
                    f"signal file {file} is truncated: its header says {n_frames} samples a "
                    f"signal, it holds {held}; fetch it again, or write {held} into the header"
                )
            stop = min(n_frames, held) * wanted.samples_per_frame
            return [_Stretch(0, stop, self._record, channel, held)]
        stretches: list[_Stretch] = []
        start = 0
        for segment in self._data():
            stop = start + segment.n_frames * wanted.samples_per_frame
            stretch = _Stretch(start, stop)
            if segment.name is not None:
                header = self._header(segment.name)
                found = self._channel_in(header, channel)
                if found is not None:
                    signal = header.signals[found]
                    self._check(header, signal, wanted)
                    stretch = _Stretch(start, stop, header, found, _frames_held(header, signal))
            stretches.append(stretch)
            start = stop
        if not stretches:
            raise RecordError(f"header {self._record.path}.hea has no segment but its layout")
        if all(stretch.header is None for stretch in stretches):
            raise RecordError(
                f"no segment of record {self._record.path} holds lead {wanted.name!r}"
            )
        return stretches

    def warnings(self, stretches: list[_Stretch]) -> tuple[str, ...]:
        """Return what was wrong with the headers, units and files of a lead that is read."""
        found = list(self._record.warnings)
        asked_of: list[int | None] = [one.n_frames for one in self._data()]
        for stretch, asked in zip(stretches, asked_of or [self._record.n_frames], strict=True):
            if stretch.header is None:
                continue
            file = stretch.header.path.with_name(stretch.signal.file_name)
            held = stretch.frames_held
            if asked is not None and held < asked:
                found.append(
                    f"signal file {file} is short: its header says {asked} samples a signal, "
                    f"it holds {held}, which are read; fetch it again if it should hold more"
                )
            if stretch.signal.has_doubtful_units:
                found.append(
                    f"lead {stretch.signal.name!r} of {stretch.header.path} is in "
                    f"{stretch.signal.units!r}, no unit we know; it is taken for mV"
                )
        known = list(dict.fromkeys(found))
        more = [f"and {len(known) - _MAX_WARNINGS} more of such"] if known[_MAX_WARNINGS:] else []
        return tuple(known[:_MAX_WARNINGS] + more)

    def _data(self) -> list[Segment]:
        """Return the segments that hold samples: all but a layout."""
        return list(self._record.segments[1 if self._variable else 0 :])

    def _header(self, name: str) -> RecordHeader:
        if name not in self._headers:
            self._headers[name] = self._read(name)
        return self._headers[name]

    def _read(self, name: str) -> RecordHeader:
        segment = read_header(self._record.path.with_name(name))
        if segment.segments:
            raise RecordError(
                f"segment {name} of record {self._record.path} is itself made of segments; "
                "it must not be"
            )
        if segment.fs_hz != self._record.fs_hz:
            raise RecordError(
                f"segment {name} of record {self._record.path} has {segment.fs_hz:g} frames a "
                f"second, the record {self._record.fs_hz:g}"
            )
        return segment

    def _channel_in(self, segment: RecordHeader, channel: int) -> int | None:
        """Return the number that a lead of the layout has in a segment; None if it is not there.

        In a variable layout leads go by name; of leads of one name, the second by name is the
        second of the segment.
        """
        if not self._variable:  # every segment has the same signals in the same order
            if channel >= len(segment.signals):
                raise RecordError(f"segment {segment.path} has too few signals for its record")
            found = channel
        else:
            names = [signal.name for signal in self.layout().signals]
            place = names[:channel].count(names[channel])
            same = [i for i, one in enumerate(segment.signals) if one.name == names[channel]]
            if place >= len(same):
                return None
            found = same[place]
        return None if segment.signals[found].fmt == NULL_FORMAT else found

    def _check(self, segment: RecordHeader, signal: SignalHeader, wanted: SignalHeader) -> None:
        where = f"segment {segment.path.name} of record {self._record.path}"
        if signal.samples_per_frame != wanted.samples_per_frame:
            raise RecordError(f"{where}: lead {wanted.name!r} changes its sampling rate")
        if signal.millivolts_per_unit is None:
            raise RecordError(f"{where}: lead {wanted.name!r} is in {signal.units!r}, no voltage")


def _coverage(header: RecordHeader, signal: SignalHeader) -> float:
    """Return how much of a record a signal's file holds; 0 where the file cannot be read."""
    try:
        held = _frames_held(header, signal)
    except RecordError:
        return 0.0
    return min(1.0, held / header.n_frames) if header.n_frames else float(held > 0)


def _frames_held(header: RecordHeader, signal: SignalHeader) -> int:
    """Return the frames in a signal's file; RecordError if it cannot be read."""
    if signal.fmt == NULL_FORMAT:
        raise RecordError(
            f"header {header.path}.hea names signals that no file holds: lead {signal.name!r}"
        )
    held = frames_in_file(header, signal)
    if held is not None:
        return held
    file = header.path.with_name(signal.file_name)
    n_samples = flac_samples_held(file) - signal.byte_offset
    return max(0, n_samples) // signal.samples_per_frame


def _read_frames(stretch: _Stretch, first: int, last: int) -> NDArray[np.signedinteger]:
    """Return frames [first, last) of the file as stored, shape (frames, samples a frame)."""
    signal, header = stretch.signal, stretch.header
    assert header is not None
    file = header.path.with_name(signal.file_name)
    members = [one for one in header.signals if one.file_name == signal.file_name]
    spf = signal.samples_per_frame
    n_frames = max(0, last - first)
    place = sum(signal_before.samples_per_frame for signal_before in members[: _place(stretch)])
    try:
        if signal.fmt in FLAC_BITS:
            if any(one.samples_per_frame != spf for one in members):
                raise RecordError(f"the signals of FLAC file {file} differ in samples per frame")
            start = signal.byte_offset + first * spf  # the offset counts samples in FLAC
            columns = read_flac(file, signal.fmt, len(members), start, n_frames * spf)
            flat = columns[:, _place(stretch)]
            frames = flat.reshape(-1, spf)
        else:
            width = sum(one.samples_per_frame for one in members)
            flat = read_samples(
                file, signal.fmt, signal.byte_offset, first * width, n_frames * width
            )
            frames = flat[: len(flat) // width * width].reshape(-1, width)[:, place : place + spf]
    except OSError as error:
        raise RecordError(f"signal file {file} cannot be read: {error.strerror}") from error
    if len(frames) != n_frames:
        raise RecordError(
            f"signal file {file} ends early: {len(frames)} of {n_frames} frames read; "
            "it has changed since it was opened"
        )
    return frames


def _place(stretch: _Stretch) -> int:
    """Return how many signals of the same file come before the stretch's."""
    assert stretch.header is not None
    before = stretch.header.signals[: stretch.channel]
    return sum(one.file_name == stretch.signal.file_name for one in before)


def list_records(folder: str | Path) -> list[str]:
    """Return the names of the records in a folder, sorted; segments of a record are not records.

    A header that cannot be read is listed: opening it says what is wrong with it.

    Raises
    ------
    RecordError
        If the folder cannot be read.
    """
    base = Path(folder)
    if not base.is_dir():
        raise RecordError(f"{base} is not a folder")
    names = list(header_names(base))
    segments: set[str] = set()
    for name in names:
        try:
            header = read_header(base / name)
        except RecordError:
            continue
        segments.update(segment.name for segment in header.segments if segment.name is not None)
    return [name for name in names if name not in segments]


def _record_path(path: str | Path) -> Path:
    """Return the record's absolute path without suffix."""
    text = str(path)
    if not text.isprintable() or "::" in text:  # fsspec reads :: as a chain of file systems
        raise RecordError(f"record name {text!r} holds characters that no record name has")
    base = Path(text).absolute()
    if base.suffix in _SUFFIXES:
        base = base.with_suffix("")
    if not base.name or len(base.name) > MAX_NAME_LENGTH:
        raise RecordError(f"{text!r} is no record name; give the path of a record without suffix")
    if not base.with_name(f"{base.name}.hea").exists():
        raise RecordError(why_no_record(Path(text)))
    return base
