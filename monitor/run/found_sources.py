"""What live sources there are on this machine and its network: `ecg-monitor sources`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, requires
from importlib.metadata import version as installed_version
from typing import NamedTuple

from monitor.errors import RecordError
from monitor.run.checkup import PACKAGE, extras
from monitor.sources.kinds import PIPE_SCHEME, live_kind, open_live, schemes
from monitor.sources.source import LiveKind, SourceOptions


class FoundKind(NamedTuple):
    """A kind of live source, and what of it is there.

    Attributes
    ----------
    missing : str
        What must be installed first; empty where nothing is.
    found : list of str
        Sources, as a person would name them, with leads and rate.
    error : str
        Why nothing could be looked for; empty otherwise.
    """

    scheme: str
    title: str
    example: str
    missing: str = ""
    found: tuple[str, ...] = ()
    error: str = ""


def look_around() -> list[FoundKind]:
    """Look for sources of every kind at once; takes some seconds."""
    names = sorted(schemes(), key=lambda one: (one != PIPE_SCHEME, one))
    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(_look, names))


def _look(scheme: str) -> FoundKind:
    try:
        kind = live_kind(scheme)
    except RecordError as error:
        return FoundKind(scheme, "", "", error=str(error))
    told = FoundKind(scheme, kind.title, kind.example, _missing(kind))
    if told.missing:
        return told
    try:
        return told._replace(found=tuple(kind.find()))
    except RecordError as error:
        return told._replace(error=str(error))


def _missing(kind: LiveKind) -> str:
    """Return how to install what a kind needs, if it is not there."""
    for package in extras(requires(PACKAGE) or ()).get(kind.extra, []):
        try:
            installed_version(package)
        except PackageNotFoundError:
            return f"pip install '{PACKAGE}[{kind.extra}]'"
    return ""


def seen(name: str, options: SourceOptions) -> list[str]:
    """Open a live source and return what it sends, in lines.

    Raises
    ------
    RecordError
        If it cannot be opened.
    """
    source = open_live(name, options)
    try:
        lines = [
            f"{name}: {one.patient + ': ' if one.patient else ''}{', '.join(one.leads)} "
            f"at {one.fs_hz:g} Hz"
            for one in source.streams
        ] or [f"{name}: open, nobody sends yet"]
        return [*lines, *(f"warning: {one}" for one in source.warnings)]
    finally:
        source.close()
