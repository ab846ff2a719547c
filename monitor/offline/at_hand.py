"""A record that lies elsewhere, as files of this machine for as long as it is judged.

Its header comes first, and is checked by `sources.wfdb_header` before anything that it names is
fetched; then the headers of its segments, the signal files, and what else is asked for. A signal
file that is missing stays missing: the record's reader says so, as of one on this machine.

A record of this machine is read where it lies.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from model.errors import ModelError
from monitor.errors import MonitorError, RecordError
from monitor.offline.address import Address
from monitor.offline.elsewhere import (
    FileInfo,
    as_record_error,
    digest,
    fetch,
    fetch_small,
    file_info,
    folders_below,
    forget_listings,
    free_bytes,
    names_in,
    read_whole,
)
from monitor.offline.evaluation.beats_report import MAX_ANNOTATION_BYTES
from monitor.offline.store import NotThere, Unreachable
from monitor.sources.listing import listing
from monitor.sources.missing_record import HEADER, shown
from monitor.sources.mitdb import MAX_LIST_BYTES
from monitor.sources.wfdb_formats import NULL_FORMAT
from monitor.sources.wfdb_header import MAX_HEADER_BYTES, RecordHeader, read_header
from segmenter.errors import SegmenterError

MAX_RECORD_BYTES = 1 << 36  # of all files; a week of twelve leads at 1 kHz has a quarter of it
SPARE_BYTES = 1 << 26  # left free on this machine
LIST = "RECORDS"  # of a database, by which it may be known
_FOLDER = re.compile(r"[-\w][-\w. ]{0,100}")
_SUFFIXES = (".hea", ".dat")


class RecordAtHand:
    """A record of this machine.

    Attributes
    ----------
    path : Path
        Where it can be opened.
    source : str or None
        What changes when the record does; None: its files say so themselves.
    """

    source: str | None = None

    def __init__(self, path: Path) -> None:
        self.path = path

    def fetch(self, *annotations: str) -> None:
        """Have all files here, of annotations those of the suffixes given."""

    def said(self, text: str) -> str:
        """Return a text about the record with the names that a person gave."""
        return text


class FetchedRecord(RecordAtHand):
    """A record that lies elsewhere; its headers are here.

    Raises
    ------
    RecordError
        If there is no such record, or its headers cannot be fetched or read.
    """

    def __init__(self, address: Address, folder: Path) -> None:
        base = address
        for suffix in _SUFFIXES:
            base = base.with_name(base.name.removesuffix(suffix))
        if not base.name or base.is_root:
            raise RecordError(f"{address} is no record name; give its address without suffix")
        self._folder = base.parent
        super().__init__(folder / base.name)
        self._files: dict[str, FileInfo] = {}
        forget_listings(base)
        if self._has(f"{base.name}{HEADER}"):
            self._add_headers(base.name)
        elif not self._has(base.name):
            raise RecordError(self._not_there(base))
        self.source = digest(self._files.items())

    def fetch(self, *annotations: str) -> None:
        """Have all files here; RecordError if one cannot be fetched."""
        for extension in annotations:
            self._fetch_if_there(f"{self.path.name}.{extension}", MAX_ANNOTATION_BYTES)
        left = min(MAX_RECORD_BYTES, free_bytes(self.path.parent) - SPARE_BYTES)
        for name, info in self._files.items():
            file = self.path.with_name(name)
            if not file.exists():
                self._fetch(name, info, left)
                left -= file.stat().st_size

    def said(self, text: str) -> str:
        """Return a text with the record's address in place of where it lies for now."""
        return _named(text, self.path.parent, self._folder)

    def _has(self, name: str) -> bool:
        """Note what is known of a file; return whether it is there."""
        try:
            self._files[name] = file_info(self._folder / name)
        except NotThere:
            return False
        except Unreachable as error:
            raise as_record_error(self._folder / name, error) from error
        return True

    def _add_headers(self, name: str) -> None:
        """Fetch a record's header and those of its segments; note the files that they name."""
        header = self._header(name)
        if not header.segments:
            self._add_signals(header)
        segments = dict.fromkeys(one.name for one in header.segments if one.name is not None)
        headers = [f"{one}{HEADER}" for one in segments]
        for one in headers:
            self._has(one)
        there = [one for one in headers if one in self._files]
        failed = fetch_small(self._folder, there, self.path.parent, MAX_HEADER_BYTES)
        for one, error in failed.items():
            raise as_record_error(self._folder / one, error)
        for one in there:
            self._add_signals(read_header(self.path.with_name(one.removesuffix(HEADER))))

    def _header(self, name: str) -> RecordHeader:
        file = self.path.with_name(f"{name}{HEADER}")
        try:
            file.write_bytes(read_whole(self._folder / file.name, MAX_HEADER_BYTES))
        except Unreachable as error:
            raise as_record_error(self._folder / file.name, error) from error
        return read_header(self.path.with_name(name))

    def _add_signals(self, header: RecordHeader) -> None:
        for signal in header.signals:
            if signal.fmt != NULL_FORMAT and signal.file_name not in self._files:
                self._has(signal.file_name)

    def _fetch_if_there(self, name: str, most_bytes: int) -> None:
        try:
            self._fetch(name, file_info(self._folder / name), most_bytes)
        except NotThere:
            return
        except Unreachable as error:
            raise as_record_error(self._folder / name, error) from error

    def _fetch(self, name: str, info: FileInfo, most_bytes: int) -> None:
        try:
            fetch(self._folder / name, self.path.with_name(name), info.n_bytes, most_bytes)
        except Unreachable as error:
            raise as_record_error(self._folder / name, error) from error
        except OSError as error:
            raise RecordError(
                f"{self._folder / name} cannot be kept in {tempfile.gettempdir()}: "
                f"{error.strerror}; make room, or set TMPDIR to a folder with more"
            ) from error

    def _not_there(self, base: Address) -> str:
        try:
            names = [one.removesuffix(HEADER) for one in names_in(self._folder) if HEADER in one]
        except Unreachable as error:
            return f"record {base} does not exist; its folder cannot be listed: {error}"
        held = listing(names) if names else "no records"
        return f"record {base} does not exist; {self._folder} holds {held}"


@contextmanager
def at_hand(record: str | Path | Address) -> Iterator[RecordAtHand]:
    """Have a record's headers on this machine, and after `fetch` the rest; removed at the end.

    Errors that are raised inside name the record as a person did.

    Raises
    ------
    RecordError
        If it cannot be fetched.
    """
    if not isinstance(record, Address):
        yield RecordAtHand(Path(record))
        return
    with tempfile.TemporaryDirectory(prefix="ecg-record-") as folder:
        here = Path(folder).resolve()
        with _named_as(here, record.parent):
            yield FetchedRecord(record, here)


@contextmanager
def headers_at_hand(folder: Path | Address, *, may_be_empty: bool = False) -> Iterator[Path]:
    """Have all headers of a folder, and its list of records, in a folder of this machine.

    Raises
    ------
    RecordError
        If there is no such folder, it cannot be read, or holds no header.
    """
    if not isinstance(folder, Address):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="ecg-headers-") as parent:
        # MIT-BIH may be known by its folder's name.
        name = folder.name if _FOLDER.fullmatch(folder.name) else "folder"
        here = Path(parent).resolve() / name
        here.mkdir()
        with _named_as(here, folder):
            try:
                n_headers = _fetch_headers(folder, here)
                if not n_headers and not may_be_empty:
                    raise RecordError(_where_records_are(folder))
            except NotThere as error:
                raise RecordError(f"there is no folder {folder}, or nothing in it") from error
            except Unreachable as error:
                raise RecordError(f"folder {folder} cannot be read: {error}") from error
            yield here


def _where_records_are(folder: Address) -> str:
    first = next(folders_below(folder, HEADER), None)
    if first is None:
        return f"{folder} holds no records (*{HEADER}), nor do its folders"
    return f"{folder} holds no records (*{HEADER}) itself; its folder {first} does: name that"


def _fetch_headers(folder: Address, here: Path) -> int:
    """Fetch headers and the list of records; return how many headers there are."""
    forget_listings(folder)
    names: Sequence[str] = names_in(folder)
    headers = [name for name in names if name.endswith(HEADER) and name != HEADER]
    failed = fetch_small(folder, headers, here, MAX_HEADER_BYTES)
    for name in failed:  # it is listed all the same: who opens it says what is wrong
        (here / name).write_bytes(b"")
    if LIST in names:
        fetch_small(folder, [LIST], here, MAX_LIST_BYTES)
    return len(headers)


@contextmanager
def file_at_hand(file: Path | Address, most_bytes: int) -> Iterator[Path]:
    """Have one file on this machine; RecordError if it cannot be fetched."""
    if not isinstance(file, Address):
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="ecg-file-") as folder:
        here = Path(folder).resolve()
        with _named_as(here, file.parent):
            try:
                fetch(file, here / file.name, file_info(file).n_bytes, most_bytes)
            except Unreachable as error:
                raise as_record_error(file, error) from error
            yield here / file.name


@contextmanager
def _named_as(here: Path, there: Address) -> Iterator[None]:
    """Let errors name an address, not the folder that stands for it."""
    try:
        yield
    except (MonitorError, SegmenterError, ModelError) as error:
        error.args = (_named(str(error), here, there), *error.args[1:])
        raise


def _named(text: str, here: Path, there: Address) -> str:
    for name in (str(here), shown(here)):
        text = text.replace(name, str(there))
    return text
