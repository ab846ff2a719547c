"""Where folders for sockets can be made: a socket's path has about 100 bytes, some folders more."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from monitor.errors import InvalidOption
from monitor.wire.sockets import IPC_PATH_BYTES

# What comes behind the base: /ecgm-4194304-abcdefgh/lifecycle, and some room.
NAME_BYTES = 40


def base_folder() -> Path:
    """Return the system's folder for temporary files, or another where its path is too long.

    Batch systems and macOS set TMPDIR to long paths.

    Raises
    ------
    InvalidOption
        If there is no such folder with a short path that can be written.
    """
    temporary = Path(tempfile.gettempdir())
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    others = [Path("/tmp"), Path("/var/tmp"), *([Path(runtime)] if runtime else [])]  # noqa: S108
    base = first_short((temporary, *others))
    if base is None:
        raise InvalidOption(
            f"sockets cannot lie in the folder for temporary files, {temporary}, whose path may "
            f"have {IPC_PATH_BYTES - NAME_BYTES} bytes, and neither in "
            f"{' nor in '.join(map(str, others))}; set TMPDIR to a short path that can be written"
        )
    return base


def first_short(folders: Iterable[Path]) -> Path | None:
    """Return the first folder that can be written and whose path leaves room for a socket's."""
    for folder in folders:
        is_short = len(os.fsencode(folder)) + NAME_BYTES <= IPC_PATH_BYTES
        is_path = folder.is_absolute() and str(folder).isprintable()  # as endpoints want it
        if is_short and is_path and os.access(folder, os.W_OK | os.X_OK):
            return folder
    return None
