"""Folders and files elsewhere, by an address such as s3://bucket/folder: what fsspec opens.

What a service answers is not trusted: sizes are bounded before anything is read, and a name in a
listing is used only where it is a plain name. What fails on the way is tried again, and then said
in one line. Credentials are not ours to handle: each package finds them as it always does.
"""

from __future__ import annotations

import ftplib
import hashlib
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from monitor.errors import InvalidOption, RecordError
from monitor.offline.worker_processes import check_stop
from monitor.sources.kinds import is_live

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

ATTEMPTS = 3
PAUSE_S = 0.5  # before the second attempt; twice as long before the next
BLOCK_BYTES = 1 << 20
SILENCE_S = 30.0  # of a web server
MAX_LISTED = 1_000_000  # entries of a folder
MAX_DEPTH = 16  # of folders in folders
AT_ONCE = 16  # small files on their way, where the file system can
_MAX_REASON = 300
_LOCAL = ("file", "local")
_WEB = ("http", "https")
_SSH = ("sftp", "ssh")
# Folders are only names there, and to make one would make a bucket.
_OBJECT_STORES = frozenset(
    ("abfs", "abfss", "adl", "az", "gcs", "gs", "oci", "ocilake", "oss", "s3", "s3a", "tos")
)
# A rename replaces what is there, at once. Elsewhere it may copy, or refuse.
_RENAME_REPLACES = frozenset(("ftp", "sftp", "ssh"))
_ADDRESS = re.compile(r"([a-z][a-z0-9+.:-]{1,100})://(.*)", re.DOTALL)
_PASSWORD = re.compile(r"(://[^/@:]*):[^/@]*@")
# By which file systems tell that a file changed, whatever its size.
_MARKS = frozenset(
    (
        *("content-md5", "crc32c", "created", "digest", "e_tag", "etag", "generation", "md5hash"),
        *("last-modified", "last_modified", "lastmodified", "modification_time", "modified"),
        *("mtime", "updated"),
    )
)
_LATER = (408, 425, 429)  # HTTP: a time-out, too early, too many requests
_LASTING = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    FileExistsError,
    ImportError,
    ValueError,
    TypeError,
    NotImplementedError,
    ftplib.error_perm,
)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Address:
    """A file or folder of a file system that fsspec knows.

    Attributes
    ----------
    url : str
        Without a slash at its end. `str()` leaves a password out.
    """

    url: str

    def __str__(self) -> str:
        """Return it as it may be shown."""
        return _PASSWORD.sub(r"\1@", self.url)

    def __truediv__(self, name: str) -> Address:
        """Return what lies in this folder."""
        return Address(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """The last part."""
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> Address:
        """The folder that it lies in."""
        return Address(self.url.rpartition("/")[0])

    def with_name(self, name: str) -> Address:
        """Return what lies beside it."""
        return self.parent / name

    @property
    def is_root(self) -> bool:
        """Whether it is a bucket or a server: nothing lies beside it."""
        return "/" not in self.url.partition("://")[2]

    @property
    def scheme(self) -> str:
        """What stands before ://."""
        return self.url.partition(":")[0]


class Unreachable(Exception):
    """Something elsewhere cannot be read or written; the text gives the reason alone."""


class NotThere(Unreachable):
    """There is no such thing."""


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


def place(text: str | Path) -> Path | Address:
    """Return what a person names: a path of this machine, or an address.

    Raises
    ------
    InvalidOption
        If it is an address that nothing here can open.

    Examples
    --------
    >>> place("archive/mitdb"), place("memory://archive/mitdb/").name
    (PosixPath('archive/mitdb'), 'mitdb')
    """
    name = str(text)
    match = None if isinstance(text, Path) or is_live(name) else _ADDRESS.fullmatch(name)
    if match is None:
        return Path(text)
    scheme, rest = match[1], match[2]
    if scheme in _LOCAL:
        return Path(rest)
    address = Address(name.rstrip("/"))
    if "::" in name or not name.isprintable() or (scheme in _WEB and re.search("[?#]", rest)):
        raise InvalidOption(
            f"{str(address)!r:.200} is no plain address; give one such as s3://bucket/folder, "
            "without a query or a chain (::)"
        )
    if not rest.strip("/"):
        raise InvalidOption(f"{address}:// names no place; give one such as s3://bucket/folder")
    try:
        _known(scheme)
    except Unreachable as error:
        raise InvalidOption(f"{address} cannot be opened: {error}") from error
    return address


def _known(scheme: str) -> None:
    """Raise Unreachable if no package that is installed knows a scheme."""
    import fsspec
    from fsspec.registry import known_implementations

    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        hint = known_implementations.get(scheme, {}).get("err") or str(error)
        raise Unreachable(f"a package for it is missing here: {hint}") from error
    except ValueError as error:
        known = ", ".join(("s3", "gs", "abfs", "sftp", "ftp", "https"))
        raise Unreachable(f"no file system is called {scheme}; known are {known}, …") from error


# --- reading ----------------------------------------------------------------------------------


def file_info(address: Address) -> FileInfo:
    """Return what is known of a file; NotThere if there is none, Unreachable if it is unknown."""
    info = _tried(address, lambda fs, path: fs.info(path))
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
        info = _tried(address, lambda fs, path: fs.info(path))
    except NotThere:
        return False
    is_page = address.scheme in _WEB and str(info.get("mimetype")).startswith("text/html")
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

    return _tried(address, read)


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
        _tried(address, copy)
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _opened(fs: AbstractFileSystem, path: str, scheme: str) -> Any:  # noqa: ANN401  fsspec's
    """Open a file for reading from its start to its end."""
    if scheme in _WEB:  # as a stream: not all servers give parts of a file
        return fs.open(path, "rb", block_size=0)
    return fs.open(path, "rb", block_size=4 * BLOCK_BYTES)


def forget_listings(address: Address) -> None:
    """Have the file system ask anew: what it listed for an earlier record may have changed."""
    _tried(address, lambda fs, _path: fs.invalidate_cache())


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
        asked = f"{path}/" if folder.scheme in _WEB else path
        for entry in islice(fs.ls(asked, detail=True), MAX_LISTED):  # s3fs gives names otherwise
            whole = str(entry["name"]).rstrip("/")
            name = whole.removeprefix(inside)
            is_folder = entry["type"] == "directory" or str(entry["name"]).endswith("/")
            if whole.startswith(inside) and _is_plain(name):
                found.append((name, "directory" if is_folder else "file"))
        return found

    return _tried(folder, listed)


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
        _tried(folder, lambda fs, path: fs.makedirs(path, exist_ok=True))


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
    _tried(file, lambda fs, path: fs.pipe_file(path, content))


def _move(file: Address, to: Address) -> None:
    _tried(to, lambda fs, path: fs.mv(file_system(file)[1], path))


def check_writable(folder: Address) -> None:
    """Write a file and remove it; Unreachable if nothing can be written."""
    probe = folder / ".writable"
    write_files(folder, {probe.name: b"\n"})
    with suppress(Unreachable):  # who may write may not be allowed to remove
        _tried(probe, lambda fs, path: fs.rm_file(path))


# --- what can fail ----------------------------------------------------------------------------


def file_system(address: Address) -> tuple[AbstractFileSystem, str]:
    """Return the file system of an address, and the path in it."""
    from fsspec.core import url_to_fs

    options: dict[str, Any] = {}
    if address.scheme in _WEB:
        from aiohttp import ClientTimeout

        # Else aiohttp gives up on any file that takes five minutes.
        silence = ClientTimeout(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S)
        options["client_kwargs"] = {"timeout": silence}
    if address.scheme in _SSH:
        options["host_key_policy"] = _known_hosts()
    fs, path = url_to_fs(address.url, **options)
    return fs, str(path) or "/"  # of a server; fsspec's SFTP lists an empty path without one


@cache
def _known_hosts() -> type:
    """Return who decides on hosts: fsspec would trust any, and send it records and passwords."""
    import paramiko

    class KnownHosts(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
        def missing_host_key(self, client: object, hostname: str, key: object) -> None:
            file = Path.home() / ".ssh" / "known_hosts"
            known = paramiko.HostKeys(str(file) if file.is_file() else None)
            if not known.check(hostname, key):
                raise ValueError(
                    f"the key of {hostname} is not in {file}; connect once with ssh, and compare it"
                )

    return KnownHosts


def _tried(address: Address, work: Callable[[AbstractFileSystem, str], Result]) -> Result:
    """Return what work gives; what may pass is tried again.

    Raises
    ------
    Unreachable
        With the reason; NotThere where that is it.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            fs, path = file_system(address)
            if attempt > 1:
                fs.invalidate_cache()
            return work(fs, path)
        except (MemoryError, Unreachable):
            raise
        except Exception as raised:  # whatever a package raises
            error = _meant(raised)
            if isinstance(error, FileNotFoundError):
                raise NotThere("does not exist") from error
            reason = _reason(error)
            if _lasts(error):
                raise Unreachable(reason) from error
            if attempt == ATTEMPTS:
                raise Unreachable(f"{reason} (tried {ATTEMPTS} times)") from error
            check_stop()
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
    raise AssertionError("the last attempt returns or raises")


def _meant(error: Exception) -> Exception:
    """Return what went wrong: fsspec calls any failure of a web server a file that is missing."""
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or not isinstance(cause, Exception):
        return error
    of_http = type(cause).__module__.startswith("aiohttp")
    missing = isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) in (404, 410)
    return cause if not missing and (of_http or isinstance(cause, OSError)) else error


def _lasts(error: Exception) -> bool:
    """Return whether an error would come again."""
    status = getattr(error, "status", None)  # aiohttp's
    refused = status == 501 or (
        isinstance(status, int) and 400 <= status < 500 and status not in _LATER
    )
    credentials = "Credentials" in type(error).__name__  # botocore's, google.auth's
    return isinstance(error, _LASTING) or refused or credentials


def _reason(error: Exception) -> str:
    """Return why something failed, in one harmless line without passwords."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    said = str(error.strerror if isinstance(error, OSError) and error.strerror else error)
    if isinstance(error, PermissionError):
        said = "permission denied" + (f": {said}" if said and "denied" not in said.lower() else "")
    said = said or type(error).__name__
    line = "".join(one if one.isprintable() else " " for one in said)
    return _PASSWORD.sub(r"\1@", line)[:_MAX_REASON]


def free_bytes(folder: Path) -> int:
    """Return how much this machine can take in."""
    return shutil.disk_usage(folder).free


def as_record_error(address: Address, error: Unreachable) -> RecordError:
    """Return an error as one of a record."""
    return RecordError(f"{address} cannot be fetched: {error}")
