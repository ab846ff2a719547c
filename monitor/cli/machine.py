"""The commands on this machine: doctor."""

# ruff: noqa: D301  the \b before an example keeps its lines as they are

from __future__ import annotations

import shutil
import sys

import typer

from monitor.cli.error_messages import explained
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
