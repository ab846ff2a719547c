"""KeyPresses from a terminal."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.view.keyboard import KeyDecoder, KeyPresses

TYPED = b"+\x1b[A-\x1bOBp\x1b[C\x1b[Dq"
KEYS = ["+", "up", "-", "down", "p", "right", "left", "q"]


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """The two ends of a terminal: where a person types, and what the program reads."""
    person, program = pty.openpty()
    stream = os.fdopen(program, "r")
    yield person, stream
    stream.close()
    os.close(person)


@given(st.lists(st.integers(0, len(TYPED)), max_size=6))
def test_sequences_may_be_cut_anywhere(cuts: list[int]) -> None:
    """Any cut of the same bytes gives the same keys."""
    decoder = KeyDecoder()
    places = [0, *sorted(cuts), len(TYPED)]
    keys = [key for a, b in itertools.pairwise(places) for key in decoder.update(TYPED[a:b])]
    assert keys == KEYS
    assert not decoder.is_waiting


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_rubbish_is_bounded_and_harmless(chunks: list[bytes]) -> None:
    """Any bytes give printable keys or named ones, and nothing piles up."""
    decoder = KeyDecoder()
    named = {"up", "down", "left", "right", "home", "end", "pageup", "pagedown"}
    named |= {"escape", "enter", "backspace"}
    for chunk in chunks:
        for key in decoder.update(chunk):
            assert key in named or (len(key) == 1 and " " <= key <= "~")
    decoder.flush()
    assert decoder.update(b"q") == ["q"]


def test_an_endless_sequence_ends() -> None:
    """A sequence that never ends is dropped, and the keys behind it are heard."""
    decoder = KeyDecoder()
    assert decoder.update(b"\x1b[" + b"1;" * 15 + b"q") == ["q"]


def test_a_lone_escape_is_a_key_once_nothing_follows() -> None:
    """It waits for the rest of a sequence first; before another key it is certain at once."""
    decoder = KeyDecoder()
    assert decoder.update(b"\x1b") == []
    assert decoder.flush() == ["escape"]
    assert decoder.update(b"\x1bq") == ["escape", "q"]


def test_unknown_sequences_are_dropped_whole() -> None:
    """A function key or a mouse report leaves no letters behind."""
    assert KeyDecoder().update(b"\x1b[15~\x1b[<0;10;5M\x1b[1;5Aq\xc3\xa9") == ["q"]


def test_keys_come_without_enter_and_without_echo(terminal: tuple[int, TextIO]) -> None:
    """What is typed arrives at once; nothing is written back."""
    person, stream = terminal
    with KeyPresses(stream) as keys:
        assert keys.fileno() == stream.fileno()
        os.write(person, TYPED)
        assert keys.read(5.0) == KEYS
        assert keys.read(0.0) == []
        os.set_blocking(person, False)
        with pytest.raises(BlockingIOError):
            os.read(person, 100)


def test_the_terminal_is_restored_also_after_an_error(terminal: tuple[int, TextIO]) -> None:
    """Its settings are the same before and after, and different in between."""
    _, stream = terminal
    before = termios.tcgetattr(stream)
    with contextlib.suppress(KeyError), KeyPresses(stream):
        assert termios.tcgetattr(stream) != before
        raise KeyError
    assert termios.tcgetattr(stream) == before


def test_a_killed_program_that_handles_sigterm_restores_the_terminal(
    terminal: tuple[int, TextIO],
) -> None:
    """SIGTERM turned into SystemExit leaves the block, and so the terminal, in order."""
    person, stream = terminal
    before = termios.tcgetattr(stream)
    program = (
        "import signal, sys\n"
        "from monitor.view.keyboard import KeyPresses\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "with KeyPresses(sys.stdin) as keys:\n"
        "    print('ready', flush=True)\n"
        "    keys.read(60.0)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=stream, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert termios.tcgetattr(person) != before
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert termios.tcgetattr(stream) == before


def test_a_terminal_that_hangs_up_gives_no_keys_and_no_spin() -> None:
    """After the other end is gone there is nothing to poll, and reading waits its time."""
    person, program = pty.openpty()
    with os.fdopen(program, "r") as stream, KeyPresses(stream) as keys:
        os.close(person)
        assert keys.read(1.0) == []
        assert keys.fileno() is None
        began = time.monotonic()
        assert keys.read(0.05) == []
        assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("kind", ["pipe", "memory", "closed"])
def test_without_a_terminal_there_are_no_keys(kind: str) -> None:
    """A pipe, a stream without a descriptor, a closed one: nothing is changed, nothing comes."""
    read_end, write_end = os.pipe()
    os.write(write_end, b"q")
    with os.fdopen(read_end) as pipe, os.fdopen(write_end, "w"):
        stream: TextIO = pipe if kind == "pipe" else io.StringIO("q")
        if kind == "closed":
            stream.close()
        with KeyPresses(stream) as keys:
            assert keys.fileno() is None
            assert keys.read(0.01) == []
