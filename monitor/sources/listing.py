"""Names in a message: the first of them, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence

MAX_LISTED = 20


def listing(names: Sequence[str]) -> str:
    """Return names in one line."""
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more
