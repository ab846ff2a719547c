"""The commands on a monitor's behaviour and on who may reach it: ack, rules, keys."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.error_messages import explained
from monitor.cli.options import AlertsEndpoint, KeysFolder, RulesFile
from monitor.settings import DEFAULT_ALERTS
from monitor.text import harmless

control = typer.Typer()
keys_commands = typer.Typer(name="keys", help="Keys that encrypt sockets and say who may connect.")
control.add_typer(keys_commands)


@control.command()
def ack(
    patient: Annotated[str | None, typer.Argument(help="Whose; none: everybody's.")] = None,
    alerts: AlertsEndpoint = DEFAULT_ALERTS,
    keys: KeysFolder = None,
) -> None:
    """Acknowledge alerts of high priority, in a monitor that runs elsewhere.

    Try: ecg-monitor ack 119
    """
    with explained():
        from monitor.delivery.control_client import carry_out
        from monitor.wire.curve_keys import load_optional_keys
        from monitor.wire.messages import AckRequest

        said = carry_out(alerts, AckRequest(patient), load_optional_keys(keys))
        sys.stderr.write(f"{harmless(said, 500)}\n")


@control.command()
def rules(file: RulesFile = None) -> None:
    """Print the alert rules with what they mean, as a file that --rules takes.

    Try: ecg-monitor rules > ward.toml, change it, then ecg-monitor replay --rules ward.toml
    """
    with explained():
        from monitor.detection.rules import load_rules, rules_text
        from monitor.settings import Rules

        sys.stdout.write(rules_text(Rules() if file is None else load_rules(file)))
        sys.stdout.flush()


@keys_commands.callback()
def keys() -> None:
    """Keys that encrypt sockets and say who may connect; SECURITY.md says how to use them."""


@keys_commands.command("init")
def keys_init(folder: Annotated[Path, typer.Argument(help="A folder to make.")]) -> None:
    """Make a monitor's keys and a first client's, which may connect and command.

    Try: ecg-monitor keys init ~/ecg-keys, then
    ecg-monitor replay --keys ~/ecg-keys --alerts tcp://0.0.0.0:5571
    """
    with explained():
        from monitor.wire.curve_keys import init_keys

        init_keys(folder)
        sys.stderr.write(
            f"wrote keys to {harmless(str(folder), 500)}; a client needs server.public and keys of "
            "its own, whose client.public goes into authorised/ here\n"
        )
