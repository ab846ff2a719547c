"""Nothing is imported from the working directory, in no interpreter that the program starts.

Who runs `ecg-monitor` in a folder of records does not expect that a `numpy.py` or a `queue.py` that
happens to lie there is run. Python's `-m` and `-c` put the working directory first among the places
that modules are looked for in, and an empty entry in PYTHONPATH does the same.

The working directory stays where PYTHONPATH names it in full, and where this program itself lies in
it: a checkout in which a developer works.
"""

# os.path is loaded when Python starts; pathlib would be looked for where nothing must be:
# ruff: noqa: PTH100, PTH109, PTH117, PTH118, PTH119, PTH120

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

PATH, SAFE_PATH = "PYTHONPATH", "PYTHONSAFEPATH"
PYTHON = (sys.executable, "-P")  # -P: neither the working directory nor a script's folder
INSTALLED = {"site-packages", "dist-packages"}  # every interpreter of this installation looks there


def home() -> str:
    """Return the folder that this program's packages lie in."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def leave_working_directory_out() -> None:
    """Have this process import nothing from the working directory from now on."""
    here = _here()
    if here != home() and here not in os.environ.get(PATH, "").split(os.pathsep):
        sys.path[:] = [one for one in sys.path if one not in ("", here)]


def environment() -> dict[str, str]:
    """Return the environment for an interpreter of ours, which is started with `PYTHON`.

    It finds what this one finds by PYTHONPATH, and this program wherever it lies.
    """
    found = dict(os.environ)
    entries = _in_full(found.pop(PATH, "").split(os.pathsep))
    if home() not in entries and os.path.basename(home()) not in INSTALLED:
        entries.append(home())
    if entries:
        found[PATH] = os.pathsep.join(entries)
    return found


@contextmanager
def safe_environment() -> Iterator[None]:
    """Have interpreters that a library starts within the block start as those of `PYTHON` do.

    Only within the block: a command that a user has us run keeps the user's environment.
    """
    before = {name: os.environ.get(name) for name in (PATH, SAFE_PATH)}
    _set({PATH: environment().get(PATH), SAFE_PATH: "1"})
    try:
        yield
    finally:
        _set(before)


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _in_full(entries: Sequence[str]) -> list[str]:
    """Return places by their full names, less those that mean the working directory, as `.`."""
    here, kept = _here(), []
    for entry in entries:
        place = entry if os.path.isabs(entry) else os.path.normpath(os.path.join(here, entry))
        if os.path.isabs(entry) or place != here or place == home():
            kept.append(place)
    return kept


def _here() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""
