"""What a monitor needs of this machine, looked at one by one: `ecg-monitor doctor`.

Each check answers in one line; none changes anything, waits for long or needs the network.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, requires
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Literal, NamedTuple

import platformdirs

from monitor.log import state_folder
from monitor.run.free_endpoints import holder
from monitor.settings import DEFAULT_ALERTS, DEFAULT_BEATS, DEFAULT_SAMPLES, DEFAULT_WAVE
from monitor.sources.missing_record import shown
from monitor.text import counted
from monitor.wire.pushed_samples import DEFAULT_PUSH
from monitor.wire.sockets import requests_endpoint

PACKAGE = "ecg-monitor"
LIBRARIES = ("numpy", "scipy", "onnxruntime", "pyzmq", "msgspec", "wfdb", "rich")
ALL = "all"  # the extra of extras
DEVELOPERS = frozenset({"dev", "bench", "browser"})  # extras that no monitor needs
LITTLE_BYTES = 1 << 30  # a journal grows to 2 GB by default
PORTS = {  # what each is for, and who listens there
    "alerts": DEFAULT_ALERTS,
    "requests": requests_endpoint(DEFAULT_ALERTS),
    "samples": DEFAULT_SAMPLES,
    "beats": DEFAULT_BEATS,
    "waveforms": DEFAULT_WAVE,
    "pushed samples": DEFAULT_PUSH,
}
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^\]]*\])?[^;]*(?:;.*extra == ['\"]([\w-]+)['\"].*)?")

State = Literal["ok", "note", "fault"]


class Check(NamedTuple):
    """What was found: `fault` keeps a monitor from running, `note` may surprise."""

    state: State
    about: str
    text: str


def checks(why_plain: str | None, columns: int, rows: int) -> list[Check]:
    """Look at the machine.

    Parameters
    ----------
    why_plain : str or None
        Why the terminal cannot show the live view; None where it can.
    columns, rows : int
        Its size.
    """
    return [
        _versions(),
        _libraries(),
        _model(),
        *_extras(),
        _terminal(why_plain, columns, rows),
        _ports(),
        _folder("cache", Path(platformdirs.user_cache_dir(PACKAGE)), "records are kept here"),
        _folder("logs", state_folder(), "runs without a journal log here"),
    ]


def _versions() -> Check:
    system = f"{platform.system()} {platform.machine()}, {counted(os.cpu_count() or 1, 'core')}"
    text = f"{installed_version(PACKAGE)} on Python {platform.python_version()}, {system}"
    return Check("ok", PACKAGE, text)


def _libraries() -> Check:
    found = {name: _version(name) for name in LIBRARIES}
    missing = [name for name, version in found.items() if version is None]
    if missing:
        text = f"{', '.join(missing)} not installed; install {PACKAGE} anew"
        return Check("fault", "libraries", text)
    return Check("ok", "libraries", ", ".join(f"{name} {found[name]}" for name in LIBRARIES))


def _version(name: str) -> str | None:
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return None


def _model() -> Check:
    from model.checkpoint import load_shipped
    from model.errors import ModelError

    try:
        checkpoint = load_shipped()
    except (ModelError, OSError) as error:
        return Check("fault", "model", f"{error}; install {PACKAGE} anew")
    return Check("ok", "model", f"the one that ships can be used: {checkpoint.identity}")


def extras(requirements: Iterable[str]) -> dict[str, list[str]]:
    """Return the packages of each extra that a person may want; of `all` what no other brings.

    Parameters
    ----------
    requirements : iterable of str
        As the package's metadata has them.

    Examples
    --------
    >>> extras(["numpy>=1.26", "torch>=2.4; extra == 'learn'"])
    {'learn': ['torch']}
    """
    found: dict[str, list[str]] = {}
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match and match[2] and match[2] not in DEVELOPERS and match[1] != PACKAGE:
            found.setdefault(match[2], []).append(match[1])
    # A package that a smaller extra brings is no reason to install all of them.
    smaller = {name for extra, names in found.items() if extra != ALL for name in names}
    of_all = [name for name in found.pop(ALL, ()) if name not in smaller]
    return found | ({ALL: of_all} if of_all else {})


def _extras() -> list[Check]:
    found: list[Check] = []
    for extra, packages in extras(requires(PACKAGE) or ()).items():
        versions = {name: _version(name) for name in packages}
        missing = [name for name, version in versions.items() if version is None]
        if missing:
            it = "it" if len(missing) == 1 else "them"
            text = (
                f"{' and '.join(missing)} not installed; pip install '{PACKAGE}[{extra}]' "
                f"brings {it}"
            )
            found.append(Check("note", f"[{extra}]", text))
        else:
            text = ", ".join(f"{name} {version}" for name, version in versions.items())
            found.append(Check("ok", f"[{extra}]", text))
    return found


def _terminal(why_plain: str | None, columns: int, rows: int) -> Check:
    if why_plain is not None:
        return Check("note", "terminal", f"plain lines, not the live view: {why_plain}")
    return Check("ok", "terminal", f"{columns} x {rows}, shows the live view")


def _ports(holder: Callable[[str], str | None] = holder) -> Check:
    held: dict[str, list[str]] = {}
    for use, endpoint in PORTS.items():
        who = holder(endpoint)
        if who is not None:
            held.setdefault(who, []).append(f"{use} ({endpoint.rpartition(':')[2]})")
    if not held:
        ports = [endpoint.rpartition(":")[2] for endpoint in PORTS.values()]
        return Check("ok", "ports", f"{min(ports)} to {max(ports)} on this machine are free")
    text = "; ".join(f"{who} has {', '.join(uses)}" for who, uses in held.items())
    return Check("note", "ports", f"{text}; another monitor needs --alerts ENDPOINT")


def _folder(about: str, folder: Path, use: str) -> Check:
    """Look whether a folder, or where it will be made, can be written and has room."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Check("fault", about, f"{shown(folder)} cannot be written; {use}")
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Check("fault", about, f"{shown(folder)}: {error.strerror}")
    text = f"{shown(folder)}, {free / 1e9:.1f} GB free"
    return Check("note" if free < LITTLE_BYTES else "ok", about, text)


def exit_code(found: Iterable[Check]) -> int:
    """Return 1 if something keeps a monitor from running, else 0."""
    return int(any(one.state == "fault" for one in found))
