"""Options and arguments that several commands share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, get_args

import typer

from monitor.cli.error_messages import complain
from monitor.errors import InvalidOption
from monitor.log import note_to_file, note_to_stderr
from monitor.settings import parse_optional_duration
from monitor.text import harmless
from segmenter.beat import Window

WINDOWS = ", ".join(get_args(Window))
MIN_LEARN_S = 60.0  # below it no patient has shown enough beats
ONE_RECORD = "A file (EDF, BDF, CSV, .npy, WFDB) or a PhysioNet name."
Records = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RECORD",
        help="Files (night.edf, ecg.csv, WFDB records such as mitdb/119), PhysioNet names "
        "(chfdb/chf07), which are downloaded once, or live sources. Without any, a simulated "
        "record in the style of chf07.",
        show_default=False,
    ),
]
SomeRecords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RECORD",
        help="Files (night.edf, ecg.csv, WFDB records) or PhysioNet names, which are downloaded "
        "once.",
        show_default=False,
    ),
]
Leads = Annotated[
    list[str] | None,
    typer.Option(
        "--lead",
        "--leads",
        metavar="LEADS",
        help="Leads to read, by name (MLII) or by index from 0, several with commas between them; "
        "may be repeated. Default: all, the ECG leads of the record.",
        show_default=False,
    ),
]
RateHz = Annotated[
    float | None,
    typer.Option(
        "--fs",
        metavar="HZ",
        help="Sampling rate of sources that do not say their own: CSV without a time column, .npy, "
        "standard input.",
    ),
]
Units = Annotated[
    str | None,
    typer.Option(
        metavar="UNIT", help="Unit of samples that do not say their own: mV, uV, V or nV."
    ),
]
Scenario = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Replay a simulated record of this scenario instead: `night` has one event of each "
        "kind within three minutes, such as asystole. Or a TOML file of [[event]] tables with "
        "kind, at_s and for_s.",
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Passes over the training beats. Default: chosen by the number of beats.",
    ),
]
WindowName = Annotated[
    str | None,
    typer.Option(
        "--window",
        metavar="NAME",
        help=f"How much signal around an R peak makes a beat: {WINDOWS}. "
        "Default: the model's, or typical for records and rr for ECG5000.",
    ),
]
Ecg5000Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--ecg5000",
        metavar="FILE",
        help="ECG5000 file (.txt, .tsv, .csv, .arff, .ts or no suffix); others may follow it.",
    ),
]
Speed = Annotated[
    str,
    typer.Option(
        metavar="FACTOR",
        help="How many times real time: 1, 4, 0.5, or max for as fast as it can.",
    ),
]
StartAt = Annotated[
    str,
    typer.Option(
        "--start",
        metavar="TIME",
        help="Where in the record to begin: seconds (90), m:ss (1:30) or h:mm:ss.",
    ),
]
Duration = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="How much of the record to read, or for how long to monitor a live source: 90, 1:30 "
        "or 1:30:00. Default: to its end.",
    ),
]
Loop = Annotated[bool, typer.Option("--loop", help="Start the record again when it ends.")]
CheckpointPath = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint", metavar="FILE", help="Model file. Default: the model that is installed."
    ),
]
ThresholdText = Annotated[
    str | None,
    typer.Option(
        "--threshold",
        metavar="LOSS",
        help="Reconstruction loss (no unit) above which a beat is anomalous. "
        "Default: the model's, or learnt with --learn.",
    ),
]
Learn = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Learn each patient's normal from this much of the record, without labels, "
        "then judge the rest: 5:00 is five minutes. Default: no learning.",
    ),
]
FalseAlerts = Annotated[
    float,
    typer.Option(
        "--false-alerts-per-hour",
        metavar="RATE",
        min=0.001,
        max=1000,
        help="False alerts an hour that a learnt threshold aims at.",
    ),
]
VerdictChoice = Annotated[
    str,
    typer.Option(
        "--verdict",
        metavar="BY",
        help="What judges learnt patients: `evidence` (loss, time, noise, leads, families, weighed "
        "on other patients) or `loss`, the bare rule.",
    ),
]
AlertsEndpoint = Annotated[
    str,
    typer.Option(
        "--alerts",
        metavar="ENDPOINT",
        help="Socket that publishes alerts; requests use the next port up.",
    ),
]
WaveEndpoint = Annotated[
    str, typer.Option("--wave", metavar="ENDPOINT", help="Socket that publishes waveforms.")
]
Journal = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Keep alerts in this SQLite file, learnt models beside it; a stopped run "
        "continues when it is started again with it. Default: a journal for this run only.",
    ),
]
JournalOrNone = Annotated[
    str | None,
    typer.Argument(metavar="JOURNAL", help="File that --journal named; none with --ward."),
]
AlertName = Annotated[
    str | None,
    typer.Argument(metavar="ALERT", help="Number of the alert, or the beginning of its identity."),
]
ByName = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="NAME",
        help="Who does it, as the journal keeps it. Default: the login name.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Begin at this local time (2026-03-01T22:00) or this long ago (8:00:00).",
    ),
]
RulesFile = Annotated[
    Path | None,
    typer.Option(
        "--rules",
        metavar="FILE",
        help="Alert rules as TOML. Default: what `ecg-monitor rules` prints.",
    ),
]
KeysFolder = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="FOLDER",
        help="Encrypt tcp sockets with the keys in this folder, which `ecg-monitor keys init` "
        "makes. Default: no encryption, this machine only.",
    ),
]

KeysOfEither = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="FOLDER",
        help="Encrypt tcp sockets with the keys in this folder, which `ecg-monitor keys init` "
        "makes; with --ward a folder of ca.pem and of who we are (docs/SCALE.md). Default: no "
        "encryption, this machine only.",
    ),
]

WardOption = Annotated[
    str | None,
    typer.Option(
        "--ward",
        metavar="SERVERS",
        help="A ward on NATS instead of a monitor: nats://HOST:4222, several with commas.",
    ),
]
WardKeys = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="FOLDER",
        help="Folder of ca.pem and of client.pem with client-key.pem, or of ward.creds. Default: "
        "none, for servers on this machine only.",
    ),
]


def behind_journal(
    ward: str | None, names: Sequence[str], given: Sequence[str | None]
) -> tuple[Path | None, list[str]]:
    """Return JOURNAL, none with --ward, and the arguments behind it, of these names.

    Raises
    ------
    InvalidOption
        If there are too few, or too many.
    """
    found = [one for one in given if one is not None]
    journal = Path(found[0]) if ward is None and found else None
    others = found[1:] if ward is None else found
    if len(others) != len(names):
        wanted = " and ".join(names)
        if ward is None:
            raise InvalidOption(
                f"give JOURNAL, the file that --journal named, and {wanted}; or --ward and {wanted}"
            )
        raise InvalidOption(f"with --ward give {wanted} alone: a ward has no JOURNAL")
    return journal, others


def learn_seconds(text: str | None) -> float | None:
    """Read --learn as seconds; a bare number below a minute is obeyed, but hardly meant."""
    seconds = parse_optional_duration(text, "--learn")
    if text is not None and seconds and seconds < MIN_LEARN_S and ":" not in text:
        minutes, rest = divmod(round(60 * seconds), 60)
        complain(
            f"--learn {text} is {seconds:g} seconds, hardly enough to learn from; "
            f"for minutes write {minutes}:{rest:02d}"
        )
    return seconds


def _finite(value: float) -> float:
    if not math.isfinite(value):  # the bounds let nan through
        raise typer.BadParameter(f"{value} is not an amount; give a finite number")
    return value


KeepDays = Annotated[
    float,
    typer.Option(
        metavar="DAYS",
        min=0.001,
        max=100_000,
        callback=_finite,
        help="Remove alerts, a few at a time, once the file has been in use for this many days "
        "since; days on which nothing runs do not count.",
    ),
]
KeepMb = Annotated[
    float,
    typer.Option(
        metavar="MB",
        min=1,
        callback=_finite,
        help="Remove the oldest alerts when the file grows over this many megabytes.",
    ),
]
JsonLines = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
LogFile = Annotated[
    Path | None,
    typer.Option(
        "--log",
        metavar="FILE",
        help="Append warnings and errors to this file. A run's default: beside its --journal, or "
        "in the state folder.",
    ),
]
TOPICS = ("alert", "technical", "beat", "status")  # of the alert socket
MetricsPort = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        metavar="PORT",
        help="Let Prometheus read counts on this port of this machine, or HOST:PORT.",
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Log every step; also to standard error.")
]


def note(log: Path | None, verbose: bool) -> None:
    """Log to the file that was given, or else to standard error."""
    if log is not None:
        note_to_file(log, verbose=verbose)
    else:
        note_to_stderr(verbose=verbose)


def checked_topics(topics: Iterable[str]) -> tuple[str, ...]:
    """Return topics of the alert socket; InvalidOption if nothing would ever come on one."""
    for topic in topics:
        if not any(one.startswith(topic) or topic.startswith(f"{one}.") for one in TOPICS):
            raise InvalidOption(
                f"--topic {harmless(topic)!r}: nothing comes on it; give {', '.join(TOPICS)}, or "
                "one patient's, such as alert.119"
            )
    return tuple(topics)


def checked_metrics(text: str | None) -> str | None:
    """Return where metrics are read, before anything starts; InvalidOption if it is nowhere."""
    if text is not None:
        from monitor.delivery.metrics_server import parse_metrics, require_prometheus

        parse_metrics(text)
        require_prometheus()
    return text
