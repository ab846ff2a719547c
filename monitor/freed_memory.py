"""Memory that was freed stays with the process, for the arrays that come next."""

from __future__ import annotations

import numpy as np

KEPT_BYTES = 1 << 21  # most arrays of a block of 30 s of two leads take less each


def keep_freed_memory() -> None:
    """Let the C library keep memory that was freed, up to twice `KEPT_BYTES`.

    Unasked, glibc gives arrays of 128 KB and more back to the system at once, and each new one
    costs a page fault for every 4 KB: two million in a record of 20 h, a quarter of the CPU time.
    It raises that limit to the largest block that was freed; elsewhere this changes nothing.
    """
    np.empty(KEPT_BYTES, np.uint8)  # never touched: it takes no memory
