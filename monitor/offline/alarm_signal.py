"""The signal around a named alarm, from the record that was monitored: a journal keeps none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from monitor.errors import InvalidOption
from monitor.plain import alarm_name, clock
from monitor.sources.kinds import open_record
from monitor.sources.source import SourceOptions
from monitor.text import harmless
from monitor.view.braille import DOTS_ACROSS, characters, curve, envelope
from monitor.wire.messages import Alert

MARGIN_S = 6.0  # of signal before the beginning and after the alarm
MOST_S = 60.0  # of signal before the alarm: an irregular rhythm may have begun long before
MOST_LEADS, LEAD_ROWS = 4, 5  # drawn in a terminal
LABEL_COLUMNS = 7
WHAT_WAS_DONE = {"onset": "raised", "cleared": "over"}  # at the alarm's sample
HIGHEST_MV = 1e3  # nothing above it is drawn


@dataclass(frozen=True, eq=False)
class AlarmSignal:
    """What the leads showed around a named alarm.

    Attributes
    ----------
    leads : tuple of str
    fs_hz : float
    first_sample : int
        Of `values`, from the record's start.
    values : np.ndarray, shape (leads, n), float32
        mV; NaN where missing.
    began, raised : int
        Samples at which what the alarm is about began, and at which it was raised.
    """

    leads: tuple[str, ...]
    fs_hz: float
    first_sample: int
    values: NDArray[np.float32]
    began: int
    raised: int


def alarm_signal(
    record: Path,
    alarm: Alert,
    leads: Sequence[str],
    fs_hz: float | None,
    said: SourceOptions | None = None,
) -> AlarmSignal:
    """Read the signal around an alarm.

    Parameters
    ----------
    leads : sequence of str
        Which were monitored; none: the record's ECG leads.
    fs_hz : float, optional
        At which rate the alarm's samples count; another record is refused.
    said : SourceOptions, optional
        Rate and unit of a record that does not say its own.

    Raises
    ------
    InvalidOption
        If the record cannot be the one that was monitored.
    RecordError
        If it cannot be read.
    """
    options = replace(said or SourceOptions(), leads=list(leads) or None)
    with open_record(record, options) as source:
        if fs_hz is not None and source.fs_hz != fs_hz:
            raise InvalidOption(
                f"record {record} has {source.fs_hz:g} Hz, the one that was monitored {fs_hz:g}; "
                "name the record that was monitored"
            )
        raised, began = alarm.sample, min(alarm.episode_start_sample, alarm.sample)
        if raised > source.n_samples:
            raise InvalidOption(
                f"record {record} ends before sample {raised}, at which the alarm was raised; name "
                "the record that was monitored"
            )
        margin, most = round(MARGIN_S * source.fs_hz), round(MOST_S * source.fs_hz)
        start = max(0, began - margin, raised - most)
        values = source.read(start, min(source.n_samples, raised + margin))
        return AlarmSignal(source.leads, source.fs_hz, start, values, began, raised)


def drawn_signal(signal: AlarmSignal, alarm: Alert, width: int) -> Iterator[Text]:
    """Yield rows for a terminal: each lead, and below them where the alarm began and was raised."""
    columns = max(1, width - LABEL_COLUMNS)
    for name, values in list(zip(signal.leads, signal.values, strict=True))[:MOST_LEADS]:
        bottom, top = bounds_mv(values)
        dots = curve(envelope(values, columns * DOTS_ACROSS), bottom, top, LEAD_ROWS)
        for place, row in enumerate(characters(dots)):
            labels = {0: f"{top:+.1f}", LEAD_ROWS // 2: harmless(name, 5), LEAD_ROWS - 1: "mV"}
            yield Text(f"{labels.get(place, ''):>6} ", "dim").append(row)
    if len(signal.leads) > MOST_LEADS:
        yield Text(f"and {len(signal.leads) - MOST_LEADS} further leads", "dim")
    marks = [" "] * columns
    for sample, mark in ((signal.began, "┌"), (signal.raised, "▲")):
        place = (sample - signal.first_sample) * columns // signal.values.shape[1]
        if 0 <= place < columns:
            marks[place] = mark
    yield Text(" " * LABEL_COLUMNS + "".join(marks))
    began, raised = (clock(at / signal.fs_hz, 1) for at in (signal.began, signal.raised))
    name, done = alarm_name(alarm.kind), WHAT_WAS_DONE.get(alarm.state, alarm.state)
    yield Text(f"┌ {name} began {began}  ▲ {done} {raised}", "dim")


def bounds_mv(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return the lowest and the highest value to be drawn; never equal."""
    known = values[np.abs(values) < HIGHEST_MV]
    if not len(known):
        return -1.0, 1.0
    bottom, top = float(known.min()), float(known.max())
    return (bottom, top) if top - bottom > 1e-3 else (bottom - 0.5, top + 0.5)
