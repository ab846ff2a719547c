"""A journal read by others than its writer: while it is written, and long after."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import msgspec
import numpy as np

from monitor.errors import InvalidMessage, JournalFailed
from monitor.journal.kept_beats import BEATS_AROUND, KeptBeat
from monitor.journal.lock import real_path, require_one_name
from monitor.journal.run import JournaledRun, decode_run
from monitor.wire.codec import decode_numbered
from monitor.wire.messages import MAX_BEAT_VALUE, MAX_PAGE, Alert, Technical

_MAGIC = b"SQLite format 3\0"
MIN_PREFIX = 4  # digits of an identity
PROGRESS = "SELECT state FROM progress ORDER BY rowid"  # whose was committed last at the end
# What SQLite raises for a file that it cannot read: where it quotes damaged text of the file in its
# message, sqlite3 cannot make words of that.
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
VERSION = 2  # of the tables, in the file's user_version; 1 kept one lead's beats


def is_journal(path: Path) -> bool:
    """Tell whether a file is a database of SQLite, as a journal is and no record."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def is_number(name: str) -> bool:
    """Tell whether a name of an alert is its number; else it is the beginning of its identity."""
    return name.isdecimal() and len(name) < 2 * MIN_PREFIX


def is_prefix(name: str) -> bool:
    """Tell whether a name may be the beginning of an identity."""
    return len(name) >= MIN_PREFIX and name.isalnum()


class JournalReader:
    """A journal's file, open for reading.

    Raises
    ------
    JournalFailed
        If the file cannot be read or is not a journal; each method raises it, too.
    """

    kind = "journal"

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.exists() and not path.is_file():
            raise JournalFailed(f"{path} is not a file; name the file that --journal named")
        if not path.is_file():
            raise JournalFailed(f"{path} does not exist; name the file that --journal named")
        require_one_name(path)
        try:
            self._database = sqlite3.connect(
                f"file:{quote(str(real_path(path)))}?mode=ro", uri=True, isolation_level=None
            )
        except sqlite3.Error as error:
            raise JournalFailed(
                f"{path} cannot be read ({error}); check its permissions"
            ) from error
        try:
            self._rows("SELECT identity FROM journal")
            require_version(path, self._database)
        except JournalFailed:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()

    @property
    def identity(self) -> str:
        """The journal's identity now: it may get another."""
        rows = self._rows("SELECT identity FROM journal")
        return str(rows[0][0]) if rows else ""

    def alerts(self, since: str = "", patient: str | None = None) -> Iterator[Alert | Technical]:
        """Yield the alerts since a wall time, in order, of one patient or of all.

        It begins with the first alert of that time or later and leaves out none behind it, though
        the wall clock was set back since.
        """
        query = (
            "SELECT seq, message FROM alerts WHERE seq > ?1 "
            "AND (?2 IS NULL OR patient = ?2) ORDER BY seq LIMIT ?3"
        )
        ((first,),) = self._rows("SELECT min(seq) FROM alerts WHERE wall_time >= ?", since)
        if not isinstance(first, int):
            return
        last: object = first - 1
        while rows := self._rows(query, last, patient, MAX_PAGE):
            yield from (self._decoded(message) for _, message in rows)
            last = rows[-1][0]

    def patients(self) -> set[str]:
        """Return who is journaled: those of alerts, and those who are monitored."""
        rows = self._rows("SELECT patient FROM alerts UNION SELECT patient FROM progress")
        return {name for (name,) in rows if isinstance(name, str)}

    def find(self, name: str) -> list[Alert | Technical]:
        """Return the alerts whose number is `name`, or whose identity begins so."""
        if is_number(name):
            rows = self._rows("SELECT message FROM alerts WHERE seq = ?", int(name))
        elif is_prefix(name):
            rows = self._rows("SELECT message FROM alerts WHERE id GLOB ?", f"{name.lower()}*")
        else:
            return []
        return [self._decoded(message) for (message,) in rows]

    def beats_around(self, patient: str, sample: int) -> list[KeptBeat]:
        """Return the beat at a sample and at most ten on either side that were kept, in order."""
        kept = "SELECT beat FROM beats WHERE patient = ?"
        before = self._rows(
            f"{kept} AND sample <= ? ORDER BY sample DESC LIMIT ?",
            patient,
            sample,
            BEATS_AROUND + 1,
        )
        after = self._rows(
            f"{kept} AND sample > ? ORDER BY sample LIMIT ?", patient, sample, BEATS_AROUND
        )
        return [self._kept_beat(content) for (content,) in (*reversed(before), *after)]

    def kept_samples(self, patient: str) -> list[int]:
        """Return the R peaks of all beats that were kept of a patient, in order."""
        rows = self._rows("SELECT sample FROM beats WHERE patient = ? ORDER BY sample", patient)
        return [sample for (sample,) in rows if isinstance(sample, int)]

    def _kept_beat(self, content: object) -> KeptBeat:
        try:
            beat = msgspec.msgpack.decode(as_bytes(content), type=KeptBeat)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise JournalFailed(
                f"{self._path} is damaged: a kept beat cannot be read ({error}); restore a copy"
            ) from error
        if not _is_beat(beat):
            raise JournalFailed(
                f"{self._path} is damaged: the kept beat at sample {beat.sample} is not one; "
                "restore a copy"
            )
        return beat

    def run(self) -> JournaledRun | None:
        """Return what the journal's run is of; None if none has begun."""
        rows = self._rows("SELECT description FROM run")
        return None if not rows else decode_run(as_bytes(rows[0][0]), self._path)

    def progress(self) -> list[bytes]:
        """Return how far each patient is, in the order of commits, for `decoded_progress`."""
        return [as_bytes(state) for (state,) in self._rows(PROGRESS)]

    def _rows(self, query: str, *given: object) -> list[tuple[object, ...]]:
        return read_rows(self._path, self._database, query, *given)

    def _decoded(self, message: object) -> Alert | Technical:
        return decoded_alert(self._path, message)


def read_rows(
    path: Path, database: sqlite3.Connection, query: str, *given: object
) -> list[tuple[object, ...]]:
    """Return what a query finds; JournalFailed if the file cannot be read."""
    try:
        return database.execute(query, given).fetchall()
    except UNREADABLE as error:
        raise JournalFailed(
            f"{path} cannot be read as a journal ({error}); name the file that --journal named, of "
            f"a copy with {path.name}-wal beside it where there was one"
        ) from error


def decoded_alert(path: Path, message: object) -> Alert | Technical:
    """Return an alert of a journal; JournalFailed if the row holds none."""
    try:
        return decode_numbered(as_bytes(message))
    except InvalidMessage as error:
        raise JournalFailed(
            f"{path} is damaged: an alert cannot be read ({error}); restore a copy"
        ) from error


def require_version(path: Path, database: sqlite3.Connection) -> None:
    """Raise JournalFailed if a journal's tables are those of another version."""
    ((version,),) = read_rows(path, database, "PRAGMA user_version")
    if isinstance(version, int) and version > VERSION:
        raise JournalFailed(
            f"{path} was written by a newer version (tables {version}, known {VERSION}); "
            "update, or name another with --journal"
        )
    if version != VERSION:
        raise JournalFailed(
            f"{path} was written by an earlier version (tables {version}, known {VERSION}); read "
            "it with that version, or name another with --journal"
        )


def _is_beat(beat: KeptBeat) -> bool:
    """Whether these are as many leads throughout, of float32 of a standardised beat; NaN is not."""
    n_leads = len(beat.leads)
    if not len(beat.losses) == len(beat.thresholds) == n_leads > 0:
        return False
    if beat.score is not None and not 0 <= beat.score < math.inf:
        return False
    if len(beat.values) % (4 * n_leads):
        return False
    return bool((np.abs(np.frombuffer(beat.values, "<f4")) <= MAX_BEAT_VALUE).all())


def as_bytes(value: object) -> bytes:
    """Return a blob of a row; empty where a damaged file holds something else."""
    return value if isinstance(value, bytes) else b""
