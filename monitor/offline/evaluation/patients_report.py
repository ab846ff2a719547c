"""The report of `evaluate patients`: as tables for people, as Markdown for a page, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from monitor.offline.evaluation.patient_figures import (
    MANY,
    PatientResult,
    average,
    averages,
    quarter_averages,
)
from monitor.text import harmless

PROTOCOL = "AAMI N against S, V, F, Q; beats matched within 150 ms"
BY_EVIDENCE = "the evidence that ships, weighed on 22 records of MIT-BIH (they may be these)"
BY_VERDICT = {
    "evidence": BY_EVIDENCE,
    "loss": "the bare loss, over the record's own threshold",
}
VERDICTS = {
    "f1": "F1", "precision": "prec.", "recall": "recall", "recall_s": "S", "recall_v": "V",
    "onsets_per_hour": "onsets/h", "false_onsets_per_hour": "false/h",
    "false_alerts_per_hour": "beats/h", "false_episodes_per_hour": "runs/h",
    "recall_at_target": "at target", "unjudged": "unjudged", "unjudged_anomalous": "of SVFQ",
    "families": "fam.", "n_normal": "N", "n_anomalous": "SVFQ",
}  # fmt: skip
RANKING = {
    "auc": "AUC", "auc_s": "S", "auc_v": "V", "auc_loss": "loss", "auc_loss_s": "S loss",
    "auc_unlabelled": "5-NN", "auc_labelled": "5-NN N", "auc_svm": "SVM", "auc_forest": "forest",
}  # fmt: skip
QUARTERS = {
    "recall": "recall", "recall_s": "S", "recall_v": "V", "precision": "prec.",
    "false_onsets_per_hour": "false/h", "n_normal": "N", "n_anomalous": "SVFQ",
}  # fmt: skip

Row = tuple[str, Sequence[str]]


class Sheet(NamedTuple):
    """A table before it is drawn: rows of records, then those of averages."""

    title: str
    caption: str
    headings: Sequence[str]
    rows: Sequence[Row]
    averages: Sequence[Row]


def sheets(
    results: Sequence[PatientResult], judged_by: str = BY_EVIDENCE, *, by_quarter: bool = False
) -> list[Sheet]:
    """Return the report's tables: verdicts and alerts, then the ranking, then the quarters."""
    made = [
        _sheet(
            results,
            VERDICTS,
            f"Verdicts and alerts, one patient at a time; judged by {judged_by}",
            f"{PROTOCOL}. F1, precision and recall of the beats, recall of S and of V; alerts "
            "begun an hour, and those that hold no anomalous beat; normal beats marked an hour, "
            "and runs of them; recall at a threshold that meets the target, chosen with labels; "
            "share of the reference beats without a verdict, and of the anomalous ones. "
            f"{_many(results)}{_worst(results)}",
        ),
        _sheet(
            results,
            RANKING,
            "Ranking: area under the ROC curve",
            "The verdict's, of its S and V beats; the bare loss, of its S beats. Peers that learnt "
            "the same minutes: five nearest neighbours, unlabelled and of beats labelled N; "
            "one-class SVM; isolation forest",
        ),
    ]
    return [*made, _quarters(results)] if by_quarter else made


def _many(results: Sequence[PatientResult]) -> str:
    mean = average(results, "mean")[f"f1_{MANY}"]
    said = "-" if math.isnan(mean) else f"{mean:.3f}"
    return f"Mean F1 of the records with {MANY} and more anomalous beats (f1_{MANY}): {said}"


def _worst(results: Sequence[PatientResult]) -> str:
    """Return which record has the most false alerts; an average hides it."""
    rates = [
        (one.figures.false_onsets_per_hour, one.record)
        for one in results
        if one.figures is not None
    ]
    rate, record = max(rates, default=(0.0, ""))
    return f". Most false alerts begun an hour: {rate:.1f} ({record})" if rate else ""


def _sheet(
    results: Sequence[PatientResult], columns: Mapping[str, str], title: str, caption: str
) -> Sheet:
    """Make a table of some figures; a column without a value in any record is left out."""
    rows = [(one.record, None if one.figures is None else asdict(one.figures)) for one in results]
    told = {
        name: heading
        for name, heading in columns.items()
        if any(row is not None and not math.isnan(row[name]) for _, row in rows)
    }
    return Sheet(
        title,
        caption,
        list(told.values()),
        [(name, list(_cells(row, told))) for name, row in rows],
        [(name, list(_cells(row, told))) for name, row in averages(results).items()],
    )


def _quarters(results: Sequence[PatientResult]) -> Sheet:
    rows: list[Row] = []
    for row in quarter_averages(results):
        numbers = {name: float(row[name]) for name in QUARTERS}
        span = f"{float(row['start_s']) / 60:.0f} to {float(row['stop_s']) / 60:.0f} min"
        rows.append((f"{span}, {row['statistic']}", list(_cells(numbers, QUARTERS))))
    caption = "Each record's figures in that quarter of an hour, then mean and median over records"
    return Sheet("By the quarter of an hour", caption, list(QUARTERS.values()), [], rows)


def to_tables(made: Sequence[Sheet]) -> Group:
    """Return tables as Rich draws them."""
    return Group(*map(_table, made))


def _table(sheet: Sheet) -> Table:
    table = Table(title=sheet.title, caption=sheet.caption)
    table.add_column("record", no_wrap=True)
    for heading in sheet.headings:
        table.add_column(heading, justify="right")
    for name, cells in sheet.rows:
        table.add_row(Text(harmless(name)), *cells)
    table.add_section()
    for name, cells in sheet.averages:
        table.add_row(name, *cells, style="bold")
    return table


def to_markdown(made: Sequence[Sheet]) -> str:
    """Return tables as Markdown, for a page: what they are, averages first, then each record."""
    return "\n".join(map(_markdown, made))


def _markdown(sheet: Sheet) -> str:
    lines = [["record", *sheet.headings], ["---", *["---:"] * len(sheet.headings)]]
    for name, cells in (*sheet.averages, *sheet.rows):
        lines.append([harmless(name).replace("|", "\\|"), *cells])
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"**{sheet.title}.** {sheet.caption}.\n\n{drawn}\n"


def to_json(results: Sequence[PatientResult], judged_by: str = BY_EVIDENCE) -> str:
    """Return the report as JSON; null where a figure is not defined."""
    document = {
        "protocol": PROTOCOL,
        "judged_by": judged_by,
        "records": {one.record: asdict(one) for one in results},
        "averages": averages(results),
        "quarters": quarter_averages(results),
    }
    return json.dumps(plain(document), indent=2, allow_nan=False)


def plain(value: object) -> object:
    """Return what JSON can say: rounded numbers, null for what is none."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def _cells(row: Mapping[str, float] | None, columns: Mapping[str, str]) -> Iterator[str]:
    for name in columns:
        yield "-" if row is None else cell(name, row[name])


def cell(name: str, value: float) -> str:
    """Return a figure as a table shows it: counts whole, rates with one digit, others three."""
    if math.isnan(value):
        return "-"
    if name.startswith("n_"):
        return f"{value:.0f}"
    return f"{value:.1f}" if name.endswith("_per_hour") or name == "families" else f"{value:.3f}"
