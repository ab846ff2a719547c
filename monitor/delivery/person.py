"""Who asks for something, as a journal keeps it: the account's name, which nobody checks."""

from __future__ import annotations

import getpass

from monitor.text import harmless

MAX_PERSON = 64  # characters


def person() -> str:
    """Return the name of the account that this process runs for; empty where it has none."""
    try:
        return harmless(getpass.getuser(), MAX_PERSON)
    except (OSError, KeyError):  # an account without a name, as in a container
        return ""
