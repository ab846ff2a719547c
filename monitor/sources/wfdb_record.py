"""One lead of a WFDB record, single- or multi-segment, read in windows.

Headers are checked by `wfdb_header`; the samples are decoded by wfdb itself (`wfdb.rdrecord`).
That call parses the header anew each time, about 1 ms, so that 20 h in windows of 10 s would take
6 s for the headers alone; therefore samples are decoded in blocks of about a million samples of
all signals (some 30 MB while decoding), of which the latest is kept; windows are cut from it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import wfdb
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.sources.missing_record import why_no_record
from monitor.sources.wfdb_header import (
    FLAC_FORMATS,
    MAX_NAME_LENGTH,
    RecordHeader,
    SignalHeader,
    check_signal_files,
    header_names,
    read_header,
)

BLOCK_SAMPLES = 1 << 20  # of all signals together, decoded at once
MIN_DURATION_S = 1.0  # less cannot hold a beat with its neighbours
DIFFERENCE_FORMAT = "8"  # stores differences: a block depends on all blocks before it
_SUFFIXES = (".hea", ".dat")
_MAX_LISTED = 20  # leads named in a message


@dataclass(frozen=True)
class _Stretch:
    """A stretch of the lead's samples that one segment holds; no header is a gap."""

    start: int  # first sample, from the record's start
    stop: int
    header: RecordHeader | None
    channel: int

    @property
    def signal(self) -> SignalHeader:
        assert self.header is not None
        return self.header.signals[self.channel]


class WfdbRecord:
    """One lead of a WFDB record; a `Source`. Make it with `open`.

    Sampling rate and positions are those of the lead itself: a lead with 4 samples a frame at
    250 frames a second is a 1,000 Hz signal.
    """

    def __init__(
        self,
        record: str,
        lead: str,
        fs_hz: float,
        samples_per_frame: int,
        stretches: list[_Stretch],
        header_file: Path,
    ) -> None:
        self.record = record
        self.lead = lead
        self.fs_hz = fs_hz
        self.samples_per_frame = samples_per_frame
        self.n_samples = stretches[-1].stop
        self._stretches = stretches
        self._header_file = header_file
        self._starts = [stretch.start for stretch in stretches]
        self._block_key: tuple[int, int] | None = None
        self._block = np.empty(0, np.float32)
        self._difference_offsets: dict[int, list[int]] = {}

    @classmethod
    def open(cls, path: str | Path, lead: str | int | None = None) -> WfdbRecord:
        """Open a lead of the record at `path`; nothing but headers and file sizes is read.

        Parameters
        ----------
        path : str or Path
            The record as WFDB names it, without suffix; `.hea` and `.dat` are taken off.
        lead : str, int or None
            Name of the lead (case matters only between leads that differ in nothing else) or its
            index from 0, also as text. None is the first lead that is a voltage.

        Raises
        ------
        RecordError
            If the record is missing, malformed, truncated or shorter than a second, or has no
            such lead.
        """
        base = _record_path(path)
        header = read_header(base)
        layout = _lead_layout(header)
        channel = _choose_lead(layout, lead)
        signal = layout.signals[channel]
        if header.segments:
            stretches = _segment_stretches(header, layout, channel)
        else:
            n_frames = check_signal_files(header)
            stretches = [_Stretch(0, n_frames * signal.samples_per_frame, header, channel)]
        fs_hz = header.fs_hz * signal.samples_per_frame
        if stretches[-1].stop < MIN_DURATION_S * fs_hz:
            raise RecordError(
                f"record {base} is shorter than one beat: {stretches[-1].stop} samples at "
                f"{fs_hz:g} Hz; at least {MIN_DURATION_S:g} s are needed"
            )
        for stretch in stretches:
            _check_flac_length(stretch)
        header_file = base.with_name(f"{base.name}.hea")
        return cls(base.name, signal.name, fs_hz, signal.samples_per_frame, stretches, header_file)

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
            raise ValueError(
                f"samples [{start}, {stop}) are not within the record, [0, {self.n_samples})"
            )
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
        """Return block `number` of a stretch in millivolts."""
        stretch = self._stretches[index]
        signal = stretch.signal
        first, last = self._block_range(index, number)
        # Beyond the file's end a skewed signal is missing; wfdb would need a number for that.
        readable = min(last, self._frames(stretch) - signal.skew)
        values = np.full((last - first) * self.samples_per_frame, np.nan, np.float32)
        if readable <= first:
            return values
        physical = _read_frames(stretch, first, readable, digital=False)
        if signal.fmt == DIFFERENCE_FORMAT:
            physical = physical + self._difference_offset(index, number) / signal.gain
        scale = signal.millivolts_per_unit
        assert scale is not None
        values[: len(physical)] = physical * scale
        return values

    def _frames(self, stretch: _Stretch) -> int:
        return (stretch.stop - stretch.start) // self.samples_per_frame

    def _block_range(self, index: int, number: int) -> tuple[int, int]:
        first = number * self._block_frames(index)
        last = min(first + self._block_frames(index), self._frames(self._stretches[index]))
        return first, last

    def _difference_offset(self, index: int, number: int) -> int:
        """Return what wfdb leaves out when it starts to add up differences at this block.

        wfdb starts every read at the header's initial value; the true value there is the sum of
        all differences before it, so earlier blocks are read once, one at a time.
        """
        offsets = self._difference_offsets.setdefault(index, [0])
        while len(offsets) <= number:
            first, last = self._block_range(index, len(offsets) - 1)
            block = _read_frames(self._stretches[index], first, last, digital=True)
            offsets.append(offsets[-1] + int(block[-1]) - self._stretches[index].signal.init_value)
        return offsets[number]


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
        raise RecordError(f"{base} is not a folder; name one that holds records")
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
        raise RecordError(
            f"record name {text!r} holds characters that cannot be part of one; rename the record"
        )
    base = Path(text).absolute()
    if base.suffix in _SUFFIXES:
        base = base.with_suffix("")
    if not base.name or len(base.name) > MAX_NAME_LENGTH:
        raise RecordError(
            f"{text!r} cannot name a record; give the path of a record without suffix"
        )
    if not base.with_name(f"{base.name}.hea").exists():
        raise RecordError(why_no_record(Path(text)))
    return base


def _listing(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more


def _lead_layout(header: RecordHeader) -> RecordHeader:
    """Return the header that names the leads: the record's own, or its first segment's."""
    if not header.segments:
        return header
    named = [segment for segment in header.segments if segment.name is not None]
    if not named:
        raise RecordError(f"header {header.path}.hea has only gaps for segments; fetch it again")
    layout = _read_segment_header(header, named[0].name)
    if len(layout.signals) != header.n_signals:
        raise RecordError(
            f"header {header.path}.hea announces {header.n_signals} signals, its segment "
            f"{named[0].name} has {len(layout.signals)}"
        )
    return layout


def _read_segment_header(header: RecordHeader, name: str | None) -> RecordHeader:
    assert name is not None
    segment = read_header(header.path.with_name(name))
    if segment.segments:
        raise RecordError(
            f"segment {name} of record {header.path} is itself made of segments, which WFDB does "
            "not allow; convert the record"
        )
    if segment.fs_hz != header.fs_hz:
        raise RecordError(
            f"segment {name} of record {header.path} has {segment.fs_hz:g} frames a second, "
            f"the record {header.fs_hz:g}"
        )
    return segment


def _choose_lead(layout: RecordHeader, lead: str | int | None) -> int:
    """Return the index of the wanted lead; RecordError, with the leads there are, if none fits."""
    names = [signal.name for signal in layout.signals]
    voltages = [i for i, s in enumerate(layout.signals) if s.millivolts_per_unit is not None]
    offered = _listing([names[i] for i in voltages])
    if not voltages:
        units = _listing(sorted({signal.units for signal in layout.signals}))
        raise RecordError(
            f"record {layout.path} has no lead in V, mV or uV, only {units}; choose another record"
        )
    if lead is None:
        return voltages[0]
    channel = _find_lead(names, lead)
    if channel is None:
        raise RecordError(f"record {layout.path} has no lead {lead!r}; choose from {offered}")
    if channel not in voltages:
        raise RecordError(
            f"lead {names[channel]!r} of record {layout.path} is in "
            f"{layout.signals[channel].units!r}, which is not a voltage; choose from {offered}"
        )
    return channel


def _find_lead(names: list[str], lead: str | int) -> int | None:
    if isinstance(lead, str):
        if lead in names:
            return names.index(lead)
        same = [i for i, name in enumerate(names) if name.casefold() == lead.casefold()]
        if len(same) == 1:
            return same[0]
        if not (lead.isascii() and lead.isdigit() and len(lead) <= 4):
            return None
        lead = int(lead)
    return lead if 0 <= lead < len(names) else None


def _segment_stretches(header: RecordHeader, layout: RecordHeader, channel: int) -> list[_Stretch]:
    """Return where each segment holds the lead; a segment that lacks it is a gap."""
    variable = header.segments[0].n_frames == 0
    wanted = layout.signals[channel]
    stretches: list[_Stretch] = []
    start = 0
    for segment in header.segments[1 if variable else 0 :]:
        stop = start + segment.n_frames * wanted.samples_per_frame
        held, held_channel = None, 0
        if segment.name is not None:
            candidate = _read_segment_header(header, segment.name)
            found = _channel_in(candidate, wanted, channel, variable)
            if found is not None:
                _check_segment(header, candidate, segment.n_frames, found, wanted)
                held, held_channel = candidate, found
        stretches.append(_Stretch(start, stop, held, held_channel))
        start = stop
    if not stretches:
        raise RecordError(
            f"header {header.path}.hea lists no segment after its layout; fetch it again"
        )
    return stretches


def _channel_in(
    segment: RecordHeader, wanted: SignalHeader, channel: int, variable: bool
) -> int | None:
    if not variable:  # every segment has the same signals in the same order
        if channel >= len(segment.signals):
            raise RecordError(
                f"segment {segment.path} has fewer signals than its record; fetch it again"
            )
        return channel
    names = [signal.name for signal in segment.signals]
    return names.index(wanted.name) if wanted.name in names else None


def _check_segment(
    header: RecordHeader, segment: RecordHeader, n_frames: int, channel: int, wanted: SignalHeader
) -> None:
    where = f"segment {segment.path.name} of record {header.path}"
    signal = segment.signals[channel]
    if signal.samples_per_frame != wanted.samples_per_frame:
        raise RecordError(
            f"{where}: lead {wanted.name!r} changes its sampling rate; choose another lead"
        )
    if signal.millivolts_per_unit is None:
        raise RecordError(
            f"{where}: lead {wanted.name!r} is in {signal.units!r}, which is not a voltage; choose "
            "another lead"
        )
    held = check_signal_files(segment)
    if held < n_frames:
        raise RecordError(
            f"{where} holds {held} samples, its record needs {n_frames}; fetch it again"
        )


def _check_flac_length(stretch: _Stretch) -> None:
    """Check a FLAC file's own count of samples; the header's cannot be had from its size."""
    if stretch.header is None or stretch.signal.fmt not in FLAC_FORMATS:
        return
    import soundfile  # type: ignore[import-untyped]  # wfdb needs it too, and only for these formats

    file = stretch.header.path.with_name(stretch.signal.file_name)
    try:
        held = int(soundfile.info(str(file)).frames)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise RecordError(f"signal file {file} cannot be read as FLAC; fetch it again") from error
    expected = stretch.signal.byte_offset + stretch.stop - stretch.start
    if held < expected:
        raise RecordError(
            f"signal file {file} is truncated: the header asks for {expected} samples, "
            f"it has {held}; fetch it again"
        )


def _read_frames(stretch: _Stretch, first: int, last: int, *, digital: bool) -> NDArray[np.float64]:
    """Return frames [first, last) of the lead as wfdb decodes them, all samples of each frame."""
    assert stretch.header is not None
    path = stretch.header.path
    try:
        record = wfdb.rdrecord(
            str(path),
            sampfrom=first,
            sampto=last,
            channels=[stretch.channel],
            physical=not digital,
            smooth_frames=False,
            ignore_skew=digital,
        )
        signals = record.e_d_signal if digital else record.e_p_signal
        values: NDArray[np.float64] = np.asarray(signals[0], np.float64)
    except Exception as error:  # wfdb raises bare Exception among others
        reason = " ".join(str(error).split())
        raise RecordError(
            f"record {path} cannot be decoded from sample {first} on: {reason}; fetch it again"
        ) from error
    expected = (last - first) * stretch.signal.samples_per_frame
    if values.shape != (expected,):
        raise RecordError(
            f"record {path} ends early: {len(values)} of {expected} samples read; fetch it again"
        )
    return values
