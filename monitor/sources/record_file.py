"""What records on disk have in common: which leads are read, windows in bounds, what is said.

Leads have one sampling rate, that of the first; what else holds is in RECORDS.md, "Which leads".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.sources.lead_choice import LeadCandidate, choose_leads, different_names
from monitor.text import counted

Fill = Callable[[int, NDArray[np.float32]], None]  # writes samples from a position on

MIN_DURATION_S = 1.0  # less cannot hold a beat with its neighbours
MAX_LEADS = 16  # as in monitor.wire.messages
# As if it held so much: enough to be chosen by its name, and then left out with a reason; too
# little to be the one that is taken where no name says anything.
REFUSED = 0.6
_SUFFIXES = (".edf", ".bdf", ".rec", ".csv", ".tsv", ".txt", ".npy", ".hea", ".dat")


def record_name(path: Path) -> str:
    """Return the short name of the record in a file: without its ending, if it is a usual one.

    Examples
    --------
    >>> [record_name(Path(name)) for name in ("night.EDF", "a.b", "mitdb/100")]
    ['night', 'a.b', '100']
    """
    return path.stem if path.suffix.lower() in _SUFFIXES and path.stem else path.name


@dataclass(frozen=True)
class FileLead:
    """One signal of a file, before leads are chosen.

    Attributes
    ----------
    units : str
        As the file spells them.
    mv_per_unit : float or None
        None where the unit is no voltage.
    fs_hz : float
        Its sampling rate.
    refusal : str
        Why it cannot be read; empty if it can.
    """

    name: str
    units: str
    mv_per_unit: float | None
    fs_hz: float
    refusal: str = ""


def chosen_leads(
    where: str, leads: Sequence[FileLead], asked: Sequence[str | int] | None
) -> tuple[list[int], list[str]]:
    """Return the numbers of the leads to read, all of one rate, and why others are left out.

    Raises
    ------
    RecordError
        If none can be read; of leads that were asked for, if one cannot.
    """
    candidates = [
        LeadCandidate(
            one.name, one.units, one.mv_per_unit is not None, REFUSED if one.refusal else 1.0
        )
        for one in leads
    ]
    chosen: list[int] = []
    left_out: list[str] = []
    for number in choose_leads(where, candidates, asked):
        lead, reason = leads[number], leads[number].refusal
        if not reason and chosen and lead.fs_hz != leads[chosen[0]].fs_hz:
            reason = (
                f"it has {lead.fs_hz:g} samples a second, lead {leads[chosen[0]].name!r} has "
                f"{leads[chosen[0]].fs_hz:g}; name leads of one rate (--lead)"
            )
        if not reason and len(chosen) == MAX_LEADS:
            reason = f"more than {MAX_LEADS} leads are not read"
        if not reason:
            chosen.append(number)
            continue
        text = f"lead {lead.name!r} of {where}: {reason}"
        if asked:
            raise RecordError(text)
        left_out.append(text)
    if not chosen:
        raise RecordError(left_out[0])
    return chosen, [f"left out: {text}" for text in left_out]


class LeadsOfFile(ABC):
    """Leads of one file; a `RecordFile`. A subclass opens it and fills windows.

    Attributes
    ----------
    record : str
        The file's name without its ending.
    channels : tuple of int
        The leads' numbers among all signals of the file, from 0.
    warnings : tuple of str
        What is wrong and was read all the same, and which leads are left out.
    """

    def __init__(
        self,
        path: Path,
        names: Sequence[str],
        channels: Sequence[int],
        fs_hz: float,
        n_samples: int,
        warnings: Sequence[str],
    ) -> None:
        self.record = record_name(path)
        self.leads = tuple(different_names(names))
        self.channels = tuple(channels)
        self.fs_hz = fs_hz
        self.n_samples = n_samples
        self.warnings = tuple(warnings)
        self.files = [path.absolute()]  # all that the leads are read from
        if n_samples < MIN_DURATION_S * fs_hz:
            raise RecordError(
                f"{path} is shorter than one beat: {counted(n_samples, 'sample')} at "
                f"{fs_hz:g} Hz; at least {MIN_DURATION_S:g} s are needed"
                + "".join(f"; {one}" for one in self.warnings)
            )

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples [start, stop) in millivolts, shape (leads, n); NaN where none is.

        Raises
        ------
        ValueError
            If not 0 <= start <= stop <= n_samples.
        RecordError
            If the file has changed or cannot be read any more.
        """
        return self._window(len(self.leads), start, stop, self._fill)

    def _window(self, n_rows: int, start: int, stop: int, fill: Fill) -> NDArray[np.float32]:
        """Return a window that something fills; what is infinite is missing."""
        if not 0 <= start <= stop <= self.n_samples:
            raise ValueError(f"window [{start}, {stop}) is not within [0, {self.n_samples})")
        window = np.full((n_rows, stop - start), np.nan, np.float32)
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                fill(start, window)
        except OSError as error:
            raise RecordError(f"{self.files[0]} cannot be read: {error.strerror}") from error
        window[np.isinf(window)] = np.nan
        return window

    @abstractmethod
    def _fill(self, start: int, window: NDArray[np.float32]) -> None:
        """Write the samples from `start` on into a window of NaN, shape (leads, n)."""

    def close(self) -> None:  # noqa: B027  most have nothing to give back
        """Give back files and memory."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
