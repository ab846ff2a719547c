"""What is secret: users, passwords, tokens and certificates, by host, from one file.

    ["hooks.example"]
    authorization = "Bearer tk_…"

    ["broker.example"]
    user = "ward"
    password = "…"
    ca = "/etc/ecg-monitor/ca.pem"

They stand in no command line, where all users of the machine can read them, and go to no other
host.
"""

from __future__ import annotations

import base64
import ssl
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from monitor.errors import InvalidOption
from monitor.text_file import unmarked

MAX_BYTES = 1 << 16
READABLE_BY_OTHERS = 0o077


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one host is told, and whose certificates are believed.

    Attributes
    ----------
    authorization : str
        An HTTP header, such as `Bearer …`.
    ca, certificate, key : str
        Files in PEM: who signs the host's certificate, this client's certificate, and its key.
    """

    user: str = ""
    password: str = ""
    authorization: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""

    def __repr__(self) -> str:  # a secret is never printed
        return "Credentials(…)"

    def http_headers(self) -> dict[str, str]:
        """Return the header that lets an HTTP client in; none without credentials."""
        if self.authorization:
            return {"Authorization": self.authorization}
        if self.user:
            pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {}

    def tls(self) -> ssl.SSLContext:
        """Return what TLS connections are made with.

        Raises
        ------
        InvalidOption
            If a file cannot be used.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key or None)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            files = ", ".join(filter(None, (self.ca, self.certificate, self.key)))
            raise InvalidOption(
                f"--secrets: {files} cannot be used for TLS ({error}); give files in PEM"
            ) from error
        return context


class Secrets(Protocol):
    """Credentials by host."""

    def of(self, host: str) -> Credentials:
        """Return those for a host; empty ones where none are given."""
        ...


class NoSecrets:
    """Of who gave none."""

    def of(self, host: str) -> Credentials:
        """Return empty ones."""
        return Credentials()


class SecretsFile:
    """What a file holds.

    Raises
    ------
    InvalidOption
        If it cannot be read, others may read it, or it is no such file.
    """

    def __init__(self, path: Path) -> None:
        try:
            if path.stat().st_mode & READABLE_BY_OTHERS:
                raise InvalidOption(
                    f"--secrets {path}: others may read it; `chmod 600 {path}` first"
                )
            with path.open("rb") as file:
                content = file.read(MAX_BYTES)
            by_host = tomllib.loads(unmarked(content).decode())
            self._by_host: Mapping[str, Credentials] = msgspec.convert(
                {host.lower(): values for host, values in by_host.items()}, dict[str, Credentials]
            )
        except OSError as error:
            raise InvalidOption(f"--secrets {path}: {error.strerror}") from error
        except (ValueError, RecursionError, msgspec.ValidationError) as error:
            # TOML's own words may hold a line of the file, and so a secret.
            said = f" ({error})" if isinstance(error, msgspec.ValidationError) else ""
            raise InvalidOption(
                f"--secrets {path} is no such file{said}; write a table a host, "
                f'["broker.example"], with '
                f"some of {', '.join(Credentials.__struct_fields__)} as texts"
            ) from error

    def of(self, host: str) -> Credentials:
        """Return those for a host; empty ones where none are given."""
        return self._by_host.get(host.lower(), Credentials())
