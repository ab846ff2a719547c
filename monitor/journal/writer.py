"""Durable alerts and the position reached: SQLite, one writer, one transaction a step.

What is committed together: the alerts of a step, how far each patient is, and the states from which
segmenter and alert machine continue behind that position. Alerts are published after the commit, so
what anyone has received is in the journal, and what is in the journal can be requested again.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import msgspec

from monitor.errors import JournalFailed, JournalMismatch
from monitor.journal.kept_beats import KeptBeat
from monitor.journal.lock import Mark, read_mark, real_path, writing
from monitor.journal.own_files import OwnFiles
from monitor.journal.own_time import OwnTime
from monitor.journal.reader import (
    PROGRESS,
    UNREADABLE,
    VERSION,
    as_bytes,
    decoded_alert,
    read_rows,
    require_version,
)
from monitor.journal.run import JournaledRun, decode_run, difference
from monitor.wire.codec import Encoded
from monitor.wire.messages import MAX_PAGE, Alert, Count, Name, Technical

# Beats lie in the order they come in, the key beside them: laid by patient, every commit of a ward
# wrote a page for each patient who had one.
_SCHEMA = f"""
PRAGMA user_version = {VERSION};
CREATE TABLE IF NOT EXISTS journal (identity TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS identities (identity TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS run (description BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS alerts (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    patient TEXT NOT NULL,
    wall_time TEXT NOT NULL,
    message BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS alerts_by_time ON alerts (wall_time);
CREATE TABLE IF NOT EXISTS beats (
    patient TEXT NOT NULL,
    sample INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    beat BLOB NOT NULL,
    PRIMARY KEY (patient, sample)
) STRICT;
CREATE INDEX IF NOT EXISTS beats_by_seq ON beats (seq);
CREATE TABLE IF NOT EXISTS progress (
    patient TEXT PRIMARY KEY,
    state BLOB NOT NULL
) STRICT;
"""
_INSERT_BEAT = """
INSERT OR REPLACE INTO beats (patient, sample, seq, beat)
VALUES (?1, ?2, (SELECT coalesce(max(seq), 0) FROM alerts), ?3)
"""


# A number must not be missing: who follows the sequence would ask for it for ever. So an alert
# whose identity is there already is kept too; `id` in its message tells that it came twice.
_INSERT_ALERT = """
INSERT INTO alerts VALUES (
    ?1, CASE WHEN EXISTS (SELECT 1 FROM alerts WHERE id = ?2) THEN ?2 || '+' || ?1 ELSE ?2 END,
    ?3, ?4, ?5
)
"""


State = TypeVar("State", bound=msgspec.Struct)


class Progress(msgspec.Struct, Generic[State], frozen=True):
    """How far one patient is, and what the stages need to continue from there."""

    patient: Name
    position: Count
    segmenter_state: bytes
    consumer: State  # encoded when it is committed


class StoredProgress(msgspec.Struct, frozen=True):
    """The same as the journal's file holds it: bytes, checked by whoever continues from them."""

    patient: Name
    position: Count
    segmenter_state: bytes
    consumer_state: bytes


def stored(progress: Progress[Any]) -> bytes:
    """Return progress as the journal's file holds it."""
    state = msgspec.msgpack.encode(progress.consumer)
    of_stages = (progress.patient, progress.position, progress.segmenter_state)
    return msgspec.msgpack.encode(StoredProgress(*of_stages, state))


def decoded_progress(path: Path, states: Iterable[bytes]) -> list[StoredProgress]:
    """Return how far patients are; JournalFailed if the journal's file holds something else."""
    try:
        return [msgspec.msgpack.decode(state, type=StoredProgress) for state in states]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise JournalFailed(
            f"{path} does not hold how far its patients are ({error}); name another with --journal"
        ) from error


class Journal:
    """The journal's file, open for writing by one process.

    Parameters
    ----------
    path : Path
    clock : callable
        Returns monotonic seconds; how long alerts are kept goes by it.
    only_look : bool
        Leave it to who writes the journal to notice that it is an older copy, and to report it.

    Raises
    ------
    JournalFailed
        If the file cannot be opened or is not a journal; from each method, if it cannot be read or
        written.
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.monotonic,
        *,
        only_look: bool = False,
    ) -> None:
        self._path, self._clock = path, clock
        self.renewed = ""  # why it got another identity since it was opened, for a person
        self._told_removed = False
        self._open = contextlib.ExitStack()
        with self._opening():
            self._open_file()
            self._identify(only_look=only_look)

    @contextlib.contextmanager
    def _opening(self) -> Iterator[None]:
        try:
            yield
        except (*UNREADABLE, OSError) as error:
            self._open.close()
            raise JournalFailed(
                f"journal {self._path} cannot be opened ({error}); name another with --journal"
            ) from error
        except BaseException:
            self._open.close()
            raise

    def _open_file(self) -> None:
        path = self._path
        path.touch(mode=0o600)  # alerts are a patient's own; SQLite's other files follow
        self._open.enter_context(writing(path))
        self._database = sqlite3.connect(real_path(path), isolation_level=None)
        self._open.callback(self._database.close)
        self._require_known_version(path)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.executescript(_SCHEMA)
        self._own_time = OwnTime(self._database, self._clock)
        self._mark = Mark(path)
        self._open.callback(self._mark.close)
        self._files = OwnFiles(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def _require_known_version(self, path: Path) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        (n_tables,) = self._database.execute(
            "SELECT count(*) FROM sqlite_master WHERE name = 'journal'"
        ).fetchone()
        if version or n_tables:  # otherwise it is a new file
            require_version(path, self._database)

    def _identify(self, *, only_look: bool) -> None:
        """Learn the journal's identity; give it another one where it is an older copy, or a copy.

        Both count on where others may have counted before: under the same identity one number
        would be two alerts.
        """
        rows = self._database.execute("SELECT identity FROM journal").fetchall()
        before = self._database.execute("SELECT identity FROM identities ORDER BY rowid").fetchall()
        self.identity = str(rows[0][0]) if rows else ""
        self.origin = str(before[0][0]) if before else self.identity
        newest, mark = self.newest_seq, read_mark(self._path)
        if rows and only_look:
            return
        if not rows:
            self._change_identity()
        elif not before:  # of a version that left no mark
            self._database.execute("INSERT INTO identities VALUES (?)", (self.identity,))
        elif mark is None or mark[0] != self.identity:
            self.renew(f"{self._path} is a copy, or was moved")
        elif mark[1] > newest:
            self.renew(f"{self._path} went back: it ends with alert {newest}, {mark[1]} was there")
        self._mark.write(self.identity, newest)
        self._mark.keep()

    def _change_identity(self) -> None:
        self.identity = uuid.uuid4().hex[:8]
        self.origin = self.origin or self.identity
        with self._transaction():
            self._database.execute("DELETE FROM journal")
            self._database.execute("INSERT INTO journal VALUES (?)", (self.identity,))
            self._database.execute("INSERT INTO identities VALUES (?)", (self.identity,))

    def renew(self, why: str) -> bool:
        """Give the journal another identity, since it is not what it was; numbers go on.

        Once while it is open: nobody can have had more of an identity that is as new as that.

        Returns
        -------
        bool
            Whether it got another now.
        """
        if self.renewed:
            return False
        self._change_identity()
        self.renewed = f"{why}; it goes on behind its alert {self.newest_seq} as {self.identity}"
        self._mark.write(self.identity, self.newest_seq)
        return True

    @property
    def oldest_seq(self) -> int:
        """The oldest number that is kept; 1 before the first alert."""
        return self._number("SELECT coalesce(min(seq), 1) FROM alerts")

    def begin(self, run: JournaledRun) -> None:
        """Note what the run consists of, or continue a journal of the same run.

        Raises
        ------
        JournalMismatch
            If the journal is of another run.
        """
        rows = self._rows("SELECT description FROM run")
        if not rows:
            with self._transaction():
                self._database.execute("INSERT INTO run VALUES (?)", (msgspec.json.encode(run),))
            return
        differs = difference(decode_run(as_bytes(rows[0][0]), self._path), run)
        if differs is not None:
            raise JournalMismatch(
                f"{self._path} holds another run: {differs}; to continue it give the same as then, "
                "otherwise name a new file"
            )

    @property
    def newest_seq(self) -> int:
        """The newest sequence number; 0 before the first alert."""
        return self._number("SELECT coalesce(max(seq), 0) FROM alerts")

    def commit(
        self,
        alerts: Iterable[Encoded[Alert | Technical]],
        progress: Iterable[Progress[Any]],
        beats: Iterable[KeptBeat] = (),
    ) -> None:
        """Write alerts, progress and the beats beside alerts, all or nothing.

        Where the file was removed since it was opened, the first commit fails and says so, and the
        next writes the whole file again before.
        """
        self._require_file()
        write = self._database.executemany
        rows = [
            (
                one.message.seq,
                one.message.id,
                one.message.patient,
                one.message.wall_time,
                one.json,
            )
            for one in alerts
        ]
        with self._transaction():
            write(_INSERT_ALERT, rows)
            write(  # kept as long as the newest alert that may be theirs
                _INSERT_BEAT,
                [(one.patient, one.sample, msgspec.msgpack.encode(one)) for one in beats],
            )
            write(
                "INSERT OR REPLACE INTO progress VALUES (?, ?)",
                [(one.patient, stored(one)) for one in progress],
            )
        if rows:
            self._mark.write(self.identity, rows[-1][0])

    def _require_file(self) -> None:
        """Have the file that is open under its name; JournalFailed where it is not."""
        loss = self._files.loss()
        if loss == "replaced":
            raise JournalFailed(
                f"cannot write journal {self._path}: another file was put in its place while it is "
                "in use; put it back, or stop the run and name another with --journal"
            )
        if loss == "removed" and not self._told_removed:
            self._told_removed = True
            raise JournalFailed(
                f"cannot write journal {self._path}: it, or its -wal, was removed or moved while "
                "it is in use; it is written again there"
            )
        if loss == "removed":
            self._write_again()
        self._told_removed = False

    def _write_again(self) -> None:
        newest = self.newest_seq
        try:
            self._files.write_again(self._database)
        except (*UNREADABLE, OSError) as error:
            raise JournalFailed(
                f"cannot write journal {self._path}, which was removed or moved, again: {error}; "
                "make its folder and free space"
            ) from error
        self._open.close()
        with self._opening():
            self._open_file()
            self._mark.write(self.identity, newest)  # its mark may be gone, too
            self._mark.keep()

    def forget(self, patients: Iterable[str]) -> None:
        """Remove how far patients were who ended long ago; their alerts stay."""
        with self._transaction():
            self._database.executemany(
                "DELETE FROM progress WHERE patient = ?", [(one,) for one in patients]
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except sqlite3.OperationalError as error:  # the disk is full, or broken
            self._undo()
            raise JournalFailed(
                f"cannot write journal {self._path}: {error}; free space on its disk"
            ) from error
        except UNREADABLE as error:  # another wrote it, or it is damaged
            self._undo()
            raise JournalFailed(
                f"cannot write journal {self._path}: {error}; name another file"
            ) from error
        except BaseException:
            self._undo()
            raise

    def truncate(self, keep_s: float, max_bytes: int) -> int:
        """Remove some of what is too old, and of the oldest in a journal that is too big.

        To be called once a minute: each call removes as many alerts as came since the last one,
        and a hundredth of all (ten, where that is more), at most. Ages are the journal's own time:
        the seconds in which it was written, whatever a wall clock shows. The newest alert stays,
        so that numbering continues from it.

        Parameters
        ----------
        keep_s : float
            Own time for which an alert is kept, in seconds.
        max_bytes : int
            Above which the oldest go.

        Returns
        -------
        int
            How many alerts were removed.
        """
        own_time, oldest, newest = self._own_time, self.oldest_seq, self.newest_seq
        with self._transaction():
            own_time.count(newest, keep_s)
            until = newest if self._bytes_used() > max_bytes else own_time.expired(keep_s)
        until = min(own_time.some_of(oldest, newest, until), newest - 1)
        removed = 0
        while oldest <= until:  # in parts: one long transaction would hold up alerts
            oldest = min(until + 1, oldest + MAX_PAGE)
            with self._transaction():
                removed += self._database.execute(
                    "DELETE FROM alerts WHERE seq < ?", (oldest,)
                ).rowcount
                self._database.execute("DELETE FROM beats WHERE seq < ?", (oldest,))
                own_time.forget(oldest - 1)
        return removed

    def _bytes_used(self) -> int:
        pages, free, size = (
            self._number(f"PRAGMA {name}") for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def _undo(self) -> None:
        if self._database.in_transaction:  # SQLite itself undoes what a full disk broke off
            with contextlib.suppress(*UNREADABLE):  # the first error is the one to report
                self._database.execute("ROLLBACK")

    def holds(self, identity: str) -> bool:
        """Whether an alert of this identity has been committed."""
        return bool(self._rows("SELECT 1 FROM alerts WHERE id = ?", identity))

    def lasting(self, patient: str) -> set[str]:
        """Return the technical events of a patient, or of the monitor, that have not been ended."""
        rows = self._rows("SELECT message FROM alerts WHERE patient = ? ORDER BY seq", patient)
        lasting: dict[str, bool] = {}
        for (message,) in rows:
            match decoded_alert(self._path, message):
                case Technical(event=event, state=state):
                    lasting[event] = state == "onset"
                case Alert():
                    pass
        return {event for event, lasts in lasting.items() if lasts}

    def alerts_after(self, seq: int, limit: int) -> list[Alert | Technical]:
        """Return at most `limit` alerts that come after a sequence number, oldest first.

        All name the journal's present identity, in which their numbers count now.
        """
        rows = self._rows(
            "SELECT message FROM alerts WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit
        )
        alerts = [decoded_alert(self._path, message) for (message,) in rows]
        return [
            one
            if one.journal == self.identity
            else msgspec.structs.replace(one, journal=self.identity)
            for one in alerts
        ]

    def id_of(self, seq: int) -> str | None:
        """Return the identity of the alert of a number; None if it is not there."""
        rows = self._rows("SELECT message FROM alerts WHERE seq = ?", seq)
        return decoded_alert(self._path, rows[0][0]).id if rows else None

    def seq_before(self, since: str) -> int:
        """Return the number of the last alert before a wall time; the newest if none came since.

        Wall clocks may be set back: then it is the first alert of that time or later that counts.
        """
        ((first,),) = self._rows("SELECT min(seq) FROM alerts WHERE wall_time >= ?", since)
        return self.newest_seq if first is None else int(first) - 1

    def progress(self) -> list[StoredProgress]:
        """Return how far each patient is, whose was committed last at the end."""
        states = [as_bytes(state) for (state,) in self._rows(PROGRESS)]
        return decoded_progress(self._path, states)

    def _rows(self, query: str, *given: object) -> list[tuple[Any, ...]]:
        return read_rows(self._path, self._database, query, *given)

    def _number(self, query: str) -> int:
        return int(self._rows(query)[0][0])


def newest_seq(path: Path) -> int:
    """Return the newest sequence number of a journal that no process writes."""
    with Journal(path, only_look=True) as journal:
        return journal.newest_seq
