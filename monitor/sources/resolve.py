"""From what a person names to the path of a WFDB record: a path, a PhysioNet name, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from monitor.errors import RecordError
from monitor.sources.physionet import fetch_record, is_record_name


def resolve_record(name: str, on_progress: Callable[[int, int | None], None] | None = None) -> Path:
    """Return the path of a record, fetching it from PhysioNet if it is named so and not here.

    A path on this machine goes before a PhysioNet name.

    Raises
    ------
    RecordError
        If there is neither such a record here nor such a name there.
    DownloadError
        If it cannot be fetched.
    """
    path = Path(name)
    base = path.with_suffix("") if path.suffix in (".hea", ".dat") else path
    if base.with_name(f"{base.name}.hea").exists() or not is_record_name(name):
        return base
    if path.parent.is_dir():  # meant as a path, and mistyped
        raise RecordError(
            f"record {name!r} needs {base.name}.hea in {path.parent}/, which is not there; check "
            "the path, or leave that folder to have the record downloaded from PhysioNet"
        )
    return fetch_record(name, on_progress=on_progress)
