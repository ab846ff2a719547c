"""The commands on a monitor's behaviour: ack, rules."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from monitor.explained import explained
from monitor.options import AlertsEndpoint, RulesFile
from monitor.settings import DEFAULT_ALERTS
from monitor.text import harmless

control = typer.Typer()


@control.command()
def ack(
    patient: Annotated[str | None, typer.Argument(help="Whose; none: everybody's.")] = None,
    alerts: AlertsEndpoint = DEFAULT_ALERTS,
) -> None:
    """Acknowledge alerts of high priority, in a monitor that runs elsewhere.

    Try: ecg-monitor ack 119
    """
    with explained():
        from monitor.asking import carry_out
        from monitor.wire import AckRequest

        sys.stderr.write(f"{harmless(carry_out(alerts, AckRequest(patient)), 500)}\n")


@control.command()
def rules(file: RulesFile = None) -> None:
    """Print the alert rules with what they mean, as a file that --rules takes.

    Try: ecg-monitor rules > ward.toml, change it, then ecg-monitor replay --rules ward.toml
    """
    with explained():
        from monitor.rules import Rules, load_rules, rules_text

        sys.stdout.write(rules_text(Rules() if file is None else load_rules(file)))
        sys.stdout.flush()
