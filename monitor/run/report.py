"""What a finished run says of itself, for people and for programs."""

from __future__ import annotations

import sys

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.plain import clock
from monitor.run.leads import lead_rows
from monitor.run.replay import Summary
from monitor.text import harmless


def report(summary: Summary, *, as_json: bool) -> None:
    """Print the summary: one JSON line, or a small table."""
    if as_json:
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
        sys.stdout.flush()
    else:
        Console().print(summary_table(summary))


def summary_table(summary: Summary) -> Table:
    """Return the summary as rows of name and value; faults only where there were any."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    rows = [
        ("records", str(summary.records)),
        *(("lead", harmless(row, 300)) for row in lead_rows(summary.leads)),
        ("signal", f"{clock(summary.signal_s, 1)} in {summary.elapsed_s:.1f} s"),
        ("speed", f"{summary.real_time_factor:,.1f} times real time"),
        ("beats", f"{summary.beats:,}, {summary.withheld:,} without a verdict"),
        ("anomalous", f"{summary.anomalous:,}"),
        ("episodes", f"{summary.alerts:,}, {summary.alerts_per_hour:.1f} an hour"),
        ("technical", f"{summary.technical:,}"),
        ("lag", f"at most {summary.lag_max_s:.2f} s"),
    ]
    faults = {name: getattr(summary, name) for name in ("malformed", "gaps", "dropped", "restarts")}
    rows += [(name, f"{count:,}") for name, count in faults.items() if count]
    rows += [("note", harmless(note, 300)) for note in summary.notes]
    for name, value in rows:
        table.add_row(Text(name, style="bold"), Text(value))
    return table
