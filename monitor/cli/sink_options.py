"""Options of `subscribe` that say which alerts go where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from monitor.delivery.sinks.sink import Route

OnlyStates = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="STATES",
        help="Only alerts of these states: onset, ongoing, cleared, acknowledged, marked; several "
        "with commas between them. Default: all.",
    ),
]
OnlyPriorities = Annotated[
    list[str] | None,
    typer.Option(
        "--priority",
        metavar="PRIORITIES",
        help="Only alerts of these priorities: high, medium, low; technical is those of the "
        "signal, which have none.",
    ),
]
OnlyKinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="KINDS",
        help="Only alerts of these kinds: anomalous_beats, a named alarm such as asystole, or the "
        "event of a technical alert such as lead_off.",
    ),
]
OnlyPatients = Annotated[
    list[str] | None,
    typer.Option(
        "--patient",
        metavar="NAME",
        help="Only this patient's, or those of a pattern such as 'bed-*'; `monitor` is the "
        "monitor's own. May be repeated.",
    ),
]
OnAlert = Annotated[
    list[str] | None,
    typer.Option(
        "--on-alert",
        metavar="COMMAND",
        help="Run this command for each alert, with the alert as JSON on its standard input; "
        "may be repeated.",
    ),
]
WebhookUrls = Annotated[
    list[str] | None,
    typer.Option(
        "--webhook",
        metavar="URL",
        help="POST each alert as JSON to this address. slack:URL, ntfy:URL and teams:URL write it "
        "as these read it, FILE:URL as a template of yours says. May be repeated.",
    ),
]
MqttUrls = Annotated[
    list[str] | None,
    typer.Option(
        "--mqtt",
        metavar="URL",
        help="Publish each alert on an MQTT broker: mqtt://HOST/TOPIC, or mqtts: with TLS; "
        "?retain=1 keeps a status there. May be repeated.",
    ),
]
FhirPlaces = Annotated[
    list[str] | None,
    typer.Option(
        "--fhir",
        metavar="URL|FILE",
        help="Write each alert as FHIR R4: to a server's base address, or as lines of a file. May "
        "be repeated.",
    ),
]
ForeignSinks = Annotated[
    list[str] | None,
    typer.Option(
        "--sink",
        metavar="NAME:REST",
        help="Hand each alert to the sink of another package. May be repeated.",
    ),
]
SecretsPath = Annotated[
    Path | None,
    typer.Option(
        "--secrets",
        metavar="FILE",
        envvar="ECG_MONITOR_SECRETS",
        help="Users, passwords, tokens and certificates of web addresses and brokers, by host.",
    ),
]


def opened_routes(
    given: Mapping[str, list[str] | None], secrets: Path | None, durable: str | None
) -> tuple[Route, ...]:
    """Open the sinks that options name.

    Raises
    ------
    InvalidOption
        If one cannot be used.
    """
    if secrets is None and not any(given.values()):
        return ()
    from monitor.delivery.sinks.credentials import NoSecrets, SecretsFile
    from monitor.delivery.sinks.kinds import open_routes
    from monitor.delivery.sinks.sink import SinkOptions

    options = SinkOptions(
        NoSecrets() if secrets is None else SecretsFile(secrets), session=durable or ""
    )
    return tuple(open_routes({name: texts or [] for name, texts in given.items()}, options))
