"""Beats and alerts of a run as WFDB annotations beside its record, as they come.

    OUT.qrs     every beat: N where it could be judged, else Q
    OUT.alm     every anomalous beat of an alert; named alarms as comments (`alert_annotations`)

It is a screen around another one: it hears what that hears, and the beats. Each file is whole
within a second. Beats that come again behind a restart are left out. Alerts come once; one that
lies before what is written, as an alarm whose beginning was seen late, stands behind that.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from monitor.errors import InvalidOption
from monitor.offline.alert_annotations import annotation_of
from monitor.offline.annotation_files import (
    DOUBTFUL_BEAT,
    GOOD_BEAT,
    GrowingAnnotations,
    writable_folder,
)
from monitor.sources.kinds import is_live, schemes
from monitor.sources.listing import listing
from monitor.sources.wfdb_header import RECORD_NAME
from monitor.stages.recorder import record_path
from monitor.view.screens import Controls, Screen
from monitor.wire.codec import topic_of
from monitor.wire.messages import ALL_BEATS, Alert, BeatScored, Message, Status

WRITE_S = 0.5


def require_recordable(source: str, out: Path, journal: Path | None) -> None:
    """Check what is to be recorded, and where.

    Raises
    ------
    InvalidOption
        If the source is a record already, or the record to write cannot be named so, or is there
        and does not go on.
    """
    if not is_live(source):
        raise InvalidOption(
            f"{source} is no live source; there are {listing(sorted(schemes()))}. "
            f"`ecg-monitor convert {source} {out}` writes a record of a file"
        )
    if not RECORD_NAME.fullmatch(out.name):
        raise InvalidOption(
            f"{out.name!r} cannot name a WFDB record; use letters, digits, - and _, without a "
            "suffix"
        )
    writable_folder(out.absolute().parent)
    goes_on = journal is not None and journal.exists()
    if not goes_on and out.with_name(f"{out.name}.hea").exists():
        raise InvalidOption(
            f"record {out} is there already; name another one, or go on with the --journal of the "
            "run that wrote it"
        )


class RecordingScreen:
    """Shows a run on another screen, and keeps its beats and alerts.

    Parameters
    ----------
    screen : Screen
        What a person sees.
    out : Path
        The record, without suffix.
    unnamed : str
        What the one patient of a source that names none is called.
    """

    def __init__(
        self,
        screen: Screen,
        out: Path,
        unnamed: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screen = screen
        self._out, self._unnamed = out, unnamed
        self._clock = clock
        self._rates: dict[str, float] = {}
        self._new: dict[tuple[str, str], list[tuple[int, str, str]]] = defaultdict(list)
        self._files: dict[tuple[str, str], GrowingAnnotations] = {}
        self._due_s = clock()

    @property
    def topics(self) -> tuple[str, ...]:
        """What the screen wants, and all beats."""
        return (*self._screen.topics, "alert", ALL_BEATS, "status")

    @property
    def wave_topics(self) -> tuple[str, ...]:
        """Those of the screen."""
        return self._screen.wave_topics

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._screen)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._write()
        finally:
            self._open.__exit__(kind, error, trace)

    def fileno(self) -> int | None:
        """Return what to poll for keys."""
        return self._screen.fileno()

    def take(self, message: Message) -> None:
        """Keep a beat or an alert; show what the screen shows."""
        match message:
            case BeatScored():
                symbol = DOUBTFUL_BEAT if message.quality else GOOD_BEAT
                note = "" if message.loss is None else f"loss={message.loss:.2f}"
                self._new[message.patient, "qrs"].append((message.sample, symbol, note))
            case Alert():
                if (noted := annotation_of(message)) is not None:
                    self._new[message.patient, "alm"].append(noted)
            case Status():
                self._rates |= {one.patient: one.fs_hz for one in message.patients}
            case _:
                pass
        if topic_of(message).startswith(self._screen.topics):
            self._screen.take(message)

    def notice(self, text: str) -> None:
        """Tell the person something."""
        self._screen.notice(text)

    def refresh(self, controls: Controls) -> None:
        """Draw, and write what came."""
        self._screen.refresh(controls)
        if self._clock() >= self._due_s:
            self._due_s = self._clock() + WRITE_S
            self._write()

    def _write(self) -> None:
        for (patient, extension), new in self._new.items():
            if not new or patient not in self._rates:
                continue
            file = self._file(patient, extension)
            if extension == "alm":
                later = sorted((max(at, file.last_sample), *what) for at, *what in new)
            else:
                later = sorted(one for one in new if one[0] > file.last_sample)
            new.clear()
            if not later:
                continue
            samples, symbols, notes = zip(*later, strict=True)
            try:
                file.add(np.array(samples, np.int64), list(symbols), list(notes))
            except OSError as error:
                raise InvalidOption(
                    f"cannot write {self._out}: {error.strerror}; make room, or choose another "
                    "place"
                ) from error

    def _file(self, patient: str, extension: str) -> GrowingAnnotations:
        key = patient, extension
        if key not in self._files:
            path = record_path(self._out, patient, self._unnamed)
            named = path.with_name(f"{path.name}.{extension}")
            self._files[key] = GrowingAnnotations(named, self._rates[patient])
        return self._files[key]
