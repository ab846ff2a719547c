"""Options that a source does not take, because it says its own rate and units."""

from __future__ import annotations

from pathlib import Path

from monitor.errors import RecordError
from monitor.sources.source import SourceOptions


def refuse_given(where: str | Path, options: SourceOptions) -> None:
    """Raise RecordError if a rate or a unit was given for a source that says its own."""
    if options.fs_hz is not None:
        raise RecordError(f"{where} says its own sampling rate; leave --fs out")
    if options.units is not None:
        raise RecordError(f"{where} says the unit of its samples itself; leave --units out")
