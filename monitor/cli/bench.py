"""The commands that measure the system itself: bench ward."""

# ruff: noqa: D301  the \b before an example keeps its lines as they are

from __future__ import annotations

import sys
from typing import Annotated

import typer

from monitor.cli.error_messages import explained
from monitor.cli.options import JsonLines, RulesFile, VerdictChoice

bench_commands = typer.Typer(name="bench")


@bench_commands.callback()
def bench() -> None:
    """Measure how much this machine can carry.

    \b
    Try: ecg-monitor bench ward --patients 500 --seconds 30
    """


@bench_commands.command()
def ward(
    patients: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=10_000,
            help="Simulated patients; with --find, how many to try first.",
        ),
    ] = 500,
    seconds: Annotated[
        float, typer.Option(metavar="S", min=1, max=86_400, help="Seconds to measure.")
    ] = 120.0,
    leads: Annotated[
        int, typer.Option(metavar="N", min=1, max=2, help="Leads of each patient, 1 or 2.")
    ] = 1,
    verdict: VerdictChoice = "evidence",
    rules: RulesFile = None,
    heard: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=10_000,
            help="Listen to the beats of so many patients, as views do; by default of all. "
            "No message is made of beats that nobody listens to.",
        ),
    ] = None,
    find: Annotated[
        bool, typer.Option("--find", help="Look for the largest ward that keeps up.")
    ] = False,
    json: JsonLines = False,
) -> None:
    """Time the beats of many simulated live patients.

    For planning: how many patients one machine can watch. The machine keeps up when 99 of 100
    scores are on the socket within 250 ms after the last sample they needed came, and nothing is
    dropped.

    \b
    Try: ecg-monitor bench ward --patients 500 --seconds 30
    """
    with explained():
        import msgspec

        from monitor.detection.rules import load_rules
        from monitor.run.ward_bench import WardResult, find_largest, result_lines, run_ward
        from monitor.settings import parse_verdict

        by, of_file = parse_verdict(verdict), None if rules is None else load_rules(rules)

        def run(n_patients: int, for_s: float) -> WardResult:
            return run_ward(n_patients, for_s, leads=leads, verdict=by, rules=of_file, heard=heard)

        results = (
            find_largest(seconds, patients, run=run) if find else iter([run(patients, seconds)])
        )
        for result in results:
            text = msgspec.json.encode(result).decode() if json else result_lines(result)
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
