"""Who may reach the page and who may act: where it listens, Host and Origin, the token, headers."""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from monitor.errors import InvalidOption
from monitor.settings import DEFAULT_LISTEN
from monitor.text_file import unmarked

MIN_TOKEN = 16  # characters
MAX_TOKEN = 200
MAX_WRONG, WRONG_WITHIN_S = 10, 60.0  # tokens refused before all are, for a while
_LISTEN = re.compile(r"(?:(\[[0-9A-Fa-f:]{2,39}\]|[A-Za-z0-9.\-]{1,253}):)?(\d{1,5})")
_LOOPBACK = re.compile(r"127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost|\[::1\]")

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Access:
    """Where the page is served and what protects it.

    Attributes
    ----------
    host, port : str, int
        Where it listens.
    certificate, key : Path or None
        PEM files of TLS.
    token : str
        Who knows it may act; empty: nobody may.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    token: str = ""

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return _LOOPBACK.fullmatch(self.host) is not None

    @property
    def url(self) -> str:
        """What a person opens."""
        return f"{'https' if self.certificate else 'http'}://{self.host}:{self.port}/"


def parse_access(
    listen: str,
    token: Path | None,
    certificate: Path | None,
    key: Path | None,
    behind_proxy: bool,
) -> Access:
    """Return the access that options ask for.

    Raises
    ------
    InvalidOption
        If the page would be open to other machines without encryption, or a file cannot be used.
    """
    found = _LISTEN.fullmatch(listen)
    if found is None or not 1 <= int(found[2]) <= 65535:
        raise InvalidOption(
            f"--listen {listen[:60]!r} is no address; give HOST:PORT, such as {DEFAULT_LISTEN}"
        )
    if (certificate is None) != (key is None):
        raise InvalidOption("--tls-cert and --tls-key are two files of one pair; give both")
    for option, path in (("--tls-cert", certificate), ("--tls-key", key)):
        if path is not None and not path.is_file():
            raise InvalidOption(f"{option} {path}: no such file; give a PEM file")
    access = Access(found[1] or "127.0.0.1", int(found[2]), certificate, key)
    if not access.is_local and certificate is None and not behind_proxy:
        raise InvalidOption(
            f"--listen {listen}: refused beyond this machine without encryption; give --tls-cert "
            "and --tls-key, or --behind-proxy where a proxy before it encrypts, or listen on "
            f"{DEFAULT_LISTEN}"
        )
    # Last, since it may make a file.
    return Access(access.host, access.port, certificate, key, _token(token) if token else "")


def _token(path: Path) -> str:
    """Return the token in a file, which is made where there is none."""
    try:
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{secrets.token_urlsafe(24)}\n")
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise InvalidOption(f"--token {path} can be read by others; chmod 600 it, or make anew")
        with path.open("rb") as opened:
            text = unmarked(opened.read(1000)).decode("ascii", "replace").strip()
    except OSError as error:
        raise InvalidOption(f"--token {path}: {error.strerror}; give another file") from error
    if not MIN_TOKEN <= len(text) <= MAX_TOKEN or not text.isascii() or not text.isprintable():
        raise InvalidOption(
            f"--token {path} holds no token: one line of {MIN_TOKEN} to {MAX_TOKEN} plain "
            "characters; remove the file, and one is made"
        )
    return text


def is_host_allowed(access: Access, headers: Mapping[str, str]) -> bool:
    """Tell whether a request names this server; a name that is made to lead here does not.

    Of a page for this machine alone: a site that has its own name resolved to 127.0.0.1 would read
    the patients otherwise. Beyond it, TLS or the proxy know the names.
    """
    if not access.is_local:
        return True
    host = headers.get("host", "")
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    return _LOOPBACK.fullmatch(name) is not None


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Tell whether a request comes from a page of this server, or from no page at all."""
    origin = headers.get("origin")
    if origin is None:
        return True
    return origin.partition("://")[2] == headers.get("host", "")


@dataclass
class Door:
    """Compares tokens; after too many wrong ones it compares none for a while."""

    token: str
    _wrong_s: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_WRONG))

    def refusal(self, headers: Mapping[str, str], now_s: float) -> tuple[int, str]:
        """Return the status and reason to refuse an action with; (200, "") where it may act."""
        if not self.token:
            return 403, "read-only: the page was started without --token"
        if len(self._wrong_s) == MAX_WRONG and now_s - self._wrong_s[0] < WRONG_WITHIN_S:
            return 429, "too many wrong tokens; try again in a minute"
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode()):
            return 200, ""
        self._wrong_s.append(now_s)
        return 401, "wrong token; it stands in the file that --token names"
