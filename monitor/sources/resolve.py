"""From what a person names to the path of a WFDB record: a path, a PhysioNet name, or nothing."""

from __future__ import annotations

from pathlib import Path

from monitor.errors import DownloadError
from monitor.sources.physionet import Notice, Progress, fetch_record, is_record_name


def resolve_record(
    name: str,
    on_progress: Progress | None = None,
    on_notice: Notice = lambda _text: None,
    base_url: str | None = None,
) -> Path:
    """Return the path of a record, fetching it from PhysioNet if it is named so and not here.

    A path on this machine goes before a PhysioNet name. What is neither is returned as it is:
    opening it reports what is wrong.

    Parameters
    ----------
    on_progress, on_notice, base_url : optional
        As `monitor.sources.physionet.fetch_record` takes them.

    Raises
    ------
    DownloadError
        If it cannot be fetched.
    """
    path = path_here(name)
    if path is not None:
        return path
    try:
        return fetch_record(name, None, base_url, on_progress, on_notice=on_notice)
    except DownloadError as error:
        raise DownloadError(f"there is no folder {Path(name).parent} here; {error}") from error


def path_here(name: str) -> Path | None:
    """Return the path of what is named; None if that is a PhysioNet name and not here."""
    path = Path(name)
    base = path.with_suffix("") if path.suffix in (".hea", ".dat") else path
    if not base.name:  # . and / are folders
        return path
    if base.with_name(f"{base.name}.hea").exists():
        return base
    if path.parent.is_dir() or not is_record_name(name):  # meant as a path, perhaps mistyped
        return path
    return None
