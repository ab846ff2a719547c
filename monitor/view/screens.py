"""How a run is shown: the live view, plain lines, or JSON lines; all have the same four calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console

from monitor.delivery.person import person
from monitor.plain import json_line, plain_line, status_line, transition_line
from monitor.text import harmless
from monitor.view.families import WORD_KEYS
from monitor.view.keyboard import KeyPresses
from monitor.view.live import LiveView
from monitor.view.screen_rows import NAME_LENGTH
from monitor.view.selection import (
    hold_order,
    leaf,
    let_go,
    release,
    select,
    selected,
    settle,
    type_key,
    wanted_signal,
)
from monitor.view.snapshot import (
    MAX_PATIENTS,
    Snapshot,
    apply,
    follow,
    with_notice,
    with_pause,
    with_silence,
)
from monitor.wire.messages import (
    ALL_BEATS,
    ALL_WAVES,
    AckRequest,
    ControlRequest,
    MarkRequest,
    Message,
    PatientStatus,
    RelearnRequest,
    Status,
    ThresholdRequest,
)

THRESHOLD_STEP = 1.05  # one press of + or -
STATUS_PERIOD_S = 10.0  # between two plain lines of how far a patient is
SETTLE_S = 10.0  # the worst patient of a ward is shown so long, unless a high alert begins
HOLD_S = 10.0  # after a key of the list: neither its order nor the patient changes by itself
CONFIRM_S = 5.0  # a key that stops a patient's alerts is pressed twice within this
NOTICE_S = 10.0  # a notice gives the keys their row back then, or when a key is pressed
NOBODY = "not asked: no patient is monitored yet"
NO_FAMILY = "not asked: no alert of this patient names a family that is still known"
NO_FAMILIES = "not asked: no families of beats yet; only a learnt patient has them"
_SAID = {"normal": "normal, to begin no alert", "always": "one that always raises an alert"}
_MOVES = {"up", "down", "left", "right", "pageup", "pagedown", "home", "end"}
SILENT_S = 3.0  # without a heartbeat the view says so


class Controls(Protocol):
    """What a screen may have done."""

    def request(self, request: ControlRequest) -> None:
        """Have the consumer change something."""
        ...

    def pause(self, paused: bool) -> bool:
        """Hold the replay, or go on; False if that cannot be done from here."""
        ...

    def quit(self) -> None:
        """End in order."""
        ...


class Screen(Protocol):
    """What a run is shown on."""

    @property
    def topics(self) -> tuple[str, ...]:
        """What it wants to hear of now."""
        ...

    @property
    def wave_topics(self) -> tuple[str, ...]:
        """Whose waveforms it wants now; empty where it never wants any."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def fileno(self) -> int | None:
        """Return what to poll for keys."""
        ...

    def take(self, message: Message) -> None:
        """Take a message in."""
        ...

    def notice(self, text: str) -> None:
        """Tell the person something."""
        ...

    def refresh(self, controls: Controls) -> None:
        """Draw, and obey keys; called several times a second."""
        ...


class OffTerminal:
    """What screens that are no terminal share: no keys, no waveforms, no redraws."""

    wave_topics: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return

    def fileno(self) -> int | None:
        """Return None: there are no keys."""
        return None

    def refresh(self, controls: Controls) -> None:
        """Do nothing: lines are written as they come."""
        return


class PlainScreen(OffTerminal):
    """One line a noteworthy message, on standard output; notices on standard error."""

    topics: tuple[str, ...] = ("alert", "technical", "status")

    def __init__(self, out: TextIO, errors: TextIO) -> None:
        self._out = out
        self._errors = errors
        self._before: dict[str, PatientStatus] = {}
        self._status_due_s = time.monotonic() + STATUS_PERIOD_S

    def take(self, message: Message) -> None:
        """Print what is noteworthy."""
        if isinstance(message, Status):
            self._take_status(message)
            return
        line = plain_line(message)
        if line is not None:
            self._print(line)

    def notice(self, text: str) -> None:
        """Print a notice on standard error."""
        self._errors.write(f"ecg-monitor: {harmless(text, 500)}\n")
        self._errors.flush()

    def _take_status(self, status: Status) -> None:
        for patient in status.patients:
            line = transition_line(self._before.get(patient.patient), patient)
            self._before[patient.patient] = patient
            if line is not None:
                self._print(line)
        if time.monotonic() >= self._status_due_s:
            self._status_due_s = time.monotonic() + STATUS_PERIOD_S
            for patient in status.patients:
                self._print(status_line(patient))

    def _print(self, line: str) -> None:
        self._out.write(f"{line}\n")
        self._out.flush()


class JsonScreen(OffTerminal):
    """One JSON object a line on standard output, and nothing else there."""

    def __init__(self, out: TextIO, errors: TextIO, topics: tuple[str, ...]) -> None:
        self.topics = topics
        self._out = out
        self._errors = errors

    def take(self, message: Message) -> None:
        """Print the message."""
        self._out.write(f"{json_line(message)}\n")
        self._out.flush()

    def notice(self, text: str) -> None:
        """Print a notice on standard error."""
        self._errors.write(f"ecg-monitor: {harmless(text, 500)}\n")
        self._errors.flush()


class LiveScreen:
    """The live view and its keys."""

    def __init__(
        self,
        console: Console,
        keyboard: TextIO,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = LiveView(console, clock)
        self._keys = KeyPresses(keyboard)
        self._clock = clock
        self._heard_s = clock()
        self._settled_s = clock()
        self._held_until_s = clock()
        self._notice_until_s = clock()
        self._to_confirm: tuple[str, float] | None = None  # what is asked, and until when
        self.snapshot = Snapshot()

    @property
    def topics(self) -> tuple[str, ...]:
        """All alerts; the beats of those whose signal is kept."""
        return ("alert", "technical", "status", f"{ALL_BEATS}{self.snapshot.followed or ''}")

    @property
    def wave_topics(self) -> tuple[str, ...]:
        """Of a ward the shown patient's waveform alone."""
        return (f"{ALL_WAVES}{self.snapshot.followed or ''}",)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._keys)
            stack.enter_context(self._view)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def fileno(self) -> int | None:
        """Return the terminal's descriptor."""
        return self._keys.fileno()

    def take(self, message: Message) -> None:
        """Take a message into the snapshot."""
        if isinstance(message, Status):
            self._heard_s = self._clock()
        self.snapshot = apply(self.snapshot, message)

    def notice(self, text: str) -> None:
        """Show a notice in the view, for a while."""
        self._notice_until_s = self._clock() + NOTICE_S
        self.snapshot = with_notice(self.snapshot, text)

    def refresh(self, controls: Controls) -> None:
        """Obey the keys and draw."""
        keys = self._keys.read()
        for key in keys:
            self._obey(key, controls)
        silent_s = self._clock() - self._heard_s
        self.snapshot = with_silence(
            self.snapshot, float(round(silent_s)) if silent_s > SILENT_S else 0.0
        )
        self._expire()
        self._settle()
        self._view.show(self.snapshot, at_once=bool(keys))

    def _expire(self) -> None:
        """Take back what was shown, asked or held for a while only."""
        now_s = self._clock()
        if self._to_confirm is not None and now_s > self._to_confirm[1]:
            self._to_confirm = None
            self.snapshot = with_notice(self.snapshot, "")
        if now_s > self._notice_until_s:
            self.snapshot = with_notice(self.snapshot, "")
        if now_s >= self._held_until_s:
            self.snapshot = let_go(self.snapshot)

    def _hold(self) -> None:
        """Have list and shown patient stay as they are for a while: a person is at it."""
        self._held_until_s = self._clock() + HOLD_S
        if not self.snapshot.held_order:
            self.snapshot = hold_order(self.snapshot)

    def _settle(self) -> None:
        """Decide who is shown, and keep the signal of no more patients than are looked at."""
        now_s = self._clock()
        if now_s < self._held_until_s and selected(self.snapshot) is not None:
            settled = self.snapshot
        else:
            settled = settle(self.snapshot, now_s - self._settled_s >= SETTLE_S)
        if settled is not self.snapshot:
            self._settled_s = now_s
        self.snapshot = follow(settled, wanted_signal(settled))

    def _obey(self, key: str, controls: Controls) -> None:
        asked, self._to_confirm = self._to_confirm, None
        self.snapshot = with_notice(self.snapshot, "")
        if self.snapshot.is_typing or key in _MOVES or key == "/":
            self._hold()
        if self.snapshot.is_typing:
            self.snapshot = type_key(self.snapshot, key)
            return
        match key:
            case "q":
                controls.quit()
            case "p":
                self._pause(not self.snapshot.paused, controls)
            case "+" | "-":
                factor = THRESHOLD_STEP if key == "+" else 1 / THRESHOLD_STEP
                self._ask_for(lambda name: ThresholdRequest(name, factor=factor), controls)
            case "a":
                self._ask_for(lambda name: AckRequest(name, by=person()), controls)
            case "r":
                self._relearn(asked, controls)
            case "n" | "x":
                self._mark(key, asked, controls)
            case "e":
                self.snapshot = replace(self.snapshot, explaining=not self.snapshot.explaining)
            case "/":
                self.snapshot = replace(self.snapshot, is_typing=True, query="")
            case "escape":
                self.snapshot = let_go(release(self.snapshot))
                self._held_until_s = self._clock()
                self._settled_s = self._held_until_s - SETTLE_S  # to the worst at once
            case "pageup" | "pagedown":
                self.snapshot = leaf(self.snapshot, -1 if key == "pageup" else 1)
            case "home" | "end":
                self.snapshot = leaf(
                    self.snapshot, -MAX_PATIENTS if key == "home" else MAX_PATIENTS
                )
            case "up" | "left":
                self.snapshot = select(self.snapshot, -1)
            case "down" | "right":
                self.snapshot = select(self.snapshot, 1)
            case _:
                pass

    def _pause(self, paused: bool, controls: Controls) -> None:
        if controls.pause(paused):
            self.snapshot = with_pause(self.snapshot, paused)
        else:
            self.notice("only the replay's own view can pause it")

    def _relearn(self, asked: tuple[str, float] | None, controls: Controls) -> None:
        """Ask before a patient is learnt anew, by name; do so when the key comes again in time."""
        shown = selected(self.snapshot)
        if shown is None:
            self.notice(NOBODY)
            return
        name = shown.patient
        named = harmless(name, NAME_LENGTH)
        question = f"r again within {CONFIRM_S:.0f} s: learn {named} anew (no verdicts meanwhile)"
        if self._is_confirmed(question, asked, name):
            self.notice(f"{named} is learnt anew")
            controls.request(RelearnRequest(name))

    def _mark(self, key: str, asked: tuple[str, float] | None, controls: Controls) -> None:
        """Say what the family of the latest alert is, once it was asked; or take that back."""
        shown = selected(self.snapshot)
        if shown is None:
            self.notice(NOBODY)
            return
        family = None if shown.latest is None else shown.latest.family
        known, word = shown.word_of(family), WORD_KEYS[key]
        if family is None or known is None:
            self.notice(NO_FAMILY if shown.families else NO_FAMILIES)
            return
        of = f"family {family} of {harmless(shown.patient, NAME_LENGTH)}"
        if known == word:
            self.notice(f"{of}: what was said of it is taken back")
            controls.request(MarkRequest(shown.patient, family, "", by=person()))
        elif self._is_confirmed(
            f"{key} again within {CONFIRM_S:.0f} s: {of} is {_SAID[word]}", asked, shown.patient
        ):
            self.notice(f"{of} is {_SAID[word]}")
            controls.request(MarkRequest(shown.patient, family, word, by=person()))

    def _is_confirmed(self, question: str, asked: tuple[str, float] | None, name: str) -> bool:
        """Tell whether this was asked and is answered in time; otherwise ask, and hold the view."""
        now_s = self._clock()
        if asked is not None and asked[0] == question and now_s <= asked[1]:
            return True
        self._to_confirm = question, now_s + CONFIRM_S
        self._held_until_s = max(self._held_until_s, now_s + CONFIRM_S)
        self.snapshot = replace(self.snapshot, settled=name)
        self.notice(question)
        return False

    def _ask_for(self, made: Callable[[str], ControlRequest], controls: Controls) -> None:
        """Ask for something to be done about the patient that is shown."""
        shown = selected(self.snapshot)
        if shown is None:
            self.notice(NOBODY)
        else:
            controls.request(made(shown.patient))
