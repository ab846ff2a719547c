"""What the benchmarks' pages share: tables, values with their spread, the machine, sections."""

from __future__ import annotations

import math
import os
import platform
import re
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
PROGRAM = (sys.executable, "-m", "monitor")  # ecg-monitor, of this environment
LIBRARIES = ("torch", "numpy", "pyzmq")
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(values: Sequence[float], form: str) -> str:
    """Return the median, and smallest and largest where there are several; NaN is no value."""
    values = [value for value in values if not math.isnan(value)]
    if not values:
        return "-"
    median = format(statistics.median(values), form)
    if len(values) == 1:
        return median
    return f"{median} ({min(values):{form}} to {max(values):{form}})"


def machine(libraries: Sequence[str] = LIBRARIES) -> str:
    """Return what figures depend on: processor, memory, system, versions."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory_gb:.0f} GB; "
        f"{platform.system()} {platform.machine()}; "
        f"Python {platform.python_version()}, {versions}"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown processor"


def today() -> str:
    """Return the day, as pages tell it."""
    return f"{datetime.now(UTC):%Y-%m-%d}"


def command_line(tool: str, arguments: Sequence[str] | None) -> str:
    """Return the command that runs a tool of this folder; None: as it was started now."""
    given = sys.argv[1:] if arguments is None else arguments
    return f"python -m tools.{tool} {shlex.join(given)}".rstrip()


def again(tool: str, part: str, arguments: Sequence[str] | None) -> str:
    """Return the command that measures one part of a tool's again, as it was measured now."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    while "--only" in given:
        place = given.index("--only")
        del given[place : place + 2]
    return command_line(tool, ["--only", part, *given])


def section(command: str, body: str, libraries: Sequence[str] = LIBRARIES) -> str:
    """Return a section's text: how and where it was measured, then what came of it."""
    return f"    {command}\n\n{machine(libraries)}. {today()}.\n\n{body}"


def page_of(title: str, sections: Mapping[str, str]) -> str:
    """Return a page; sections by their headings."""
    parts = [f"# {title}", *(f"## {heading}\n\n{text}" for heading, text in sections.items())]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def write_sections(file: Path, title: str, measured: Mapping[str, str]) -> None:
    """Write sections of a page, by their headings; all else that it holds stays as it is."""
    page = file.read_text() if file.exists() else f"# {title}"
    head = _HEADING.split(page, maxsplit=1)[0].removeprefix("# ").strip("\n")
    file.write_text(page_of(head, sections_of(page) | dict(measured)))


def sections_of(page: str) -> dict[str, str]:
    """Return a page's sections by their headings."""
    _, *parts = _HEADING.split(page)
    texts = (text.strip("\n") for text in parts[1::2])
    return dict(zip(parts[::2], texts, strict=True))
