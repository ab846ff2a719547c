"""Run the parts of a benchmark in turn: print what each found, and write it into docs/."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from model.errors import ModelError
from monitor.errors import MonitorError
from segmenter.errors import SegmenterError
from tools.figures import Values, keep, show
from tools.measured import CommandFailed
from tools.pages import DOCS, LIBRARIES, again, command_line, section, write_sections

STOPPED = 130
DATA = Path("../shared/data")  # real records, where there are any
EXPECTED = (CommandFailed, MonitorError, ModelError, SegmenterError)  # told in a line


class NotMeasured(Exception):
    """What a part needs is not here; why, in a line."""


class Found(NamedTuple):
    """What a part came to: the text of its section, and its headlines' values by name."""

    text: str
    figures: Values


def option(full: object, quick: object, told: str = "") -> Any:  # noqa: ANN401 (of a field of any type)
    """Return a field of a plan that is an option: its value, that of --quick, its help."""
    return dataclasses.field(default=full, metadata={"quick": quick, "help": told})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured where; each benchmark adds its options.

    Attributes
    ----------
    folder : Path
        A private folder, which goes again.
    out : Path or None
        Folder of page, plots and figures; None writes nothing.
    quick : bool
        Whether what takes minutes is left out.
    """

    folder: Path
    out: Path | None
    quick: bool
    times: int = option(3, 1, "runs of what is timed")

    def is_whole(self, *names: str) -> bool:
        """Whether these options are those that the headlines are of."""
        fields = {field.name: field.default for field in dataclasses.fields(self)}
        return all(getattr(self, name) == fields[name] for name in names)


AnyPlan = TypeVar("AnyPlan", bound=Plan)


def measure_parts(
    tool: str,
    told: str | None,
    page: tuple[str, str],
    parts: Mapping[str, Callable[[AnyPlan], Found]],
    plan: type[AnyPlan],
    arguments: Sequence[str] | None,
    libraries: Sequence[str] = LIBRARIES,
) -> int:
    """Read a benchmark's command line and measure its parts; what fails does not end the rest.

    Parameters
    ----------
    tool : str
        Module in this folder.
    told : str or None
        Its docstring: what --help says.
    page : (str, str)
        File name and title of the page that its sections are of.
    parts : mapping
        How each is measured.
    plan : type
        What they are given, and its options.
    arguments : sequence of str or None
        What the tool was started with; None: those of this process.
    libraries : sequence of str
        Packages whose versions the page names.

    Returns
    -------
    int
        Exit code: 1 if a part failed, 130 after Ctrl-C.
    """
    given = vars(_parser(tool, told, list(parts), plan).parse_args(arguments))
    only, quick, out = given.pop("only"), given.pop("quick"), given.pop("out")
    fields = {one.name: one for one in dataclasses.fields(plan) if one.metadata}
    values: dict[str, Any] = {}
    for name, one in fields.items():
        values[name] = one.metadata["quick"] if quick else one.default
    for name, value in given.items():
        if value is not None:
            values[name] = tuple(value) if isinstance(value, list) else value
    if not quick:
        out.mkdir(parents=True, exist_ok=True)  # parts draw their plots there
    failed = False
    with tempfile.TemporaryDirectory(prefix="ecgm-bench-") as folder:
        made = plan(folder=Path(folder), out=None if quick else out, quick=quick, **values)
        for name in only or parts:
            say(f"measuring: {name}")
            command = command_line(tool, arguments)
            if len(parts) > 1:
                command = again(tool, name, arguments)
            try:
                _measure(name, parts[name](made), command, made.out, page, libraries)
            except NotMeasured as error:  # what was measured elsewhere stays on the page
                say(f"not measured: {error}")
            except KeyboardInterrupt:
                say("stopped; what was measured before is written")
                return STOPPED
            except Exception as error:  # whatever it is, the others are measured
                if not isinstance(error, EXPECTED):
                    traceback.print_exc()
                say(f"{name} failed: {error}")
                failed = True
    return int(failed)


def _parser(
    tool: str, told: str | None, parts: Sequence[str], plan: type[Plan]
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m tools.{tool}", description=told)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", action="append", choices=parts, help="repeatable")
    parser.add_argument("--quick", action="store_true", help="small, once; writes nothing")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of page and figures")
    for one in dataclasses.fields(plan):
        if one.metadata:
            full: Any = one.default
            several = isinstance(full, tuple)
            parser.add_argument(
                f"--{one.name.replace('_', '-')}",
                type=type(full[0] if several else full),
                nargs="+" if several else None,
                help=f"{one.metadata['help']} ({full})",
            )
    return parser


def _measure(
    name: str,
    found: Found,
    command: str,
    out: Path | None,
    page: tuple[str, str],
    libraries: Sequence[str],
) -> None:
    """Show what a part found, and keep it where it is to be written."""
    heading = name.replace("-", " ").capitalize()
    text = section(command, found.text, libraries)
    print(f"\n## {heading}\n\n{text}\n", flush=True)
    if out is not None:
        write_sections(out / page[0], page[1], {heading: text})
        keep(found.figures, command, out)
        print(show(found.figures), flush=True)


def say(text: str) -> None:
    """Say how far a long run is."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
