"""The commands on this machine and what is plugged into it: doctor, sources."""

# ruff: noqa: D301  the \b before an example keeps its lines as they are

from __future__ import annotations

import shutil
import sys
from typing import Annotated

import typer

from monitor.cli.error_messages import explained
from monitor.cli.options import Leads, RateHz, Units
from monitor.cli.terminal import why_plain
from monitor.text import harmless

machine = typer.Typer()
NO_TERMINAL = "standard output is no terminal"


@machine.command()
def doctor() -> None:
    """Look whether this machine has what a monitor needs.

    Versions, extras, terminal, ports and folders, on one screen. Exit code 1: something keeps a
    monitor from running.

    \b
    Try: ecg-monitor doctor
    """
    with explained():
        from monitor.run.checkup import checks, exit_code

        plain = why_plain(sys.stdout) if sys.stdout.isatty() else NO_TERMINAL
        size = shutil.get_terminal_size()
        found = checks(plain, size.columns, size.lines)
        width = max(len(one.about) for one in found)
        for one in found:
            sys.stdout.write(f"{one.state:5}  {one.about:{width}}  {harmless(one.text, 300)}\n")
        raise typer.Exit(exit_code(found))


@machine.command()
def sources(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE",
            help="Open these and print their leads and rates. Default: look for what is there.",
            show_default=False,
        ),
    ] = None,
    leads: Leads = None,
    fs: RateHz = None,
    units: Units = None,
) -> None:
    """Look for live sources: kinds, what each needs, and what is there now.

    \b
    Try: ecg-monitor sources
         ecg-monitor sources lsl:type=ECG
    """
    with explained():
        from monitor.run.found_sources import look_around, seen
        from monitor.sources.source import SourceOptions

        if names:
            options = SourceOptions(leads or None, fs, units)
            for name in names:
                for line in seen(name, options):
                    sys.stdout.write(f"{harmless(line, 500)}\n")
            return
        found = look_around()
        width = max(len(one.example) for one in found)
        for one in found:
            needs = one.error or (f"needs {one.missing}" if one.missing else "")
            line = f"{one.example or one.scheme:{width}}  {one.title}"
            sys.stdout.write(harmless(f"{line}; {needs}" if needs else line, 500).rstrip() + "\n")
            for name in one.found:
                sys.stdout.write(f"{'':{width}}  there: {harmless(name, 300)}\n")
