"""The commands: parse, build settings, call. What each does lives in the module it calls."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from model.libraries import require_torch
from monitor.cli.bench import bench_commands
from monitor.cli.control import control
from monitor.cli.data import files
from monitor.cli.error_messages import OneLineErrors, explained
from monitor.cli.history import past
from monitor.cli.options import (
    WINDOWS,
    AlertsEndpoint,
    CheckpointPath,
    Duration,
    FalseAlerts,
    Journal,
    JsonLines,
    KeepDays,
    KeepMb,
    KeysFolder,
    Lead,
    Learn,
    Loop,
    Records,
    RulesFile,
    Since,
    Speed,
    StartAt,
    ThresholdText,
)
from monitor.cli.progress import resolved
from monitor.detection.rules import load_rules
from monitor.errors import InvalidOption
from monitor.settings import (
    DEFAULT_ALERTS,
    DEFAULT_BEATS,
    DEFAULT_SAMPLES,
    DEFAULT_WAVE,
    KEEP_DAYS,
    KEEP_MB,
    ConsumerSettings,
    ProducerSettings,
    Rules,
    SegmenterSettings,
    parse_duration,
    parse_optional_duration,
    parse_since,
    parse_speed,
    parse_threshold,
)
from monitor.wire.curve_keys import load_optional_keys
from segmenter.beat import BeatSpec

if TYPE_CHECKING:
    from monitor.view.screens import Screen

app = typer.Typer(
    name="ecg-monitor",
    help="Streaming ECG anomaly monitor. Research software, not a medical device.",
    cls=OneLineErrors,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(files)
app.add_typer(past)
app.add_typer(control)
app.add_typer(bench_commands)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"ecg-monitor {installed_version('ecg-monitor')}\n")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    """Streaming ECG anomaly monitor. Research software, not a medical device."""


@app.command()
def replay(
    records: Records = None,
    lead: Lead = None,
    speed: Speed = "1",
    start: StartAt = "0",
    duration: Duration = None,
    loop: Loop = False,
    checkpoint: CheckpointPath = None,
    threshold: ThresholdText = None,
    learn: Learn = None,
    false_alerts_per_hour: FalseAlerts = 1.0,
    alerts: AlertsEndpoint = DEFAULT_ALERTS,
    journal: Journal = None,
    rules: RulesFile = None,
    keys: KeysFolder = None,
    keep_days: KeepDays = KEEP_DAYS,
    keep_mb: KeepMb = KEEP_MB,
    live: Annotated[
        bool | None, typer.Option("--live/--no-live", help="Live view; default: on a terminal.")
    ] = None,
    json: JsonLines = False,
) -> None:
    """Replay records, find and score their beats, and show the anomalous ones.

    Keys in the live view: a acknowledges, + and - move the threshold, r learns the patient anew,
    p pauses, e explains the latest anomalous beat, q quits. Of several patients arrows and pages
    choose one, / searches, Escape goes back.

    Try: ecg-monitor replay --speed 4, or
    ecg-monitor replay mitdb/119 --learn 5:00 --speed max --json | jq .type
    """
    with explained():
        from monitor.run.replay import ReplayOptions
        from monitor.run.replay import replay as run
        from monitor.run.report import report

        if learn is not None:
            require_torch()
        screen = _screen(json, live)
        options = ReplayOptions(
            records=resolved(records or []),
            alerts=alerts,
            lead=lead,
            speed=parse_speed(speed),
            start_s=parse_duration(start, "--start"),
            duration_s=parse_optional_duration(duration, "--duration"),
            loop=loop,
            checkpoint=None if checkpoint is None else str(checkpoint.absolute()),
            threshold=None if threshold is None else parse_threshold(threshold),
            learn_s=parse_optional_duration(learn, "--learn"),
            false_alerts_per_hour=false_alerts_per_hour,
            journal=journal,
            rules=_rules(rules),
            keys=_folder(keys),
            keep_days=keep_days,
            keep_mb=keep_mb,
        )
        report(run(options, screen), as_json=json)


def _rules(path: Path | None) -> Rules:
    return Rules() if path is None else load_rules(path)


def _folder(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def _screen(json: bool, live: bool | None) -> Screen:
    from monitor.view.screens import JsonScreen, LiveScreen, PlainScreen

    if json:
        return JsonScreen(sys.stdout, sys.stderr, ("alert", "technical"))
    on_terminal = sys.stdout.isatty() and sys.stdin.isatty()
    if live and not on_terminal:
        raise InvalidOption("--live needs a terminal; leave it out for plain lines, or use --json")
    if on_terminal if live is None else live:
        return LiveScreen(Console(), sys.stdin)
    return PlainScreen(sys.stdout, sys.stderr)


@app.command()
def producer(
    records: Records = None,
    lead: Lead = None,
    speed: Speed = "1",
    start: StartAt = "0",
    duration: Duration = None,
    loop: Loop = False,
    samples: Annotated[str, typer.Option(help="Where the segmenter listens.")] = DEFAULT_SAMPLES,
    keys: KeysFolder = None,
) -> None:
    """Only the first stage: read records and send their samples to a segmenter.

    Try: ecg-monitor producer mitdb/119 --speed 4, beside a segmenter and a consumer.
    """
    with explained():
        from monitor.stages.producer import run

        run(
            ProducerSettings(
                records=resolved(records or []),
                samples=samples,
                keys=_folder(keys),
                lead=lead,
                speed=parse_speed(speed),
                start_s=parse_duration(start, "--start"),
                duration_s=parse_optional_duration(duration, "--duration"),
                loop=loop,
            )
        )


@app.command()
def segmenter(
    samples: Annotated[str, typer.Option(help="Where to listen for samples.")] = DEFAULT_SAMPLES,
    beats: Annotated[str, typer.Option(help="Where the consumer listens.")] = DEFAULT_BEATS,
    wave: Annotated[str, typer.Option(help="Where to publish waveforms.")] = DEFAULT_WAVE,
    window: Annotated[
        str, typer.Option(help=f"Beat window of the consumer's checkpoint: {WINDOWS}.")
    ] = BeatSpec().window,
    keys: KeysFolder = None,
) -> None:
    """Only the second stage: find beats in samples and send them to a consumer.

    Try: ecg-monitor segmenter --window midpoint
    """
    with explained():
        from monitor.stages.segmenter import run

        spec = BeatSpec.from_mapping({"window": window})
        run(
            SegmenterSettings(
                samples=samples, beats=beats, wave=wave, window=spec.window, keys=_folder(keys)
            )
        )


@app.command()
def consumer(
    beats: Annotated[str, typer.Option(help="Where to listen for beats.")] = DEFAULT_BEATS,
    alerts: AlertsEndpoint = DEFAULT_ALERTS,
    checkpoint: CheckpointPath = None,
    threshold: ThresholdText = None,
    learn: Learn = None,
    false_alerts_per_hour: FalseAlerts = 1.0,
    journal: Journal = None,
    rules: RulesFile = None,
    keys: KeysFolder = None,
    keep_days: KeepDays = KEEP_DAYS,
    keep_mb: KeepMb = KEEP_MB,
) -> None:
    """Only the third stage: score beats, publish alerts.

    Try: ecg-monitor consumer --journal ward.sqlite, and elsewhere ecg-monitor view
    """
    with explained():
        from monitor.journal.lock import locked
        from monitor.run.replay import journal_path, run_folder
        from monitor.stages.consumer import run

        if learn is not None:
            require_torch()
        with run_folder() as folder, locked(journal_path(journal, folder)):
            run(
                ConsumerSettings(
                    beats=beats,
                    alerts=alerts,
                    journal=str(journal_path(journal, folder)),
                    checkpoint=None if checkpoint is None else str(checkpoint),
                    threshold=None if threshold is None else parse_threshold(threshold),
                    learn_s=parse_optional_duration(learn, "--learn"),
                    false_alerts_per_hour=false_alerts_per_hour,
                    rules=_rules(rules),
                    keys=_folder(keys),
                    keep_s=keep_days * 86_400,
                    keep_bytes=round(keep_mb * 1e6),
                )
            )


@app.command()
def view(
    alerts: AlertsEndpoint = DEFAULT_ALERTS,
    wave: Annotated[str, typer.Option(help="Where waveforms are published.")] = DEFAULT_WAVE,
    keys: KeysFolder = None,
) -> None:
    """Only the live view, of a consumer and a segmenter that run elsewhere.

    Try: ecg-monitor view --alerts tcp://127.0.0.1:5571
    """
    with explained():
        from monitor.run.watch import watch

        watch(alerts, wave, _screen(json=False, live=None), load_optional_keys(keys))


@app.command()
def subscribe(
    endpoint: Annotated[str, typer.Argument(help="The monitor's alert socket.")] = DEFAULT_ALERTS,
    topic: Annotated[
        list[str] | None,
        typer.Option(help="alert, technical, beat, status, or alert.PATIENT; may be repeated."),
    ] = None,
    json: JsonLines = False,
    new: Annotated[
        bool, typer.Option("--new", help="Only what comes from now on, not what was before.")
    ] = False,
    after: Annotated[
        int, typer.Option("--from", min=0, help="Begin behind this number; 0 is everything kept.")
    ] = 0,
    since: Since = None,
    durable: Annotated[
        str | None,
        typer.Option(help="Keep alerts and position under this name; go on there next time."),
    ] = None,
    keep_days: KeepDays = KEEP_DAYS,
    keep_mb: KeepMb = KEEP_MB,
    on_alert: Annotated[
        list[str] | None,
        typer.Option(help="Run this for each alert, JSON on its stdin; may be repeated."),
    ] = None,
    keys: KeysFolder = None,
    webhook: Annotated[
        list[str] | None, typer.Option(help="POST each alert to this address; may be repeated.")
    ] = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Leave when all records have ended.")
    ] = False,
) -> None:
    """Print alerts as they come; those missed are asked for. Ctrl-C ends it.

    Try: ecg-monitor subscribe --json | jq .ratio, or
    ecg-monitor subscribe --durable ward-desk
    """
    with explained():
        from monitor.delivery.sinks import Command, Webhook
        from monitor.run.watch import FollowOptions, follow
        from monitor.view.screens import JsonScreen, PlainScreen

        if (new, after > 0, since is not None).count(True) > 1:
            raise InvalidOption("--new, --from and --since are three ways to begin; give one")
        topics = tuple(topic or ("alert", "technical"))
        if json:
            screen: Screen = JsonScreen(sys.stdout, sys.stderr, topics)
        else:
            screen = PlainScreen(sys.stdout, sys.stderr)
        options = FollowOptions(
            endpoint=endpoint,
            topics=topics,
            after=None if new else after,
            since=None if since is None else parse_since(since, datetime.now(UTC)),
            durable=durable,
            keep_days=keep_days,
            keep_mb=keep_mb,
            until_end=until_end,
            keys=load_optional_keys(keys),
            targets=(*map(Command, on_alert or []), *map(Webhook, webhook or [])),
        )
        follow(options, screen)
