"""Whether a file that a command is to write can be written, and replaces nothing by mistake."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.errors import InvalidOption
from monitor.offline.address import Address

# How pages, pictures and what is printed of them begin, in small letters.
PAGES_BEGIN = (b"<!doctype html", b"\x89png", b"%pdf")


@contextmanager
def named(file: Path) -> Iterator[None]:
    """Let an OSError name the file that is written; that of a full disk names none, or another."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = str(file)
        raise


def check_writable(out: Path, overwrite: bool) -> None:
    """Raise InvalidOption if a file cannot be written, or is there and must stay."""
    if out.is_dir():
        raise InvalidOption(f"{out} is a folder; name a file in it")
    if out.exists() and not out.is_file():  # to replace a device would break the system
        raise InvalidOption(f"{out} is a device or a pipe, not a file; choose another name")
    if out.exists() and not overwrite:
        raise InvalidOption(f"{out} exists already; choose another name or add --overwrite")
    try:
        with tempfile.TemporaryFile(dir=out.parent):
            return
    except OSError as error:
        raise InvalidOption(
            f"cannot write to {out.parent}: {error.strerror}; choose another folder"
        ) from error


def check_out_folder(out: Path | Address) -> None:
    """Raise InvalidOption if a folder of this machine is to be written to, and is a file."""
    if isinstance(out, Path) and out.exists() and not out.is_dir():
        raise InvalidOption(f"{out} is not a folder; give a folder to write to")


def check_replaceable(out: Path) -> None:
    """Raise InvalidOption if a page or a picture cannot be written, or is to replace another thing.

    What is made anew each time replaces the one before without being asked, and no journal, record
    or model that was named by mistake.
    """
    check_writable(out, overwrite=True)
    try:
        with out.open("rb") as file:
            begins = file.read(max(map(len, PAGES_BEGIN))).lower()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InvalidOption(
            f"{out} exists, and cannot be read: {error.strerror}; choose another name"
        ) from error
    if begins and not begins.startswith(PAGES_BEGIN):
        raise InvalidOption(
            f"{out} exists, and is no page, picture or PDF; choose another name, or remove it"
        )
