"""The process that trains: tasks on standard input, what was learnt on standard output.

Each is its length in eight bytes, little-endian, and then its bytes. It leaves when its input ends,
and when nothing came for a while: torch takes 200 MB.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from typing import IO

from monitor.detection.training_task import decode_task, outcome_of
from monitor.stages.orphans import die_with_parent

NICENESS = 10  # the stages come first: whoever is monitored does not wait for who is learnt
IDLE_S = 60.0
HEADER_BYTES = 8


def write_framed(pipe: IO[bytes], data: bytes) -> None:
    """Write bytes behind their length."""
    pipe.write(len(data).to_bytes(HEADER_BYTES, "little") + data)
    pipe.flush()


def read_framed(pipe: IO[bytes]) -> bytes | None:
    """Return the next bytes that were written so; None if the pipe ends before."""
    header = pipe.read(HEADER_BYTES)
    n_bytes = int.from_bytes(header, "little")
    data = pipe.read(n_bytes) if len(header) == HEADER_BYTES else b""
    return data if data and len(data) == n_bytes else None


def serve(tasks: IO[bytes], outcomes: IO[bytes]) -> None:
    """Train what comes until the pipe ends or nothing more comes; one task is sent at a time."""
    while select.select([tasks], [], [], IDLE_S)[0]:
        told = read_framed(tasks)
        if told is None:
            return
        write_framed(outcomes, outcome_of(decode_task(told)))


def main() -> None:
    """Train for the process that started this one, and end with it."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the parent's to handle
    os.nice(NICENESS)
    outcomes = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        serve(sys.stdin.buffer, outcomes)


if __name__ == "__main__":
    main()
