"""A process that does not outlive the one that started it."""

from __future__ import annotations

import contextlib
import ctypes
import signal

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_parent() -> None:
    """Have the system kill this process when its parent has gone, however that went (Linux).

    The parent is the thread that started it. A process notices by itself that its parent has gone,
    but not while it hangs or works; and whoever goes on with the journal waits for all to have
    left.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
