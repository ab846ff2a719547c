"""Keys of the live screen: what each asks of the monitor."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator
from typing import TextIO

import pytest
from rich.console import Console

from monitor.screens import LiveScreen
from monitor.wire import ControlRequest, RelearnRequest, ThresholdRequest
from tests.monitor.messages import beat_scored


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
