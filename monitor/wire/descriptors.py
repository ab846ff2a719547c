"""How many descriptors this process may open, and who is let in while few are left.

Each connection takes one. libzmq (4.3.5) that finds none left tries to accept again at once,
without end: a core spins, nobody new is let in, and no file can be opened. So a part is kept free:
with fewer left, the listening sockets take no further connection until some have gone. Closing a
listening socket would not do: libzmq closes all connections that were made through it. Linux drops
what a socket's filter says, here all that asks for a connection; the client's system asks again.
"""

from __future__ import annotations

import contextlib
import ctypes
import resource
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

MOST_DESCRIPTORS = 16_384  # a connection takes some 40 KB: 0.6 GB with all
MOST_KEPT_FREE = 1_024  # and of few descriptors a quarter: connections come by the hundred
OF_REQUESTS = 0.5  # of what is kept free: so far commands are taken while listeners are not
LOOK_S = 0.05  # between two counts, and 10 us more for each that is open, as it takes about 1 us
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27  # asm-generic/socket.h
_FOLDER = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


_RETURN_NOTHING = _Instruction(0x06, 0, 0, 0)  # BPF_RET | BPF_K: keep 0 bytes of every packet
_DROP_ALL = _Program(1, ctypes.pointer(_RETURN_NOTHING))


def raise_limit() -> int:
    """Let this process open as many descriptors as it may, within reason; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    with contextlib.suppress(OSError, ValueError):  # not allowed here: as it was
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def n_open(limit: int) -> int:
    """Return how many descriptors are open; all, where none is left to look."""
    try:
        return sum(1 for _ in _FOLDER.iterdir())
    except OSError:
        return limit


def let_in(listening: int, let: bool) -> None:
    """Have a listening socket, by its descriptor, take connections or leave them outside.

    On Linux; elsewhere nothing is done.
    """
    if sys.platform != "linux":
        return
    of_libzmq = socket.socket(fileno=listening)
    try:
        if let:
            of_libzmq.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        else:
            of_libzmq.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(_DROP_ALL))
    finally:
        of_libzmq.detach()  # it stays libzmq's


class Crowd:
    """Looks now and then whether descriptors are left, and closes or opens the doors.

    Parameters
    ----------
    limit : int
        How many descriptors the process may open; `raise_limit` returns it.
    count : callable
        Takes that limit and returns how many are open.

    Attributes
    ----------
    is_full : bool
        Whether nobody new is let in at present, or only those who ask.
    n_open : int
        Descriptors that were open at the last look.
    """

    def __init__(self, limit: int, count: Callable[[int], int] = n_open) -> None:
        self._limit = limit
        self._count = count
        self._free = min(MOST_KEPT_FREE, limit // 4)
        self._due_s = float("-inf")
        self.is_full = self._asks_are_full = False
        self.n_open = 0

    def look(self, listening: Iterable[int], now_s: float, of_requests: Iterable[int] = ()) -> None:
        """Count, if it is time to, and have listening sockets do as is right then.

        Those of requests go on until half of what is kept free is gone: somebody must be able to
        acknowledge an alert in a flood of listeners.
        """
        if now_s < self._due_s:
            return
        self.n_open = self._count(self._limit)
        self._due_s = now_s + LOOK_S + 1e-5 * self.n_open
        self.is_full = self._shut(self.is_full, self._free, listening)
        self._asks_are_full = self._shut(
            self._asks_are_full, int(OF_REQUESTS * self._free), of_requests
        )

    def _shut(self, was_full: bool, kept: int, listening: Iterable[int]) -> bool:
        """Open or close doors, unless they are as they should be; return whether they are closed.

        They close with so many left and open with a half more: who comes and goes does not flutter.
        """
        free = kept * 3 // 2 if was_full else kept
        is_full = self.n_open > self._limit - free
        if is_full != was_full:
            for one in listening:
                let_in(one, not is_full)
        return is_full
