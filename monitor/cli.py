"""The commands: parse, build settings, call. What each does lives in the module it calls."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version as installed_version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast, get_args

import typer
from rich.console import Console
from typer.core import TyperGroup

from monitor.errors import InvalidOption, MonitorError
from monitor.progress import progress_bar, training_shown
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
from segmenter.beat import BeatSpec, Window

if TYPE_CHECKING:
    from monitor.annotate import Annotated as Outcome
    from monitor.screens import Screen

# Base of all that typer, or the click below it, cannot parse; its home differs by version.
UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
TABLE_WIDTH = 110  # off a terminal, so that the table of beats keeps its columns whole
WINDOWS = ", ".join(get_args(Window))


class OneLineErrors(TyperGroup):
    """The commands; what cannot be parsed gets one line, as all that cannot be used does."""

    def main(
        self,
        args: Sequence[str] | None = None,
        *others: Any,  # noqa: ANN401  as typer's own has them
        **options: Any,  # noqa: ANN401
    ) -> NoReturn:
        """Run the command that the arguments name, and leave the process."""
        given = sys.argv[1:] if args is None else list(args)
        options["standalone_mode"] = False
        try:
            exit_code = super().main(given or ["--help"], *others, **options)
        except UsageError as error:
            _complain(f"{error.format_message().rstrip('.')}; see `ecg-monitor --help`")
            exit_code = 2
        sys.exit(exit_code)


class ModelByDefault(TyperGroup):
    """`evaluate`: what names no command is meant for `evaluate model`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  typer's context
        """Put the command's name first where it is left out."""
        named = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else ["model", *args])


app = typer.Typer(
    name="ecg-monitor",
    help="Streaming ECG anomaly monitor. Research software, not a medical device.",
    cls=OneLineErrors,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=False,
)
evaluate = typer.Typer(
    name="evaluate",
    help="Judge a model (which is what `evaluate` alone does) or a beat detector.\n\n"
    "Try: ecg-monitor evaluate --plot losses.png",
    cls=ModelByDefault,
)
app.add_typer(evaluate)

Records = Annotated[
    list[str] | None,
    typer.Argument(
        help="WFDB records by path (../shared/data/mitdb/119) or PhysioNet name (chfdb/chf07). "
        "None: a simulated chf07-style record.",
        show_default=False,
    ),
]
SomeRecords = Annotated[
    list[str] | None,
    typer.Argument(help="WFDB records by path or PhysioNet name.", show_default=False),
]
Lead = Annotated[str | None, typer.Option(help="Lead by name (MLII) or index (0).")]
Epochs = Annotated[
    int | None, typer.Option(help="Passes over the training beats at most; default: 60.")
]
WindowName = Annotated[str | None, typer.Option("--window", help=f"Beat window: {WINDOWS}.")]
Ecg5000Files = Annotated[
    list[Path] | None,
    typer.Option("--ecg5000", help="ECG5000 file (.txt, .tsv, .arff, .ts); more may follow it."),
]
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
Journal = Annotated[
    Path | None, typer.Option(help="Keep alerts in this new file; default: for this run only.")
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
        _complain(str(error))
        exit_code = error.exit_code if isinstance(error, MonitorError) else 2
        raise typer.Exit(exit_code) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:  # the reader of our output has left, as `| head` does
        sys.stderr.close()
        raise typer.Exit(0) from None
    except OSError as error:  # a full disk, a name too long: what nobody expected of the system
        _complain(f"{error.filename or 'input or output'}: {error.strerror or error}")
        raise typer.Exit(2) from error


def _complain(text: str) -> None:
    sys.stderr.write(f"ecg-monitor: {harmless(text, 1000)}\n")


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Have SIGTERM end the block as Ctrl-C does, so that workers and part-written files go too."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
    if not names:
        from monitor.sources.simulated import default_record

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
    """Only the first stage: read records and send their samples to a segmenter.

    Try: ecg-monitor producer mitdb/119 --speed 4, beside a segmenter and a consumer.
    """
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
        str, typer.Option(help=f"Beat window of the consumer's checkpoint: {WINDOWS}.")
    ] = BeatSpec().window,
) -> None:
    """Only the second stage: find beats in samples and send them to a consumer.

    Try: ecg-monitor segmenter --window midpoint
    """
    with explained():
        from monitor.stages.segmenter import run

        spec = BeatSpec.from_mapping({"window": window})
        run(SegmenterSettings(samples=samples, beats=beats, wave=wave, window=spec.window))


@app.command()
def consumer(
    beats: Annotated[str, typer.Option(help="Where to listen for beats.")] = DEFAULT_BEATS,
    alerts: AlertsEndpoint = DEFAULT_ALERTS,
    checkpoint: CheckpointPath = None,
    threshold: ThresholdText = None,
    learn: Learn = None,
    false_alerts_per_hour: FalseAlerts = 1.0,
    journal: Journal = None,
) -> None:
    """Only the third stage: score beats, publish alerts.

    Try: ecg-monitor consumer --journal ward.sqlite, and elsewhere ecg-monitor view
    """
    with explained():
        from monitor.replay import new_journal, run_folder
        from monitor.stages.consumer import run

        with run_folder() as folder:
            run(
                ConsumerSettings(
                    beats=beats,
                    alerts=alerts,
                    journal=str(new_journal(journal, folder)),
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
    """Only the live view, of a consumer and a segmenter that run elsewhere.

    Try: ecg-monitor view --alerts tcp://127.0.0.1:5571
    """
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
    """Write a chf07-style WFDB record: 250 Hz, two leads, .ecg annotations N r V S Q.

    Try: ecg-monitor simulate day --hours 20 && ecg-monitor replay day --speed 9
    """
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


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="The checkpoint to write.")],
    records: SomeRecords = None,
    ecg5000: Ecg5000Files = None,
    window: WindowName = None,
    embedding: Annotated[
        int | None, typer.Option(help="Size of the embedding, 1 to 256; default: 16.")
    ] = None,
    epochs: Epochs = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 0,
    lead: Lead = None,
    learn: Annotated[
        str | None, typer.Option(help="Only so much of each record: 5:00; default: all.")
    ] = None,
    false_alert_share: Annotated[
        float | None,
        typer.Option(
            help="Share of normal beats meant to lie above the threshold; default: 0.05 on "
            "ECG5000, one beat an hour on records."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Train a model on ECG5000's normal beats, or on the usual beats of records.

    Try: ecg-monitor train --ecg5000 ECG5000_TRAIN.txt --out ecg5000.st, or
    ecg-monitor train mitdb/100 --learn 10:00 --out patient.st
    """
    with explained(), ended_by_sigterm():
        from monitor.training_run import TrainingOptions, check_writable, gather, summary_line
        from monitor.training_run import train as run

        files, named = _files_and_records(ecg5000, records)
        options = TrainingOptions(
            out=out,
            ecg5000=tuple(files),
            records=tuple(named),
            window=window,
            embedding=embedding,
            epochs=epochs,
            seed=seed,
            lead=lead,
            learn_s=None if learn is None else parse_duration(learn, "--learn"),
            false_alert_share=false_alert_share,
            overwrite=overwrite,
        )
        check_writable(out, overwrite)  # before anything is fetched
        options = replace(options, records=tuple(_resolve(named) if named else ()))
        with progress_bar("cutting beats") as show:
            beats = gather(options, show)
        with training_shown("training") as on_epoch:
            checkpoint = run(options, beats, on_epoch)
        sys.stderr.write(f"{harmless(summary_line(checkpoint, out), 500)}\n")


def _files_and_records(
    ecg5000: list[Path] | None, others: list[str] | None
) -> tuple[list[Path], list[str]]:
    """Return ECG5000 files and records: what follows `--ecg5000 FILE` are more of its kind."""
    if ecg5000:
        return [*ecg5000, *map(Path, others or [])], []
    return [], others or []


@app.command()
def score(
    checkpoint: Annotated[Path, typer.Option(help="Model file of the window rr.")],
    ecg5000: Annotated[Path, typer.Option(help="ECG5000 file (.txt, .tsv, .arff, .ts).")],
    json: JsonLines = False,
) -> None:
    """Print label and loss of each beat of an ECG5000 file, and whether it is anomalous.

    Try: ecg-monitor score --checkpoint ecg5000.st --ecg5000 ECG5000_TEST.txt
    """
    with explained():
        from monitor.scoring_run import json_lines, load_for_ecg5000, plain_lines, score_file
        from monitor.scoring_run import summary_line as summarise

        scored = score_file(load_for_ecg5000(checkpoint), ecg5000)
        for line in json_lines(scored) if json else plain_lines(scored):
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        sys.stderr.write(f"{summarise(scored)}\n")


@evaluate.command("model")
def evaluate_model(
    others: Annotated[
        list[str] | None, typer.Argument(help="More ECG5000 files.", show_default=False)
    ] = None,
    ecg5000: Ecg5000Files = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="pooled (85/15, default) or official (first file trains)."),
    ] = None,
    checkpoint: CheckpointPath = None,
    seeds: Annotated[int, typer.Option(help="Train so many times.")] = 1,
    epochs: Epochs = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the densities of the losses: OUT.png.")
    ] = None,
    json: JsonLines = False,
) -> None:
    """Say how well a model tells anomalous beats: AUC, recall, false positives.

    With ECG5000 files and no checkpoint, a model is trained on some of their
    normal beats and tested on the rest. Without files, the model is tested on
    a simulated chf07-style record.

    Try: ecg-monitor evaluate --plot losses.png, or
    ecg-monitor evaluate --ecg5000 ECG5000_TRAIN.txt ECG5000_TEST.txt --json
    """
    with explained(), ended_by_sigterm():
        from monitor.evaluation_run import EvaluationOptions, run, to_text

        files, unknown = _files_and_records(ecg5000, others)
        if unknown:
            raise InvalidOption(
                f"{unknown[0]!r} is neither model nor beats; put --ecg5000 before files"
            )
        options = EvaluationOptions(tuple(files), protocol, checkpoint, seeds, epochs, plot)
        with training_shown("evaluating") as on_epoch:
            reports = run(options, on_epoch)
        sys.stdout.write(to_text(reports, as_json=json))
        sys.stdout.flush()


@evaluate.command("beats")
def evaluate_beats(
    ref_dir: Annotated[Path, typer.Argument(help="Folder of reference annotations and headers.")],
    det_dir: Annotated[Path, typer.Argument(help="Folder of detections.")],
    ref_ext: Annotated[str, typer.Option(help="Suffix of the references.")] = "atr",
    det_ext: Annotated[str, typer.Option(help="Suffix of the detections.")] = "qrs",
    start: Annotated[str, typer.Option(help="Start of the test period.")] = "5:00",
    json: Annotated[bool, typer.Option("--json", help="A JSON object on stdout.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write the table to this file too.")] = None,
) -> None:
    """Compare detected beats with reference annotations by the rules of EC57.

    Try: ecg-monitor annotate mitdb --out found && ecg-monitor evaluate beats mitdb found
    """
    with explained():
        from monitor.evaluation.beats_report import evaluate_beats as compare
        from monitor.evaluation.beats_report import to_csv, to_json, to_table

        report = compare(ref_dir, det_dir, ref_ext, det_ext, parse_duration(start, "--start"))
        if csv is not None:
            _write(csv, to_csv(report))
        if json:
            sys.stdout.write(f"{to_json(report)}\n")
        else:
            Console(width=None if sys.stdout.isatty() else TABLE_WIDTH).print(to_table(report))
        if report.not_detected:
            names = harmless(", ".join(report.not_detected), 500)
            sys.stderr.write(f"without detections, and in no figure: {names}\n")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise InvalidOption(f"cannot write {path}: {error.strerror}; choose another") from error


@app.command()
def annotate(
    records: Annotated[
        list[str],
        typer.Argument(help="WFDB records by path or PhysioNet name, or folders of records."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the annotations; made if missing.")],
    lead: Lead = None,
    window: WindowName = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Model file; default: no .alm, unless one is learnt.")
    ] = None,
    learn: Learn = None,
    jobs: Annotated[int | None, typer.Option(help="Processes; default: one a core.")] = None,
) -> None:
    """Write the beats of records as WFDB annotations (.qrs); with a model, anomalies too (.alm).

    Try: ecg-monitor annotate mitdb/100 mitdb/119 --learn 5:00 --out found
    """
    with explained(), ended_by_sigterm():
        from monitor.annotate import annotate_records

        with progress_bar("annotating") as show:
            results = annotate_records(
                _records_and_folders(records),
                out,
                lead,
                None if window is None else BeatSpec.from_mapping({"window": window}),
                jobs,
                checkpoint,
                None if learn is None else parse_duration(learn, "--learn"),
                lambda done, n_done, n_all: show(n_done / n_all, harmless(done.record, 60)),
            )
        raise typer.Exit(_outcome(results, out))


def _outcome(results: list[Outcome], out: Path) -> int:
    """Say what became of each record; return the exit code: 1 if some failed, 2 if all did."""
    failed = [one for one in results if one.error is not None]
    for one in results:
        if one.error is None:
            anomalous = "" if one.n_anomalies is None else f", {one.n_anomalies:,} anomalous"
            sys.stdout.write(
                f"{harmless(one.record)}: {one.n_beats:,} beats, {one.n_withheld:,} of them "
                f"without a verdict{anomalous}\n"
            )
    sys.stdout.flush()
    for one in failed:
        name = Path(one.record).name
        _complain(str(one.error) if name in str(one.error) else f"record {name}: {one.error}")
    if len(failed) < len(results):
        sys.stderr.write(f"wrote {len(results) - len(failed)} of {len(results)} to {out}\n")
    return 0 if not failed else 1 if len(failed) < len(results) else 2


def _records_and_folders(names: list[str]) -> list[str]:
    """Return paths: of the records named, fetched where need be, and of folders as they are."""
    return [name if Path(name).is_dir() else _resolve([name])[0] for name in names]
