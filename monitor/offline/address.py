"""Where something lies that is not on this machine: an address such as s3://bucket/folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from monitor.errors import InvalidOption
from monitor.sources.kinds import is_live

WEB = ("http", "https")
_LOCAL = ("file", "local")
_ADDRESS = re.compile(r"([a-z][a-z0-9+.:-]{1,100})://(.*)", re.DOTALL)
_PASSWORD = re.compile(r"(://[^/@:]*):[^/]*@")


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
        return without_passwords(self.url)

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
    if "::" in name or not name.isprintable() or (scheme in WEB and re.search("[?#]", rest)):
        raise InvalidOption(
            f"{str(address)!r:.200} is no plain address; give one such as s3://bucket/folder, "
            "without a query or a chain (::)"
        )
    if not rest.strip("/"):
        raise InvalidOption(f"{address}:// names no place; give one such as s3://bucket/folder")
    why_not = _why_unknown(scheme)
    if why_not:
        raise InvalidOption(f"{address} cannot be opened: {why_not}")
    return address


def _why_unknown(scheme: str) -> str:
    """Return why no package that is installed knows a scheme; empty if one does."""
    import fsspec
    from fsspec.registry import known_implementations

    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        hint = known_implementations.get(scheme, {}).get("err") or str(error)
        return f"a package for it is missing here: {hint}"
    except ValueError:
        return f"no file system is called {scheme}; known are s3, gs, abfs, sftp, ftp, https, …"
    return ""


def without_passwords(text: str) -> str:
    """Return a text in which addresses have no password."""
    return _PASSWORD.sub(r"\1@", text)
