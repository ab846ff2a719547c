"""What a finished run says of itself, for people and for programs."""

from __future__ import annotations

import sys

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.plain import alarm_name, clock, families_text
from monitor.run.leads import lead_rows
from monitor.run.replay import Summary
from monitor.text import counted, harmless

MOST_FAMILIES = 20  # patients whose families are listed
INCOMPLETE, NOTHING_MONITORED = 1, 3  # exit codes


def exit_code_of(summary: Summary) -> int:
    """Return 3 where no beat got a verdict, 1 where records or alerts are missing, else 0.

    Records that were passed over, or alerts that the journal could not keep.

    A run that a person stopped may have been too short for a verdict; of one of which no heartbeat
    was heard, nothing is known.
    """
    if summary.signal_s > 0 and not summary.judged and not summary.stopped:
        return NOTHING_MONITORED
    return INCOMPLETE if summary.passed_over or summary.not_kept else 0


def report(summary: Summary, *, as_json: bool) -> None:
    """Print the summary: one JSON line, or a small table; report where nothing was monitored."""
    if as_json:
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
        sys.stdout.flush()
    else:
        Console().print(summary_table(summary))
    if exit_code_of(summary) == NOTHING_MONITORED:
        sys.stderr.write(f"ecg-monitor: {nothing_monitored(summary)}\n")


def nothing_monitored(summary: Summary) -> str:
    """Return why no beat got a verdict, as far as the summary shows, and what to do."""
    if not summary.beats:
        return (
            "nothing was monitored: no beat was found in "
            f"{clock(summary.signal_s, 1)} of signal; look at the lead (--lead)"
        )
    return (
        f"nothing was monitored: of {counted(summary.beats, 'beat', ',')} none got a verdict; the "
        "signal is too short or too poor, or all of it was learnt from (--learn)"
    )


def summary_table(summary: Summary) -> Table:
    """Return the summary as rows of name and value; faults only where there were any."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    rows = [
        ("records", str(summary.records)),
        *_named(lead_rows(summary.leads)),
        ("signal", f"{clock(summary.signal_s, 1)} in {summary.elapsed_s:.1f} s"),
        ("speed", f"{summary.real_time_factor:,.1f} times real time"),
        ("beats", _beats(summary)),
        ("anomalous", f"{summary.anomalous:,}"),
        ("alerts", f"{summary.alerts:,}, {summary.alerts_per_hour:.1f} an hour"),
        *_alarms(summary),
        *_families(summary),
        ("technical", f"{summary.technical:,}{_since(summary)}"),
        ("lag", f"at most {summary.lag_max_s:.2f} s"),
    ]
    names = ("malformed", "foreign", "gaps", "dropped", "restarts")
    faults = {name: getattr(summary, name) for name in names}
    rows += [(name, f"{count:,}") for name, count in faults.items() if count]
    rows += [("note", harmless(note, 300)) for note in summary.notes]
    rows += [("passed over", harmless(reason, 300)) for reason in summary.passed_over]
    if summary.not_kept:
        rows.append(("not kept", f"the newest alerts: {harmless(summary.not_kept, 300)}"))
    for name, value in rows:
        table.add_row(Text(name, style="bold"), Text(value))
    return table


def _beats(summary: Summary) -> str:
    """Return how many beats there were, and how many got no verdict, or were learnt from."""
    told = f"{summary.beats:,}, {summary.withheld:,} without a verdict"
    n_learning = summary.beats - summary.judged - summary.withheld
    return f"{told}, {n_learning:,} while learning" if n_learning > 0 else told


def _alarms(summary: Summary) -> list[tuple[str, str]]:
    """Return a row of the named alarms, where there were any."""
    told = ", ".join(f"{alarm_name(kind)} {n:,}" for kind, n in summary.alarms.items())
    return [("alarms", f"{told}{_since(summary)}")] if told else []


def _since(summary: Summary) -> str:
    """Return what is counted from, where that is not the record's beginning."""
    return " since it went on" if summary.resumed else ""


def _families(summary: Summary) -> list[tuple[str, str]]:
    """Return a row for each patient with families; of many the first, and how many more."""
    rows = [
        ("families", f"{harmless(patient, 60)}  {families_text(families)}")
        for patient, families in summary.families.items()
    ]
    more = len(rows) - MOST_FAMILIES
    if more <= 0:
        return rows
    return [*rows[:MOST_FAMILIES], ("", f"and of {counted(more, 'more patient')}")]


def _named(rows: list[str]) -> list[tuple[str, str]]:
    """Return what is told of leads as name and value: `leads` and `MLII, V1 of 119`."""
    parted = (row.partition(" ") for row in rows)
    return [(name, harmless(value, 300)) for name, _, value in parted]
