"""Keys of the live screen: what each asks of the monitor."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator
from typing import TextIO

import pytest
from rich.console import Console

from monitor.view.screens import LiveScreen
from monitor.view.snapshot import Snapshot
from monitor.wire.messages import ControlRequest, RelearnRequest, ThresholdRequest
from tests.messages import beat_scored, patient_status, status


class Asked:
    """Notes what a screen has done."""

    def __init__(self) -> None:
        self.requests: list[ControlRequest] = []

    def request(self, request: ControlRequest) -> None:
        self.requests.append(request)

    def pause(self, paused: bool) -> bool:
        return False

    def quit(self) -> None:
        raise AssertionError("nobody asked to leave")


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """Return where a person types, and what the screen reads."""
    typed, read = pty.openpty()
    with open(read, encoding="utf-8", buffering=1, closefd=True) as keyboard:  # noqa: PTH123
        yield typed, keyboard
    os.close(typed)


@pytest.mark.parametrize(
    ("key", "kind"), [("r", RelearnRequest), ("+", ThresholdRequest), ("-", ThresholdRequest)]
)
def test_keys_ask_for_the_patient_that_is_shown(
    terminal: tuple[int, TextIO], key: str, kind: type[ControlRequest]
) -> None:
    """`r` has its normal learnt anew, `+` and `-` move its threshold."""
    typed, keyboard = terminal
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    asked = Asked()
    with LiveScreen(console, keyboard) as screen:
        screen.refresh(asked)  # nobody is shown yet
        screen.take(beat_scored())
        os.write(typed, key.encode())
        screen.refresh(asked)
    (request,) = asked.requests
    assert isinstance(request, kind)
    assert request.patient == beat_scored().patient


class Keyboard:
    """A live screen whose keys a test presses."""

    def __init__(self, typed: int, screen: LiveScreen, asked: Asked) -> None:
        self._typed, self.screen, self._asked = typed, screen, asked

    def press(self, keys: str) -> Snapshot:
        os.write(self._typed, keys.encode())
        self.screen.refresh(self._asked)
        return self.screen.snapshot


@pytest.fixture
def ward(terminal: tuple[int, TextIO]) -> Iterator[Keyboard]:
    """Return a live screen of fifty patients."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    asked = Asked()
    with LiveScreen(console, terminal[1]) as screen:
        names = [f"p{n:02d}" for n in range(50)]
        screen.take(status(patients=[patient_status(patient=name) for name in names]))
        yield Keyboard(terminal[0], screen, asked)


def test_keys_of_a_search_are_text(ward: Keyboard) -> None:
    """Also `q`, which would leave; Enter keeps what is found, Escape leaves it."""
    assert ward.press("/p4q").query == "p4q"
    kept = ward.press("\x7f\r")
    assert (kept.query, kept.is_typing, kept.selected) == ("p4", False, "p40")
    assert ward.press("\x1b[B").selected == "p41"
    assert ward.press("\x1b").query == ""
    assert ward.press("\x1b").selected is None


def test_pages_and_ends_of_the_list(ward: Keyboard) -> None:
    """Page Down, End, Page Up, Home."""
    pressed = [ward.press(keys).selected for keys in ("\x1b[6~", "\x1b[F", "\x1b[5~", "\x1b[H")]
    assert pressed == ["p10", "p49", "p39", "p00"]


def test_e_explains_and_shows_the_rest_again(ward: Keyboard) -> None:
    """Escape does so too."""
    assert ward.press("e").explaining
    assert not ward.press("e").explaining
    assert ward.press("e").explaining
    assert not ward.press("\x1b").explaining


def test_of_a_ward_it_hears_the_shown_patient_alone(ward: Keyboard) -> None:
    """Its beats and waveform; alerts of all. Of few patients it hears everybody's."""
    assert LiveScreen(Console(file=io.StringIO()), io.StringIO()).wave_topics == ("wave.",)
    ward.press("\x1b[B")
    assert ward.screen.wave_topics == ("wave.p01",)
    assert set(ward.screen.topics) == {"alert", "technical", "status", "beat.p01"}
