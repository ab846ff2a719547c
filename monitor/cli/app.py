"""The commands: parse, build settings, call. What each does lives in the module it calls."""

# ruff: noqa: D301  the \b before an example keeps its lines as they are

from __future__ import annotations

import contextlib
import sys
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.console import Console

from model.libraries import require_torch
from monitor.cli.bench import bench_commands
from monitor.cli.config import apply_config, settings
from monitor.cli.control import control
from monitor.cli.data import files
from monitor.cli.error_messages import OneLineErrors, complain, explained
from monitor.cli.history import past_commands
from monitor.cli.machine import machine
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
    KeysOfEither,
    Leads,
    Learn,
    LogFile,
    Loop,
    MetricsPort,
    RateHz,
    Records,
    RulesFile,
    Scenario,
    Since,
    Speed,
    StartAt,
    ThresholdText,
    Units,
    Verbose,
    VerdictChoice,
    WardOption,
    WaveEndpoint,
    checked_metrics,
    checked_topics,
    learn_seconds,
    note,
)
from monitor.cli.progress import resolved, scenario_made
from monitor.cli.report import reports
from monitor.cli.sink_options import (
    FhirPlaces,
    ForeignSinks,
    MqttUrls,
    OnAlert,
    OnlyKinds,
    OnlyPatients,
    OnlyPriorities,
    OnlyStates,
    SecretsPath,
    WebhookUrls,
    opened_routes,
)
from monitor.cli.terminal import why_plain
from monitor.cli.ward import working
from monitor.cli.web import pages
from monitor.detection.rules import load_rules
from monitor.errors import InvalidOption
from monitor.safe_imports import leave_working_directory_out
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
    parse_verdict,
)
from monitor.wire.curve_keys import load_optional_keys
from segmenter.beat import BeatSpec

if TYPE_CHECKING:
    from monitor.view.screens import Screen

app = typer.Typer(
    name="ecg-monitor",
    cls=OneLineErrors,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
)
app.add_typer(files)
app.add_typer(past_commands)
app.add_typer(reports)
app.add_typer(control)
app.add_typer(bench_commands)
app.add_typer(settings)
app.add_typer(pages)
app.add_typer(machine)
app.add_typer(working)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"ecg-monitor {installed_version('ecg-monitor')}\n")
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Take options from this TOML file; `ecg-monitor config` prints one.",
        ),
    ] = None,
) -> None:
    """Watch ECG signals and raise alerts on anomalous beats.

    Research software, not a medical device.

    \b
    Try: ecg-monitor replay
    """
    with explained():
        apply_config(context, config)
    leave_working_directory_out()  # what commands import later, and their workers


@app.command()
def replay(
    records: Records = None,
    scenario: Scenario = None,
    leads: Leads = None,
    fs: RateHz = None,
    units: Units = None,
    speed: Speed = "1",
    start: StartAt = "0",
    duration: Duration = None,
    loop: Loop = False,
    checkpoint: CheckpointPath = None,
    threshold: ThresholdText = None,
    learn: Learn = None,
    false_alerts_per_hour: FalseAlerts = 1.0,
    verdict: VerdictChoice = "evidence",
    alerts: AlertsEndpoint = DEFAULT_ALERTS,
    journal: Journal = None,
    rules: RulesFile = None,
    keys: KeysFolder = None,
    keep_days: KeepDays = KEEP_DAYS,
    keep_mb: KeepMb = KEEP_MB,
    metrics: MetricsPort = None,
    wave: Annotated[
        str | None,
        typer.Option(
            metavar="ENDPOINT",
            help=f"Publish waveforms here, for `ecg-monitor web` and `view`: {DEFAULT_WAVE}. "
            "Default: for this run's own view alone.",
        ),
    ] = None,
    live: Annotated[
        bool | None,
        typer.Option("--live/--no-live", help="Draw the live view. Default: if on a terminal."),
    ] = None,
    json: JsonLines = False,
    log: LogFile = None,
    verbose: Verbose = False,
) -> None:
    """Replay ECG records and raise alerts on anomalous beats.

    The command for a first look: it runs the whole monitor (producer, segmenter and consumer) on
    this machine, and on a terminal draws its live view.

    \b
    Keys in the live view:
      +  fewer alerts (a higher threshold)    a  acknowledge the alert
      -  more alerts (a lower threshold)      e  explain the latest anomalous beat
      r  learn the patient again              n  the alert's shape is normal
      p  pause or go on                       x  the alert's shape always alerts
      /  search; Escape goes back             q  quit
      arrow and page keys choose one of several patients

    \b
    Try: ecg-monitor replay --speed 4
         ecg-monitor replay --scenario night
         ecg-monitor replay mitdb/119 --learn 5:00 --speed max --json | jq .type
    """
    with explained():
        from monitor.run.replay import ReplayOptions
        from monitor.run.replay import replay as run
        from monitor.run.report import exit_code_of, report

        if learn is not None:
            require_torch()
        screen = _screen(json, live, _keyboard(records or []))
        not_fetched: dict[str, str] = {}
        options = ReplayOptions(
            records=_replayed(records or [], scenario, not_fetched),
            passed_over=tuple(not_fetched.values()),
            alerts=alerts,
            leads=tuple(leads or ()),
            fs_hz=fs,
            units=units,
            speed=parse_speed(speed),
            start_s=parse_duration(start, "--start"),
            duration_s=parse_optional_duration(duration, "--duration"),
            loop=loop,
            checkpoint=None if checkpoint is None else str(checkpoint.absolute()),
            threshold=None if threshold is None else parse_threshold(threshold),
            learn_s=learn_seconds(learn),
            false_alerts_per_hour=false_alerts_per_hour,
            verdict=parse_verdict(verdict),
            journal=journal,
            rules=_rules(rules),
            keys=_folder(keys),
            keep_days=keep_days,
            keep_mb=keep_mb,
            metrics=checked_metrics(metrics),
            wave=wave,
            log=log,
            verbose=verbose,
        )
        summary = run(options, screen)
        report(summary, as_json=json)
        raise typer.Exit(exit_code_of(summary))


def _replayed(records: list[str], scenario: str | None, not_fetched: dict[str, str]) -> list[str]:
    """Return the paths of what is replayed; puts why a record cannot be fetched by its name."""
    if scenario is None:
        return resolved(records, not_fetched.__setitem__)
    if records:
        raise InvalidOption(
            f"--scenario replays a record of its own; leave out {records[0]!r}, or --scenario"
        )
    return [scenario_made(scenario)]


@app.command()
def record(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Live source, as `ecg-monitor sources` lists.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The WFDB record to write, without suffix.")
    ],
    leads: Leads = None,
    fs: RateHz = None,
    units: Units = None,
    duration: Duration = None,
    checkpoint: CheckpointPath = None,
    threshold: ThresholdText = None,
    learn: Learn = None,
    false_alerts_per_hour: FalseAlerts = 1.0,
    verdict: VerdictChoice = "evidence",
    alerts: AlertsEndpoint = DEFAULT_ALERTS,
    journal: Journal = None,
    rules: RulesFile = None,
    keys: KeysFolder = None,
    keep_days: KeepDays = KEEP_DAYS,
    keep_mb: KeepMb = KEEP_MB,
    live: Annotated[
        bool | None,
        typer.Option("--live/--no-live", help="Draw the live view. Default: if on a terminal."),
    ] = None,
    json: JsonLines = False,
    log: LogFile = None,
    verbose: Verbose = False,
) -> None:
    """Monitor a live source as replay does, and keep what it sends as a WFDB record.

    Beside OUT.hea and OUT.dat lie OUT.qrs, all beats, and OUT.alm, those of alerts. Each is whole
    up to the last second, also when the run is killed. With --journal, the same command goes on.

    \b
    Try: ecg-monitor record lsl:type=ECG night --learn 5:00
    """
    with explained():
        from monitor.offline.recording import RecordingScreen, require_recordable
        from monitor.run.replay import ReplayOptions
        from monitor.run.replay import replay as run
        from monitor.run.report import exit_code_of, report
        from monitor.stages.playback import name_of, patient_names

        require_recordable(source, out, journal)
        if learn is not None:
            require_torch()
        (unnamed,) = patient_names([name_of(source)])
        screen = _screen(json, live, _keyboard([source]))
        options = ReplayOptions(
            records=[source],
            record=out,
            alerts=alerts,
            leads=tuple(leads or ()),
            fs_hz=fs,
            units=units,
            duration_s=parse_optional_duration(duration, "--duration"),
            checkpoint=None if checkpoint is None else str(checkpoint.absolute()),
            threshold=None if threshold is None else parse_threshold(threshold),
            learn_s=learn_seconds(learn),
            false_alerts_per_hour=false_alerts_per_hour,
            verdict=parse_verdict(verdict),
            journal=journal,
            rules=_rules(rules),
            keys=_folder(keys),
            keep_days=keep_days,
            keep_mb=keep_mb,
            log=log,
            verbose=verbose,
        )
        summary = run(options, RecordingScreen(screen, out, unnamed))
        report(summary, as_json=json)
        raise typer.Exit(exit_code_of(summary))


def _rules(path: Path | None) -> Rules:
    return Rules() if path is None else load_rules(path)


def _folder(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def _keyboard(records: list[str]) -> TextIO:
    """Return where keys come from: the terminal itself where standard input brings samples."""
    from monitor.sources.kinds import PIPE

    if PIPE in records and not sys.stdin.isatty():
        with contextlib.suppress(OSError):  # there is no terminal, as under cron
            return Path("/dev/tty").open()
    return sys.stdin


def _screen(json: bool, live: bool | None, keyboard: TextIO) -> Screen:
    from monitor.view.screens import JsonScreen, LiveScreen, PlainScreen

    if json:
        return JsonScreen(sys.stdout, sys.stderr, ("alert", "technical"))
    on_terminal = sys.stdout.isatty() and keyboard.isatty()
    if live and not on_terminal:
        raise InvalidOption(
            "--live needs a terminal on standard input and output; leave it out, or use --json"
        )
    if not (on_terminal if live is None else live):
        return PlainScreen(sys.stdout, sys.stderr)
    reason = why_plain(sys.stdout)
    if reason is not None:
        complain(f"plain lines instead of the live view: {reason}")
        return PlainScreen(sys.stdout, sys.stderr)
    return LiveScreen(Console(), keyboard)


@app.command()
def producer(
    records: Records = None,
    leads: Leads = None,
    fs: RateHz = None,
    units: Units = None,
    speed: Speed = "1",
    start: StartAt = "0",
    duration: Duration = None,
    loop: Loop = False,
    samples: Annotated[
        str, typer.Option(metavar="ENDPOINT", help="Socket on which the segmenter listens.")
    ] = DEFAULT_SAMPLES,
    ward: WardOption = None,
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="With --ward, what it is called: started again under this name it goes on where "
            "it was. Default: its machine and records.",
        ),
    ] = "",
    keys: KeysOfEither = None,
    log: LogFile = None,
    verbose: Verbose = False,
) -> None:
    """Run only the first stage: send records' samples.

    For a monitor whose stages run apart; a segmenter and a consumer must run beside it. Or for a
    ward on NATS, whose workers do the rest.

    \b
    Try: ecg-monitor producer mitdb/119 --speed 4
         ecg-monitor producer mitdb/119 --ward nats://127.0.0.1:4222
    """
    with explained():
        note(log, verbose)
        not_fetched: dict[str, str] = {}
        settings = ProducerSettings(
            records=resolved(records or [], not_fetched.__setitem__),
            samples=samples,
            keys=_folder(keys),
            leads=leads or [],
            fs_hz=fs,
            units=units,
            speed=parse_speed(speed),
            start_s=parse_duration(start, "--start"),
            duration_s=parse_optional_duration(duration, "--duration"),
            loop=loop,
        )
        if ward is None:
            from monitor.stages.producer import run

            passed_over = run(settings).passed_over
        else:
            from monitor.ward.feeder import FeedOptions, feed
            from monitor.ward.link import WardAccess

            passed_over = feed(FeedOptions(WardAccess(ward, keys), settings, name))
        for reason in not_fetched.values():
            complain(f"passed over: {reason}")
        raise typer.Exit(1 if passed_over or not_fetched else 0)


@app.command()
def segmenter(
    samples: Annotated[
        str, typer.Option(metavar="ENDPOINT", help="Socket to listen on for samples.")
    ] = DEFAULT_SAMPLES,
    beats: Annotated[
        str, typer.Option(metavar="ENDPOINT", help="Socket on which the consumer listens.")
    ] = DEFAULT_BEATS,
    wave: Annotated[
        str, typer.Option(metavar="ENDPOINT", help="Socket to publish waveforms on.")
    ] = DEFAULT_WAVE,
    window: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=f"How much signal makes a beat, as the consumer's model expects: {WINDOWS}.",
        ),
    ] = BeatSpec().window,
    keys: KeysFolder = None,
    log: LogFile = None,
    verbose: Verbose = False,
) -> None:
    """Run only the second stage: find beats in samples.

    For a monitor whose stages run apart; it takes samples from producers and sends beats to a
    consumer.

    \b
    Try: ecg-monitor segmenter --window midpoint
    """
    with explained():
        note(log, verbose)
        from monitor.stages.segmenter import run

        spec = BeatSpec.from_mapping({"window": window})
        run(
            SegmenterSettings(
                samples=samples, beats=beats, wave=wave, window=spec.window, keys=_folder(keys)
            )
        )


@app.command()
def consumer(
    beats: Annotated[
        str, typer.Option(metavar="ENDPOINT", help="Socket to listen on for beats.")
    ] = DEFAULT_BEATS,
    alerts: AlertsEndpoint = DEFAULT_ALERTS,
    checkpoint: CheckpointPath = None,
    threshold: ThresholdText = None,
    learn: Learn = None,
    false_alerts_per_hour: FalseAlerts = 1.0,
    verdict: VerdictChoice = "evidence",
    journal: Journal = None,
    rules: RulesFile = None,
    keys: KeysFolder = None,
    keep_days: KeepDays = KEEP_DAYS,
    keep_mb: KeepMb = KEEP_MB,
    metrics: MetricsPort = None,
    log: LogFile = None,
    verbose: Verbose = False,
) -> None:
    """Run only the third stage: score beats, publish alerts.

    For a monitor whose stages run apart; it takes beats from segmenters. `ecg-monitor view` shows
    what it publishes.

    \b
    Try: ecg-monitor consumer --journal ward.sqlite
    """
    with explained():
        note(log, verbose)
        from monitor.journal.leader import led
        from monitor.run.folder import run_folder
        from monitor.run.free_endpoints import require_free
        from monitor.run.replay import journal_path
        from monitor.stages.consumer import run

        if learn is not None:
            require_torch()
        with run_folder() as folder, led(journal_path(journal, folder), complain):
            require_free(alerts)
            run(
                ConsumerSettings(
                    beats=beats,
                    alerts=alerts,
                    journal=str(journal_path(journal, folder)),
                    checkpoint=None if checkpoint is None else str(checkpoint),
                    threshold=None if threshold is None else parse_threshold(threshold),
                    learn_s=learn_seconds(learn),
                    false_alerts_per_hour=false_alerts_per_hour,
                    verdict=parse_verdict(verdict),
                    rules=_rules(rules),
                    keys=_folder(keys),
                    keep_s=keep_days * 86_400,
                    keep_bytes=round(keep_mb * 1e6),
                    metrics=checked_metrics(metrics),
                )
            )


@app.command()
def view(
    alerts: AlertsEndpoint = DEFAULT_ALERTS,
    wave: WaveEndpoint = DEFAULT_WAVE,
    ward: WardOption = None,
    keys: KeysOfEither = None,
    log: LogFile = None,
    verbose: Verbose = False,
) -> None:
    """Draw the live view of a monitor that runs elsewhere.

    For another terminal, or for another machine with --keys; any number may watch. The keys are
    those of `ecg-monitor replay`.

    \b
    Try: ecg-monitor view --alerts tcp://127.0.0.1:5571
    """
    with explained():
        note(log, verbose)
        from monitor.run.watch import watch

        if ward is not None:
            from monitor.ward.following import watch_ward
            from monitor.ward.link import WardAccess

            screen = _screen(json=False, live=None, keyboard=sys.stdin)
            watch_ward(WardAccess(ward, keys), screen)
            return
        watch(
            alerts,
            wave,
            _screen(json=False, live=None, keyboard=sys.stdin),
            load_optional_keys(keys),
        )


@app.command()
def subscribe(
    endpoint: Annotated[
        str, typer.Argument(metavar="ENDPOINT", help="The monitor's alert socket.")
    ] = DEFAULT_ALERTS,
    topic: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOPIC",
            help="What to print: alert, technical, beat, status, or one patient's alert.PATIENT; "
            "may be repeated. Default: alert and technical.",
        ),
    ] = None,
    json: JsonLines = False,
    new: Annotated[bool, typer.Option("--new", help="Print only what comes from now on.")] = False,
    after: Annotated[
        int,
        typer.Option(
            "--from",
            metavar="NUMBER",
            min=0,
            help="Begin after the alert of this number; 0 begins with the oldest kept.",
        ),
    ] = 0,
    since: Since = None,
    durable: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Keep alerts and the position under this name, and continue there next time.",
        ),
    ] = None,
    keep_days: KeepDays = KEEP_DAYS,
    keep_mb: KeepMb = KEEP_MB,
    state: OnlyStates = None,
    priority: OnlyPriorities = None,
    kind: OnlyKinds = None,
    patient: OnlyPatients = None,
    on_alert: OnAlert = None,
    webhook: WebhookUrls = None,
    mqtt: MqttUrls = None,
    fhir: FhirPlaces = None,
    sink: ForeignSinks = None,
    secrets: SecretsPath = None,
    metrics: MetricsPort = None,
    ward: WardOption = None,
    keys: KeysOfEither = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Exit when all records have ended.")
    ] = False,
    log: LogFile = None,
    verbose: Verbose = False,
) -> None:
    """Print a monitor's alerts, or hand them to programs.

    For a desk, a script or a pager gateway. It asks the monitor again for alerts that it missed.
    Ctrl-C ends it.

    Programs are commands, web addresses, MQTT brokers and FHIR servers: docs/ROUTING.md. What they
    do not take is tried again; with --durable also after this program was killed.

    \b
    Try: ecg-monitor subscribe --json | jq .kind
         ecg-monitor subscribe --durable ward-desk
         ecg-monitor subscribe --priority high --webhook ntfy:https://ntfy.sh/TOPIC
    """
    with explained():
        note(log, verbose)
        from monitor.delivery.alert_filter import parse_filter
        from monitor.run.watch import FollowOptions, follow
        from monitor.view.screens import JsonScreen, PlainScreen

        if (new, after > 0, since is not None).count(True) > 1:
            raise InvalidOption(
                "--new, --from and --since each say where to begin; give only one of them"
            )
        topics = checked_topics(topic or ("alert", "technical"))
        wanted = parse_filter(state or [], priority or [], kind or [], patient or [])
        given = {
            "--on-alert": on_alert,
            "--webhook": webhook,
            "--mqtt": mqtt,
            "--fhir": fhir,
            "--sink": sink,
        }
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
            keys=None if ward is not None else load_optional_keys(keys),
            wanted=wanted,
            routes=opened_routes(given, secrets, durable),
            metrics=checked_metrics(metrics),
        )
        if wanted.leaves_technical_out and any("technical".startswith(one) for one in topics):
            screen.notice(
                "--priority: technical alerts have none and are left out; name `technical` among "
                "the priorities to have them"
            )
        if ward is not None:
            from monitor.ward.following import follow_ward
            from monitor.ward.link import WardAccess

            follow_ward(WardAccess(ward, keys), options, screen)
            return
        follow(options, screen)
