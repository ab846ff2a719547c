"""Whether a terminal can show what the live view draws; where not, plain lines and one notice."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Mapping
from typing import TextIO

DRAWN = "⣿─│╭█…±×µ"  # of the plots, their frames and words
DUMB = frozenset({"", "dumb", "unknown"})
ASCII_LOCALES = frozenset({"C", "POSIX"})
COERCED = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})  # what Python makes of these locales


def why_plain(
    out: TextIO, environ: Mapping[str, str] = os.environ, utf8_mode: bool | None = None
) -> str | None:
    """Return why a terminal cannot show drawings, and what would help; None where it can.

    Parameters
    ----------
    out : TextIO
        The terminal.
    environ : mapping
        TERM and the locale are looked up there.
    utf8_mode : bool, optional
        Whether Python took the locale for UTF-8 by itself; by default as this interpreter did.
    """
    term = environ.get("TERM", "")
    if term.lower() in DUMB:
        return f"the terminal (TERM={term}) can only write lines"
    try:
        DRAWN.encode(out.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return f"the terminal's characters are {out.encoding}; set LANG to a UTF-8 locale"
    locale = declared_locale(environ, bool(sys.flags.utf8_mode) if utf8_mode is None else utf8_mode)
    if locale in ASCII_LOCALES:
        return f"the locale is {locale}, whose characters are ASCII; set LANG to a UTF-8 locale"
    return None


def declared_locale(environ: Mapping[str, str], utf8_mode: bool) -> str:
    """Return the locale that a person set for characters, empty where none is.

    Of the locale C, Python makes UTF-8 (PEP 538, 540): it sets LC_CTYPE, which is passed over
    then, and a mode, unless a person asked for that.
    """
    if environ.get("PYTHONUTF8") == "1" or environ.get("PYTHONIOENCODING"):
        return ""  # asked for: the stream's own encoding counts
    chosen = environ.get("LC_CTYPE", "")
    if utf8_mode and chosen in COERCED:
        chosen = ""
    return environ.get("LC_ALL") or chosen or environ.get("LANG", "")


def never_fail_on_characters() -> None:
    """Have standard output and error write ? for what their encoding has no character for."""
    for stream in (sys.stdout, sys.stderr):
        if codecs.lookup(stream.encoding or "ascii").name != "utf-8":
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # text streams, all
