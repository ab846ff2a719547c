"""`ecg-monitor report`: journals and records in, one page out, and with it a PDF."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from model.checkpoint import write_atomically
from monitor.errors import InvalidOption, MonitorError
from monitor.journal.reader import is_journal
from monitor.offline.chosen_records import with_those_of_folders
from monitor.offline.report.journaled_nights import journaled_nights, most_drawn_of
from monitor.offline.report.judged_nights import NoNight, RecordTask, gave_up, night_or_why
from monitor.offline.report.night import Night
from monitor.offline.report.night_page import report_page
from monitor.offline.report.pdf import print_pdf
from monitor.offline.workers import Workers, run_tasks
from monitor.settings import VerdictBy
from monitor.sources.source import SourceOptions


@dataclass(frozen=True)
class ReportOptions:
    """What `ecg-monitor report` was asked for.

    Attributes
    ----------
    sources : tuple of str
        Journals, records, and folders of records.
    records : tuple of Path
        Records that a journal's run monitored.
    said : SourceOptions
        Leads, rate and unit of the records.
    checkpoint, learn_s, verdict
        How records are judged.
    workers : Workers
        Where they are.
    """

    sources: tuple[str, ...]
    records: tuple[Path, ...] = ()
    said: SourceOptions = SourceOptions()  # noqa: RUF009  frozen
    checkpoint: Path | None = None
    learn_s: float | None = None
    verdict: VerdictBy = "evidence"
    workers: Workers = Workers()  # noqa: RUF009  frozen


def gathered(
    options: ReportOptions, tell: Callable[[str, int, int], None]
) -> tuple[list[Night], list[NoNight]]:
    """Return the nights of journals and records, and what could not be read.

    Raises
    ------
    InvalidOption
        If nothing could be read, or options do not fit the sources.
    """
    journals = [Path(one) for one in options.sources if is_journal(Path(one))]
    if options.records and not journals:
        raise InvalidOption(
            "--record adds the signal to a journal's report, and no journal is given; "
            "name the file that --journal named"
        )
    names, empty = with_those_of_folders(
        one for one in options.sources if not is_journal(Path(one))
    )
    failed = [NoNight(name, why) for name, why in empty.items()]
    nights: list[Night] = []
    many = most_drawn_of(len(names) + len(journals))
    for path in journals:
        try:
            said = SourceOptions(fs_hz=options.said.fs_hz, units=options.said.units)
            most = None if len(options.sources) == 1 else many
            nights += journaled_nights(path, options.records, said, most)
        except InvalidOption:
            raise
        except MonitorError as error:
            failed.append(NoNight(str(path), str(error)))
    tasks = [
        RecordTask(name, options.said, options.checkpoint, options.learn_s, options.verdict, many)
        for name in names
    ]

    def told(one: Night | NoNight, n_done: int, n_all: int) -> None:
        tell(one.source, n_done, n_all)

    results = run_tasks(night_or_why, tasks, options.workers, told, gave_up)
    nights += [one for one in results if isinstance(one, Night)]
    failed += [one for one in results if isinstance(one, NoNight)]
    if not nights:
        why = "; ".join(f"{one.source}: {one.why}" for one in failed[:3])
        raise InvalidOption(why or "nobody was monitored in this journal: there is no night")
    return nights, failed


def write_report(
    nights: list[Night],
    failed: list[NoNight],
    page: Path,
    pdf: Path | None,
    browser: str,
    made: str,
) -> list[Path]:
    """Write the page and, if asked for, its PDF; return what was written."""
    write_atomically(page, report_page(nights, failed, made).encode())
    if pdf is None:
        return [page]
    print_pdf(page, pdf, browser)
    return [page, pdf]


def not_fetched(why: Mapping[str, str]) -> list[NoNight]:
    """Return records that could not be fetched, by name, as what could not be read."""
    return [NoNight(name, reason) for name, reason in why.items()]
