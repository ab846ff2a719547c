"""KeyPresses from the terminal, one at a time, and the terminal as it was afterwards."""

from __future__ import annotations

import contextlib
import os
import select
import termios
import tty
from types import TracebackType
from typing import Any, Self, TextIO

# After ESC: the cursor keys in normal (CSI) and application (SS3) mode, and those beside them.
_SEQUENCES = {
    b"[A": "up",
    b"[B": "down",
    b"[C": "right",
    b"[D": "left",
    b"OA": "up",
    b"OB": "down",
    b"OC": "right",
    b"OD": "left",
    b"[H": "home",
    b"OH": "home",
    b"[1~": "home",
    b"[7~": "home",
    b"[F": "end",
    b"OF": "end",
    b"[4~": "end",
    b"[8~": "end",
    b"[5~": "pageup",
    b"[6~": "pagedown",
}
_CONTROLS = {0x0A: "enter", 0x0D: "enter", 0x7F: "backspace", 0x08: "backspace"}
_ESC = 0x1B
_MAX_SEQUENCE = 32  # bytes of an unfinished sequence; a longer one is rubbish
_ESCAPE_WAIT_S = 0.05  # the rest of a sequence follows within this, even over a slow line


class KeyDecoder:
    """Bytes from a terminal to names of keys; sequences may be cut anywhere.

    A printable ASCII character is its own name; the others are "up", "down", "left", "right",
    "home", "end", "pageup", "pagedown", "enter", "backspace", and "escape", a lone ESC. Everything
    else is dropped.
    """

    def __init__(self) -> None:
        self._pending = b""

    @property
    def is_waiting(self) -> bool:
        """Whether a sequence has begun and not ended."""
        return bool(self._pending)

    def update(self, chunk: bytes) -> list[str]:
        """Return the keys that are complete now."""
        rest = self._pending + chunk
        keys: list[str] = []
        while rest:
            key, length = _next_key(rest)
            if length == 0:
                break
            rest = rest[length:]
            if key is not None:
                keys.append(key)
        self._pending = rest
        return keys

    def flush(self) -> list[str]:
        """Return what waited: a lone ESC was the key itself."""
        keys = ["escape"] if self._pending == b"\x1b" else []
        self._pending = b""
        return keys


def _next_key(rest: bytes) -> tuple[str | None, int]:
    """Return the first key and its length in bytes; length 0 where more bytes are needed."""
    if rest[0] != _ESC:
        return _CONTROLS.get(rest[0], chr(rest[0]) if 0x20 <= rest[0] < 0x7F else None), 1
    if len(rest) == 1:
        return None, 0
    if rest[1] not in b"[O":
        return "escape", 1
    for end in range(2, min(len(rest), _MAX_SEQUENCE)):
        if 0x40 <= rest[end] <= 0x7E:  # the final byte of a sequence
            return _SEQUENCES.get(rest[1 : end + 1]), end + 1
    return None, _MAX_SEQUENCE if len(rest) >= _MAX_SEQUENCE else 0


class KeyPresses:
    """KeyPresses of a terminal, without Enter and without echo, while the with-block lasts.

    The terminal's settings are restored when the block ends, however it ends. A signal that
    kills the process outright (an unhandled SIGTERM) leaves no time for that: handle it. Where
    the stream is no terminal, there are no keys.

    Parameters
    ----------
    stream : TextIO
        Usually sys.stdin. Ctrl-C stays a signal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream  # kept: whoever opened it may not, and it would close
        self._descriptor = _terminal_descriptor(stream)
        self._decoder = KeyDecoder()
        self._saved: list[Any] | None = None

    def __enter__(self) -> Self:
        if self._descriptor is not None:
            self._saved = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor, termios.TCSANOW)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor is not None and self._saved is not None:
            with contextlib.suppress(termios.error):  # gone: there is nothing to restore
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._saved)

    def fileno(self) -> int | None:
        """Return the descriptor to poll; none where there are no keys."""
        return self._descriptor

    def read(self, timeout_s: float = 0.0) -> list[str]:
        """Return the keys pressed, after waiting for one at most timeout_s seconds."""
        keys = self._decoder.update(self._bytes(timeout_s))
        while self._decoder.is_waiting:
            chunk = self._bytes(_ESCAPE_WAIT_S)
            keys += self._decoder.update(chunk) if chunk else self._decoder.flush()
        return keys

    def _bytes(self, timeout_s: float) -> bytes:
        """Return what the terminal has; nothing after the timeout."""
        watched = [] if self._descriptor is None else [self._descriptor]
        ready, _, _ = select.select(watched, [], [], timeout_s)
        if not ready or self._descriptor is None:
            return b""
        try:
            chunk = os.read(self._descriptor, 1024)
        except OSError:
            chunk = b""
        if not chunk:
            self._descriptor = None  # hung up: it would be ready for ever
        return chunk


def _terminal_descriptor(stream: TextIO) -> int | None:
    """Return the stream's descriptor where it is a terminal."""
    try:
        return stream.fileno() if stream.isatty() else None
    except (OSError, ValueError):  # closed, or no file behind it
        return None
