"""Files and folders elsewhere: looked at, read, and written, whatever fsspec opens.

What a service answers is not trusted: sizes are bounded before anything is read, and a name in a
listing is used only where it is a plain name.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from monitor.errors import RecordError
from monitor.offline.address import WEB, Address
from monitor.offline.store import NotThere, Unreachable, file_system, tried
from monitor.offline.worker_processes import check_stop

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

BLOCK_BYTES = 1 << 20
MAX_LISTED = 1_000_000  # entries of a folder
MAX_DEPTH = 16  # of folders in folders
AT_ONCE = 16  # small files on their way, where the file system can
# Folders are only names there, and to make one would make a bucket.
_OBJECT_STORES = frozenset(
    ("abfs", "abfss", "adl", "az", "gcs", "gs", "oci", "ocilake", "oss", "s3", "s3a", "tos")
)
# A rename replaces what is there, at once. Elsewhere it may copy, or refuse.
_RENAME_REPLACES = frozenset(("ftp", "sftp", "ssh"))
# By which file systems tell that a file changed, whatever its size.
_MARKS = frozenset(
    (
        *("content-md5", "crc32c", "created", "digest", "e_tag", "etag", "generation", "md5hash"),
        *("last-modified", "last_modified", "lastmodified", "modification_time", "modified"),
        *("mtime", "updated"),
    )
)


class FileInfo(NamedTuple):
    """What is known of a file without reading it.

    Attributes
    ----------
    n_bytes : int or None
        None where the service does not say.
    mark : tuple of (str, str)
        Changes when the file does, as far as the service tells.
    """

    n_bytes: int | None
    mark: tuple[tuple[str, str], ...]


# --- reading ----------------------------------------------------------------------------------


def file_info(address: Address) -> FileInfo:
    """Return what is known of a file; NotThere if there is none, Unreachable if it is unknown."""
    info = tried(address, lambda fs, path: fs.info(path))
    if info.get("type") == "directory":
        raise NotThere("is a folder, not a file")
    n_bytes = info.get("size")
    return FileInfo(n_bytes if isinstance(n_bytes, int) else None, _mark(info))


def is_file(address: Address) -> bool:
    """Return whether a file lies there."""
    try:
        file_info(address)
    except NotThere:
        return False
    return True


def is_folder(address: Address) -> bool:
    """Return whether a folder lies there; on a web server, a page."""
    try:
        info = tried(address, lambda fs, path: fs.info(path))
    except NotThere:
        return False
    is_page = address.scheme in WEB and str(info.get("mimetype")).startswith("text/html")
    return is_page or info.get("type") == "directory"


def _mark(info: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    known = {key.lower(): str(value) for key, value in info.items() if value is not None}
    return tuple(sorted((key, known[key]) for key in known.keys() & _MARKS))


def digest(files: Iterable[tuple[str, FileInfo]]) -> str:
    """Return what changes when one of these files does."""
    return hashlib.sha256(msgspec.json.encode([(name, *info) for name, info in files])).hexdigest()


def read_whole(address: Address, most_bytes: int) -> bytes:
    """Return a file's bytes, at most one more than `most_bytes`."""

    def read(fs: AbstractFileSystem, path: str) -> bytes:
        with _opened(fs, path, address.scheme) as file:
            parts, left = [], most_bytes + 1
            while left and (part := file.read(min(left, BLOCK_BYTES))):
                parts.append(part)
                left -= len(part)
            return b"".join(parts)

    return tried(address, read)


def fetch(address: Address, file: Path, n_bytes: int | None, most_bytes: int) -> None:
    """Copy a file to this machine, whole or not at all.

    Raises
    ------
    Unreachable
        If that fails, it is longer than `most_bytes`, or not of the length that was announced.
    """

    def copy(fs: AbstractFileSystem, path: str) -> int:
        received = 0
        with _opened(fs, path, address.scheme) as source, file.open("wb") as target:
            while part := source.read(BLOCK_BYTES):
                check_stop()
                received += len(part)
                if received > most_bytes:
                    raise Unreachable(f"it has more than {most_bytes:,} bytes")
                target.write(part)
        if n_bytes is not None and received != n_bytes:
            raise ConnectionError(f"it broke off after {received:,} of {n_bytes:,} bytes")
        return received

    if n_bytes is not None and n_bytes > most_bytes:
        raise Unreachable(f"it has {n_bytes:,} bytes, and {most_bytes:,} can be taken")
    try:
        tried(address, copy)
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _opened(fs: AbstractFileSystem, path: str, scheme: str) -> Any:  # noqa: ANN401  fsspec's
    """Open a file for reading from its start to its end."""
    if scheme in WEB:  # as a stream: not all servers give parts of a file
        return fs.open(path, "rb", block_size=0)
    return fs.open(path, "rb", block_size=4 * BLOCK_BYTES)


def forget_listings(address: Address) -> None:
    """Have the file system ask anew: what it listed for an earlier record may have changed."""
    tried(address, lambda fs, _path: fs.invalidate_cache())


def names_in(folder: Address) -> list[str]:
    """Return the plain names of the files in a folder, sorted; NotThere if there is no folder."""
    return sorted(name for name, kind in _entries(folder) if kind != "directory")


def folders_below(folder: Address, suffix: str, depth: int = MAX_DEPTH) -> Iterator[Address]:
    """Yield the folders in a folder, at any depth, that hold files of a suffix; in order."""
    inside = sorted(name for name, kind in _entries(folder) if kind == "directory")
    for one in (folder / name for name in inside):
        with suppress(NotThere):
            if any(name.endswith(suffix) for name in names_in(one)):
                yield one
            if depth:
                yield from folders_below(one, suffix, depth - 1)


def _entries(folder: Address) -> list[tuple[str, str]]:
    """Return plain names and kinds; what lies elsewhere, as links of a page do, is none."""

    def listed(fs: AbstractFileSystem, path: str) -> list[tuple[str, str]]:
        inside = f"{path.rstrip('/')}/"
        found = []
        asked = f"{path}/" if folder.scheme in WEB else path
        for entry in islice(fs.ls(asked, detail=True), MAX_LISTED):  # s3fs gives names otherwise
            whole = str(entry["name"]).rstrip("/")
            name = whole.removeprefix(inside)
            is_folder = entry["type"] == "directory" or str(entry["name"]).endswith("/")
            if whole.startswith(inside) and _is_plain(name):
                found.append((name, "directory" if is_folder else "file"))
        return found

    return tried(folder, listed)


def _is_plain(name: str) -> bool:
    return (
        0 < len(name) <= 255
        and name.isprintable()
        and name not in (".", "..")
        and (not set(name) & set("/\\?#"))
    )


def fetch_small(
    folder: Address, names: Collection[str], into: Path, most_bytes: int
) -> dict[str, Unreachable]:
    """Copy many small files; return why some cannot be read, by name.

    Of one that is longer, a byte more than `most_bytes` is copied: who reads it sees that.
    """
    failed: dict[str, Unreachable] = {}

    def copy(name: str) -> None:
        try:
            (into / name).write_bytes(read_whole(folder / name, most_bytes))
        except Unreachable as error:
            failed[name] = error

    at_once = AT_ONCE if getattr(file_system(folder)[0], "async_impl", False) else 1
    with ThreadPoolExecutor(at_once) as threads:
        list(threads.map(copy, names))
    return failed


# --- writing ----------------------------------------------------------------------------------


def make_folder(folder: Address) -> None:
    """Make a folder if it is missing, where there are folders."""
    if folder.scheme not in _OBJECT_STORES:
        tried(folder, lambda fs, path: fs.makedirs(path, exist_ok=True))


def write_files(folder: Address, files: dict[str, bytes]) -> None:
    """Write files by their names, each whole or not at all where the file system can.

    An object store shows an object once it is whole. Where a rename replaces what is there, all
    files are written beside their places and then moved.
    """
    if folder.scheme not in _RENAME_REPLACES:
        for name, content in files.items():
            _write(folder / name, content)
        return
    for name, content in files.items():
        _write(folder / f".{name}.part", content)
    for name in files:
        _move(folder / f".{name}.part", folder / name)


def _write(file: Address, content: bytes) -> None:
    tried(file, lambda fs, path: fs.pipe_file(path, content))


def _move(file: Address, to: Address) -> None:
    tried(to, lambda fs, path: fs.mv(file_system(file)[1], path))


def check_writable(folder: Address) -> None:
    """Write a file and remove it; Unreachable if nothing can be written."""
    probe = folder / ".writable"
    write_files(folder, {probe.name: b"\n"})
    with suppress(Unreachable):  # who may write may not be allowed to remove
        tried(probe, lambda fs, path: fs.rm_file(path))


def free_bytes(folder: Path) -> int:
    """Return how much this machine can take in."""
    return shutil.disk_usage(folder).free


def as_record_error(address: Address, error: Unreachable) -> RecordError:
    """Return an error as one of a record."""
    return RecordError(f"{address} cannot be fetched: {error}")
