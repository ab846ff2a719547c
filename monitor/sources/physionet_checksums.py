"""SHA-256 of a database's files, as PhysioNet publishes them: `SHA256SUMS.txt` of each version.

    7d8f…(64 digits) files/p1000/p10000032/s40689238/40689238.dat

A large database has a long list (MIMIC-IV-ECG: 1.6 million files, some 200 MB): it is read line by
line, and kept in the cache, so that it is fetched once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from monitor.text_file import unmarked

MAX_LINE_BYTES = 4096
_DIGEST = re.compile(rb"[0-9a-f]{64}")


def published_digests(sums: Path, wanted: Collection[str]) -> dict[str, str]:
    """Return the digest of each file wanted that a list of checksums names.

    Parameters
    ----------
    sums : Path
        Lines as `sha256sum` writes them: digest, white space, path from the database's folder.
    wanted : collection of str
        Paths from the database's folder.
    """
    names = {name.encode(): name for name in wanted}
    found: dict[str, str] = {}
    with sums.open("rb") as file:
        is_first = True
        while len(found) < len(names) and (line := file.readline(MAX_LINE_BYTES)):
            if is_first:
                line, is_first = unmarked(line), False
            name = names.get(line[64:].strip().removeprefix(b"*").removeprefix(b"./"))
            digest = line[:64].lower()
            if name is not None and _DIGEST.fullmatch(digest):
                found[name] = digest.decode()
    return found


def first_difference(files: Mapping[str, Path], published: Mapping[str, str]) -> str | None:
    """Return the first file whose digest is another than published; None where all are alike."""
    for name, digest in published.items():
        with files[name].open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                return name
    return None
