"""Records of PhysioNet by name, `mitdb/208`: fetched once into a cache folder, then found there.

The bytes come through urllib and not through wfdb's downloader: that one has no time limit and no
bound on what a server may send, reads whole files into memory, leaves half of them behind, and
asks physionet.org for a database's version whatever base URL is set. Headers are checked by
`monitor.sources.wfdb_header` before any file that they name is fetched.

PhysioNet's layout, as wfdb knows it:

    /content/mitdb/                  leads to /content/mitdb/1.0.0/, the newest version
    /files/mitdb/1.0.0/208.hea       and 208.dat, 208.atr beside it
    /files/mitdb/1.0.0/SHA256SUMS.txt    what all of them must be, byte for byte

A name may lead through folders, `ptb-xl/records500/00000/00001_hr`, and name a version behind the
database, `ptb-xl/1.0.3/records500/00000/00001_hr`, as the addresses of PhysioNet's files do.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request

import platformdirs

from monitor.errors import DownloadError, InvalidOption, RecordError
from monitor.sources.physionet_checksums import first_difference, published_digests
from monitor.sources.wfdb_formats import BYTES_PER_SAMPLE, NULL_FORMAT
from monitor.sources.wfdb_header import (
    MAX_HEADER_BYTES,
    RecordHeader,
    check_signal_files,
    read_header,
)

BASE_URL = "https://physionet.org"
ANNOTATION_EXTENSIONS = ("atr", "ecg")  # reference beats; chfdb has only `.ecg`
TIMEOUT_S = 30.0  # of silence

MAX_PAGE_BYTES = 4 << 20
MAX_ANNOTATION_BYTES = 64 << 20  # about 30 million beats
MAX_RECORD_BYTES = 4 << 30
MAX_SEGMENTS = 1000  # a header of its own each
LARGEST_SAMPLE_BYTES = 4  # of any format
FILE_SLACK_BYTES = 1 << 20  # headers and padding of a signal file
MAX_SUMS_BYTES = 1 << 30  # five times the list of MIMIC-IV-ECG
MAX_NAME_LENGTH = 1000
MAX_FOLDER_LENGTH = 200  # of the 255 bytes that a file system gives a name
BLOCK_BYTES = 1 << 16

_SITE = re.compile(r"https?://[-.\w]+(?::\d{1,5})?(?:/[-.\w~/]*)?", re.ASCII)
_VERSION = re.compile(r"\d{1,4}(?:\.\d{1,4}){1,3}", re.ASCII)
_PART = r"[A-Za-z0-9][-\w]{0,127}"  # without a point, so that no part is a version
_NAME = re.compile(rf"({_PART})(?:/({_VERSION.pattern}))?/((?:{_PART}/)*{_PART})", re.ASCII)
_VERSION_IN_PAGE = re.compile(r"Version:\s*([\d.]{1,20})", re.ASCII)

Progress = Callable[[int, int | None], None]
Notice = Callable[[str], None]


class _FetchFailed(Exception):
    """A request failed; the text gives the reason."""


class _NotFound(_FetchFailed):
    """The server has no such file."""


def is_record_name(text: str) -> bool:
    """Return whether `text` has the form of a PhysioNet record: database, folders, record."""
    return len(text) <= MAX_NAME_LENGTH and _NAME.fullmatch(text) is not None


def fetch_record(
    name: str,
    cache_dir: Path | None = None,
    base_url: str | None = None,
    on_progress: Progress | None = None,
    *,
    on_notice: Notice = lambda _text: None,
    timeout_s: float = TIMEOUT_S,
) -> Path:
    """Return the path of a PhysioNet record, which is fetched if the cache does not hold it.

    Header, signal files and the beat annotations, where there are any, are fetched whole or not
    at all: into a temporary folder, checked, also against the checksums that the database
    publishes, then moved, the header last.

    Parameters
    ----------
    name : str
        Database, perhaps its version, folders and record: `mitdb/208`,
        `ptb-xl/1.0.3/records500/00000/00001_hr`. Without a version it is the newest.
    cache_dir : Path, optional
        Where records are kept; none is the user's cache folder.
    base_url : str, optional
        Another server with PhysioNet's layout.
    on_progress : callable, optional
        Called with the bytes of signal files fetched, and their total where it is known; then
        with those of the list of checksums, whose total is not, unless the cache has it.
    on_notice : callable
        Receives a note where the database publishes no checksums, so that nothing was compared.
    timeout_s : float
        How long the server may be silent.

    Returns
    -------
    Path
        The record, without suffix.

    Raises
    ------
    InvalidOption
        If the name or the URL is malformed.
    DownloadError
        If the record can neither be fetched nor found in the cache; the text names the folder
        to put it in by hand.
    """
    if not is_record_name(name):
        raise InvalidOption(
            f"{name!a} cannot be a PhysioNet record; give database/record, for example mitdb/208"
        )
    site = _site(base_url or BASE_URL)
    cache = cache_dir or Path(platformdirs.user_cache_dir("ecg-monitor"))
    path = _place(name, cache / "physionet")
    if _is_whole(path):
        return path
    fetch = _Fetch(site, timeout_s, on_progress, on_notice)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as folder:
            fetch.record(_parts(name), Path(folder), cache / "physionet")
            _move_in(Path(folder), path)
    except (_FetchFailed, RecordError) as error:
        raise DownloadError(
            f"cannot fetch {name} from {site}: {_printable(str(error))}; to use it all the same, "
            f"put {path.name}.hea and the files it names into {path.parent}"
        ) from error
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise DownloadError(
            f"cannot keep {name} in {path.parent}: {reason}; use another cache folder"
        ) from error
    return path


def _parts(name: str) -> tuple[str, str | None, str]:
    """Return a name's database, its version where it has one, and the record with its folders."""
    match = _NAME.fullmatch(name)
    assert match is not None, "checked before"
    return match[1], match[2], match[3]


def _place(name: str, cache: Path) -> Path:
    """Return where a record is kept: `+` is in no name, so that no two names share a folder."""
    database, _, rest = name.partition("/")
    folder = rest.replace("/", "+")
    if len(folder) > MAX_FOLDER_LENGTH:
        folder = f"{folder[:128]}+{hashlib.sha256(rest.encode()).hexdigest()[:32]}"
    return cache / database / folder / rest.rpartition("/")[2]


def _site(url: str) -> str:
    """Return the checked base URL, without a slash at its end."""
    if _SITE.fullmatch(url) is None:
        raise InvalidOption(f"base URL {url!a} is not an address; write https://host/path")
    return url.rstrip("/")


def _is_whole(path: Path) -> bool:
    """Return whether the cache holds the header and every signal file at its full length."""
    try:
        for header in _headers(path):
            check_signal_files(header)
    except RecordError:
        return False
    return True


def _headers(path: Path) -> Iterator[RecordHeader]:
    """Yield the headers that have signals: the record's own, or those of its segments."""
    header = read_header(path)
    if not header.segments:
        yield header
    for segment in _segment_names(header):
        yield read_header(path.with_name(segment))


def _segment_names(header: RecordHeader) -> list[str]:
    named = dict.fromkeys(segment.name for segment in header.segments)
    return [name for name in named if name is not None]


def _move_in(folder: Path, path: Path) -> None:
    """Move what was fetched beside `path`; its header last, so that a header means a record."""
    files = sorted(folder.iterdir(), key=lambda file: file.name == f"{path.name}.hea")
    for file in files:
        file.replace(path.parent / file.name)


def _printable(text: str) -> str:
    """Return a text that may quote a server as one harmless line."""
    return "".join(character if character.isprintable() else "?" for character in text)[:300]


@dataclass
class _Fetch:
    """One record on its way from one server."""

    site: str
    timeout_s: float
    on_progress: Progress | None
    on_notice: Notice
    opener: urllib.request.OpenerDirector = field(default_factory=lambda: _http_opener())
    done_bytes: int = 0
    total_bytes: int | None = None

    def record(self, parts: tuple[str, str | None, str], folder: Path, cache: Path) -> None:
        """Fetch a record's files into `folder` and check them."""
        database, named_version, record = parts
        version = named_version or self.version(database)
        base = f"{self.site}/files/{database}/{version}/"
        parent, _, stem = record.rpartition("/")
        inside = f"{parent}/" if parent else ""
        self.files(base + inside, folder / stem)
        files = {f"{inside}{file.name}": file for file in folder.iterdir()}
        sums = self.checksums(base, cache / database / f"SHA256SUMS-{version}.txt", folder)
        if sums is None:
            self.on_notice(f"{database} {version} publishes no checksums: nothing was compared")
            return
        self.compare(files, sums)

    def files(self, base: str, path: Path) -> None:
        """Fetch a record's header, its segments, its signals and its annotations beside `path`."""
        folder = path.parent
        self.file(f"{base}{path.name}.hea", path.with_suffix(".hea"), MAX_HEADER_BYTES)
        segments = _segment_names(read_header(path))
        if len(segments) > MAX_SEGMENTS:
            raise _FetchFailed(f"the record has {len(segments)} segments, over {MAX_SEGMENTS}")
        for name in segments:
            self.file(f"{base}{name}.hea", folder / f"{name}.hea", MAX_HEADER_BYTES)
        headers = list(_headers(path))
        self.total_bytes = _signal_bytes(headers)
        for header in headers:
            self.signals(base, header, folder)
            check_signal_files(header)
        self.annotation(base, path)

    def checksums(self, base: str, kept: Path, folder: Path) -> Path | None:
        """Return the database's list of checksums, which is fetched once; None if it has none."""
        if kept.is_file():
            return kept
        part = folder / kept.name
        self.done_bytes, self.total_bytes = 0, None
        try:
            self.file(f"{base}SHA256SUMS.txt", part, MAX_SUMS_BYTES, counts=True)
        except _NotFound:
            part.unlink(missing_ok=True)
            return None
        return part.replace(kept)

    def compare(self, files: dict[str, Path], sums: Path) -> None:
        """Compare what was fetched with the checksums; one that differs is no file of the record.

        The list is forgotten then: it may be what went wrong on its way.
        """
        published = published_digests(sums, files)
        different = first_difference(files, published)
        if different is not None:
            sums.unlink(missing_ok=True)
            raise _FetchFailed(f"{different} is not what its database publishes (SHA-256)")
        unknown = sorted(files.keys() - published.keys())
        if unknown:
            self.on_notice(f"not among the database's checksums, so not compared: {unknown[0]}")

    def version(self, database: str) -> str:
        """Return the newest version of a database.

        The page of a database redirects to the page of its newest version. The text that wfdb
        looks for in that page is kept by PhysioNet for wfdb alone, and only for a while.
        """
        with self.response(f"{self.site}/content/{database}/") as response:
            final = re.search(rf"/content/{database}/([^/]+)/?$", urlsplit(response.url).path)
            if final and _VERSION.fullmatch(final[1]):
                return final[1]
            page = response.read(MAX_PAGE_BYTES).decode("utf-8", errors="replace")
        version = _VERSION_IN_PAGE.search(page)
        if version is None or not _VERSION.fullmatch(version[1]):
            raise _FetchFailed(f"the server does not say which version of {database} is newest")
        return version[1]

    def signals(self, base: str, header: RecordHeader, folder: Path) -> None:
        """Fetch the signal files that a header names; none may be larger than it explains."""
        for name in dict.fromkeys(signal.file_name for signal in header.signals):
            signals = [signal for signal in header.signals if signal.file_name == name]
            if signals[0].fmt == NULL_FORMAT or (folder / name).exists():
                continue
            most = MAX_RECORD_BYTES - self.done_bytes
            if header.n_frames:
                n_samples = header.n_frames * sum(signal.samples_per_frame for signal in signals)
                explained = signals[0].byte_offset + LARGEST_SAMPLE_BYTES * n_samples
                most = min(most, explained + FILE_SLACK_BYTES)
            self.file(base + name, folder / name, most, counts=True)

    def annotation(self, base: str, path: Path) -> None:
        """Fetch the first beat annotation that the server has, if any."""
        for extension in ANNOTATION_EXTENSIONS:
            file = path.with_suffix(f".{extension}")
            try:
                self.file(base + file.name, file, MAX_ANNOTATION_BYTES)
            except _NotFound:
                continue
            return

    def file(self, url: str, file: Path, most_bytes: int, *, counts: bool = False) -> None:
        """Fetch one file, refusing one of more than `most_bytes` or other than announced."""
        with self.response(url) as response, file.open("xb") as target:
            announced = response.headers.get("Content-Length", "")
            expected = int(announced) if re.fullmatch(r"[0-9]{1,15}", announced) else None
            if expected is not None and expected > most_bytes:
                raise _FetchFailed(f"{file.name} has {expected} bytes, over {most_bytes}")
            received = self.copy(response, target, most_bytes, counts)
        if expected is not None and received != expected:
            raise _FetchFailed(f"{file.name} broke off after {received} of {expected} bytes")
        if received == 0:
            raise _FetchFailed(f"{file.name} is empty")

    def copy(
        self,
        response: http.client.HTTPResponse,
        target: BinaryIO,
        most_bytes: int,
        counts: bool,
    ) -> int:
        """Copy a response block by block; return its bytes."""
        received = 0
        while block := response.read1(BLOCK_BYTES):
            received += len(block)
            if received > most_bytes:
                raise _FetchFailed(f"the server sends more than {most_bytes} bytes of one file")
            target.write(block)
            if counts:
                self.done_bytes += len(block)
                if self.on_progress is not None:
                    self.on_progress(self.done_bytes, self.total_bytes)
        return received

    @contextmanager
    def response(self, url: str) -> Iterator[http.client.HTTPResponse]:
        """Open a URL; whatever goes wrong on the way is a _FetchFailed."""
        try:
            with self.opener.open(url, timeout=self.timeout_s) as response:
                yield response
        except HTTPError as error:
            error.close()
            if error.code == 404:
                raise _NotFound(f"{url} does not exist (404)") from error
            raise _FetchFailed(f"{url} was refused ({error.code})") from error
        except TimeoutError as error:
            raise _FetchFailed(f"no answer within {self.timeout_s:g} s") from error
        except URLError as error:
            silent = isinstance(error.reason, TimeoutError)
            reason = f"no answer within {self.timeout_s:g} s" if silent else _network(error)
            raise _FetchFailed(reason) from error
        except (http.client.HTTPException, ConnectionError) as error:
            raise _FetchFailed(f"no proper answer ({type(error).__name__})") from error


def _network(error: URLError) -> str:
    reason = error.reason
    return reason.strerror or str(reason) if isinstance(reason, OSError) else str(reason)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects; one to what is no URL is an error of the network, not of the program."""

    def http_error_302(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> IO[bytes] | None:
        """Follow one redirect."""
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError as error:
            fp.close()
            raise URLError("redirected to something that is not an address") from error

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _http_opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows HTTP only: a redirect cannot lead to a file or to FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        _Redirects,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    opener.addheaders = [("User-Agent", "ecg-monitor")]
    return opener


def _signal_bytes(headers: list[RecordHeader]) -> int | None:
    """Return the size of all signal files together, or None where a header does not tell it."""
    total = 0.0
    for header in headers:
        for signal in header.signals:
            if signal.fmt not in BYTES_PER_SAMPLE or header.n_frames is None:
                return None
            n_samples = header.n_frames * signal.samples_per_frame
            total += float(n_samples * BYTES_PER_SAMPLE[signal.fmt])
    return round(total)
