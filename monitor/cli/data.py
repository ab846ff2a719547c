"""The commands on data at rest: simulate, train, score, evaluate, annotate."""

# ruff: noqa: D301  the \b before an example keeps its lines as they are

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from model.libraries import require_torch
from monitor.cli.error_messages import complain, explained
from monitor.cli.options import (
    ONE_RECORD,
    CheckpointPath,
    Ecg5000Files,
    Epochs,
    FalseAlerts,
    JsonLines,
    Leads,
    Learn,
    RateHz,
    SomeRecords,
    Units,
    VerdictChoice,
    WindowName,
    learn_seconds,
)
from monitor.cli.progress import progress_bar, records_and_folders, resolved, training_shown
from monitor.cli.worker_options import Dask, Jobs, ShardText, part_asked_for, workers_for
from monitor.errors import DownloadError, InvalidOption
from monitor.interrupts import ended_by_sigterm
from monitor.settings import parse_duration, parse_verdict
from monitor.text import counted, harmless
from monitor.wire.messages import named_leads
from segmenter.beat import BeatSpec

if TYPE_CHECKING:
    from monitor.offline.address import Address
    from monitor.offline.annotate import Annotated as Outcome
    from monitor.offline.evaluation.patients_report import Sheet
    from monitor.offline.training_options import TrainingOptions
    from monitor.offline.training_run import Trained
    from monitor.sources.source import RecordFile

PATIENTS_WIDTH = 160
Markdown = Annotated[
    bool, typer.Option("--markdown", help="Print the tables as Markdown, for a page.")
]
RefExt = Annotated[str, typer.Option(metavar="EXT", help="Suffix of the reference annotations.")]
OnlyRecords = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="Only this record; may be repeated. Default: all in the folder."
    ),
]
LearnOfEach = Annotated[
    str, typer.Option(metavar="TIME", help="Learn this much of each record, then judge the rest.")
]
TABLE_WIDTH = 110  # off a terminal, so that the table of beats keeps its columns whole


class ModelByDefault(TyperGroup):
    """`evaluate`: what names no command is meant for `evaluate model`, whose options it lists."""

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401  typer's
        """Write the commands, then the options of the one that needs no name."""
        super().format_options(ctx, formatter)
        with formatter.section("Options of `evaluate model`, for which `evaluate` is enough"):
            records = [option.get_help_record(ctx) for option in self.commands["model"].params]
            formatter.write_dl(  # without the types that typer puts behind an argument's name
                [(one[0].partition(" <")[0], one[1]) for one in records if one is not None]
            )

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  typer's context
        """Put the command's name first where it is left out."""
        named = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        completing = ctx.resilient_parsing and not args  # nothing is typed but the word itself
        return super().parse_args(ctx, args if named or completing else ["model", *args])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:  # noqa: ANN401  typer's
        """Complete the names of the commands, and the options of the one that needs no name."""
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            known = {one.value for one in found}
            of_model = self.commands["model"].shell_complete(ctx, incomplete)
            found += [one for one in of_model if one.value not in known]
        return found


files = typer.Typer()
evaluate = typer.Typer(name="evaluate", cls=ModelByDefault)
files.add_typer(evaluate)


@evaluate.callback()
def evaluate_group() -> None:
    """Measure a model, a beat detector or the learning.

    For whoever wants figures: without a command's name it measures a model.

    \b
    Try: ecg-monitor evaluate --plot losses.png
         ecg-monitor evaluate beats --help
    """


@files.command()
def simulate(
    out: Annotated[
        Path, typer.Argument(metavar="RECORD", help="Path of the record, without suffix.")
    ],
    hours: Annotated[
        float, typer.Option(metavar="HOURS", help="Length of the record in hours.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same bytes.")] = 0,
    anomaly_rate: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Share of anomalous beats, 0 to 1. Default: 0.022, as in chf07."
        ),
    ] = None,
    lead_off_per_hour: Annotated[
        float,
        typer.Option(metavar="RATE", help="How often an hour the leads come off for some seconds."),
    ] = 0.0,
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Events at given times: `night` has one of each within three minutes. Or a TOML "
            "file of [[event]] tables with kind, at_s and for_s.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing record.")
    ] = False,
) -> None:
    """Write a simulated ECG record with annotated beats.

    For trying the monitor without a patient: a WFDB record in the style of chf07, with two leads
    at 250 Hz and its beats annotated in .ecg as N, r, V, S or Q.

    \b
    Try: ecg-monitor simulate day --hours 20
         ecg-monitor replay day --speed 9
    """
    with explained():
        from monitor.sources.simulated import SimulationSettings, write_record
        from monitor.sources.simulated_events import load_scenario

        settings = SimulationSettings(
            hours=hours,
            seed=seed,
            anomaly_rate=anomaly_rate,
            lead_off_per_hour=lead_off_per_hour,
            scenario=() if scenario is None else load_scenario(scenario),
        )
        with progress_bar(f"writing {harmless(out.name, 60)}") as show:
            write_record(out, settings, show, overwrite=overwrite)
        sys.stderr.write(f"wrote {harmless(str(out), 500)}.hea, .dat and .ecg\n")


@files.command()
def convert(
    record: Annotated[str, typer.Argument(metavar="IN", help=ONE_RECORD)],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Path of the WFDB record, without suffix.")
    ],
    leads: Leads = None,
    fs: RateHz = None,
    units: Units = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing record.")
    ] = False,
) -> None:
    """Write any record as a WFDB record.

    For tools that read WFDB alone: ECG leads go to OUT.hea and OUT.dat, in steps of 10 nV. What is
    missing stays missing.

    \b
    Try: ecg-monitor convert night.edf night
    """
    with explained(), ended_by_sigterm():
        from monitor.offline.convert import convert as run
        from monitor.sources.source import SourceOptions

        (path,) = resolved([record])
        options = SourceOptions(leads or None, fs, units)
        with progress_bar("converting") as show:
            done = run(path, out, options, overwrite=overwrite, on_progress=show)
        for warning in done.warnings:
            complain(f"warning: {warning}")
        missing = f", {done.missing_s:.1f} s of it missing" if done.missing_s else ""
        sys.stdout.write(
            f"{harmless(str(out), 500)}: {harmless(named_leads(done.leads), 300)}, "
            f"{done.fs_hz:g} Hz, {done.n_samples / done.fs_hz:.1f} s{missing}\n"
        )


@files.command()
def train(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Model file to write.")],
    records: SomeRecords = None,
    ecg5000: Ecg5000Files = None,
    window: WindowName = None,
    embedding: Annotated[
        int | None,
        typer.Option(metavar="N", help="Values in the embedding of a beat, 1 to 256. Default: 32."),
    ] = None,
    epochs: Epochs = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same seed gives the same weights.")
    ] = 0,
    leads: Leads = None,
    fs: RateHz = None,
    units: Units = None,
    learn: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Use only this much of each record: 5:00 is five minutes. Default: all.",
        ),
    ] = None,
    false_alert_share: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of normal beats, 0 to 1, that the threshold lets through as anomalous. "
            "Default: 0.05 on ECG5000, one beat an hour on records.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write curves, losses, best and worst beats as OUT.html and OUT.png.",
        ),
    ] = None,
    test: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="ECG5000 file to test the model on for the report; may be repeated.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted training.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.")
    ] = False,
) -> None:
    """Train a model on ECG5000 or on your own records.

    For whoever needs another model than the installed one. It learns ECG5000's normal beats, or
    the usual beats of records, for which it needs no labels.

    \b
    Try: ecg-monitor train --ecg5000 ECG5000_TRAIN.txt --out ecg5000.st
         ecg-monitor train mitdb/100 --learn 10:00 --out patient.st
    """
    with explained(), ended_by_sigterm():
        require_torch()
        from monitor.offline.input_files import check_labelled, check_record
        from monitor.offline.output_files import check_writable
        from monitor.offline.training_options import TrainingOptions

        files, named = _files_and_records(ecg5000, records)
        options = TrainingOptions(
            out=out,
            ecg5000=tuple(files),
            records=tuple(named),
            window=window,
            embedding=embedding,
            epochs=epochs,
            seed=seed,
            leads=tuple(leads or ()),
            fs_hz=fs,
            units=units,
            learn_s=learn_seconds(learn),
            false_alert_share=false_alert_share,
            overwrite=overwrite,
            resume=resume,
            tests=tuple(test or ()),
            report=report,
        )
        check_writable(out, overwrite or resume)  # before anything is fetched
        if report is not None:
            check_writable(report, overwrite or resume)
            check_writable(report.with_suffix(".png"), overwrite or resume)
        check_labelled(options.ecg5000 + options.tests)
        if len(named) == 1:  # of several, one that is missing is passed over
            check_record(named[0])
        failed: dict[str, str] = {}
        paths = resolved(named, failed.__setitem__) if named else []
        from monitor.offline.training_run import gather, how_to_go_on, summary_line
        from monitor.offline.training_run import train as run

        options = replace(options, records=tuple(paths))
        opened: list[RecordFile] = []
        with progress_bar("cutting beats") as show:
            beats = gather(options, show, failed.__setitem__, opened.append)
        _report_leads((one.record, one.leads, one.warnings) for one in opened)
        with training_shown("training") as on_epoch:
            trained = run(options, beats, on_epoch)
        if report is not None:
            _report(trained, options)
        if trained.interrupted:
            complain(how_to_go_on(trained, out))
            raise typer.Exit(130)
        sys.stderr.write(f"{harmless(summary_line(trained.checkpoint, out), 500)}\n")
        raise typer.Exit(_passed_over(failed))


def _report(trained: Trained, options: TrainingOptions) -> None:
    from monitor.offline.evaluation.training_report import report_of, write_report
    from monitor.offline.training_run import judged_beats

    if options.report is not None:
        tested = judged_beats(options, trained.fitted)
        title = f"Training of {options.out.name}"
        write_report(report_of(trained.fitted, trained.checkpoint, tested, title), options.report)
        sys.stderr.write(f"wrote {harmless(str(options.report), 500)} and its .png\n")


def _files_and_records(
    ecg5000: list[Path] | None, others: list[str] | None
) -> tuple[list[Path], list[str]]:
    """Return ECG5000 files and records: what follows `--ecg5000 FILE` are more of its kind."""
    if ecg5000:
        return [*ecg5000, *map(Path, others or [])], []
    return [], others or []


@files.command()
def score(
    checkpoint: Annotated[
        Path, typer.Option(metavar="FILE", help="Model file, trained on ECG5000 (window rr).")
    ],
    ecg5000: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="ECG5000 file (.txt, .tsv, .csv, .arff, .ts or no suffix), or its address.",
        ),
    ],
    json: JsonLines = False,
) -> None:
    """Print the loss of each beat of an ECG5000 file.

    For work on a model: each line has the beat's label, its loss and whether it is anomalous.

    \b
    Try: ecg-monitor score --checkpoint ecg5000.st --ecg5000 ECG5000_TEST.txt
    """
    with explained():
        from model.ecg5000 import MAX_FILE_BYTES
        from monitor.offline.address import place
        from monitor.offline.input_files import check_labelled, check_model

        at = place(ecg5000)
        check_model(checkpoint)
        check_labelled([at])
        from monitor.offline.at_hand import file_at_hand
        from monitor.offline.scoring_run import (
            json_lines,
            load_for_ecg5000,
            plain_lines,
            score_file,
        )
        from monitor.offline.scoring_run import summary_line as summarise

        with file_at_hand(at, MAX_FILE_BYTES) as file:
            scored = score_file(load_for_ecg5000(checkpoint), file)
        for line in json_lines(scored) if json else plain_lines(scored):
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        sys.stderr.write(f"{summarise(scored)}\n")


@evaluate.command("model")
def evaluate_model(
    others: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE", help="Further ECG5000 files, after --ecg5000.", show_default=False
        ),
    ] = None,
    ecg5000: Ecg5000Files = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="pooled: train on 85 % of all normal beats, test on the rest (default). "
            "official: train on the first file, test on the others.",
        ),
    ] = None,
    checkpoint: CheckpointPath = None,
    seeds: Annotated[
        int, typer.Option(metavar="N", help="Train this many times, each with another seed.")
    ] = 1,
    epochs: Epochs = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the densities of the losses into this PNG file."),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Compare several model sizes with other kinds of scorers."),
    ] = False,
    peer_steps: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=1_000_000,
            help="With --compare: training steps of the other networks.",
        ),
    ] = 2_000,
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Train N times (2 to 20), so that every normal beat counts for the threshold.",
        ),
    ] = None,
    false_alert_share: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of normal beats meant to lie above the threshold. Default: 0.05.",
        ),
    ] = None,
    json: JsonLines = False,
) -> None:
    """Measure how well a model finds anomalous beats.

    For whoever chooses a model: AUC, recall and false positives. With ECG5000 files and no
    checkpoint, it trains a model on some of their normal beats and tests it on the rest. Without
    files, it tests the model on a simulated record in the style of chf07.

    \b
    Try: ecg-monitor evaluate --plot losses.png
         ecg-monitor evaluate --ecg5000 ECG5000_TRAIN.txt ECG5000_TEST.txt --json
    """
    with explained(), ended_by_sigterm():
        from monitor.offline.evaluation_options import EvaluationOptions
        from monitor.offline.input_files import check_labelled, check_model
        from monitor.offline.output_files import check_replaceable

        files, unknown = _files_and_records(ecg5000, others)
        if unknown:
            raise InvalidOption(
                f"{unknown[0]!r} is no command of evaluate ({_commands_of(evaluate)}); "
                "put --ecg5000 before files"
            )
        options = EvaluationOptions(
            tuple(files),
            protocol,
            checkpoint,
            seeds,
            epochs,
            plot,
            compare,
            peer_steps,
            folds,
            false_alert_share,
        )
        if options.trains:
            require_torch()
        check_labelled(options.ecg5000)
        check_model(checkpoint)
        if plot is not None:
            check_replaceable(plot)
        from monitor.offline.evaluation_run import run, run_comparison, to_text

        if compare:
            from monitor.offline.evaluation.comparison import to_json_line, to_table

            with progress_bar("comparing") as show:
                if json:  # as they come: the whole takes its time
                    run_comparison(options, show, lambda row: _write_now(to_json_line(row)))
                else:
                    sys.stdout.write(to_table(run_comparison(options, show)))
            return
        with training_shown("evaluating", n_trainings=options.n_trainings) as on_epoch:
            reports = run(options, on_epoch)
        sys.stdout.write(to_text(reports, as_json=json))
        sys.stdout.flush()


def _write_now(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


@evaluate.command("beats")
def evaluate_beats(
    ref_dir: Annotated[
        Path,
        typer.Argument(metavar="REF_DIR", help="Folder of the reference annotations and headers."),
    ],
    det_dir: Annotated[
        Path, typer.Argument(metavar="DET_DIR", help="Folder of the detected beats.")
    ],
    ref_ext: RefExt = "atr",
    det_ext: Annotated[
        str, typer.Option(metavar="EXT", help="Suffix of the detected beats.")
    ] = "qrs",
    start: Annotated[
        str, typer.Option(metavar="TIME", help="Where the test period of each record begins.")
    ] = "5:00",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table to this CSV file too.")
    ] = None,
) -> None:
    """Compare detected beats with reference annotations.

    For whoever judges a beat detector, this one or another: sensitivity and positive predictivity
    of each record by the rules of ANSI/AAMI EC57.

    \b
    Try: ecg-monitor annotate mitdb --out found
         ecg-monitor evaluate beats mitdb found
    """
    with explained():
        from monitor.offline.input_files import annotated

        for folder, extension in ((ref_dir, ref_ext), (det_dir, det_ext)):  # at once, if not there
            annotated(folder, extension)
        from monitor.offline.evaluation.beats_report import evaluate_beats as compare
        from monitor.offline.evaluation.beats_report import to_csv, to_json, to_table

        report = compare(ref_dir, det_dir, ref_ext, det_ext, parse_duration(start, "--start"))
        if csv is not None:
            _write(csv, to_csv(report))
        if json:
            sys.stdout.write(f"{to_json(report)}\n")
        else:
            Console(width=None if sys.stdout.isatty() else TABLE_WIDTH).print(to_table(report))
        if report.not_detected:
            names = harmless(", ".join(report.not_detected), 500)
            sys.stderr.write(f"without detections, so left out of all figures: {names}\n")
        if report.without_reference:
            names = harmless(", ".join(report.without_reference), 500)
            sys.stderr.write(
                "without a reference beat to compare with, so left out of gross and average: "
                f"{names}\n"
            )
        raise typer.Exit(_passed_over(report.failed))


@evaluate.command("patients")
def evaluate_patients(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of records and their annotations, or its address (s3://bucket/folder).",
        ),
    ],
    ref_ext: RefExt = "atr",
    record: OnlyRecords = None,
    learn: LearnOfEach = "5:00",
    false_alerts: FalseAlerts = 1.0,
    checkpoint: CheckpointPath = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Learn without a model to start from.")
    ] = False,
    leave_one_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-out",
            help="Judge each record by evidence that was weighed on the labels of all others.",
        ),
    ] = False,
    verdict: VerdictChoice = "evidence",
    start: Annotated[
        str,
        typer.Option(
            "--from", metavar="TIME", help="Compare from this time of each record on, not before."
        ),
    ] = "0:00",
    by_quarter: Annotated[
        bool, typer.Option("--by-quarter", help="Show figures by the quarter of an hour, too.")
    ] = False,
    jobs: Jobs = None,
    dask: Dask = None,
    shard: ShardText = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    markdown: Markdown = False,
) -> None:
    """Measure how well learning one patient works.

    For whoever wants to know what --learn brings: it learns each record's first minutes without
    labels, judges the rest, and compares verdicts and alerts with the annotations. Evidence that
    ships was weighed on 22 records of mitdb: with --leave-one-out none of them judges itself.

    \b
    Try: ecg-monitor evaluate patients mitdb --record 106 --record 119
         ecg-monitor evaluate patients mitdb --leave-one-out --json
    """
    with explained(), ended_by_sigterm():
        require_torch()
        from monitor.offline.address import place
        from monitor.offline.input_files import check_folder, check_model

        at = place(folder)
        check_folder(at, record or ())
        check_model(checkpoint)
        workers = workers_for("monitor.offline.patients_run", jobs, dask)
        from monitor.offline.evaluation.patients_report import BY_VERDICT, sheets, to_json
        from monitor.offline.leave_one_out import BY_OTHERS
        from monitor.offline.patients_run import PatientsOptions, run

        options = PatientsOptions(
            folder=at,
            records=tuple(record or ()),
            learn_s=learn_seconds(learn) or 0.0,
            false_alerts_per_hour=false_alerts,
            checkpoint=checkpoint,
            from_scratch=from_scratch,
            workers=workers,
            shard=part_asked_for(shard),
            ref_ext=ref_ext,
            from_s=parse_duration(start, "--from"),
            verdict=parse_verdict(verdict),
            leave_one_out=leave_one_out,
        )
        with _judging_shown() as tell:
            results = run(options, tell, complain)
        judged_by = BY_OTHERS if leave_one_out else BY_VERDICT[options.verdict]
        if json:
            sys.stdout.write(f"{to_json(results, judged_by)}\n")
        else:
            _show(sheets(results, judged_by, by_quarter=by_quarter), markdown=markdown)
        _report_leads((one.record, one.leads, one.warnings) for one in results if one.leads)
        failed = {one.record: one.note for one in results if one.figures is None}
        raise typer.Exit(_passed_over(failed))


@evaluate.command("noise")
def evaluate_noise(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Folder of noisy records: 118e24, 118e_6, …")
    ],
    ref_ext: RefExt = "atr",
    record: OnlyRecords = None,
    learn: LearnOfEach = "5:00",
    false_alerts: FalseAlerts = 1.0,
    verdict: VerdictChoice = "evidence",
    checkpoint: CheckpointPath = None,
    jobs: Jobs = None,
    dask: Dask = None,
    shard: ShardText = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    markdown: Markdown = False,
) -> None:
    """Measure how many false alerts noise raises.

    For whoever wants to know what a loose electrode does: records of the MIT-BIH Noise Stress Test
    Database, whose names say how strong the noise is, are learnt on their first five minutes, which
    are clean, and judged in the noise that follows.

    \b
    Try: ecg-monitor evaluate noise nstdb
         ecg-monitor evaluate noise nstdb --record 118e06 --json
    """
    with explained(), ended_by_sigterm():
        require_torch()
        from monitor.offline.address import place
        from monitor.offline.input_files import check_folder, check_model

        at = place(folder)
        check_folder(at, record or ())
        check_model(checkpoint)
        workers = workers_for("monitor.offline.noise_run", jobs, dask)
        from monitor.offline.evaluation.noise_report import sheet, to_json
        from monitor.offline.noise_run import run
        from monitor.offline.patients_run import PatientsOptions

        options = PatientsOptions(
            folder=at,
            records=tuple(record or ()),
            learn_s=learn_seconds(learn) or 0.0,
            false_alerts_per_hour=false_alerts,
            checkpoint=checkpoint,
            verdict=parse_verdict(verdict),
            workers=workers,
            shard=part_asked_for(shard),
            ref_ext=ref_ext,
        )
        with _judging_shown() as tell:
            results = run(options, tell)
        if json:
            sys.stdout.write(f"{to_json(results)}\n")
        else:
            _show([sheet(results)], markdown=markdown)
        _report_leads((one.record, one.leads, one.warnings) for one in results if one.leads)
        failed = {one.record: one.note for one in results if one.noisy is None}
        raise typer.Exit(_passed_over(failed))


def _commands_of(group: typer.Typer) -> str:
    return ", ".join(one.name for one in group.registered_commands if one.name is not None)


@evaluate.command("alarms")
def evaluate_alarms(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER", help="Folder of records of the PhysioNet/CinC Challenge 2015."
        ),
    ],
    record: OnlyRecords = None,
    jobs: Jobs = None,
    dask: Dask = None,
    shard: ShardText = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure named alarms on true and false alarms of intensive care.

    For whoever wants to know which alarms to trust: each record holds five minutes before the
    alarm of a bedside monitor. Counted is whether the same alarm is on within the last 10 s.

    \b
    Try: ecg-monitor evaluate alarms challenge-2015/training
    """
    with explained(), ended_by_sigterm():
        from monitor.offline.address import place
        from monitor.offline.input_files import check_folder

        at = place(folder)
        check_folder(at, record or ())
        workers = workers_for("monitor.offline.alarms_run", jobs, dask)
        from monitor.offline.alarms_run import AlarmsOptions, run
        from monitor.offline.evaluation.alarms_report import to_json, to_table

        with progress_bar("judging alarms") as show:
            results = run(
                AlarmsOptions(at, tuple(record or ()), workers, part_asked_for(shard)),
                lambda done, n, of: show(n / of, harmless(done.record, 60)),
            )
        if json:
            sys.stdout.write(f"{to_json(results)}\n")
        else:
            Console(width=None if sys.stdout.isatty() else TABLE_WIDTH).print(to_table(results))
        raise typer.Exit(_passed_over({one.record: one.note for one in results if one.note}))


@contextmanager
def _judging_shown() -> Iterator[Callable[[str, int, int], None]]:
    """Show how many records were judged while the block lasts."""
    with progress_bar("learning") as show:
        yield lambda name, n, of: show(n / of, f"judged {harmless(name, 60)}")


def _show(sheets: Sequence[Sheet], *, markdown: bool) -> None:
    """Print tables: for people, or as Markdown for a page."""
    from monitor.offline.evaluation.patients_report import to_markdown, to_tables

    if markdown:
        sys.stdout.write(to_markdown(sheets))
    else:
        Console(width=None if sys.stdout.isatty() else PATIENTS_WIDTH).print(to_tables(sheets))


def _report_leads(records: Iterable[tuple[str, tuple[str, ...], tuple[str, ...]]]) -> None:
    """Report which leads of each record were read, and what is wrong with the record."""
    from monitor.run.leads import lead_rows

    known = list(records)
    for row in lead_rows({record: leads for record, leads, _ in known}):
        sys.stderr.write(f"{harmless(row, 500)}\n")
    for warning in (warning for _, _, warnings in known for warning in warnings):
        complain(f"warning: {warning}")


def _passed_over(failed: Mapping[str, str]) -> int:
    """Say why records were passed over; return the exit code: 1 if any was."""
    for name, reason in failed.items():
        complain(reason if Path(name).name in reason else f"record {name}: {reason}")
    return 1 if failed else 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise InvalidOption(f"cannot write {path}: {error.strerror}; choose another") from error


@files.command()
def annotate(
    records: Annotated[
        list[str],
        typer.Argument(
            metavar="RECORD",
            help="Records (files, or PhysioNet names), or folders of WFDB records; a folder "
            "without any stands for the folders in it. Addresses (s3://bucket/folder) too.",
        ),
    ],
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Folder for the annotations; made if missing.")
    ],
    leads: Leads = None,
    fs: RateHz = None,
    units: Units = None,
    window: WindowName = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Model file. Default: beats are not judged and no .alm is written, "
            "unless --learn is given.",
        ),
    ] = None,
    learn: Learn = None,
    verdict: VerdictChoice = "evidence",
    jobs: Jobs = None,
    dask: Dask = None,
    shard: ShardText = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Annotate again what an earlier run with the same options finished."
        ),
    ] = False,
) -> None:
    """Write WFDB annotations of the beats in records.

    For archives: beats go to .qrs, and with a model anomalous beats go to .alm. A run that was
    stopped continues when it is started again; it skips the records that are finished.

    \b
    Try: ecg-monitor annotate mitdb/100 mitdb/119 --learn 5:00 --out found
    """
    with explained(), ended_by_sigterm():
        if learn is not None:
            require_torch()
        is_one = len(records) == 1 and not Path(records[0]).is_dir()
        if is_one and not dask and checkpoint is None and learn is None:
            jobs = 1  # nothing is judged beside finding the beats
        from monitor.offline.address import place
        from monitor.offline.input_files import check_model, check_record
        from monitor.offline.output_files import check_out_folder

        if len(records) == 1:  # of several, one that is missing does not keep the others
            check_record(records[0])
        check_model(checkpoint)
        to = place(out)
        check_out_folder(to)
        workers = workers_for("monitor.offline.annotate", jobs, dask, one_record=is_one)
        from monitor.offline.annotate import Annotated as Outcome
        from monitor.offline.annotate import annotate_records

        failed: dict[str, str] = {}
        named = _records_and_places(records, failed)
        with progress_bar("annotating") as show:
            results = annotate_records(
                named,
                to,
                tuple(leads or ()),
                None if window is None else BeatSpec.from_mapping({"window": window}),
                workers,
                checkpoint,
                learn_seconds(learn),
                again,
                lambda done, n_done, n_all: show(n_done / n_all, harmless(done.record, 60)),
                parse_verdict(verdict),
                part_asked_for(shard),
                fs,
                units,
            )
        results += [Outcome(name, error=reason) for name, reason in failed.items()]
        raise typer.Exit(_outcome(results, str(to)))


def _outcome(results: list[Outcome], out: str) -> int:
    """Say what became of each record; return the exit code: 1 if some failed, 2 if all did."""
    failed = [one for one in results if one.error is not None]
    for one in results:
        if one.error is None:
            anomalous = "" if one.n_anomalies is None else f", {one.n_anomalies:,} anomalous"
            sys.stdout.write(
                f"{harmless(one.record)}: {harmless(named_leads(one.leads), 300)}, "
                f"{counted(one.n_beats, 'beat', ',')}, {one.n_withheld:,} of them without a verdict"
                f"{anomalous}"
                f"{', done before' if one.was_done else ''}\n"
            )
    sys.stdout.flush()
    for warning in (warning for one in results for warning in one.warnings):
        complain(f"warning: {warning}")
    for one in failed:
        name = Path(one.record).name
        complain(str(one.error) if name in str(one.error) else f"record {name}: {one.error}")
    n_before = sum(one.was_done for one in results)
    if len(failed) < len(results):
        before = f"; {n_before} were done before (--again does them anew)" if n_before else ""
        n_written = len(results) - len(failed) - n_before
        sys.stderr.write(f"wrote {n_written} of {len(results)} to {harmless(out, 500)}{before}\n")
    return 0 if not failed else 1 if len(failed) < len(results) else 2


def _records_and_places(names: list[str], failed: dict[str, str]) -> list[str | Address]:
    """Return paths: of the records named, fetched where need be, of folders, and addresses.

    Why one cannot be fetched is put into `failed`, by its name; if none can be, it is an error.
    """
    from monitor.offline.address import Address, place

    paths: list[str | Address] = []
    for name in names:
        found = place(name)
        if isinstance(found, Address):
            paths.append(found)
            continue
        try:
            paths += records_and_folders([name], failed)
        except DownloadError as error:
            failed[name] = str(error)
    if not paths:
        raise DownloadError(next(iter(failed.values())))
    return paths
