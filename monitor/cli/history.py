"""The commands on what was: history, show; of a journal, or of a ward on NATS."""

# ruff: noqa: D301  the \b before an example keeps its lines as they are

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from monitor.cli.error_messages import complain, explained
from monitor.cli.options import (
    AlertName,
    JournalOrNone,
    JsonLines,
    RateHz,
    Since,
    Units,
    WardKeys,
    WardOption,
    behind_journal,
)
from monitor.cli.progress import resolved
from monitor.cli.terminal import why_plain
from monitor.errors import InvalidOption
from monitor.settings import parse_since
from monitor.text import counted, harmless, other_names
from monitor.wire.messages import MONITOR

if TYPE_CHECKING:
    from monitor.offline.kept_alerts import KeptAlerts

past_commands = typer.Typer()


@past_commands.command()
def history(
    journal: Annotated[
        Path | None,
        typer.Argument(
            metavar="JOURNAL",
            help="File that --journal named; none with --ward.",
            show_default=False,
        ),
    ] = None,
    since: Since = None,
    patient: Annotated[
        str | None, typer.Option(metavar="ID", help="List only this patient's.")
    ] = None,
    json: JsonLines = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    alm: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write WFDB annotations, PATIENT.alm, into this folder instead."
        ),
    ] = None,
    ward: WardOption = None,
    keys: WardKeys = None,
) -> None:
    """List the alerts that a journal, or a ward on NATS, holds.

    For a look back over a night; the monitor may still be writing to the journal.

    \b
    Try: ecg-monitor history night.sqlite --since 8:00:00
         ecg-monitor history night.sqlite --csv > night.csv
         ecg-monitor history --ward nats://127.0.0.1:4222
    """
    with explained():
        from monitor.journal.reader import JournalReader
        from monitor.offline.journal_export import csv_lines, export_alarms, json_lines, plain_lines

        if (json, csv, alm is not None).count(True) > 1:
            raise InvalidOption(
                "--json, --csv and --alm each say how to list; give only one of them"
            )
        begin = "" if since is None else parse_since(since, datetime.now(UTC))
        as_lines = json_lines if json else csv_lines if csv else plain_lines
        if ward is not None:
            from monitor.ward.link import WardAccess
            from monitor.ward.past import past_alerts, past_patients

            if journal is not None or alm is not None:
                raise InvalidOption("--ward lists a ward's alerts; leave JOURNAL and --alm out")
            access = WardAccess(ward, keys)
            found = past_alerts(access, begin, patient)
            if patient is not None and not found:
                _require_known(patient, past_patients(access), "this ward")
            for line in as_lines(found):
                sys.stdout.write(f"{line}\n")
            return
        if journal is None:
            raise InvalidOption("history needs a JOURNAL, the file that --journal named, or --ward")
        with JournalReader(journal) as reader:
            if patient is not None:
                _require_known(patient, reader.patients(), "this journal")
            messages = reader.alerts(begin, patient)
            if alm is not None:
                files = export_alarms(reader, messages, alm)
                sys.stderr.write(f"wrote {counted(files, '.alm file')}\n")
                return
            for line in as_lines(messages):
                sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _require_known(patient: str, known: set[str], where: str) -> None:
    """Raise InvalidOption if a patient never was there: no alerts would look like a quiet night."""
    if patient not in known | {MONITOR}:
        raise InvalidOption(
            f"--patient {harmless(patient)!r}: {where} knows no such patient; "
            f"{other_names(patient, known)}"
        )


@contextlib.contextmanager
def opened_past(journal: Path | None, ward: str | None, keys: Path | None) -> Iterator[KeptAlerts]:
    """Open a journal, or what a ward holds, for the block; one of the two is given."""
    if journal is not None:
        from monitor.journal.reader import JournalReader

        with JournalReader(journal) as reader:
            yield reader
        return
    from monitor.ward.link import WardAccess
    from monitor.ward.past import WardPast

    yield WardPast(WardAccess(ward or "", keys))


@past_commands.command()
def show(
    journal: JournalOrNone = None,
    alert: AlertName = None,
    png: Annotated[
        Path | None,
        typer.Option("--png", metavar="FILE", help="Draw it into this PNG file instead."),
    ] = None,
    record: Annotated[
        str | None,
        typer.Option(
            metavar="RECORD",
            help="Draw the signal around a named alarm from this record, the one that was "
            "monitored: a path or a PhysioNet name.",
        ),
    ] = None,
    fs: RateHz = None,
    units: Units = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write it as one self-contained page instead."),
    ] = None,
    ward: WardOption = None,
    keys: WardKeys = None,
) -> None:
    """Explain one alert of a journal or a ward: draw its beat, or the signal around a named alarm.

    For whoever asks why: the beat over its reconstruction, where its loss arose, the nearest beats
    of the learnt normal, and the ten beats on either side. `ecg-monitor history` lists the numbers.
    A named alarm, such as asystole, has no beat: --record draws the signal around it.

    \b
    Try: ecg-monitor show night.sqlite 12
         ecg-monitor show night.sqlite 12 --html 12.html
         ecg-monitor show 3f2a9c41 --ward nats://127.0.0.1:4222
    """
    with explained():
        from monitor.offline.journal_export import (
            drawn,
            find_one,
            is_named_alarm,
            signal_of,
            words_of,
        )
        from monitor.sources.source import SourceOptions

        path, (name,) = behind_journal(ward, ["ALERT"], [journal, alert])
        with opened_past(path, ward, keys) as past:
            message = find_one(past, name)
            signal = None
            if record is not None:
                if not is_named_alarm(message):
                    raise InvalidOption(
                        f"--record draws named alarms, and alert {message.seq} is none; its beat "
                        f"is in the {past.kind}: leave --record out"
                    )
                signal = signal_of(
                    past,
                    message,
                    Path(resolved([record])[0]),
                    SourceOptions(fs_hz=fs, units=units),
                )
            if png is None and html is None:
                reason = why_plain(sys.stdout) if sys.stdout.isatty() else None
                if reason is not None:
                    sys.stdout.write("".join(f"{line}\n" for line in words_of(message)))
                    complain(f"it is not drawn: {reason}, or draw it with --png or --html")
                    return
                console = Console(highlight=False)
                console.print(drawn(past, message, min(console.width, 120), signal))
                return
            if is_named_alarm(message):
                from monitor.offline.evaluation.alarm_report import write_alarm_report

                write_alarm_report(message, signal, png, html)
            else:
                from monitor.offline.evaluation.beat_report import (
                    explained_alert,
                    write_beat_report,
                )

                around = past.beats_around(message.patient, message.sample)
                write_beat_report(explained_alert(message, around), png, html)
        written = " and ".join(str(path) for path in (png, html) if path is not None)
        sys.stderr.write(f"wrote {harmless(written, 500)}\n")
