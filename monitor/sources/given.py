"""What a person says of a source's rate and unit, where the source does not, and only there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.sources.record_file import FileLead
from monitor.sources.source import SourceOptions
from monitor.sources.units import parse_units

SCALE_S = 60.0  # of the samples, by which it is seen whether the unit that was given can be
ECG_MV = (0.01, 100.0)  # what the middle 98 % of an ECG's samples span, with room for bad leads


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


def refuse_odd_scale(
    where: str | Path, options: SourceOptions, samples: NDArray[np.float32]
) -> None:
    """Raise RecordError if samples cannot be an ECG in the unit that a person gave.

    Parameters
    ----------
    samples : np.ndarray, shape (leads, n), float32
        The first of them, in millivolts.
    """
    if options.units is None or np.isnan(samples).all():
        return
    span_mv = odd_span_mv(samples)
    if span_mv is None:
        return
    larger = span_mv > ECG_MV[1]
    raise RecordError(
        f"{where}: in {options.units} its samples span {span_mv:.3g} mV, and an ECG spans some mV; "
        f"give {'a smaller' if larger else 'a larger'} unit with --units"
        + (", or convert ADC values to a voltage first" if larger else "")
    )


def odd_span_mv(samples: NDArray[np.float32]) -> float | None:
    """Return what the middle 98 % of samples span where that can be no ECG; None where it can.

    Parameters
    ----------
    samples : np.ndarray, shape (leads, n), float32
        Millivolts, not all of them missing.
    """
    low, high = np.nanquantile(samples, (0.01, 0.99), axis=1)
    span_mv = float(np.nanmax(high - low))
    return None if span_mv == 0 or ECG_MV[0] <= span_mv <= ECG_MV[1] else span_mv
