"""Who asks for something, as a journal keeps it: the account's name, which nobody checks."""

from __future__ import annotations

import getpass

from monitor.errors import InvalidOption
from monitor.text import harmless

MAX_PERSON = 64  # characters


def person() -> str:
    """Return the name of the account that this process runs for; empty where it has none."""
    try:
        return harmless(getpass.getuser(), MAX_PERSON)
    except (OSError, KeyError):  # an account without a name, as in a container
        return ""


def named_person(by: str | None) -> str:
    """Return who acts: the name that was given, or else the account's.

    Raises
    ------
    InvalidOption
        If the name given is empty or too long.
    """
    if by is None:
        return person()
    name = harmless(by.strip(), MAX_PERSON)
    if not name or len(by.strip()) > MAX_PERSON:
        raise InvalidOption(f"--by takes a name of 1 to {MAX_PERSON} characters")
    return name
