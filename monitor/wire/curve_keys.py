"""CURVE keys in a folder: who this monitor is, who this client is, and who may do what.

    server.secret   the monitor's own pair; stays on its host          (0600)
    server.public   what clients must know of it; copied to them
    client.secret   this client's own pair; stays on its host          (0600)
    client.public   what the monitor must know of it; copied to its host, into:
    authorised/     NAME.public: clients that may listen
    control/        NAME.public: those of them that may also give commands
    send/           NAME.public: clients that may send samples, or beats, to the stages

Secret files hold two lines, public and secret key; public ones the first. Keys are 40 characters
of Z85, as ZeroMQ writes them. Who writes into the folder decides who is let in, so a folder that
others may write is refused. Where there is no send/ (a folder made by version 0.1), those in
control/ may send: who may move thresholds may do harm as it is.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import zmq

from monitor.errors import InvalidKeys
from monitor.text_file import unmarked

MAX_CLIENTS = 10_000
ROLES = ("authorised", "control", "send")
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_KEY_CHARACTERS = 40
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


@dataclass(frozen=True)
class Pair:
    """A public key and its secret."""

    public: str
    secret: str

    def __repr__(self) -> str:
        return f"Pair({self.public}, …)"  # a secret must not reach a log


@dataclass(frozen=True)
class Keys:
    """What one folder holds; a host has what its role needs.

    Attributes
    ----------
    server, client : Pair or None
        To bind, and to connect.
    server_public : str or None
        The monitor that a client trusts.
    authorised, control, send : frozenset of str
        Public keys of clients that may listen, that may give commands, and that may send samples.
    """

    server: Pair | None
    client: Pair | None
    server_public: str | None
    authorised: frozenset[str]
    control: frozenset[str]
    send: frozenset[str]


def init_keys(folder: Path) -> None:
    """Make a monitor's pair and a client's, and let that client in; InvalidKeys if one exists."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ROLES:
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        for role in ("server", "client"):
            public, secret = (part.decode() for part in zmq.curve_keypair())
            _write(folder / f"{role}.secret", f"{public}\n{secret}\n", 0o600)
            _write(folder / f"{role}.public", f"{public}\n", 0o644)
        for name in ROLES:
            _write(folder / name / "own.public", f"{public}\n", 0o644)
    except FileExistsError as error:
        raise InvalidKeys(f"{error.filename} exists; keys are never replaced, remove it") from error
    except OSError as error:
        raise InvalidKeys(f"{folder}: keys cannot be written ({error.strerror})") from error


def _write(path: Path, text: str, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)


def load_keys(folder: Path) -> Keys:
    """Read a folder of keys.

    Raises
    ------
    InvalidKeys
        If it holds none, a file is malformed, or others may read a secret or write the folder.
    """
    if not folder.is_dir():
        raise InvalidKeys(f"{folder}: no folder of keys; `ecg-monitor keys init` makes one")
    _require_own(folder)
    server, client = (_pair(folder / f"{role}.secret") for role in ("server", "client"))
    public = folder / "server.public"
    if server is None and client is None:
        raise InvalidKeys(f"{folder} holds neither server.secret nor client.secret")
    return Keys(
        server=server,
        client=client,
        server_public=_lines(public, 1)[0] if public.exists() else None,
        authorised=_listed(folder / "authorised"),
        control=_listed(folder / "control"),
        send=_listed(folder / ("send" if (folder / "send").is_dir() else "control")),
    )


def _require_own(folder: Path) -> None:
    """Raise InvalidKeys if others may put keys into the folder, or replace it."""
    mode = folder.stat().st_mode
    if mode & WRITABLE_BY_OTHERS:
        raise InvalidKeys(_writable(folder))
    for path in (folder, *(folder / role for role in ROLES)):
        if path.is_dir() and path.stat().st_uid not in (0, os.geteuid()):
            raise InvalidKeys(
                f"{path} belongs to another user, who could let others in; make it your own "
                f"(chown -R), then check which keys it holds"
            )
    if mode & stat.S_IXGRP or mode & stat.S_IXOTH:  # others may reach what is in it
        inside = [folder / role for role in ROLES if (folder / role).is_dir()]
        inside += [path for role in inside for path in role.glob("*.public")]
        inside += [path for path in folder.iterdir() if path.suffix in (".public", ".secret")]
        for path in inside:
            if path.stat().st_mode & WRITABLE_BY_OTHERS:
                raise InvalidKeys(_writable(path))
    for parent in folder.resolve().parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:  # /tmp is sticky: only owners rename
            raise InvalidKeys(
                f"{folder} lies in {parent}, where anybody may put another folder in its place; "
                f"move it, or chmod o-w {parent}"
            )


def _writable(path: Path) -> str:
    return (
        f"{path} can be written by others, who could let themselves in; chmod go-w {path}, then "
        "check which keys it holds"
    )


def load_optional_keys(folder: Path | None) -> Keys | None:
    """Read a folder of keys that may be left out, as `load_keys` does; None stays None."""
    return None if folder is None else load_keys(folder)


def _pair(path: Path) -> Pair | None:
    if not path.exists():
        return None
    if path.stat().st_mode & 0o077:
        raise InvalidKeys(f"{path} can be read by others; chmod 600 it, or better: make new keys")
    return Pair(*_lines(path, 2))


def _listed(folder: Path) -> frozenset[str]:
    files = sorted(folder.glob("*.public"))
    if len(files) > MAX_CLIENTS:
        raise InvalidKeys(f"{folder} holds more than {MAX_CLIENTS} clients")
    return frozenset(_lines(path, 1)[0] for path in files)


def _lines(path: Path, n: int) -> list[str]:
    """Return a file's keys; InvalidKeys if they are not so many, or none."""
    try:
        with path.open("rb") as file:
            keys = unmarked(file.read(1000)).decode("ascii", "replace").split()
    except OSError as error:
        raise InvalidKeys(f"{path}: {error.strerror}") from error
    if len(keys) != n or not all(map(_is_key, keys)):
        raise InvalidKeys(f"{path} does not hold {n} key{'s' * (n > 1)} of 40 characters")
    return keys


def _is_key(text: str) -> bool:
    """Whether this is Z85 of 32 bytes; five characters can say more than four bytes hold."""
    if len(text) != _KEY_CHARACTERS or not set(text) <= set(_Z85):
        return False
    fives = (text[begin : begin + 5] for begin in range(0, _KEY_CHARACTERS, 5))
    return all(_z85_value(five) < 1 << 32 for five in fives)


def _z85_value(five: str) -> int:
    value = 0
    for character in five:
        value = 85 * value + _Z85.index(character)
    return value
