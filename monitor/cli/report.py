"""The command that makes a page of a night: report."""

# ruff: noqa: D301  the \b before an example keeps its lines as they are

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from model.libraries import require_torch
from monitor.cli.error_messages import explained
from monitor.cli.options import (
    CheckpointPath,
    Leads,
    Learn,
    RateHz,
    Units,
    VerdictChoice,
    learn_seconds,
)
from monitor.cli.progress import progress_bar, records_and_folders, resolved
from monitor.cli.worker_options import Dask, Jobs, workers_for
from monitor.interrupts import ended_by_sigterm
from monitor.settings import parse_verdict
from monitor.text import harmless

reports = typer.Typer()
SOME_FAILED = 1  # exit code


@reports.command()
def report(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="JOURNAL|RECORD",
            help="Files that --journal named, records (files, or PhysioNet names), or folders of "
            "WFDB records. Of several, the page begins with a table, worst first.",
        ),
    ],
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="Page to write.")],
    pdf: Annotated[
        bool,
        typer.Option(
            "--pdf",
            help="Print it, too, beside the page: needs Chromium or Chrome on this machine.",
        ),
    ] = False,
    record: Annotated[
        list[str] | None,
        typer.Option(
            "--record",
            metavar="RECORD",
            help="A record that a journal's run monitored: the heart rate of the whole night, and "
            "the signal around named alarms, are read from it. Several times for several.",
        ),
    ] = None,
    leads: Leads = None,
    fs: RateHz = None,
    units: Units = None,
    checkpoint: CheckpointPath = None,
    learn: Learn = None,
    verdict: VerdictChoice = "evidence",
    jobs: Jobs = None,
    dask: Dask = None,
) -> None:
    """Write a page of a night: how readable, what alarms, which beats, who has seen what.

    For whoever reads a night in the morning. The page needs no network and no other file. A journal
    is read as it is; a record is judged first, as `replay` judges it.

    \b
    Try: ecg-monitor report night.sqlite --html night.html
         ecg-monitor report night.sqlite --record night --html night.html --pdf
         ecg-monitor report mitdb/100 mitdb/119 --learn 5:00 --html cohort.html
    """
    with explained(), ended_by_sigterm():
        from monitor.journal.reader import is_journal

        if learn is not None:
            require_torch()
        to_judge = [one for one in sources if not is_journal(Path(one))]
        is_one = len(to_judge) <= 1 and not any(Path(one).is_dir() for one in to_judge)
        from monitor.offline.input_files import check_model, check_record
        from monitor.offline.report.pdf import check_outputs

        beside, browser = check_outputs(html, pdf=pdf)
        check_model(checkpoint)
        if len(sources) == len(to_judge) == 1:  # of several, one that is missing is left out
            check_record(sources[0])
        module = "monitor.offline.report.judged_nights"
        workers = workers_for(module, jobs if to_judge or dask else 1, dask, one_record=is_one)
        from monitor.offline.report.report_run import (
            ReportOptions,
            gathered,
            not_fetched,
            write_report,
        )
        from monitor.settings import wall_time_text
        from monitor.sources.source import SourceOptions

        lost: dict[str, str] = {}
        options = ReportOptions(
            sources=(
                *(one for one in sources if one not in to_judge),
                *(records_and_folders(to_judge, lost) if to_judge else ()),
            ),
            records=tuple(Path(resolved([one])[0]) for one in record or ()),
            said=SourceOptions(leads=leads, fs_hz=fs, units=units),
            checkpoint=checkpoint,
            learn_s=learn_seconds(learn),
            verdict=parse_verdict(verdict),
            workers=workers,
        )
        with progress_bar("judging") as show:
            nights, failed = gathered(
                options, lambda name, n, n_all: show(n / n_all, harmless(name, 60))
            )
        failed += not_fetched(lost)
        made = f"{wall_time_text(datetime.now(UTC))[:16].replace('T', ' ')} UTC"
        written = write_report(nights, failed, html, beside, browser, made)
        for one in failed:
            sys.stderr.write(f"left out {harmless(one.source, 200)}: {harmless(one.why, 500)}\n")
        names = " and ".join(map(str, written))
        sys.stderr.write(f"wrote {harmless(names, 500)}\n")
        if failed:
            raise typer.Exit(SOME_FAILED)
