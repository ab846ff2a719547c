"""The leads of a WFDB record, single- or multi-segment, read in windows.

Headers are checked by `wfdb_header`, the leads are chosen by `lead_choice`, and each is read by
`wfdb_lead`, whose samples `wfdb_formats` decodes.

The leads of a record have one sampling rate: that of the first. Unasked, a lead of another rate is
left out, since resampling would move its QRS complexes; so is one whose file cannot be read, and
what is beyond 16 leads. `warnings` says so. Pulse waves (a plethysmogram, an arterial pressure) of
that rate are at hand beside the leads.

What a file lacks is missing, not an error: where a signal file is shorter than its header says,
what is there is read, and `warnings` says so. A file of less than half its length was not copied
whole, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.sources.given import refuse_rate, refuse_units
from monitor.sources.lead_choice import (
    LeadCandidate,
    choose_leads,
    different_names,
    is_pulse_wave,
)
from monitor.sources.missing_record import why_no_record
from monitor.sources.record_file import MAX_LEADS, LeadsOfFile
from monitor.sources.source import FileFormat, SourceOptions
from monitor.sources.wfdb_formats import NULL_FORMAT, flac_samples_held
from monitor.sources.wfdb_header import (
    MAX_NAME_LENGTH,
    RecordHeader,
    Segment,
    SignalHeader,
    frames_in_file,
    header_names,
    read_header,
)
from monitor.sources.wfdb_lead import Decoded, Stretch, WfdbLead

MAX_WAVES = 4  # as in monitor.wire.messages
LEAST_SHARE = 0.5  # of the announced samples: with less, the file was not copied whole
_SUFFIXES = (".hea", ".dat")
_MAX_WARNINGS = 5  # of the segments of one record


class WfdbRecord(LeadsOfFile):
    """Leads of a WFDB record. Make it with `open`.

    Sampling rate and positions are those of the leads themselves: leads with 4 samples a frame at
    250 frames a second are 1,000 Hz signals.

    Attributes
    ----------
    leads : tuple of str
        Their names, of which no two are alike.
    channels : tuple of int
        Their numbers in the record, from 0.
    warnings : tuple of str
        What is wrong with the record and was read all the same, and which leads are left out.
    waves : tuple of str
        Names of its pulse waves, none of them a lead's; those that cannot be read are left out.
    """

    def __init__(
        self,
        header: RecordHeader,
        leads: list[WfdbLead],
        warnings: list[str],
        waves: Sequence[WfdbLead] = (),
    ) -> None:
        self.samples_per_frame = leads[0].samples_per_frame
        super().__init__(
            header.path,
            [one.name for one in leads],
            [one.channel for one in leads],
            header.fs_hz * self.samples_per_frame,
            max(one.n_samples for one in leads),
            warnings,
        )
        names = different_names([one.name for one in (*leads, *waves)])
        self.waves = tuple(names[len(leads) :])
        header_file = header.path.with_name(f"{header.path.name}.hea")
        files = [header_file, *(file for one in leads for file in one.files)]
        self.files = list(dict.fromkeys(files))
        self._leads, self._waves = leads, waves
        self._decoded = leads[0].decoded

    @classmethod
    def open(
        cls, path: str | Path, leads: Sequence[str | int] | str | int | None = None
    ) -> WfdbRecord:
        """Open leads of the record at `path`; nothing but headers and file sizes is read.

        Parameters
        ----------
        path : str or Path
            The record as WFDB names it, without suffix; `.hea` and `.dat` are taken off.
        leads : sequence of str and int, optional
            Indices of leads from 0, also as text, or their names (case and words like `lead` matter
            only between leads that differ in nothing else), or one of these. None chooses all ECG
            leads, as `monitor.sources.lead_choice` says.

        Raises
        ------
        RecordError
            If the record is missing, malformed or shorter than a second, or has no such leads, or
            those asked for have different sampling rates.
        """
        base = _record_path(path)
        header = read_header(base)
        segments = _Segments(header)
        layout = segments.layout()
        candidates = [
            LeadCandidate(one.name, one.units, one.millivolts_per_unit is not None, coverage)
            for one, coverage in zip(layout.signals, segments.coverages(), strict=True)
        ]
        asked = [leads] if isinstance(leads, (str, int)) else leads
        channels = choose_leads(str(base), candidates, asked)
        opened, left_out = _opened(segments, channels, is_asked=bool(asked))
        warnings = segments.warnings([one.stretches for one in opened]) + left_out
        waves = _opened_waves(segments, {one.channel for one in opened}, opened[0])
        return cls(header, opened, warnings, waves)

    def close(self) -> None:
        """Forget the decoded blocks; the record can still be read."""
        for lead in (*self._leads, *self._waves):
            lead.close()

    def read_waves(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples [start, stop) of the pulse waves, each in its own unit, as `read` does."""
        return self._window(len(self._waves), start, stop, self._fill_waves)

    def _fill(self, start: int, window: NDArray[np.float32]) -> None:
        self._fill_with(self._leads, start, window)

    def _fill_waves(self, start: int, window: NDArray[np.float32]) -> None:
        self._fill_with(self._waves, start, window)

    def _fill_with(
        self, signals: Sequence[WfdbLead], start: int, window: NDArray[np.float32]
    ) -> None:
        for signal, row in zip(signals, window, strict=True):
            signal.read(start, row)
        self._decoded.forget()


def _opened(
    segments: _Segments, channels: list[int], *, is_asked: bool
) -> tuple[list[WfdbLead], list[str]]:
    """Return the leads that can be read together, and why others are left out.

    Raises
    ------
    RecordError
        If none can be read; of leads that were asked for, if one cannot.
    """
    decoded = Decoded()
    opened: list[WfdbLead] = []
    left_out: list[str] = []
    failed: RecordError | None = None
    for channel in channels:
        signal = segments.layout().signals[channel]
        rate = signal.samples_per_frame
        try:
            stretches = segments.stretches(channel)
            if opened and rate != opened[0].samples_per_frame:
                raise RecordError(
                    f"lead {signal.name!r} has another sampling rate than {opened[0].name!r}; "
                    "name leads of one rate (--lead)"
                )
            if len(opened) == MAX_LEADS:
                raise RecordError(f"lead {signal.name!r}: more than {MAX_LEADS} leads are not read")
            opened.append(WfdbLead(channel, signal.name, stretches, decoded, rate))
        except RecordError as error:
            if is_asked:
                raise
            failed = failed or error
            left_out.append(f"left out: {error}")
    if not opened:
        assert failed is not None
        raise failed
    return opened, left_out


def _opened_waves(segments: _Segments, leads: set[int], first: WfdbLead) -> list[WfdbLead]:
    """Return the pulse waves that can be read beside the leads, whose numbers are given."""
    opened: list[WfdbLead] = []
    for channel, signal in enumerate(segments.layout().signals):
        rate = signal.samples_per_frame
        fits = is_pulse_wave(signal.name) and rate == first.samples_per_frame
        if not fits or channel in leads or len(opened) == MAX_WAVES:
            continue
        try:
            stretches = segments.stretches(channel)
        except RecordError:  # a witness beside the leads: without it they say what they say
            continue
        opened.append(WfdbLead(channel, signal.name, stretches, first.decoded, rate))
    return opened


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

    def stretches(self, channel: int) -> list[Stretch]:
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
            return [Stretch(0, stop, self._record, channel, held)]
        stretches: list[Stretch] = []
        start = 0
        for segment in self._data():
            stop = start + segment.n_frames * wanted.samples_per_frame
            stretch = Stretch(start, stop)
            if segment.name is not None:
                header = self._header(segment.name)
                found = self._channel_in(header, channel)
                if found is not None:
                    signal = header.signals[found]
                    self._check(header, signal, wanted)
                    stretch = Stretch(start, stop, header, found, _frames_held(header, signal))
            stretches.append(stretch)
            start = stop
        if not stretches:
            raise RecordError(f"header {self._record.path}.hea has no segment but its layout")
        if all(stretch.header is None for stretch in stretches):
            raise RecordError(
                f"no segment of record {self._record.path} holds lead {wanted.name!r}"
            )
        return stretches

    def warnings(self, leads: list[list[Stretch]]) -> list[str]:
        """Return what was wrong with the headers, units and files of the leads that are read."""
        found = list(self._record.warnings)
        asked_of: list[int | None] = [one.n_frames for one in self._data()]
        for stretches in leads:
            for stretch, asked in zip(stretches, asked_of or [self._record.n_frames], strict=True):
                found += _wrong_with(stretch, asked)
        known = list(dict.fromkeys(found))
        more = [f"and {len(known) - _MAX_WARNINGS} more of such"] if known[_MAX_WARNINGS:] else []
        return known[:_MAX_WARNINGS] + more

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
        if signal.millivolts_per_unit is None is not wanted.millivolts_per_unit:
            raise RecordError(f"{where}: lead {wanted.name!r} is in {signal.units!r}, no voltage")


def _wrong_with(stretch: Stretch, n_frames: int | None) -> Iterator[str]:
    """Yield what is wrong with a stretch of so many frames and is read all the same."""
    if stretch.header is None:
        return
    file = stretch.header.path.with_name(stretch.signal.file_name)
    held = stretch.frames_held
    if n_frames is not None and held < n_frames:
        yield (
            f"signal file {file} is short: its header says {n_frames} samples a signal, "
            f"it holds {held}, which are read; fetch it again if it should hold more"
        )
    if stretch.signal.has_doubtful_units:
        yield (
            f"lead {stretch.signal.name!r} of {stretch.header.path} is in "
            f"{stretch.signal.units!r}, no unit we know; it is taken for mV"
        )


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


def _is_wfdb(path: Path, head: bytes) -> bool:
    """Return whether there is a header of a path's name; signal files look like anything."""
    base = path.with_suffix("") if path.suffix in _SUFFIXES else path
    return bool(base.name) and base.with_name(f"{base.name}.hea").is_file()


def _open(path: Path, options: SourceOptions) -> WfdbRecord:
    refuse_rate(path, options)
    refuse_units(path, options)
    return WfdbRecord.open(path, options.leads)


FORMAT = FileFormat("WFDB", _is_wfdb, _open)
