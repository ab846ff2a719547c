"""The commands on data at rest: simulate, train, score, evaluate, annotate."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from model.libraries import require_torch
from monitor.cli.error_messages import complain, explained
from monitor.cli.options import (
    CheckpointPath,
    Ecg5000Files,
    Epochs,
    FalseAlerts,
    JsonLines,
    Lead,
    Learn,
    SomeRecords,
    WindowName,
)
from monitor.cli.progress import progress_bar, resolved, training_shown
from monitor.errors import InvalidOption
from monitor.interrupts import ended_by_sigterm
from monitor.offline.workers import prepare_workers
from monitor.settings import parse_duration, parse_optional_duration
from monitor.text import harmless
from segmenter.beat import BeatSpec

if TYPE_CHECKING:
    from monitor.offline.annotate import Annotated as Outcome
    from monitor.offline.training_run import Trained, TrainingOptions

PATIENTS_WIDTH = 140
TABLE_WIDTH = 110  # off a terminal, so that the table of beats keeps its columns whole


class ModelByDefault(TyperGroup):
    """`evaluate`: what names no command is meant for `evaluate model`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  typer's context
        """Put the command's name first where it is left out."""
        named = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else ["model", *args])


files = typer.Typer()
evaluate = typer.Typer(
    name="evaluate",
    help="Judge a model (which is what `evaluate` alone does) or a beat detector.\n\n"
    "Try: ecg-monitor evaluate --plot losses.png",
    cls=ModelByDefault,
)
files.add_typer(evaluate)


@files.command()
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


@files.command()
def train(
    out: Annotated[Path, typer.Option(help="The checkpoint to write.")],
    records: SomeRecords = None,
    ecg5000: Ecg5000Files = None,
    window: WindowName = None,
    embedding: Annotated[
        int | None, typer.Option(help="Size of the embedding, 1 to 256; default: 32.")
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
    report: Annotated[
        Path | None,
        typer.Option(help="Write curves, losses, best and worst beats: OUT.html, and OUT.png."),
    ] = None,
    test: Annotated[
        list[Path] | None,
        typer.Option(help="ECG5000 file to judge the model on in the report; may be repeated."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted training.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Train a model on ECG5000's normal beats, or on the usual beats of records.

    Try: ecg-monitor train --ecg5000 ECG5000_TRAIN.txt --out ecg5000.st, or
    ecg-monitor train mitdb/100 --learn 10:00 --out patient.st
    """
    with explained(), ended_by_sigterm():
        require_torch()
        from monitor.offline.training_run import (
            TrainingOptions,
            check_writable,
            gather,
            how_to_go_on,
            summary_line,
        )
        from monitor.offline.training_run import train as run

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
            learn_s=parse_optional_duration(learn, "--learn"),
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
        options = replace(options, records=tuple(resolved(named) if named else ()))
        with progress_bar("cutting beats") as show:
            beats = gather(options, show)
        with training_shown("training") as on_epoch:
            trained = run(options, beats, on_epoch)
        if report is not None:
            _report(trained, options)
        if trained.interrupted:
            complain(how_to_go_on(trained, out))
            raise typer.Exit(130)
        sys.stderr.write(f"{harmless(summary_line(trained.checkpoint, out), 500)}\n")


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
    checkpoint: Annotated[Path, typer.Option(help="Model file of the window rr.")],
    ecg5000: Annotated[Path, typer.Option(help="ECG5000 file (.txt, .tsv, .arff, .ts).")],
    json: JsonLines = False,
) -> None:
    """Print label and loss of each beat of an ECG5000 file, and whether it is anomalous.

    Try: ecg-monitor score --checkpoint ecg5000.st --ecg5000 ECG5000_TEST.txt
    """
    with explained():
        from monitor.offline.scoring_run import (
            json_lines,
            load_for_ecg5000,
            plain_lines,
            score_file,
        )
        from monitor.offline.scoring_run import summary_line as summarise

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
    compare: Annotated[
        bool, typer.Option("--compare", help="Set several sizes beside other scorers.")
    ] = False,
    peer_steps: Annotated[
        int,
        typer.Option(min=1, max=1_000_000, help="With --compare: steps of others' networks."),
    ] = 2_000,
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
        from monitor.offline.evaluation_run import EvaluationOptions, run, run_comparison, to_text

        files, unknown = _files_and_records(ecg5000, others)
        if unknown:
            raise InvalidOption(
                f"{unknown[0]!r} is neither model nor beats; put --ecg5000 before files"
            )
        options = EvaluationOptions(
            tuple(files), protocol, checkpoint, seeds, epochs, plot, compare, peer_steps
        )
        if options.trains:
            require_torch()
        if compare:
            from monitor.offline.evaluation.comparison import to_json_line, to_table

            with progress_bar("comparing") as show:
                if json:  # as they come: the whole takes its time
                    run_comparison(options, show, lambda row: _write_now(to_json_line(row)))
                else:
                    sys.stdout.write(to_table(run_comparison(options, show)))
            return
        with training_shown("evaluating") as on_epoch:
            reports = run(options, on_epoch)
        sys.stdout.write(to_text(reports, as_json=json))
        sys.stdout.flush()


def _write_now(text: str) -> None:
    sys.stdout.write(text)
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
            sys.stderr.write(f"without detections, and in no figure: {names}\n")


@evaluate.command("patients")
def evaluate_patients(
    folder: Annotated[Path, typer.Argument(help="Folder of records and their annotations.")],
    ref_ext: Annotated[str, typer.Option(help="Suffix of the references.")] = "atr",
    record: Annotated[
        list[str] | None, typer.Option(help="Only this record; may be given several times.")
    ] = None,
    learn: Annotated[str, typer.Option(help="Learn so much of each record.")] = "5:00",
    false_alerts: FalseAlerts = 1.0,
    checkpoint: CheckpointPath = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Begin the learning with no checkpoint.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(help="Processes; default: one a core.")] = None,
    json: Annotated[bool, typer.Option("--json", help="A JSON object on stdout.")] = False,
) -> None:
    """Learn each record's first minutes without labels, judge the rest, compare.

    Records of an even number are for development; choices are made on them alone.

    Try: ecg-monitor evaluate patients mitdb --record 106 --record 119
    """
    with explained(), ended_by_sigterm():
        require_torch()
        prepare_workers("monitor.offline.patients_run", jobs)
        from monitor.offline.evaluation.patients_report import to_json, to_table
        from monitor.offline.patients_run import PatientsOptions, run

        options = PatientsOptions(
            folder=folder,
            records=tuple(record or ()),
            learn_s=parse_duration(learn, "--learn"),
            false_alerts_per_hour=false_alerts,
            checkpoint=checkpoint,
            from_scratch=from_scratch,
            jobs=jobs,
            ref_ext=ref_ext,
        )
        with progress_bar("learning") as show:
            results = run(
                options, lambda done, n, of: show(n / of, f"learnt {harmless(done.record, 60)}")
            )
        if json:
            sys.stdout.write(f"{to_json(results)}\n")
        else:
            width = None if sys.stdout.isatty() else PATIENTS_WIDTH
            Console(width=width).print(to_table(results))
        for one in results:
            if one.figures is None:
                complain(f"record {one.record}: {one.note}")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise InvalidOption(f"cannot write {path}: {error.strerror}; choose another") from error


@files.command()
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
    again: Annotated[
        bool, typer.Option("--again", help="Do what was done with the same options anew, too.")
    ] = False,
) -> None:
    """Write the beats of records as WFDB annotations (.qrs); with a model, anomalies too (.alm).

    A run that was stopped goes on where it was: records that are done are passed over.

    Try: ecg-monitor annotate mitdb/100 mitdb/119 --learn 5:00 --out found
    """
    with explained(), ended_by_sigterm():
        if learn is not None:
            require_torch()
        if len(records) > 1 or Path(records[0]).is_dir():
            prepare_workers("monitor.offline.annotate", jobs)
        from monitor.offline.annotate import annotate_records

        with progress_bar("annotating") as show:
            results = annotate_records(
                _records_and_folders(records),
                out,
                lead,
                None if window is None else BeatSpec.from_mapping({"window": window}),
                jobs,
                checkpoint,
                parse_optional_duration(learn, "--learn"),
                again,
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
                f"without a verdict{anomalous}{', done before' if one.was_done else ''}\n"
            )
    sys.stdout.flush()
    for one in failed:
        name = Path(one.record).name
        complain(str(one.error) if name in str(one.error) else f"record {name}: {one.error}")
    n_before = sum(one.was_done for one in results)
    if len(failed) < len(results):
        before = f"; {n_before} were done before (--again does them anew)" if n_before else ""
        n_written = len(results) - len(failed) - n_before
        sys.stderr.write(f"wrote {n_written} of {len(results)} to {out}{before}\n")
    return 0 if not failed else 1 if len(failed) < len(results) else 2


def _records_and_folders(names: list[str]) -> list[str]:
    """Return paths: of the records named, fetched where need be, and of folders as they are."""
    return [name if Path(name).is_dir() else resolved([name])[0] for name in names]
