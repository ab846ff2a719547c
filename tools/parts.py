"""Run the parts of a benchmark in turn: print what each found, and write it into docs/."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from model.errors import ModelError
from monitor.errors import MonitorError
from segmenter.errors import SegmenterError
from tools.figures import Values, keep, show
from tools.measured import CommandFailed
from tools.pages import LIBRARIES, again, command_line, section, write_sections

Plan = TypeVar("Plan")
STOPPED = 130
EXPECTED = (CommandFailed, MonitorError, ModelError, SegmenterError)  # told in a line


class NotMeasured(Exception):
    """What a part needs is not here; why, in a line."""


class Found(NamedTuple):
    """What a part came to: the text of its section, and its headlines' values by name."""

    text: str
    figures: Values


def measure_parts(
    tool: str,
    page: tuple[str, str],
    parts: Mapping[str, Callable[[Plan], Found]],
    plan: Plan,
    *,
    only: Sequence[str] | None,
    out: Path | None,
    arguments: Sequence[str] | None,
    libraries: Sequence[str] = LIBRARIES,
) -> int:
    """Measure some parts, each in its turn; what fails is said and does not end the rest.

    Parameters
    ----------
    tool : str
        Module in this folder.
    page : (str, str)
        File name and title of the page that its sections are of.
    parts : mapping
        How each is measured.
    plan : object
        What they are given.
    only : sequence of str or None
        Names; None: all parts.
    out : Path or None
        Folder for page and figures; None writes nothing.
    arguments : sequence of str or None
        What the tool was started with; None: those of this process.
    libraries : sequence of str
        Packages whose versions the page names.

    Returns
    -------
    int
        Exit code: 1 if a part failed, 130 after Ctrl-C.
    """
    failed = False
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # parts draw their plots there
    for name in only or parts:
        say(f"measuring: {name}")
        try:
            found = parts[name](plan)
        except NotMeasured as error:  # what was measured elsewhere stays on the page
            say(f"not measured: {error}")
            continue
        except KeyboardInterrupt:
            say("stopped; what was measured before is written")
            return STOPPED
        except Exception as error:  # whatever it is, the others are measured
            if not isinstance(error, EXPECTED):
                traceback.print_exc()
            say(f"{name} failed: {error}")
            failed = True
            continue
        heading = name.replace("-", " ").capitalize()
        command = command_line(tool, arguments)
        if len(parts) > 1:
            command = again(tool, name, arguments)
        text = section(command, found.text, libraries)
        print(f"\n## {heading}\n\n{text}\n", flush=True)
        if out is None:
            continue
        write_sections(out / page[0], page[1], {heading: text})
        try:
            keep(found.figures, command, out)
        except ValueError as error:
            say(f"{name} failed: {error}")
            failed = True
            continue
        print(show(found.figures), flush=True)
    return int(failed)


def say(text: str) -> None:
    """Say how far a long run is."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
