"""What a source is: a record, read window by window, or a live one, taken block by block.

A source gives the leads of one patient, or of several where it is live, each in millivolts at one
sampling rate. What all of them promise, and the tests hold every one to
(tests/monitor/sources/conformance.py):

- A sample is a float32 in millivolts, to the bit what the format's own library or the device says;
  NaN where there is none, in the leads that lack it alone. Nothing is filled in.
- Positions count samples of the source's own clock, from 0. A record has as many positions as it
  lasts, its gaps too. A live source never counts back: where samples did not come, the next block
  lies further on, by as much as the source's clock says (its timestamps, where it has any).
- Neither the windows that are read nor the times at which blocks are taken change a sample.
- Memory is bounded, whatever the length of the record, and however late somebody takes what came.
- What is wrong is a `RecordError` of one line: what, where, and what to do next.

A record may be read from any sample on, so a run that goes on reads on where its journal says. Of a
live source nothing can be read again: what came while nobody listened is a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from monitor.errors import InvalidOption

MAX_FS_HZ = 1e6
HEAD_BYTES = 4096  # of a file, by which its format is recognised
OPEN_S = 10.0  # that opening a live source may wait for its first sign


@dataclass(frozen=True)
class SourceOptions:
    """What a person said of a source beside its name.

    Attributes
    ----------
    leads : sequence of str and int, optional
        Names or indices of leads, as `monitor.sources.lead_choice` takes them; none are all ECG
        leads.
    fs_hz : float, optional
        Sampling rate, for what does not say its own.
    units : str, optional
        Unit of the samples (mV, uV, V, nV), for what does not say its own.
    keys : str, optional
        Folder of CURVE keys, for what listens on a socket of ours.

    Raises
    ------
    InvalidOption
        If the rate is none.
    """

    leads: Sequence[str | int] | None = None
    fs_hz: float | None = None
    units: str | None = None
    keys: str | None = None

    def __post_init__(self) -> None:
        if self.fs_hz is not None and not 0 < self.fs_hz <= MAX_FS_HZ:  # NaN fails too
            raise InvalidOption(f"--fs {self.fs_hz:g} is out of range; use 100 to 2000 Hz")


# --- records ----------------------------------------------------------------------------------


class RecordSource(Protocol):
    """Leads of one record, of one sampling rate: all that playing and judging it needs."""

    @property
    def record(self) -> str:
        """Short name of the record, for messages and file names."""
        ...

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the leads, of which no two are alike; at least one, at most 16."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the record and is read all the same, and which leads are not."""
        ...

    @property
    def fs_hz(self) -> float:
        """Sampling rate of the leads."""
        ...

    @property
    def n_samples(self) -> int:
        """Samples of each lead, from the record's start to its end, gaps too."""
        ...

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the samples [start, stop), 0 <= start <= stop <= n_samples.

        Returns
        -------
        np.ndarray, shape (leads, stop - start), float32
            Millivolts; NaN where the record has no valid sample.

        Raises
        ------
        ValueError
            If the window does not lie in the record.
        monitor.errors.RecordError
            If the record cannot be read.
        """
        ...

    def close(self) -> None:
        """Give back files and memory."""
        ...


@runtime_checkable
class WaveSource(RecordSource, Protocol):
    """A source that may have pulse waves beside its leads, at their rate."""

    @property
    def waves(self) -> tuple[str, ...]:
        """Names of the pulse waves, at most 4, none of them a lead's."""
        ...

    def read_waves(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples [start, stop) of the waves as `read` does, in their own units."""
        ...


class RecordFile(RecordSource, Protocol):
    """A record on disk: a with-block that knows its files."""

    @property
    def channels(self) -> tuple[int, ...]:
        """The leads' numbers among all signals of the record, from 0."""
        ...

    @property
    def files(self) -> list[Path]:
        """All files that the leads are read from; a change of the record is a change of one."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


@dataclass(frozen=True)
class FileFormat:
    """A format of records: what a package registers as an entry point `ecg_monitor.formats`.

    Attributes
    ----------
    name : str
        As people know it: "EDF".
    recognises : callable
        Takes a path and the first `HEAD_BYTES` of the file there; whether it is of this format. By
        its content, never by its name alone. Must not raise.
    open : callable
        Takes a path and `SourceOptions`; returns the record, or raises RecordError.
    """

    name: str
    recognises: Callable[[Path, bytes], bool]
    open: Callable[[Path, SourceOptions], RecordFile]


# --- live sources -----------------------------------------------------------------------------


@dataclass(frozen=True)
class LiveStream:
    """One patient's signal in a live source; it does not change while the source is open.

    Attributes
    ----------
    leads : tuple of str
        Names, of which no two are alike; at least one, at most 16.
    fs_hz : float
        Nominal sampling rate, that positions count in.
    patient : str
        Whose it is; empty where the source has one patient, who is named after the source.
    """

    leads: tuple[str, ...]
    fs_hz: float
    patient: str = ""


class LiveBlock(NamedTuple):
    """Samples that came together.

    Attributes
    ----------
    first_sample : int
        Position of the first one, from the stream's first sample on. The first block begins at 0;
        a block that begins behind the end of the one before says that samples never came.
    samples : np.ndarray, shape (leads, n), float32
        Millivolts, n >= 1; NaN where a lead has no sample.
    received_ns : int
        When the last of them came here, on this machine's monotonic clock.
    """

    stream: LiveStream
    first_sample: int
    samples: NDArray[np.float32]
    received_ns: int


class LiveSource(Protocol):
    """Samples that come when they come.

    What is not taken waits, at most some 30 s of it; then the oldest is dropped, which is a gap.
    A connection that is lost is tried again by the source itself, for as long as it is open. The
    stream goes on behind the gap, as long as leads and rate are the same; otherwise that is an
    error. A source without timestamps measures the gap on the monotonic clock.
    """

    @property
    def streams(self) -> tuple[LiveStream, ...]:
        """The streams so far; a source of several patients may get more as they come."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the source and is taken all the same, and what is left out."""
        ...

    @property
    def ended(self) -> bool:
        """Whether no more will come and all that came was taken; a pipe ends, a device does not."""
        ...

    def take(self) -> list[LiveBlock]:
        """Return what came since the last call, in order; never waits.

        Raises
        ------
        monitor.errors.RecordError
            If the source cannot go on: other leads, another rate, what is no sample.
        """
        ...

    def take_notices(self) -> list[str]:
        """Return what a person should know that happened since: lost, tried again, back."""
        ...

    def close(self) -> None:
        """Give back connections and threads."""
        ...


def nothing_found() -> list[str]:
    """Find nothing: of a kind of source that cannot be looked for."""
    return []


@dataclass(frozen=True)
class LiveKind:
    """A kind of live source: what a package registers as an entry point `ecg_monitor.live`.

    The entry point's name is the scheme: `ecg-monitor replay SCHEME:REST` opens one.

    Attributes
    ----------
    title : str
        What it is, in a few words: "Lab Streaming Layer".
    open : callable
        Takes what stands behind the colon and `SourceOptions`; returns the source once its leads
        and rate are known. Waits `OPEN_S` at most, and raises RecordError otherwise.
    example : str
        What a person may type: "lsl:type=ECG".
    extra : str
        The extra of ecg-monitor that it needs; empty for none. Only its own file imports what that
        installs, and says so where it is missing.
    waits : bool
        Whether what is not taken waits at its origin, as in a pipe, and is never dropped: the
        source is then taken as fast as the monitor can, and needs to hold no more than a block.
    find : callable
        Returns what is there to be opened, as a person would name it, with leads and rate, within a
        few seconds.
    """

    title: str
    open: Callable[[str, SourceOptions], LiveSource]
    example: str
    extra: str = ""
    waits: bool = False
    find: Callable[[], list[str]] = nothing_found
