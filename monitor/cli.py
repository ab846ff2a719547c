"""The commands: parse, build settings, call. What each does lives in the module it calls."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from monitor.errors import InvalidOption, MonitorError
from monitor.settings import (
    DEFAULT_ALERTS,
    DEFAULT_BEATS,
    DEFAULT_SAMPLES,
    DEFAULT_WAVE,
    ConsumerSettings,
    ProducerSettings,
    SegmenterSettings,
    parse_duration,
    parse_speed,
    parse_threshold,
)
from monitor.text import harmless

if TYPE_CHECKING:
    from monitor.screens import Screen

app = typer.Typer(
    name="ecg-monitor",
    help="Streaming ECG anomaly monitor. Research software, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Records = Annotated[
    list[str] | None,
    typer.Argument(
        help="WFDB records by path (../shared/data/mitdb/119) or PhysioNet name (chfdb/chf07). "
        "None: a simulated chf07-style record.",
        show_default=False,
    ),
]
Lead = Annotated[str | None, typer.Option(help="Lead by name (MLII) or index (0).")]
Speed = Annotated[str, typer.Option(help="Factor of real time, or max.")]
StartAt = Annotated[str, typer.Option("--start", help="Where to begin: 90, 1:30 or 1:30:00.")]
Duration = Annotated[str | None, typer.Option(help="How long: 90, 1:30 or 1:30:00.")]
Loop = Annotated[bool, typer.Option("--loop", help="Begin again at the end.")]
CheckpointPath = Annotated[
    Path | None, typer.Option("--checkpoint", help="Model file; default: the one that ships.")
]
ThresholdText = Annotated[
    str | None,
    typer.Option("--threshold", help="Loss above which a beat is anomalous; default: the model's."),
]
Learn = Annotated[
    str | None,
    typer.Option(help="Learn this patient's normal from so much of the record first: 5:00."),
]
FalseAlerts = Annotated[
    float,
    typer.Option("--false-alerts-per-hour", min=0.001, max=3600, help="Aim of a learnt threshold."),
]
AlertsEndpoint = Annotated[
    str, typer.Option("--alerts", help="Alert socket; requests go to the next port.")
]
JsonLines = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]


@contextmanager
def explained() -> Iterator[None]:
    """Turn what can go wrong into one line on standard error and an exit code."""
    from model.errors import ModelError
    from segmenter.errors import SegmenterError

    try:
        yield
    except (MonitorError, SegmenterError, ModelError) as error:
        sys.stderr.write(f"ecg-monitor: {harmless(str(error), 1000)}\n")
        exit_code = error.exit_code if isinstance(error, MonitorError) else 2
        raise typer.Exit(exit_code) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:  # the reader of our output has left, as `| head` does
        sys.stderr.close()
        raise typer.Exit(0) from None


@contextmanager
def progress_bar(text: str) -> Iterator[Callable[[float], None]]:
    """Show a bar on standard error, if that is a terminal; yields what takes the share done."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(text, total=1.0)
        yield lambda share: progress.update(task, completed=share)


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
    journal: Annotated[
        Path | None, typer.Option(help="Keep alerts in this file; default: for this run only.")
    ] = None,
    live: Annotated[
        bool | None, typer.Option("--live/--no-live", help="Live view; default: on a terminal.")
    ] = None,
    json: JsonLines = False,
) -> None:
    """Replay records, find and score their beats, and show the anomalous ones.

    Keys in the live view: + and - move the threshold, p pauses, arrows choose a patient, q quits.

    Try: ecg-monitor replay --speed 4, or
    ecg-monitor replay mitdb/119 --learn 5:00 --speed max --json | jq .type
    """
    with explained():
        from monitor.replay import ReplayOptions
        from monitor.replay import replay as run
        from monitor.report import report

        screen = _screen(json, live)
        options = ReplayOptions(
            records=_resolve(records or []),
            alerts=alerts,
            lead=lead,
            speed=parse_speed(speed),
            start_s=parse_duration(start, "--start"),
            duration_s=None if duration is None else parse_duration(duration, "--duration"),
            loop=loop,
            checkpoint=None if checkpoint is None else str(checkpoint.absolute()),
            threshold=None if threshold is None else parse_threshold(threshold),
            learn_s=None if learn is None else parse_duration(learn, "--learn"),
            false_alerts_per_hour=false_alerts_per_hour,
            journal=journal,
        )
        report(run(options, screen), as_json=json)


def _resolve(names: list[str]) -> list[str]:
    """Return the paths of the records named; none named is the simulated one."""
    from monitor.sources.simulated import default_record

    if not names:
        with progress_bar("making the simulated record") as show:
            return [str(default_record(on_progress=show).absolute())]
    from monitor.sources.resolve import resolve_record

    paths = []
    for name in names:
        with progress_bar(f"fetching {harmless(name, 60)}") as show:
            on_bytes = _bytes_shown(show)
            paths.append(str(resolve_record(name, on_bytes).absolute()))
    return paths


def _bytes_shown(show: Callable[[float], None]) -> Callable[[int, int | None], None]:
    return lambda done, total: show(done / total if total else 0.0)


def _screen(json: bool, live: bool | None) -> Screen:
    from monitor.screens import JsonScreen, LiveScreen, PlainScreen

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
) -> None:
    """Only the first stage: read records and send their samples to a segmenter."""
    with explained():
        from monitor.stages.producer import run

        run(
            ProducerSettings(
                records=_resolve(records or []),
                samples=samples,
                lead=lead,
                speed=parse_speed(speed),
                start_s=parse_duration(start, "--start"),
                duration_s=None if duration is None else parse_duration(duration, "--duration"),
                loop=loop,
            )
        )


@app.command()
def segmenter(
    samples: Annotated[str, typer.Option(help="Where to listen for samples.")] = DEFAULT_SAMPLES,
    beats: Annotated[str, typer.Option(help="Where the consumer listens.")] = DEFAULT_BEATS,
    wave: Annotated[str, typer.Option(help="Where to publish waveforms.")] = DEFAULT_WAVE,
    window: Annotated[
        str, typer.Option(help="Beat window of the consumer's checkpoint: midpoint or rr.")
    ] = "midpoint",
) -> None:
    """Only the second stage: find beats in samples and send them to a consumer."""
    with explained():
        from monitor.stages.segmenter import run

        run(SegmenterSettings(samples=samples, beats=beats, wave=wave, window=window))


@app.command()
def consumer(
    beats: Annotated[str, typer.Option(help="Where to listen for beats.")] = DEFAULT_BEATS,
    alerts: AlertsEndpoint = DEFAULT_ALERTS,
    checkpoint: CheckpointPath = None,
    threshold: ThresholdText = None,
    learn: Learn = None,
    false_alerts_per_hour: FalseAlerts = 1.0,
    journal: Annotated[Path, typer.Option(help="The file that keeps alerts.")] = Path(
        "ecg-monitor.sqlite"
    ),
) -> None:
    """Only the third stage: score beats, publish alerts."""
    with explained():
        from monitor.stages.consumer import run

        run(
            ConsumerSettings(
                beats=beats,
                alerts=alerts,
                journal=str(journal.absolute()),
                checkpoint=None if checkpoint is None else str(checkpoint),
                threshold=None if threshold is None else parse_threshold(threshold),
                learn_s=None if learn is None else parse_duration(learn, "--learn"),
                false_alerts_per_hour=false_alerts_per_hour,
            )
        )


@app.command()
def view(
    alerts: AlertsEndpoint = DEFAULT_ALERTS,
    wave: Annotated[str, typer.Option(help="Where waveforms are published.")] = DEFAULT_WAVE,
) -> None:
    """Only the live view, of a consumer and a segmenter that run elsewhere."""
    with explained():
        from monitor.watch import watch

        watch(alerts, wave, _screen(json=False, live=None))


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
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Leave when all records have ended.")
    ] = False,
) -> None:
    """Print alerts as they come; those missed are asked for. Ctrl-C ends it.

    Try: ecg-monitor subscribe --json | jq .ratio
    """
    with explained():
        from monitor.screens import JsonScreen, PlainScreen
        from monitor.watch import follow

        topics = tuple(topic or ("alert", "technical"))
        if json:
            screen: Screen = JsonScreen(sys.stdout, sys.stderr, topics)
        else:
            screen = PlainScreen(sys.stdout, sys.stderr)
        follow(endpoint, topics, screen, new=new, until_end=until_end)


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="The record to write, without suffix.")],
    hours: Annotated[float, typer.Option(help="Its length.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    anomaly_rate: Annotated[
        float | None, typer.Option(help="Share of anomalous beats; default: chf07's 0.022.")
    ] = None,
    lead_off_per_hour: Annotated[
        float, typer.Option(help="How often the leads come off for some seconds.")
    ] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the record.")] = False,
) -> None:
    """Write a chf07-style WFDB record: 250 Hz, two leads, .ecg annotations N r V S Q."""
    with explained():
        from monitor.sources.simulated import SimulationSettings, write_record

        settings = SimulationSettings(
            hours=hours,
            seed=seed,
            anomaly_rate=anomaly_rate,
            lead_off_per_hour=lead_off_per_hour,
        )
        with progress_bar(f"writing {harmless(out.name, 60)}") as show:
            write_record(out, settings, show, overwrite=overwrite)
        sys.stderr.write(f"wrote {harmless(str(out), 500)}.hea, .dat and .ecg\n")
