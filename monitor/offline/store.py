"""The file system behind an address, and what can fail there.

What may pass is tried again; what lasts is said in one line. Credentials are not ours to handle:
each package finds them as it always does.
"""

from __future__ import annotations

import ftplib
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from monitor.offline.address import WEB, Address, without_passwords
from monitor.offline.worker_processes import check_stop

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

ATTEMPTS = 3
PAUSE_S = 0.5  # before the second attempt; twice as long before the next
SILENCE_S = 30.0  # of a web server
_MAX_REASON = 300
_SSH = ("sftp", "ssh")
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


class Unreachable(Exception):
    """Something elsewhere cannot be read or written; the text gives the reason alone."""


class NotThere(Unreachable):
    """There is no such thing."""


def file_system(address: Address) -> tuple[AbstractFileSystem, str]:
    """Return the file system of an address, and the path in it."""
    from fsspec.core import url_to_fs

    options: dict[str, Any] = {}
    if address.scheme in WEB:
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


def tried(address: Address, work: Callable[[AbstractFileSystem, str], Result]) -> Result:
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
    return without_passwords(line)[:_MAX_REASON]
