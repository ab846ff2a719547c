"""What a journal or a ward holds, as lines, CSV, one alert drawn, WFDB annotations."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeGuard

import msgspec
import numpy as np
from rich.console import Group
from rich.text import Text

from monitor.errors import InvalidOption
from monitor.journal.kept_beats import LeadBeat
from monitor.journal.reader import JournalReader, is_number
from monitor.offline.alarm_signal import AlarmSignal, alarm_signal, drawn_signal
from monitor.offline.beats_around import is_by_evidence, shown_beats
from monitor.offline.kept_alerts import KeptAlerts
from monitor.plain import clock, json_line, milliseconds, plain_line
from monitor.sources.source import SourceOptions
from monitor.text import counted, harmless
from monitor.view.anomalous_beat import anomalous_beat
from monitor.view.beat_plots import plot_explained
from monitor.view.braille import DOTS_ACROSS, characters, curve, envelope
from monitor.view.plots import plot_losses, plot_times_above
from monitor.wire.messages import (
    Alert,
    Technical,
    began_s,
    joined_leads,
    measured,
)

CSV_COLUMNS = (
    "seq", "id", "wall_time", "patient", "record", "lead", "type", "state", "priority", "event",
    "sample", "time_s", "loss", "threshold", "ratio", "rr_before_ms", "rr_after_ms",
    "episode_beats", "episode_start_sample", "rule", "model", "delay_ms", "leads", "family",
    "word", "by", "score", "kind", "text",
)  # fmt: skip
BEAT_ROWS, LOSS_ROWS = 18, 8
SHOWN_DIGITS = 8  # of an identity: enough for `show`
_FORMULA = re.compile(r"^[=+\-@\t\r]")  # what a spreadsheet would run
_RECORD_NAME = re.compile(r"[-\w]+", re.ASCII)


def plain_lines(messages: Iterable[Alert | Technical]) -> Iterator[str]:
    """Yield a line each: number, identity and wall time, then the line that a run prints."""
    for one in messages:
        identity = harmless(one.id[:SHOWN_DIGITS])
        yield f"{one.seq:>6}  {identity}  {harmless(one.wall_time)}  {plain_line(one)}"


def json_lines(messages: Iterable[Alert | Technical]) -> Iterator[str]:
    """Yield each message as one line of JSON."""
    return map(json_line, messages)


def csv_lines(messages: Iterable[Alert | Technical]) -> Iterator[str]:
    """Yield a header, then a line each; a column that does not apply is empty."""
    yield ",".join(CSV_COLUMNS)
    for one in messages:
        values = msgspec.to_builtins(one)
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(
            [_cell(values.get(name)) for name in CSV_COLUMNS]
        )
        yield line.getvalue()


def _cell(value: str | float | list[str] | None) -> str | float | None:
    """Return a value that no spreadsheet takes for a formula; numbers stay what they are."""
    if isinstance(value, list):
        value = joined_leads(value)
    if not isinstance(value, str):
        return value
    shown = harmless(value)
    return f"'{shown}" if _FORMULA.match(shown) else shown


def find_one(past: KeptAlerts, name: str) -> Alert | Technical:
    """Return the alert that a number or the beginning of an identity names.

    Raises
    ------
    InvalidOption
        If there is none, or more than one.
    """
    found = past.find(name)
    if len(found) == 1:
        return found[0]
    if not found:
        raise InvalidOption(
            f"no alert {name!r} in this {past.kind}; give its number, or at least 4 digits of its "
            "identity, as `ecg-monitor history` lists them"
        )
    listed = ", ".join(one.id for one in found[:5])
    if is_number(name):
        whose = ", ".join(
            f"{one.id[:SHOWN_DIGITS]} of {harmless(one.patient)}" for one in found[:5]
        )
        raise InvalidOption(
            f"{len(found)} alerts have number {name}, each in a partition of its own: {whose}; "
            "give the beginning of one's identity"
        )
    raise InvalidOption(
        f"{len(found)} identities begin with {name!r}: {listed}, …; give more digits"
    )


def is_named_alarm(message: Alert | Technical) -> TypeGuard[Alert]:
    """Tell whether an alert is a named alarm, which has no beat of its own."""
    return isinstance(message, Alert) and message.kind != "anomalous_beats"


def signal_of(
    past: KeptAlerts, alarm: Alert, record: Path, said: SourceOptions | None = None
) -> AlarmSignal:
    """Read the signal around a named alarm from its record, in the leads that were monitored.

    Parameters
    ----------
    said : SourceOptions, optional
        Rate and unit of a record that does not say its own.

    Raises
    ------
    InvalidOption
        If the record cannot be the one that was monitored.
    RecordError
        If it cannot be read.
    """
    run = past.run()
    streams = [] if run is None else run.streams
    stream = next((one for one in streams if one.patient == alarm.patient), None)
    if stream is None:
        return alarm_signal(record, alarm, (), None, said)
    return alarm_signal(record, alarm, stream.leads, stream.fs_hz, said)


def drawn(
    past: KeptAlerts,
    message: Alert | Technical,
    width: int,
    signal: AlarmSignal | None = None,
) -> Group:
    """Return one alert for a terminal: its words, beat over reconstruction, the losses around.

    Of a named alarm the signal, if that is given.
    """
    rows = [Text(line) for line in words_of(message)]
    if is_named_alarm(message):
        rows.append(Text())
        if signal is None:
            return Group(
                *rows, Text(f"the {past.kind} keeps no signal; --record RECORD draws it", "dim")
            )
        return Group(*rows, *drawn_signal(signal, message, width))
    if isinstance(message, Alert) and message.beat and measured(message) is not None:
        rows += [Text(), Text("beat, and over it its reconstruction as dashes", "dim")]
        rows += plot_explained(anomalous_beat(message), width, BEAT_ROWS)
    if isinstance(message, Alert):
        kept = past.beats_around(message.patient, message.sample)
        rows += _drawn_around([one.in_lead(message.lead) for one in kept], message, width)
    return Group(*rows)


def words_of(message: Alert | Technical) -> list[str]:
    """Return one alert in lines, without a drawing."""
    lines = [
        plain_line(message) or "",
        f"number {message.seq}  identity {harmless(message.id)}  "
        f"reported {harmless(message.wall_time)}",
        f"record {harmless(message.record)}  lead {harmless(message.lead)}  "
        f"sample {message.sample}",
    ]
    if is_named_alarm(message):
        lines.append(
            f"began at sample {message.episode_start_sample}, {clock(began_s(message))}  "
            f"rule {harmless(message.rule)}"
        )
    elif isinstance(message, Alert):
        lines.append(
            f"episode from sample {message.episode_start_sample}, "
            f"{counted(message.episode_beats, 'beat')}  "
            f"RR {milliseconds(message.rr_before_ms)}/{milliseconds(message.rr_after_ms)} ms  "
            f"rule {harmless(message.rule)}  model {harmless(message.model, SHOWN_DIGITS + 1)}"
        )
    return lines


def _drawn_around(around: list[LeadBeat], alert: Alert, width: int) -> list[Text]:
    if not around:
        return [Text(), Text("no beats were kept with it", "dim")]
    before = sum(beat.sample < alert.sample for beat in around)
    beats = shown_beats(around)
    size = min(width, 2 * len(around) + 8), LOSS_ROWS
    by_evidence = is_by_evidence(around)
    plotted = (
        plot_times_above(beats, *size)
        if by_evidence
        else plot_losses(beats, alert.threshold or 0.0, *size)
    )
    what = "scores" if by_evidence else "losses"
    title = f"{what} of {counted(before, 'beat')} before and {len(around) - before - 1} after"
    return [
        Text(),
        Text(title, "dim"),
        *plotted,
        Text(),
        Text(f"the beats as the model saw them in {harmless(alert.lead)}, left to right", "dim"),
        *_strip(around, width),
    ]


def _strip(around: list[LeadBeat], width: int) -> list[Text]:
    """Draw the beats side by side, each as cut and standardised."""
    values = np.concatenate([np.frombuffer(beat.values, "<f4") for beat in around])
    if not len(values):
        return []
    bottom, top = float(values.min()), float(values.max())
    dots = curve(envelope(values, width * DOTS_ACROSS), bottom, max(top, bottom + 1e-3), 4)
    return [Text(row) for row in characters(dots)]


def export_alarms(journal: JournalReader, messages: Iterable[Alert | Technical], out: Path) -> int:
    """Write `<record>.alm` for each record; return how many files.

    One annotation an alerted beat. A named alarm is a comment where it began, with its kind first,
    and another where it ended.

    Raises
    ------
    InvalidOption
        If a record's rate is not known, or its name cannot be a file's.
    """
    from monitor.offline.alert_annotations import Annotation, annotation_of
    from monitor.offline.annotation_files import annotation_bytes, replace_files, writable_folder

    run = journal.run()
    rates = {} if run is None else {stream.patient: stream.fs_hz for stream in run.streams}
    found: dict[str, list[Annotation]] = defaultdict(list)
    for one in messages:
        annotation = annotation_of(one) if isinstance(one, Alert) else None
        if annotation is not None:
            found[one.patient].append(annotation)
    if unknown := sorted(set(found) - set(rates)):
        raise InvalidOption(
            f"the journal does not hold the sampling rate of {unknown[0]!r}, which --alm needs (a "
            "consumer that runs alone does not know it); use --csv or --json"
        )
    names = {patient: patient.replace("#", "-") for patient in found}
    if bad := [name for name in names.values() if _RECORD_NAME.fullmatch(name) is None]:
        raise InvalidOption(
            f"{bad[0]!r} cannot name a WFDB file; choose other patients with --patient"
        )
    if len(set(names.values())) < len(names):
        raise InvalidOption("two patients would share a file; choose one of them with --patient")
    folder = writable_folder(out)
    for patient, notes in found.items():
        notes.sort(key=lambda one: one.sample)
        content = annotation_bytes(
            np.array([one.sample for one in notes], np.int64),
            [one.symbol for one in notes],
            [one.note for one in notes],
            rates[patient],
        )
        replace_files(folder, names[patient], {"alm": content})
    return len(found)
