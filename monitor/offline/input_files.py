"""Whether what a command is to read is there: asked before what is slow to import, and at once.

Nothing is asked of what lies elsewhere, or sends live: that takes its time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from model.ecg5000 import check_ecg5000
from monitor.errors import InvalidOption
from monitor.offline.address import Address, place
from monitor.offline.chosen_records import chosen_records, records_of
from monitor.sources.kinds import is_live, recognised
from monitor.sources.resolve import path_here


def check_folder(folder: Path | Address, wanted: Collection[str]) -> None:
    """Raise what `chosen_records` does of a folder."""
    if not isinstance(folder, Address):
        chosen_records(folder, wanted)


def check_record(name: str) -> None:
    """Raise RecordError if there is neither a record nor a folder of records at a path."""
    path = None if is_live(name) or isinstance(place(name), Address) else path_here(name)
    if path is None:
        return
    if path.is_dir():
        records_of(path)
    else:
        recognised(path)


def check_labelled(files: Iterable[Path | Address]) -> None:
    """Raise InvalidDataset if an ECG5000 file cannot be read, or is of no form of theirs."""
    for file in files:
        if not isinstance(file, Address):
            check_ecg5000(file)


def check_model(checkpoint: Path | None) -> None:
    """Raise InvalidOption if a checkpoint is named and there is no such file."""
    if checkpoint is not None and not checkpoint.is_file():
        raise InvalidOption(f"{checkpoint} is not a file; give the path of a checkpoint")


def annotated(folder: Path, extension: str) -> set[str]:
    """Return the names of the records in a folder that have such annotations.

    Raises
    ------
    InvalidOption
        If there is no such folder, or the extension is malformed.
    """
    if not (extension.isascii() and extension.isalnum()):
        raise InvalidOption(f"annotation extension {extension!r} is malformed; use one like atr")
    if not folder.is_dir():
        raise InvalidOption(f"{folder} is not a folder; name one that holds annotations")
    return {file.stem for file in folder.glob(f"*.{extension}")}
