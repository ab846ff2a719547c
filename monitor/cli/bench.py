"""The commands that measure the system itself: bench ward."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from monitor.cli.error_messages import explained
from monitor.cli.options import JsonLines

bench_commands = typer.Typer(name="bench", help="Measure the system on this machine.")


@bench_commands.callback()
def bench() -> None:
    """Measure the system on this machine."""


@bench_commands.command()
def ward(
    patients: Annotated[
        int, typer.Option(min=1, max=10_000, help="Live patients; with --find, the first try.")
    ] = 500,
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="Measured time.")] = 120.0,
    find: Annotated[
        bool, typer.Option("--find", help="Look for the largest ward that is kept up with.")
    ] = False,
    json: JsonLines = False,
) -> None:
    """Let simulated live patients through all three processes, and time their beats.

    A ward is kept up with when 99 of 100 scores are on the socket within 250 ms of the arrival of
    the last sample they needed, and nothing is dropped.

    Try: ecg-monitor bench ward --patients 500 --seconds 30
    """
    with explained():
        import msgspec

        from monitor.run.ward_bench import find_largest, result_lines, run_ward

        results = find_largest(seconds, patients) if find else iter([run_ward(patients, seconds)])
        for result in results:
            text = msgspec.json.encode(result).decode() if json else result_lines(result)
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
