"""The commands of a ward over several machines: ward up, ward init, worker."""

# ruff: noqa: D301  the \b before an example keeps its lines as they are

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from platformdirs import user_state_path

from monitor.cli.error_messages import explained
from monitor.cli.options import (
    CheckpointPath,
    FalseAlerts,
    Learn,
    LogFile,
    MetricsPort,
    RulesFile,
    ThresholdText,
    Verbose,
    VerdictChoice,
    WardKeys,
    checked_metrics,
    learn_seconds,
)
from monitor.detection.rules import load_rules
from monitor.settings import ConsumerSettings, Rules, parse_threshold, parse_verdict
from monitor.text import counted
from monitor.ward.names import PARTITIONS

ward_commands = typer.Typer(name="ward")
working = typer.Typer()
working.add_typer(ward_commands)
_WARD = "nats://127.0.0.1:4222"

Partitions = Annotated[
    int,
    typer.Option(
        min=1,
        max=256,
        help="Parts that patients are divided among; the most workers that share them. It cannot "
        "be changed later.",
    ),
]
WardServers = Annotated[
    str, typer.Option("--ward", metavar="SERVERS", help="NATS servers, with commas between them.")
]


@ward_commands.callback()
def ward() -> None:
    """Set up a ward over several machines, on NATS JetStream.

    \b
    Try: ecg-monitor ward up
    """


@ward_commands.command("up")
def ward_up(
    store: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where its files lie. Default: in your state folder."),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 4222,
    partitions: Partitions = PARTITIONS,
) -> None:
    """Run a NATS server with a ward on this machine, for trying; Ctrl-C ends it.

    Workers, producers and subscribers of this machine reach it at nats://127.0.0.1:4222. A site
    has a cluster of its own: docs/SCALE.md.

    \b
    Try: ecg-monitor ward up
    """
    with explained():
        from monitor.ward.setup import WardSize
        from monitor.ward.ward_up import up

        folder = store or user_state_path("ecg-monitor") / "ward"
        up(folder, port, WardSize(partitions))


@ward_commands.command("init")
def ward_init(
    servers: WardServers = _WARD,
    partitions: Partitions = PARTITIONS,
    replicas: Annotated[
        int, typer.Option(min=1, max=5, help="Servers that hold each message: 3 in a cluster.")
    ] = 1,
    samples_mb: Annotated[
        int,
        typer.Option(min=16, help="Samples that may wait for workers; then producers wait."),
    ] = 1024,
    keep_days: Annotated[
        float, typer.Option(min=0.01, help="For how long alerts are kept.")
    ] = 90.0,
    keys: WardKeys = None,
) -> None:
    """Make a ward's streams on NATS servers that are there.

    \b
    Try: ecg-monitor ward init --ward nats://127.0.0.1:4222
    """
    with explained():
        from monitor.ward.link import WardAccess
        from monitor.ward.setup import WardSize
        from monitor.ward.ward_up import init

        size = WardSize(partitions, replicas, samples_mb << 20, keep_days)
        made = init(WardAccess(servers, keys), size)
        sys.stderr.write(
            f"ward {made.identity} of {counted(made.partitions, 'partition')} at {servers}\n"
        )


@working.command()
def worker(
    servers: WardServers = _WARD,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What it is called. Default: its machine's name.")
    ] = "",
    checkpoint: CheckpointPath = None,
    threshold: ThresholdText = None,
    learn: Learn = None,
    false_alerts_per_hour: FalseAlerts = 1.0,
    verdict: VerdictChoice = "evidence",
    rules: RulesFile = None,
    keys: WardKeys = None,
    metrics: MetricsPort = None,
    log: LogFile = None,
    verbose: Verbose = False,
) -> None:
    """Find and judge the beats of a part of a ward's patients.

    Any number of workers, on any machines, share the patients out among themselves; what one that
    dies leaves undone others do, within ten seconds. All must be told the same.

    \b
    Try: ecg-monitor worker --ward nats://127.0.0.1:4222
    """
    with explained():
        from model.libraries import require_torch
        from monitor.log import note_to_file, note_to_stderr
        from monitor.ward.link import WardAccess
        from monitor.ward.worker import WorkerOptions, work

        if log is not None:
            note_to_file(log, verbose=verbose)
        else:
            note_to_stderr(verbose=verbose)
        if learn is not None:
            require_torch()
        settings = ConsumerSettings(
            beats="",
            alerts="",
            journal="",
            checkpoint=None if checkpoint is None else str(checkpoint.absolute()),
            threshold=None if threshold is None else parse_threshold(threshold),
            learn_s=learn_seconds(learn),
            false_alerts_per_hour=false_alerts_per_hour,
            verdict=parse_verdict(verdict),
            rules=Rules() if rules is None else load_rules(rules),
        )
        access = WardAccess(servers, keys)
        work(WorkerOptions(access, settings, name, checked_metrics(metrics)))
