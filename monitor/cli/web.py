"""The command that serves a monitor's view to browsers."""

# ruff: noqa: D301  the \b before an example keeps its lines as they are

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.error_messages import explained
from monitor.cli.options import (
    KeysOfEither,
    LogFile,
    MetricsPort,
    Verbose,
    WardOption,
    WaveEndpoint,
    checked_metrics,
    note,
)
from monitor.errors import InvalidOption
from monitor.settings import DEFAULT_ALERTS, DEFAULT_LISTEN, DEFAULT_WAVE

if TYPE_CHECKING:
    from monitor.web.line import OpenLine

pages = typer.Typer()


@pages.command()
def web(
    endpoint: Annotated[
        str, typer.Argument(metavar="ENDPOINT", help="The monitor's alert socket.")
    ] = DEFAULT_ALERTS,
    wave: WaveEndpoint = DEFAULT_WAVE,
    ward: WardOption = None,
    listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Address of the page. Beyond this machine it needs --tls-cert and --tls-key, or "
            "--behind-proxy.",
        ),
    ] = DEFAULT_LISTEN,
    token: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Let those act (acknowledge, mark, threshold, relearn) who know the token in this "
            "file, which is made if it is not there. Default: read-only.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option("--tls-cert", metavar="FILE", help="Certificate (PEM) to encrypt with."),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key (PEM).")
    ] = None,
    behind_proxy: Annotated[
        bool,
        typer.Option(
            "--behind-proxy",
            help="A proxy before it encrypts and says who may read: listen anywhere without TLS.",
        ),
    ] = False,
    keys: KeysOfEither = None,
    metrics: MetricsPort = None,
    log: LogFile = None,
    verbose: Verbose = False,
) -> None:
    """Show a running monitor's patients, or a ward's, in a browser.

    For a wall, a desk or a telephone: all patients, worst first, with their running ECG; a page
    for each. Any number may watch. Ctrl-C ends it; the monitor goes on.

    \b
    Try: ecg-monitor replay --wave tcp://127.0.0.1:5575
         ecg-monitor web
         ecg-monitor web --token ward.token
         ecg-monitor web --ward nats://127.0.0.1:4222
    """
    with explained():
        note(log, verbose)
        try:
            from monitor.web.server import WebOptions, serve
        except ImportError as error:
            raise InvalidOption(
                "web needs Starlette and uvicorn; install them: pip install 'ecg-monitor[web]'"
            ) from error
        from monitor.interrupts import Interrupts
        from monitor.web.access import parse_access

        if ward is not None and (endpoint, wave) != (DEFAULT_ALERTS, DEFAULT_WAVE):
            raise InvalidOption("--ward shows a ward, not a monitor; leave ENDPOINT and --wave out")
        access = parse_access(listen, token, tls_cert, tls_key, behind_proxy)
        counts = checked_metrics(metrics)
        line = _line(endpoint, wave, ward, keys)
        with Interrupts() as interrupts:
            serve(WebOptions(line, access, counts), interrupts, _say)


def _line(endpoint: str, wave: str, ward: str | None, keys: Path | None) -> OpenLine:
    """Return what opens the line to the monitor or the ward."""
    if ward is None:
        from monitor.web.line import to_monitor
        from monitor.wire.curve_keys import load_optional_keys

        return to_monitor(endpoint, wave, load_optional_keys(keys))
    from monitor.ward.link import WardAccess
    from monitor.ward.page_line import to_ward

    return to_ward(WardAccess(ward, keys))


def _say(text: str) -> None:
    sys.stderr.write(f"ecg-monitor: {text}\n")
    sys.stderr.flush()
