"""All that browsers may be told, and what each of them lacks: pure, the clock is passed in.

`Station.take` takes messages in, `Station.turn` finds what changed since the turn before, and
`Station.lacks` returns what one browser has not been told yet. A browser is a `Seat`: the number of
the turn it was told of, and the places it looks at. So a slow browser costs nothing but its seat:
what it missed is told as it stands when the browser can take it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta

from monitor.errors import InvalidMessage
from monitor.text import counted, harmless
from monitor.view.patient_view import PatientView
from monitor.view.selection import counts
from monitor.view.snapshot import MAX_PATIENTS, Snapshot, apply
from monitor.web.signals import Signals
from monitor.web.told import AlertLine, PatientPage, Tile, page, tile
from monitor.wire.messages import ALL_BEATS, ALL_WAVES, MONITOR, Message, StageHealth, Wave

MAX_SHOWN = 256  # patients whose signal one browser draws
MAX_HEARD = 512  # patients whose signal and beats are asked for, for all browsers
MAX_NOTICES = 5
UNHEARD_S = 3.0  # as of the monitor
ORDER_EVERY_S = 0.5  # putting thousands in order takes milliseconds

PatientNumber = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]


class Looks(msgspec.Struct, frozen=True, tag_field="type", tag="looks", forbid_unknown_fields=True):
    """From a browser: whose signal it draws, and whose page is open."""

    tiles: Annotated[list[PatientNumber], Meta(max_length=MAX_SHOWN)]
    page: PatientNumber | None = None


_looks = msgspec.json.Decoder(Looks)


def parse_looks(text: str | bytes) -> Looks:
    """Return where a browser looks; InvalidMessage if it does not say so."""
    try:
        return _looks.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage(str(error)) from error


class WardNews(msgspec.Struct, frozen=True, tag_field="type", tag="ward", omit_defaults=True):
    """To a browser: what changed. What is not told stays."""

    silent_s: float | None  # since the last heartbeat, where that is worrying
    heard: bool  # whether any heartbeat ever came
    counts: dict[str, int]
    speed: float | None
    model: str
    faults: list[str]
    stages: list[str]  # what is to be known of them; none: all run
    rows: list[AlertLine] = []  # of the monitor itself
    order: list[int] | None = None  # worst first
    tiles: list[msgspec.Raw] = []  # those that changed
    signal_s: int | None = None  # since any signal came; none: none came yet
    refusal: str = ""  # why nothing is heard, where that is known
    signal_hint: str = ""  # what to do where no signal ever came


@dataclass
class Seat:
    """What one browser was told and looks at."""

    told: int = 0  # turn
    told_page: int = 0
    signal: dict[int, int] = field(default_factory=dict)  # by patient: the newest chunk sent
    tiles: tuple[int, ...] = ()
    page: int | None = None

    def look(self, at: Looks) -> None:
        """Look elsewhere."""
        self.tiles = tuple(dict.fromkeys(at.tiles))
        shown = {*self.tiles, *(() if at.page is None else (at.page,))}
        self.signal = {one: self.signal.get(one, 0) for one in shown}
        if at.page != self.page:
            self.page, self.told_page = at.page, 0
            if at.page is not None:
                self.signal[at.page] = 0  # its leads are drawn anew


@dataclass
class _Known:
    """A patient as browsers know it."""

    name: str
    view: PatientView
    told: Tile | None = None
    raw: bytes = b""
    turn: int = 0  # when the tile changed
    page_turn: int = 0  # when anything of it did


class Station:
    """What a monitor said, as browsers are told it."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.signals = Signals()
        self.heard = False
        self.silent_s = 0.0
        self.refusal = ""  # why nothing is heard, where that is known
        self.signal_hint = ""  # what to do where no signal ever comes
        self.line_faults: list[str] = []  # of what is heard, beside what the monitor says itself
        self._turn = 0
        self._numbers: dict[str, int] = {}
        self._next = 1
        self._known: dict[int, _Known] = {}
        self._seen: object = None  # the mapping of patients of the turn before
        self._order: list[int] = []
        self._order_turn = 0
        self._order_due_s = 0.0
        self._head: WardNews | None = None
        self._head_turn = 0
        self._signal_heard_s: float | None = None
        self._pages: set[int] = set()
        self.n_signal = 0  # stretches of signal taken in

    def take(self, message: Message, now_s: float) -> None:
        """Take a message in."""
        if not isinstance(message, Wave):
            self.snapshot = apply(self.snapshot, message)
            return
        self.n_signal += 1
        self._signal_heard_s = now_s
        number = self._numbers.get(message.patient)
        if number is None:
            return  # not in a heartbeat yet: a second at most
        fs_hz = message.record_fs_hz or self._known[number].view.fs_hz
        if fs_hz is not None:
            n_leads = 1 + len(message.others) if number in self._pages else 1
            self.signals.take(number, message, fs_hz, n_leads)

    def turn(self, now_s: float, silent_s: float, heard: bool, seats: Iterable[Seat]) -> None:
        """Find what changed; seats say what is looked at."""
        self._turn += 1
        self.silent_s, self.heard = silent_s, heard
        self._pages = {seat.page for seat in seats if seat.page is not None}
        self._take_patients()
        self._put_in_order(now_s)
        head = self._made_head(now_s)
        if head != self._head:
            self._head, self._head_turn = head, self._turn

    def _take_patients(self) -> None:
        patients = self.snapshot.patients
        if patients is self._seen:
            return
        self._seen = patients
        for name, view in patients.items():
            number = self._numbers.get(name)
            if number is None:
                number = self._numbers[name] = self._next
                self._next += 1
                self._known[number] = _Known(name, view)
            known = self._known[number]
            if known.view is view and known.told is not None:
                continue
            known.view, known.page_turn = view, self._turn
            told = tile(self.snapshot, view, number)
            if told != known.told:
                known.told, known.raw = told, msgspec.json.encode(told)
                known.turn = self._turn
        if len(self._numbers) > len(patients):
            for name in self._numbers.keys() - patients.keys():
                del self._known[self._numbers.pop(name)]

    def _put_in_order(self, now_s: float) -> None:
        if len(self._known) > MAX_SHOWN and now_s < self._order_due_s:
            return
        self._order_due_s = now_s + ORDER_EVERY_S
        order = [self._numbers[one.patient] for one in self.snapshot.worst_first]
        if order != self._order:
            self._order, self._order_turn = order, self._turn

    def _made_head(self, now_s: float) -> WardNews:
        snapshot = self.snapshot
        heard_s = self._signal_heard_s
        return WardNews(
            silent_s=round(self.silent_s) if self.silent_s > 0 else None,
            heard=self.heard,
            counts={str(name): n for name, n in counts(snapshot).items()},
            speed=None if snapshot.speed is None else round(snapshot.speed, 1),
            model=harmless(snapshot.model, 12),
            faults=[*(harmless(one, 240) for one in self.line_faults), *_faults(snapshot)],
            stages=[text for one in snapshot.stages if (text := _of_stage(one))],
            rows=_of_monitor(snapshot),
            signal_s=None if heard_s is None else round(now_s - heard_s),
            refusal=harmless(self.refusal, 400),
            signal_hint=self.signal_hint,
        )

    def lacks(self, seat: Seat, again: bool) -> bytes:
        """Return the JSON that a browser was not told yet, and note it as told; empty: nothing.

        Parameters
        ----------
        again : bool
            Tell how the monitor is even if nothing changed: the browser hears that it is heard.
        """
        fresh = [known for known in self._known.values() if known.turn > seat.told]
        order = self._order if self._order_turn > seat.told else None
        if self._head is None or not (
            fresh or order is not None or again or self._head_turn > seat.told
        ):
            return b""
        seat.told = self._turn
        raws = [msgspec.Raw(known.raw) for known in fresh]
        return msgspec.json.encode(msgspec.structs.replace(self._head, order=order, tiles=raws))

    def lacks_page(self, seat: Seat) -> bytes:
        """Return the JSON of the open page, if it changed since it was told."""
        known = None if seat.page is None else self._known.get(seat.page)
        if known is None or known.page_turn <= seat.told_page:
            return b""
        seat.told_page = self._turn
        made: PatientPage = page(self.snapshot, known.view, seat.page or 0)
        return msgspec.json.encode(made)

    def lacks_signal(self, seat: Seat) -> bytes:
        """Return the chunks of signal that a browser lacks of those it looks at."""
        parts: list[bytes] = []
        for patient, number in seat.signal.items():
            found = list(self.signals.since(patient, number))
            if found:
                parts += found
                seat.signal[patient] = self.signals.newest
        return b"".join(parts)

    def wanted(self, seats: Iterable[Seat]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the topics of beats and of waveforms to hear for the browsers there are.

        Of a ward that no browser shows at once, those alone that are shown.
        """
        seats = list(seats)
        pages = [seat.page for seat in seats if seat.page is not None]
        if not seats:
            self.signals.keep(set())
            return (), ()
        names = self._names(pages)
        if len(self._known) <= MAX_SHOWN:
            # A page's own topic beside that of all: who begins to listen is sent the past.
            return (ALL_BEATS,), (ALL_WAVES, *(f"{ALL_WAVES}{name}" for name in names))
        shown = list(dict.fromkeys([*pages, *(one for seat in seats for one in seat.tiles)]))
        shown = shown[:MAX_HEARD]
        self.signals.keep(set(shown))
        names = self._names(shown)
        beats, waves = ([f"{all_of}{one}" for one in names] for all_of in (ALL_BEATS, ALL_WAVES))
        return tuple(beats), tuple(waves)

    def _names(self, patients: Iterable[int]) -> list[str]:
        found = (self._known.get(one) for one in patients)
        return sorted({known.name for known in found if known is not None})

    def knows(self, name: str) -> bool:
        """Whether this is a patient of the monitor."""
        return name in self._numbers


def _faults(snapshot: Snapshot) -> list[str]:
    faults = [harmless(one, 240) for one in snapshot.faults]
    if snapshot.n_refused:
        faults.append(f"more than {MAX_PATIENTS:,} patients: the rest are not shown")
    return faults


def _of_stage(stage: StageHealth) -> str:
    """Return what is to be known of a stage; empty where it runs and ever did."""
    said = [
        "paused" if stage.paused else "",
        f"not heard for {stage.age_s:.0f} s" if stage.age_s > UNHEARD_S else "",
        f"restarted {counted(stage.restarts, 'time')}" if stage.restarts else "",
        f"samples or beats dropped: {stage.dropped:,}" if stage.dropped else "",
    ]
    return f"{stage.stage} {', '.join(filter(None, said))}" if any(said) else ""


def _of_monitor(snapshot: Snapshot) -> list[AlertLine]:
    """Return what the monitor says of itself and has not taken back."""
    return [
        AlertLine("", row.state, row.priority, f"{harmless(row.event)}: {harmless(row.text)}", True)
        for row in snapshot.rows
        if row.patient == MONITOR and row.is_open
    ][-MAX_NOTICES:]
