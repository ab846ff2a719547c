"""The commands on a monitor's behaviour, who may reach it: ack, mark, threshold, rules, keys."""

# ruff: noqa: D301  the \b before an example keeps its lines as they are

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.error_messages import explained
from monitor.cli.history import opened_past
from monitor.cli.options import (
    AlertName,
    AlertsEndpoint,
    ByName,
    JournalOrNone,
    KeysOfEither,
    RulesFile,
    WardOption,
    behind_journal,
)
from monitor.errors import InvalidOption
from monitor.settings import DEFAULT_ALERTS
from monitor.text import harmless

if TYPE_CHECKING:
    from monitor.wire.messages import ControlRequest

control = typer.Typer()
keys_commands = typer.Typer(name="keys")
control.add_typer(keys_commands)


@control.command()
def ack(
    patient: Annotated[
        str | None,
        typer.Argument(
            metavar="PATIENT",
            help="Patient whose alerts are acknowledged. Default: all patients.",
        ),
    ] = None,
    by: ByName = None,
    alerts: AlertsEndpoint = DEFAULT_ALERTS,
    ward: WardOption = None,
    keys: KeysOfEither = None,
) -> None:
    """Acknowledge high-priority alerts of a running monitor.

    For whoever has seen the alert; it does what key a does in the live view.

    \b
    Try: ecg-monitor ack 119
         ecg-monitor ack 119 --by "Ada, night shift"
    """
    with explained():
        from monitor.delivery.person import named_person
        from monitor.wire.messages import AckRequest

        _say(_asked(AckRequest(patient, named_person(by)), alerts, ward, keys))


@control.command(context_settings={"ignore_unknown_options": True})  # -5% is none
def threshold(
    patient: Annotated[str, typer.Argument(metavar="PATIENT", help="Whose threshold is moved.")],
    to: Annotated[
        str,
        typer.Argument(
            metavar="LOSS|PERCENT",
            help="Reconstruction loss (no unit) above which a beat is anomalous, or by how much to "
            "move it: +5% raises fewer alerts, -5% more.",
        ),
    ],
    alerts: AlertsEndpoint = DEFAULT_ALERTS,
    ward: WardOption = None,
    keys: KeysOfEither = None,
) -> None:
    """Move a patient's threshold in a running monitor, or a ward.

    For whoever knows the patient; it does what keys + and - do in the live view.

    \b
    Try: ecg-monitor threshold 119 +5%
         ecg-monitor threshold 119 26
    """
    with explained():
        from monitor.settings import parse_threshold_change
        from monitor.wire.messages import ThresholdRequest

        value, factor = parse_threshold_change(to)
        _say(_asked(ThresholdRequest(patient, value, factor), alerts, ward, keys))


def _asked(request: ControlRequest, alerts: str, ward: str | None, keys: Path | None) -> str:
    """Have the monitor, or the worker that serves the patient, do something; return its answer."""
    if ward is None:
        from monitor.delivery.control_client import carry_out
        from monitor.wire.curve_keys import load_optional_keys

        return carry_out(alerts, request, load_optional_keys(keys))
    from monitor.ward import asking
    from monitor.ward.link import WardAccess

    return asking.carry_out(WardAccess(ward, keys), request)


def _say(answer: str) -> None:
    sys.stderr.write(f"{harmless(answer, 500)}\n")


@control.command()
def mark(
    journal: JournalOrNone = None,
    alert: AlertName = None,
    word: Annotated[
        str | None,
        typer.Argument(
            metavar="WORD",
            help="normal: beats of this shape begin and prolong no alert of this patient. "
            "anomalous: they always begin one. undo: as before.",
            autocompletion=lambda: ["normal", "anomalous", "undo"],
        ),
    ] = None,
    by: ByName = None,
    alerts: AlertsEndpoint = DEFAULT_ALERTS,
    ward: WardOption = None,
    keys: KeysOfEither = None,
) -> None:
    """Say that the shape of an alert's beats is normal for its patient, or always anomalous.

    For whoever knows the patient; it does what keys n and x do in the live view. Where a monitor
    writes the journal, it is asked at --alerts; otherwise the word is written into the journal,
    and the next run goes by it. With --ward the worker that has the patient is asked.

    \b
    Try: ecg-monitor mark night.sqlite 12 normal
         ecg-monitor mark night.sqlite 12 undo
         ecg-monitor mark 3f2a9c41 normal --ward nats://127.0.0.1:4222
    """
    with explained():
        from monitor.delivery.person import named_person
        from monitor.journal.leader import is_led
        from monitor.offline.journal_mark import parse_word, request_for, write_mark
        from monitor.settings import wall_time_text

        path, (name, said) = behind_journal(ward, ["ALERT", "WORD"], [journal, alert, word])
        family_word, person = parse_word(said), named_person(by)
        with opened_past(path, ward, keys) as past:
            found, request = request_for(past, name, family_word, person)
        if path is None or is_led(path):
            _say(_asked(request, alerts, ward, keys))
        else:
            _say(write_mark(path, found, request, wall_time_text(datetime.now(UTC))))


@control.command()
def metrics(
    grafana: Annotated[
        bool, typer.Option("--grafana", help="Print a Grafana dashboard to import.")
    ] = False,
    rules: Annotated[
        bool, typer.Option("--rules", help="Print alerting rules for Prometheus.")
    ] = False,
) -> None:
    """Print what `replay --metrics PORT` counts, or a dashboard of it.

    For whoever runs the monitor as a service: rules say when the monitor itself is ill.

    \b
    Try: ecg-monitor metrics
         ecg-monitor metrics --grafana > dashboard.json
    """
    with explained():
        from monitor.delivery.dashboards import alerting_rules, grafana_dashboard, table

        if grafana and rules:
            raise InvalidOption("--grafana and --rules print two files; give one of them")
        text = grafana_dashboard() if grafana else alerting_rules() if rules else table()
        sys.stdout.write(f"{text}\n")


@control.command()
def rules(file: RulesFile = None) -> None:
    """Print the alert rules, explained, as a file for --rules.

    Save the output, change it, and give it to replay or consumer.

    \b
    Try: ecg-monitor rules > ward.toml
         ecg-monitor replay --rules ward.toml
    """
    with explained():
        from monitor.detection.rules import load_rules, rules_text
        from monitor.settings import Rules

        sys.stdout.write(rules_text(Rules() if file is None else load_rules(file)))
        sys.stdout.flush()


@keys_commands.callback()
def keys() -> None:
    """Make the keys that encrypt sockets and admit clients.

    \b
    Try: ecg-monitor keys init ~/ecg-keys
    """


@keys_commands.command("init")
def keys_init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to make.")],
) -> None:
    """Make a monitor's keys and those of a first client.

    For a monitor that other machines reach. The first client may watch and send commands;
    SECURITY.md says how to admit others.

    \b
    Try: ecg-monitor keys init ~/ecg-keys
         ecg-monitor replay --keys ~/ecg-keys --alerts tcp://0.0.0.0:5571
    """
    with explained():
        from monitor.wire.curve_keys import init_keys

        init_keys(folder)
        sys.stderr.write(
            f"wrote keys to {harmless(str(folder), 500)}; to admit another client, give "
            "it server.public and copy its own client.public here into authorised/ (to listen), "
            "control/ (to command) or send/ (to send samples)\n"
        )
