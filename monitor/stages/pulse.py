"""A stage's signs of life: bytes in a pipe that its supervisor reads.

A pipe, not a socket: it is there before a library is imported, costs a microsecond, and says
nothing of the sockets, which may be what hangs.

    STARTING   a thread of the process is alive; it imports, opens records, restores states
    BEAT       the stage's loop goes round; what counts once the stage has reported that it is ready
    LAST_WORDS what follows is why the process ends, in one line
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

BEAT_S = 1.0
START_S = 120.0  # how long a stage may take to be ready, as `bench ward` has it for 10,000 patients
STARTING, BEAT, LAST_WORDS = b"s", b"b", b"!"
WHERE_SIGNAL = signal.SIGUSR1  # has a stage write to standard error where it is
MAX_WORDS = 500  # bytes; what is shorter than 512 goes into a pipe whole


class Pulse:
    """What a stage writes into its pipe; nothing where nobody supervises it.

    Parameters
    ----------
    descriptor : int or None
        The pipe's end to write to.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._due_s = 0.0
        self._writing = threading.Lock()
        self._said = False  # the last words: nothing may follow them
        if descriptor is not None:
            os.set_blocking(descriptor, False)  # a supervisor that is stopped reads nothing

    def beat(self, now_s: float) -> None:
        """Show that the stage's loop goes round, at most once a second."""
        if now_s >= self._due_s:
            self._due_s = now_s + BEAT_S
            self._write(BEAT)

    def say(self, last_words: str) -> None:
        """Leave behind why the process ends."""
        self._write(LAST_WORDS + last_words.encode(errors="replace")[:MAX_WORDS], is_last=True)

    def beat_while_starting(self, limit_s: float = START_S) -> None:
        """Show that the process is alive until it should be ready, from a thread of its own.

        It is not stopped when the stage is ready: the supervisor then passes over what it writes.
        """
        if self._descriptor is not None:
            ends_s = time.monotonic() + limit_s
            threading.Thread(target=self._keep_starting, args=(ends_s,), daemon=True).start()

    def _keep_starting(self, ends_s: float) -> None:
        self._write(STARTING)
        while time.monotonic() < ends_s:
            time.sleep(BEAT_S)
            self._write(STARTING)

    def _write(self, sign: bytes, *, is_last: bool = False) -> None:
        with self._writing:
            if self._descriptor is None or self._said:
                return
            self._said = is_last
            with contextlib.suppress(OSError):  # full, or the supervisor is gone: the loop notices
                os.write(self._descriptor, sign)
