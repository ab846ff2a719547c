"""What a person says of a source's rate and unit, where the source does not, and only there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from monitor.errors import RecordError
from monitor.sources.record_file import FileLead
from monitor.sources.source import SourceOptions
from monitor.sources.units import parse_units


def refuse_rate(where: str | Path, options: SourceOptions) -> None:
    """Raise RecordError if a rate was given for a source that says its own."""
    if options.fs_hz is not None:
        raise RecordError(f"{where} says its own sampling rate; leave --fs out")


def refuse_units(where: str | Path, options: SourceOptions) -> None:
    """Raise RecordError if a unit was given for a source that says its own."""
    if options.units is not None:
        raise RecordError(f"{where} says the unit of its samples itself; leave --units out")


def with_units(
    where: str | Path, leads: Sequence[FileLead], options: SourceOptions
) -> list[FileLead]:
    """Return leads of which those without a unit have the one that was given.

    Raises
    ------
    RecordError
        If none was given and no lead has a voltage; or one was given and all have a unit.
    """
    unknown = [one.name for one in leads if not one.units]
    if options.units is None:
        if unknown and all(one.mv_per_unit is None for one in leads):
            raise RecordError(
                f"{where} does not say the unit of its samples; add --units mV (or uV, V, nV)"
            )
        return list(leads)
    mv_per_unit = parse_units(options.units)
    if not unknown:
        refuse_units(where, options)
    return [
        one if one.units else replace(one, units=options.units, mv_per_unit=mv_per_unit)
        for one in leads
    ]
